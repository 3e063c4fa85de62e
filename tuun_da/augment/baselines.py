"""Augmentation without a search, for comparison: crop and flip (ETP), and TrivialAugment."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from tuun_da.augment import chance, color, geometric
from tuun_da.augment.apply import apply_where
from tuun_da.augment.batch_transform import BatchTransform, Draw
from tuun_da.errors import PolicyError


@dataclass(frozen=True, eq=False)
class CropAndFlipDraw(Draw):
    """``place`` (n, 2), uniform in [0, 1), from top to bottom and left to right; ``flip`` (n, 2), uniform too."""

    place: Tensor
    flip: Tensor


class CropAndFlip(BatchTransform[CropAndFlipDraw]):
    """The usual augmentation of small images: the expert-tuned policy (ETP) that Tuun is compared with.

    Frame the image by 4/32 of its side, reflected; cut out the original size at a random place; swap left and right
    with chance 1/2. On 32 x 32 images this is torchvision's ``RandomCrop(32, padding=4, padding_mode="reflect")`` and
    ``RandomHorizontalFlip()``.
    """

    def _draw(self, n: int, generator: torch.Generator | None) -> CropAndFlipDraw:
        uniform = chance.uniform((n, 4), generator)
        return CropAndFlipDraw(place=uniform[:, :2], flip=uniform[:, 2:])

    def _act(self, images: Tensor, draw: CropAndFlipDraw) -> Tensor:
        whole = torch.ones_like(draw.place[:, 0])
        cropped = geometric.random_crop(images, whole, draw.place)
        return geometric.random_horizontal_flip(cropped, whole * 0.5, draw.flip)


def _identity(images: Tensor, value: Tensor) -> Tensor:
    return images


def _shear_x(images: Tensor, value: Tensor, *, fill: float, interpolation: str) -> Tensor:
    """About the upper left corner, as in AutoAugment."""
    row = (1.0, value, value * (images.shape[2] / 2))
    return geometric.affine(images, value, row, (0.0, 1.0, 0.0), fill=fill, interpolation=interpolation)


def _shear_y(images: Tensor, value: Tensor, *, fill: float, interpolation: str) -> Tensor:
    """About the upper left corner, as in AutoAugment."""
    row = (value, 1.0, value * (images.shape[3] / 2))
    return geometric.affine(images, value, (1.0, 0.0, 0.0), row, fill=fill, interpolation=interpolation)


def _translate_x(images: Tensor, value: Tensor, *, fill: float, interpolation: str) -> Tensor:
    """By whole pixels."""
    row = (1.0, 0.0, -value.trunc())
    return geometric.affine(images, value, row, (0.0, 1.0, 0.0), fill=fill, interpolation=interpolation)


def _translate_y(images: Tensor, value: Tensor, *, fill: float, interpolation: str) -> Tensor:
    """By whole pixels."""
    row = (0.0, 1.0, -value.trunc())
    return geometric.affine(images, value, (1.0, 0.0, 0.0), row, fill=fill, interpolation=interpolation)


@dataclass(frozen=True)
class WideOperation:
    """A row of TrivialAugment's table: the value at the smallest and at the largest magnitude."""

    function: Callable[..., Tensor]
    low: float = 0.0
    high: float = 0.0
    signed: bool = False
    geometric: bool = False
    integer: bool = False

    def values(self, bins: int) -> Tensor:
        """The value of each magnitude (bins,)."""
        values = torch.linspace(self.low, self.high, bins)
        return values.round() if self.integer else values


WIDE_OPERATIONS: Mapping[str, WideOperation] = MappingProxyType(
    {
        "Identity": WideOperation(_identity),
        "ShearX": WideOperation(_shear_x, 0.0, 0.99, signed=True, geometric=True),
        "ShearY": WideOperation(_shear_y, 0.0, 0.99, signed=True, geometric=True),
        "TranslateX": WideOperation(_translate_x, 0.0, 32.0, signed=True, geometric=True),
        "TranslateY": WideOperation(_translate_y, 0.0, 32.0, signed=True, geometric=True),
        "Rotate": WideOperation(geometric.rotate, 0.0, 135.0, signed=True, geometric=True),
        "Brightness": WideOperation(color.brightness, 0.0, 0.99, signed=True),
        "Color": WideOperation(color.color, 0.0, 0.99, signed=True),
        "Contrast": WideOperation(color.contrast, 0.0, 0.99, signed=True),
        "Sharpness": WideOperation(color.sharpness, 0.0, 0.99, signed=True),
        "Posterize": WideOperation(color.posterize, 8.0, 2.0, integer=True),
        "Solarize": WideOperation(color.solarize, 255.0, 0.0),
        "AutoContrast": WideOperation(color.autocontrast),
        "Equalize": WideOperation(color.equalize),
    }
)
"""The "Wide" space of Müller & Hutter 2021 (table 1), by torchvision's names and in its order."""


@dataclass(frozen=True, eq=False)
class TrivialAugmentDraw(Draw):
    """``operation`` (n,) is the index of each image's operation, ``value`` (n,) its setting with the sign."""

    operation: Tensor
    value: Tensor


class TrivialAugment(BatchTransform[TrivialAugmentDraw]):
    """TrivialAugment Wide (Müller & Hutter 2021): one operation for each image, type and magnitude drawn uniformly.

    By default it is torchvision's ``TrivialAugmentWide``, pixel by pixel: 31 magnitudes, "nearest" interpolation, black
    (``fill`` 0, of 255) for empty space, shears about the corner, translations of up to 32 pixels whatever the size of
    the image. ``interpolation="bilinear"`` is the other choice. Raises PolicyError.
    """

    def __init__(self, *, magnitude_bins: int = 31, interpolation: str = "nearest", fill: float = 0.0) -> None:
        if isinstance(magnitude_bins, bool) or not isinstance(magnitude_bins, int) or magnitude_bins < 2:
            raise PolicyError(f"magnitude_bins must be a whole number, 2 or more; got {magnitude_bins!r}")
        if interpolation not in ("nearest", "bilinear"):
            raise PolicyError(f"interpolation must be 'nearest' or 'bilinear', got {interpolation!r}")
        if isinstance(fill, bool) or not isinstance(fill, int | float) or not (0.0 <= fill <= 255.0):
            raise PolicyError(f"fill must lie in [0, 255], got {fill!r}")
        super().__init__()
        self.magnitude_bins = magnitude_bins
        self.interpolation = interpolation
        self.fill = float(fill)
        self._values = torch.stack([row.values(magnitude_bins) for row in WIDE_OPERATIONS.values()])
        self._signed = torch.tensor([row.signed for row in WIDE_OPERATIONS.values()])

    def _draw(self, n: int, generator: torch.Generator | None) -> TrivialAugmentDraw:
        operation, magnitude, turn = (
            chance.integers(high, (n,), generator) for high in (len(WIDE_OPERATIONS), self.magnitude_bins, 2)
        )
        device = operation.device
        value = self._values.to(device, non_blocking=True)[operation, magnitude]
        negative = self._signed.to(device, non_blocking=True)[operation] & (turn == 1)
        return TrivialAugmentDraw(operation, torch.where(negative, -value, value))

    def _act(self, images: Tensor, draw: TrivialAugmentDraw) -> Tensor:
        for index, row in enumerate(WIDE_OPERATIONS.values()):
            if row.function is _identity:
                continue
            function = row.function
            if row.geometric:
                function = functools.partial(function, fill=self.fill, interpolation=self.interpolation)
            images = apply_where(function, images, draw.operation == index, draw.value)
        return images

    def extra_repr(self) -> str:
        return f"magnitude_bins={self.magnitude_bins}, interpolation={self.interpolation!r}, fill={self.fill:g}"

"""The operations that AutoAugment and its successors draw from, with torchvision's names, order and magnitudes.

They differ from the rows of ``OPERATION_TYPES`` in places: shears are about the upper left corner, translations are by
whole pixels, a threshold of solarize is a share of white. A magnitude is the number of a bin, 0 the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from tuun_da.augment import color, geometric


@dataclass(frozen=True)
class SpaceRow:
    """The values of an operation at its first and its last magnitude; with ``share_of``, as shares of that side.

    Without a magnitude both are 0.
    """

    low: float = 0.0
    high: float = 0.0
    signed: bool = False
    integer: bool = False
    share_of: str | None = None

    def values(self, bins: int, height: int, width: int) -> Tensor:
        """The value of each magnitude (bins,), bit by bit torchvision's."""
        if self.integer:
            return (self.low - torch.arange(bins) / ((bins - 1) / (self.low - self.high))).round()
        side = {None: 1, "height": height, "width": width}[self.share_of]
        return torch.linspace(self.low, self.high * side, bins)


Space = Mapping[str, SpaceRow]

_SHIFT = 150.0 / 331.0
_NARROW = {
    "ShearX": SpaceRow(0.0, 0.3, signed=True),
    "ShearY": SpaceRow(0.0, 0.3, signed=True),
    "TranslateX": SpaceRow(0.0, _SHIFT, signed=True, share_of="width"),
    "TranslateY": SpaceRow(0.0, _SHIFT, signed=True, share_of="height"),
    "Rotate": SpaceRow(0.0, 30.0, signed=True),
    "Brightness": SpaceRow(0.0, 0.9, signed=True),
    "Color": SpaceRow(0.0, 0.9, signed=True),
    "Contrast": SpaceRow(0.0, 0.9, signed=True),
    "Sharpness": SpaceRow(0.0, 0.9, signed=True),
    "Posterize": SpaceRow(8.0, 4.0, integer=True),
    "Solarize": SpaceRow(1.0, 0.0),
    "AutoContrast": SpaceRow(),
    "Equalize": SpaceRow(),
}

AUTO_SPACE: Space = MappingProxyType({**_NARROW, "Invert": SpaceRow()})
"""AutoAugment's (Cubuk et al. 2019)."""

NARROW_SPACE: Space = MappingProxyType({"Identity": SpaceRow(), **_NARROW})
"""RandAugment's (Cubuk et al. 2020), called "RA" by Müller & Hutter 2021."""

WIDE_SPACE: Space = MappingProxyType(
    {
        "Identity": SpaceRow(),
        "ShearX": SpaceRow(0.0, 0.99, signed=True),
        "ShearY": SpaceRow(0.0, 0.99, signed=True),
        "TranslateX": SpaceRow(0.0, 32.0, signed=True),
        "TranslateY": SpaceRow(0.0, 32.0, signed=True),
        "Rotate": SpaceRow(0.0, 135.0, signed=True),
        "Brightness": SpaceRow(0.0, 0.99, signed=True),
        "Color": SpaceRow(0.0, 0.99, signed=True),
        "Contrast": SpaceRow(0.0, 0.99, signed=True),
        "Sharpness": SpaceRow(0.0, 0.99, signed=True),
        "Posterize": SpaceRow(8.0, 2.0, integer=True),
        "Solarize": SpaceRow(1.0, 0.0),
        "AutoContrast": SpaceRow(),
        "Equalize": SpaceRow(),
    }
)
""""Wide" of Müller & Hutter 2021 (table 1)."""

MOVES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
"""The operations that move pixels. They stand one after the other in every space."""


def move(images: Tensor, value: Tensor, kind: Tensor, *, fill: float, interpolation: str) -> Tensor:
    """Apply to each image the operation ``MOVES[kind]``, ``kind`` (n,), with ``value`` (n,); all in one sampling."""
    height, width = images.shape[-2:]
    shear_x, shear_y, translate_x, translate_y, rotate = (kind == number for number in range(len(MOVES)))
    zero = torch.zeros_like(value)
    angle = torch.where(rotate, value, zero) * (math.pi / 180.0)
    cos, sin = angle.cos(), angle.sin()
    whole = value.trunc()
    x = (
        cos,
        torch.where(shear_x, value, -sin),
        torch.where(shear_x, value * (height / 2), torch.where(translate_x, -whole, zero)),
    )
    y = (
        torch.where(shear_y, value, sin),
        cos,
        torch.where(shear_y, value * (width / 2), torch.where(translate_y, -whole, zero)),
    )
    return geometric.affine(images, value, x, y, fill=fill, interpolation=interpolation)


def _solarize(images: Tensor, value: Tensor) -> Tensor:
    # torchvision multiplies in double precision, and compares in single
    return color.solarize(images, (value.to(torch.float64) * 255.0).to(torch.float32))


COLOUR_FUNCTIONS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {
        "Brightness": color.brightness,
        "Color": color.color,
        "Contrast": color.contrast,
        "Sharpness": color.sharpness,
        "Posterize": color.posterize,
        "Solarize": _solarize,
        "AutoContrast": color.autocontrast,
        "Equalize": color.equalize,
        "Invert": color.invert,
    }
)
"""``(images, value) -> images`` by the name of the operation, for all others but Identity."""

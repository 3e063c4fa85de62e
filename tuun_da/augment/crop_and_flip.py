"""The usual augmentation of small images: crop and flip (ETP), and Cutout, which comes after it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tuun_da.augment import chance, geometric
from tuun_da.augment.batch_transform import BatchTransform, Draw
from tuun_da.augment.pixels import GREY, white
from tuun_da.errors import PolicyError
from tuun_da.operations import is_real

CUTOUT_SHARE = 16 / 32
"""Side of the square that Cutout takes away on CIFAR-10, as a share of the side of the image."""


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

    draw_type = CropAndFlipDraw

    def _draw(self, n: int, generator: torch.Generator | None) -> CropAndFlipDraw:
        uniform = chance.uniform((n, 4), generator)
        return CropAndFlipDraw(place=uniform[:, :2], flip=uniform[:, 2:])

    def _act(self, images: Tensor, draw: CropAndFlipDraw) -> Tensor:
        whole = torch.ones_like(draw.place[:, 0])
        cropped = geometric.random_crop(images, whole, draw.place)
        return geometric.random_horizontal_flip(cropped, whole * 0.5, draw.flip)


@dataclass(frozen=True, eq=False)
class CutoutDraw(Draw):
    """``centre`` (n, 2), uniform in [0, 1), from top to bottom and left to right."""

    centre: Tensor


class Cutout(BatchTransform[CutoutDraw]):
    """Cover a square of each image (DeVries & Taylor 2017), by default with mid-grey (``fill`` 128, of 255).

    Its side is ``share`` of the image's shorter side, rounded: 16 of 32 pixels, as in the paper for CIFAR-10. Its
    centre is any pixel, all equally likely; what lies beyond the border is cut off, so that less than the square is
    covered there. In the paper it comes after crop and flip, and the fill is 0 after normalizing, the mean of the
    training images. Raises PolicyError.
    """

    draw_type = CutoutDraw

    def __init__(self, *, share: float = CUTOUT_SHARE, fill: float = GREY) -> None:
        if not is_real(share) or not 0.0 < share <= 1.0:
            raise PolicyError(f"share must lie in (0, 1], got {share!r}")
        super().__init__()
        self.share = float(share)
        self.fill = checked_fill(fill)

    def _draw(self, n: int, generator: torch.Generator | None) -> CutoutDraw:
        return CutoutDraw(chance.uniform((n, 2), generator))

    def _act(self, images: Tensor, draw: CutoutDraw) -> Tensor:
        height, width = images.shape[-2:]
        length = round(self.share * min(height, width))
        rows = _covered(height, length, draw.centre[:, 0]).view(-1, 1, height, 1)
        columns = _covered(width, length, draw.centre[:, 1]).view(-1, 1, 1, width)
        fill = self.fill / 255.0 * white(images)
        return images.masked_fill(rows & columns, fill if images.is_floating_point() else round(fill))

    def extra_repr(self) -> str:
        return f"share={self.share:g}, fill={self.fill:g}"


def checked_fill(fill: object) -> float:
    """``fill`` as a float. Raises PolicyError unless it lies in [0, 255]."""
    if not is_real(fill) or not 0.0 <= fill <= 255.0:  # type: ignore[operator]
        raise PolicyError(f"fill must lie in [0, 255], got {fill!r}")
    return float(fill)  # type: ignore[arg-type]


def _covered(side: int, length: int, centre: Tensor) -> Tensor:
    """Which lines (n, side) lie in a stretch of ``length`` lines about each ``centre`` (n,) in [0, 1)."""
    first = ((centre * side).floor().clamp(max=side - 1) - length // 2).view(-1, 1)
    line = torch.arange(side, dtype=centre.dtype, device=centre.device)
    return (line >= first) & (line < first + length)

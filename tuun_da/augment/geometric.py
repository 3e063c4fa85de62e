"""The operations that move pixels.

Each takes ``images`` (n, c, h, w), uint8 or float in [0, 1], and ``value`` (n,), the setting of each image in the unit
of its row in ``OPERATION_TYPES``, sign included; it returns new images of the same type and size. Centres and signs
are those of torchvision's ``affine`` and ``rotate``: shear and rotation are about the centre of the image, a positive
angle turns counter-clockwise, a positive translation goes right or down, a positive shear takes the lower (right)
half to the left (up). Translations are fractions of a pixel; torchvision's functionals take those too, while its
``RandomAffine`` and ``AutoAugment`` round them first.

One thing is deliberately not torchvision's: a pixel at the rim that is part image, part empty mixes the two by their
areas, as if the image lay on an endless grey sheet. torchvision weights the image part twice, which leaves a dark
fringe of up to a quarter of the range.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from tuun_da.augment.pixels import GREY, from_working, to_working, white

CROP_PADDING = 4 / 32
"""Width of the reflected frame that random crops may reach into, as a share of the side."""

Row = tuple[Tensor | float, Tensor | float, Tensor | float]


def shear_x(images: Tensor, value: Tensor) -> Tensor:
    """Shift each row in proportion to its height over the centre; ``value`` is the tangent of the angle."""
    return affine(images, value, (1.0, value, 0.0), (0.0, 1.0, 0.0))


def shear_y(images: Tensor, value: Tensor) -> Tensor:
    """Shift each column in proportion to its distance from the centre; ``value`` is the tangent of the angle."""
    return affine(images, value, (1.0, 0.0, 0.0), (value, 1.0, 0.0))


def translate_x(images: Tensor, value: Tensor) -> Tensor:
    """Move to the right by ``value`` times the width."""
    return affine(images, value, (1.0, 0.0, -value * images.shape[3]), (0.0, 1.0, 0.0))


def translate_y(images: Tensor, value: Tensor) -> Tensor:
    """Move down by ``value`` times the height."""
    return affine(images, value, (1.0, 0.0, 0.0), (0.0, 1.0, -value * images.shape[2]))


def rotate(images: Tensor, value: Tensor, *, fill: float = GREY, interpolation: str = "bilinear") -> Tensor:
    """Turn about the centre by ``value`` degrees, counter-clockwise."""
    angle = value * (math.pi / 180.0)
    cos, sin = angle.cos(), angle.sin()
    return affine(images, value, (cos, -sin, 0.0), (sin, cos, 0.0), fill=fill, interpolation=interpolation)


def affine(
    images: Tensor, value: Tensor, x: Row, y: Row, *, fill: float = GREY, interpolation: str = "bilinear"
) -> Tensor:
    """Take the pixel at (u, v) from (x0 u + x1 v + x2, y0 u + y1 v + y2), in pixels from the centre of the image.

    The entries of ``x`` and ``y`` are numbers or tensors (n,). Images with a ``value`` (n,) of 0 stay exactly as they
    are. ``fill`` of 255 comes from outside; ``interpolation`` is "bilinear" or "nearest".
    """
    height, width = images.shape[-2:]
    pixels = to_working(images)
    u = centred(width, pixels).view(1, 1, width)
    v = centred(height, pixels).view(1, height, 1)
    from_x, from_y = (_column(row[0]) * u + _column(row[1]) * v + _column(row[2]) for row in (x, y))
    return resample(images, value, from_x, from_y, fill=fill, interpolation=interpolation)


def resample(
    images: Tensor,
    value: Tensor,
    from_x: Tensor,
    from_y: Tensor,
    *,
    fill: float | None = GREY,
    interpolation: str = "bilinear",
) -> Tensor:
    """Take every pixel from a place, in pixels from the centre of the image; (n, h, w), or 1 in place of h or w.

    Images with a ``value`` (n,) of 0 stay exactly as they are. ``fill`` of 255 comes from outside, or with None the
    nearest pixel of the image.
    """
    height, width = images.shape[-2:]
    pixels = to_working(images)
    shape = (images.shape[0], height, width)
    grid = torch.stack((from_x.expand(shape) * (2.0 / width), from_y.expand(shape) * (2.0 / height)), dim=-1)
    # Less the background, the image fades into the zeros that grid_sample finds outside.
    background = 0.0 if fill is None else fill / 255.0 * white(images)
    sampled = grid_sample(
        pixels - background,
        grid.to(pixels.dtype),
        mode=interpolation,
        padding_mode="border" if fill is None else "zeros",
        align_corners=False,
    )
    moved = from_working(sampled + background, images, rounded=True)
    return torch.where((value == 0.0).view(-1, 1, 1, 1), images, moved)


def random_crop(images: Tensor, value: Tensor, chance: Tensor) -> Tensor:
    """Cut out ``value`` of each side and resize that to the whole, bilinearly.

    The image is first framed by 4/32 of its side, reflected. ``chance`` (n, 2) in [0, 1) says where the crop lies, from
    top to bottom and from left to right. Frame, size and place are rounded to whole pixels, so that a crop of the full
    size copies pixels and blurs nothing.
    """
    rows = _crop_lines(images.shape[2], value, chance[:, 0])
    columns = _crop_lines(images.shape[3], value, chance[:, 1])
    pixels = to_working(images)
    for dim, (lower, upper, weight) in ((2, rows), (3, columns)):
        shape = [images.shape[0], 1, 1, 1]
        shape[dim] = images.shape[dim]
        share = weight.to(pixels.dtype).view(shape)
        first = pixels.gather(dim, lower.view(shape).expand(pixels.shape))
        second = pixels.gather(dim, upper.view(shape).expand(pixels.shape))
        pixels = first + (second - first) * share
    return from_working(pixels, images, rounded=True)


def random_horizontal_flip(images: Tensor, value: Tensor, chance: Tensor) -> Tensor:
    """Swap left and right with chance ``value``: where ``chance`` (n, 2) in [0, 1) begins with less than that."""
    return torch.where((chance[:, 0] < value).view(-1, 1, 1, 1), images.flip(3), images)


def random_vertical_flip(images: Tensor, value: Tensor, chance: Tensor) -> Tensor:
    """Swap top and bottom with chance ``value``: where ``chance`` (n, 2) in [0, 1) begins with less than that."""
    return torch.where((chance[:, 0] < value).view(-1, 1, 1, 1), images.flip(2), images)


def _crop_lines(side: int, value: Tensor, chance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each line of the result the two lines (n, side) that it lies between, and the weight of the second."""
    padding = round(CROP_PADDING * side)
    size = (value * side).round().clamp(1.0, float(side))
    room = side + 2 * padding - size
    start = torch.minimum((chance * (room + 1.0)).floor(), room) - padding
    last = (size - 1.0).view(-1, 1)
    line = torch.arange(side, dtype=size.dtype, device=size.device) + 0.5
    place = torch.minimum((line * (size / side).view(-1, 1) - 0.5).clamp(min=0.0), last)
    lower = place.floor()
    upper = torch.minimum(lower + 1.0, last)
    shift = start.view(-1, 1)
    return _reflect(lower + shift, side), _reflect(upper + shift, side), place - lower


def _reflect(line: Tensor, side: int) -> Tensor:
    """Line numbers up to ``side - 1`` beyond either end, folded back; the end itself is not repeated."""
    return ((side - 1) - ((side - 1) - line.to(torch.int64).abs()).abs()).clamp(0, side - 1)


def centred(side: int, pixels: Tensor) -> Tensor:
    """The places of the pixel centres along a side, from the middle."""
    return torch.arange(side, dtype=pixels.dtype, device=pixels.device) - (side - 1) / 2


def _column(entry: Tensor | float) -> Tensor | float:
    return entry.view(-1, 1, 1) if isinstance(entry, Tensor) else entry

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
from torch.nn.functional import grid_sample, interpolate, pad

from tuun_da.augment.pixels import GREY, from_working, keep_where, on_host, to_working, white, working_type

CROP_PADDING = 4 / 32
"""Width of the reflected frame that random crops may reach into, as a share of the side."""

Row = tuple[Tensor, Tensor, Tensor]


MOVES = ("shearX", "shearY", "translateX", "translateY", "rotate")
"""The types that are one affine map."""


def move(images: Tensor, value: Tensor, kind: Tensor, *, fill: float = GREY, interpolation: str = "bilinear") -> Tensor:
    """Apply ``MOVES[kind]`` with ``value`` to each image, ``kind`` and ``value`` (n,); all in one sampling."""
    height, width = images.shape[-2:]
    is_shear_x, is_shear_y, is_translate_x, is_translate_y, is_rotate = (kind == k for k in range(len(MOVES)))
    zero = torch.zeros_like(value)
    angle = torch.where(is_rotate, value, zero) * (math.pi / 180.0)
    cos, sin = angle.cos(), angle.sin()
    x = (cos, torch.where(is_shear_x, value, -sin), torch.where(is_translate_x, -value * width, zero))
    y = (torch.where(is_shear_y, value, sin), cos, torch.where(is_translate_y, -value * height, zero))
    return affine(images, value, x, y, fill=fill, interpolation=interpolation)


def shear_x(images: Tensor, value: Tensor) -> Tensor:
    """Shift each row in proportion to its height over the centre; ``value`` is the tangent of the angle."""
    return move(images, value, _all(value, "shearX"))


def shear_y(images: Tensor, value: Tensor) -> Tensor:
    """Shift each column in proportion to its distance from the centre; ``value`` is the tangent of the angle."""
    return move(images, value, _all(value, "shearY"))


def translate_x(images: Tensor, value: Tensor) -> Tensor:
    """Move to the right by ``value`` times the width."""
    return move(images, value, _all(value, "translateX"))


def translate_y(images: Tensor, value: Tensor) -> Tensor:
    """Move down by ``value`` times the height."""
    return move(images, value, _all(value, "translateY"))


def rotate(images: Tensor, value: Tensor, *, fill: float = GREY, interpolation: str = "bilinear") -> Tensor:
    """Turn about the centre by ``value`` degrees, counter-clockwise."""
    return move(images, value, _all(value, "rotate"), fill=fill, interpolation=interpolation)


def _all(value: Tensor, name: str) -> Tensor:
    """That move for every image."""
    return torch.full_like(value, MOVES.index(name), dtype=torch.int64)


def affine(
    images: Tensor, value: Tensor, x: Row, y: Row, *, fill: float = GREY, interpolation: str = "bilinear"
) -> Tensor:
    """Take the pixel at (u, v) from (x0 u + x1 v + x2, y0 u + y1 v + y2), in pixels from the centre of the image.

    The entries of ``x`` and ``y`` are (n,). Images with a ``value`` (n,) of 0 stay exactly as they
    are. ``fill`` of 255 comes from outside; ``interpolation`` is "bilinear" or "nearest".
    """
    height, width = images.shape[-2:]
    u, v = centred(width, images).view(1, 1, width), centred(height, images).view(1, height, 1)
    from_x, from_y = (
        (_column(row[0], side) * u + _column(row[2], side)) + _column(row[1], side) * v
        for row, side in ((x, width), (y, height))
    )
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
    """Take every pixel from a place, in half sides from the centre of the image; (n, h, w), or 1 in place of h or w.

    Images with a ``value`` (n,) of 0 stay exactly as they are. ``fill`` of 255 comes from outside, or with None the
    nearest pixel of the image.
    """
    height, width = images.shape[-2:]
    pixels = to_working(images)
    shape = (images.shape[0], height, width)
    from_x, from_y = from_x.to(pixels.dtype).expand(shape), from_y.to(pixels.dtype).expand(shape)
    # a complex number is a pair, and made of its parts eight times as fast as a pair is stacked; not so in a graph
    grid = torch.view_as_real(torch.complex(from_x, from_y)) if on_host(images) else torch.stack((from_x, from_y), -1)
    # Less the background, the image fades into the zeros that grid_sample finds outside.
    background = 0.0 if fill is None else fill / 255.0 * white(images)
    sampled = grid_sample(
        pixels - background if background else pixels,
        grid,
        mode=interpolation,
        padding_mode="border" if fill is None else "zeros",
        align_corners=False,
    )
    moved = from_working(sampled.add_(background), images, rounded=True)
    return keep_where(value == 0.0, images, moved)


def random_crop(images: Tensor, value: Tensor, chance: Tensor) -> Tensor:
    """Cut out ``value`` of each side and resize that to the whole, bilinearly.

    The image is first framed by 4/32 of its side, reflected. ``chance`` (n, 2) in [0, 1) says where the crop lies, from
    top to bottom and from left to right. Frame, size and place are rounded to whole pixels, so that a crop of the full
    size copies pixels and blurs nothing.
    """
    if on_host(images):
        return _crops_one_by_one(images, value, chance)
    rows = _crop_lines(images.shape[2], value, chance[:, 0])
    columns = _crop_lines(images.shape[3], value, chance[:, 1])
    pixels = to_working(images)
    for lower, upper, weight in (rows, columns):
        # lines are copied whole, at the speed of memory; the second time round, columns are lines
        first, second = _lines(pixels, lower), _lines(pixels, upper)
        share = weight.to(pixels.dtype)[:, None, :, None]
        pixels = (first + (second - first) * share).transpose(2, 3).contiguous()
    return from_working(pixels, images, rounded=True)


def _lines(pixels: Tensor, line: Tensor) -> Tensor:
    """The lines (n, l) of each image (n, c, h, w), in all its channels: (n, c, l, w)."""
    n, channels, height, width = pixels.shape
    first = height * torch.arange(n * channels, device=line.device).view(n, channels, 1)
    chosen = (first + line.unsqueeze(1)).flatten()
    return pixels.reshape(-1, width).index_select(0, chosen).view(n, channels, line.shape[1], width)


def random_horizontal_flip(images: Tensor, value: Tensor, chance: Tensor) -> Tensor:
    """Swap left and right with chance ``value``: where ``chance`` (n, 2) in [0, 1) begins with less than that."""
    return keep_where(chance[:, 0] >= value, images, images.flip(3))


def random_vertical_flip(images: Tensor, value: Tensor, chance: Tensor) -> Tensor:
    """Swap top and bottom with chance ``value``: where ``chance`` (n, 2) in [0, 1) begins with less than that."""
    return keep_where(chance[:, 0] >= value, images, images.flip(2))


def _crops_one_by_one(images: Tensor, value: Tensor, chance: Tensor) -> Tensor:
    """``random_crop`` where a loop over images costs less than to compute where each pixel lies."""
    if len(images) == 0:
        return images
    height, width = images.shape[-2:]
    pixels = images if images.dtype == torch.uint8 else to_working(images)
    down, across = _crop_padding(height), _crop_padding(width)
    framed = pad(pixels, (across, across, down, down), mode="reflect")
    top, rows = _crop_place(height, value, chance[:, 0])
    left, columns = _crop_place(width, value, chance[:, 1])
    places = torch.stack((top + down, left + across, rows, columns), dim=1).to(torch.int64).tolist()
    by_size: dict[tuple[int, int], tuple[list[int], list[Tensor]]] = {}
    for i, (y, x, h, w) in enumerate(places):
        numbers, windows = by_size.setdefault((h, w), ([], []))
        numbers.append(i)
        windows.append(framed[i, :, y : y + h, x : x + w])
    parts, order = [], []
    for size, (numbers, windows) in by_size.items():
        cut = torch.stack(windows)
        if size != (height, width):
            cut = interpolate(cut, size=(height, width), mode="bilinear", align_corners=False)
        parts.append(cut)
        order += numbers
    whole = parts[0]
    if len(parts) > 1:
        back = torch.tensor(order, device=images.device).argsort()
        whole = torch.cat(parts).index_select(0, back)
    return from_working(whole, images, rounded=True) if images.is_floating_point() else whole


def _crop_padding(side: int) -> int:
    return round(CROP_PADDING * side)


def _crop_place(side: int, value: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
    """For each crop (n,) its first line, counted from the image's first, and how many lines it has: whole numbers."""
    padding = _crop_padding(side)
    size = (value * side).round().clamp(1.0, float(side))
    room = side + 2 * padding - size
    return torch.minimum((chance * (room + 1.0)).floor(), room) - padding, size


def _crop_lines(side: int, value: Tensor, chance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each line of the result the two lines (n, side) that it lies between, and the weight of the second."""
    start, size = _crop_place(side, value, chance)
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


def centred(side: int, images: Tensor) -> Tensor:
    """The places of the pixel centres along a side, from the middle, in the type in which images are computed."""
    return torch.arange((1 - side) / 2, side / 2, dtype=working_type(images), device=images.device)


def _column(entry: Tensor, side: int) -> Tensor:
    """One number of each image, from pixels to half sides."""
    return entry.view(-1, 1, 1) * (2.0 / side)

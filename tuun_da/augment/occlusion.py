"""The operations that hide a part of the image.

Each takes ``images`` (n, c, h, w), uint8 or float in [0, 1], ``value`` (n,), the setting of each image in the unit of
its row in ``OPERATION_TYPES``, and ``chance`` (n, 2), uniform in [0, 1); it returns new images of the same type. What
hides is black for dropped cells (as imgaug has it), mid-grey for cutout (as all empty space here) and random for
random erasing (which Zhong et al. 2020 found best).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tuun_da.augment import random_field
from tuun_da.augment.noise import CELLS, threshold
from tuun_da.augment.pixels import GREY, from_levels, white

NARROWEST = 0.3
"""Of a rectangle that is erased: the least ratio of the shorter to the longer side, both as shares of the image's."""


def coarse_dropout(images: Tensor, value: Tensor, chance: Tensor) -> Tensor:
    """Make each cell of a grid black, in all channels, with chance ``value``."""
    number = random_field.uniform_cells(chance, CELLS, *images.shape[2:], stream=1)
    return images.masked_fill(number < threshold(value), 0.0)


def cutout(images: Tensor, value: Tensor, chance: Tensor) -> Tensor:
    """Fill a square with mid-grey 128, its side ``value`` times the shorter side, rounded to pixels.

    ``chance`` says at which pixel its centre lies, from top to bottom and from left to right; what lies beyond the rim
    of the image is cut off (DeVries & Taylor 2017, arXiv:1708.04552).
    """
    height, width = images.shape[2:]
    side = (value.to(torch.float64) * min(height, width)).round()
    # in float64, where no chance below 1 becomes the pixel behind the last
    place = chance.to(torch.float64)
    top = (place[:, 0] * height).floor() - (side / 2.0).floor()
    left = (place[:, 1] * width).floor() - (side / 2.0).floor()
    hidden = _rectangle(images, top, left, side, side)
    return images.masked_fill(hidden, GREY if white(images) == 255.0 else GREY / 255.0)


def random_erasing(images: Tensor, value: Tensor, chance: Tensor) -> Tensor:
    """Fill a rectangle of ``value`` times the image's area with random levels, another one in each pixel and channel.

    Its sides, as shares of the image's, have a ratio from 0.3 to 1 / 0.3, evenly on a logarithmic scale and as far as
    it fits in; it lies anywhere within the image (Zhong et al. 2020, arXiv:1708.04896). Sides are rounded to pixels.
    """
    height, width = images.shape[2:]
    area = value.to(torch.float64)
    shape, down, across = random_field.uniform(chance, 3, stream=1).to(torch.float64).unbind(1)
    widest = -torch.log(area.clamp(min=NARROWEST, max=1.0))  # a ratio r fits where area <= r <= 1 / area
    root = torch.exp((shape - 0.5) * widest)  # of the ratio, which lies between exp(-widest) and exp(widest)
    rows = (area.sqrt() * root * height).round().clamp(max=float(height))
    columns = (area.sqrt() / root * width).round().clamp(max=float(width))
    top = (down * (height - rows + 1.0)).floor()
    left = (across * (width - columns + 1.0)).floor()
    levels = (random_field.bits(chance, math.prod(images.shape[1:]), stream=2) >> 24).to(torch.uint8)
    hidden = _rectangle(images, top, left, rows, columns)
    return torch.where(hidden, from_levels(levels.view(images.shape), images), images)


def _rectangle(images: Tensor, top: Tensor, left: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Which pixels (n, 1, h, w) lie in each image's rectangle; its numbers (n,) are whole, and may reach outside."""
    height, width = images.shape[2:]
    y = torch.arange(height, device=images.device).view(1, height, 1)
    x = torch.arange(width, device=images.device).view(1, 1, width)
    top, left, rows, columns = (number.view(-1, 1, 1) for number in (top, left, rows, columns))
    return ((y >= top) & (y < top + rows) & (x >= left) & (x < left + columns)).unsqueeze(1)

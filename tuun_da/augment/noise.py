"""The operations that disturb pixels one by one, or cell by cell.

Each takes ``images`` (n, c, h, w), uint8 or float in [0, 1], ``value`` (n,), the setting of each image in the unit of
its row in ``OPERATION_TYPES``, and ``chance`` (n, 2), uniform in [0, 1), from which all randomness is made
(random_field.py); it returns new images of the same type. Where one image has the same chance and a larger value, what
was disturbed stays so and more joins it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tuun_da.augment import random_field
from tuun_da.augment.pixels import each_image, from_working, to_working, white

CELLS = 8
"""Rows and columns of cells for what is coarse: 4 x 4 pixels each of an image of 32 x 32."""


def gaussian_noise(images: Tensor, value: Tensor, chance: Tensor) -> Tensor:
    """Add normal noise to every pixel and channel, its standard deviation ``value`` times white."""
    normal = random_field.normal(chance, math.prod(images.shape[1:]), stream=1).view(images.shape)
    pixels = to_working(images)
    deviation = each_image(value, images) * white(images)
    return from_working(torch.addcmul(pixels, normal.to(pixels.dtype), deviation), images, rounded=True)


def dropout(images: Tensor, value: Tensor, chance: Tensor) -> Tensor:
    """Make each pixel black, in all channels, with chance ``value``."""
    n, _, height, width = images.shape
    number = random_field.uniform(chance, height * width, stream=1).view(n, 1, height, width)
    return images.masked_fill(number < threshold(value), 0.0)


def coarse_salt_and_pepper(images: Tensor, value: Tensor, chance: Tensor) -> Tensor:
    """Fill each cell of a grid, with chance ``value``, with pixels of which each is black or white in all channels."""
    n, _, height, width = images.shape
    hit = random_field.uniform_cells(chance, CELLS, height, width, stream=1) < threshold(value)
    is_white = random_field.bits(chance, height * width, stream=2).view(n, 1, height, width) >= 2**31
    return torch.where(hit, is_white.to(images.dtype) * int(white(images)), images)


def threshold(value: Tensor) -> Tensor:
    """``value`` (n,) as (n, 1, 1, 1), to be compared with uniform numbers of the same type."""
    return value.to(torch.float32).view(-1, 1, 1, 1)

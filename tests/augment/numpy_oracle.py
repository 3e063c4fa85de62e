"""What numpy and scipy make of one image under the operations that torchvision does not have: the independent judge.

Random numbers are those of tuun_da.augment.random_field, written again: with Python's whole numbers, cut to 32 bits.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import scipy.interpolate
import scipy.ndimage
import scipy.stats
import torch
from torch import Tensor

Array = npt.NDArray[np.float64]
Chance = tuple[float, float]

PERMUTATIONS = ((1, 2, 0), (2, 0, 1), (0, 2, 1), (1, 0, 2), (2, 1, 0))
SHARPENED = [[-1, -1, -1], [-1, 9, -1], [-1, -1, -1]]
EMBOSSED = [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]
UNCHANGED = [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


# ---- random numbers ----


def mixed(number: int) -> int:
    number ^= number >> 16
    number = number * 0x604BAA5D % 2**32
    number ^= number >> 15
    number = number * 0x43D6CE97 % 2**32
    return number ^ number >> 15


def bits(chance: Chance, count: int, stream: int) -> list[int]:
    first, second = (int(part * 2**24) for part in chance)
    key = mixed(first + stream * 2**24)
    increment = mixed(second ^ key) % 2**31 | 1
    return [mixed((key + k * increment) % 2**32) for k in range(1, count + 1)]


def uniform(chance: Chance, count: int, stream: int) -> Array:
    return np.array(bits(chance, count, stream)) // 2**8 / 2**24


def normal(chance: Chance, count: int, stream: int) -> Array:
    middles = (np.array(bits(chance, count, stream)) // 2**18 + 0.5) / 2**14
    return np.asarray(scipy.stats.norm.ppf(middles))


def uniform_cells(chance: Chance, height: int, width: int, stream: int) -> Array:
    """One number for each of 8 x 8 cells, (h, w)."""
    rows, columns = min(8, height), min(8, width)
    numbers = uniform(chance, rows * columns, stream).reshape(rows, columns)
    return np.array([[numbers[y * rows // height, x * columns // width] for x in range(width)] for y in range(height)])


# ---- operations ----


def expected(name: str, image: Tensor, value: float, chance: Chance) -> Tensor:
    """Operation ``name`` on one image (c, h, w), uint8 or float32."""
    white = 1.0 if image.is_floating_point() else 255.0
    result = OPERATIONS[name](image.double().numpy(), value, chance, white)
    if not image.is_floating_point():
        result = result.round()
    return torch.from_numpy(result.clip(0.0, white)).to(image.dtype)


def convolved(image: Array, kernel: list[list[int]], share: float) -> Array:
    blend = share * np.array(kernel, dtype=float) + (1 - share) * np.array(UNCHANGED, dtype=float)
    return np.stack([scipy.ndimage.correlate(channel, blend, mode="mirror") for channel in image])


def sharpen(image: Array, value: float, chance: Chance, white: float) -> Array:
    return convolved(image, SHARPENED, value)


def emboss(image: Array, value: float, chance: Chance, white: float) -> Array:
    return convolved(image, EMBOSSED, value)


def gaussian_blur(image: Array, value: float, chance: Chance, white: float) -> Array:
    """scipy's own, which reaches int(truncate * sigma + 0.5) pixels."""
    sigma = value * min(image.shape[1:])
    if sigma == 0:
        return image
    truncate = math.ceil(3 * sigma) / sigma
    return np.stack(
        [scipy.ndimage.gaussian_filter(channel, sigma, mode="mirror", truncate=truncate) for channel in image]
    )


def gaussian_noise(image: Array, value: float, chance: Chance, white: float) -> Array:
    return image + value * white * normal(chance, image.size, 1).reshape(image.shape)


def dropout(image: Array, value: float, chance: Chance, white: float) -> Array:
    height, width = image.shape[1:]
    return image * (uniform(chance, height * width, 1).reshape(height, width) >= np.float32(value))


def coarse_dropout(image: Array, value: float, chance: Chance, white: float) -> Array:
    return image * (uniform_cells(chance, *image.shape[1:], 1) >= np.float32(value))


def coarse_salt_and_pepper(image: Array, value: float, chance: Chance, white: float) -> Array:
    height, width = image.shape[1:]
    filling = white * (uniform(chance, height * width, 2).reshape(height, width) >= 0.5)
    return np.where(uniform_cells(chance, height, width, 1) < np.float32(value), filling, image)


def add_per_channel(image: Array, value: float, chance: Chance, white: float) -> Array:
    offsets = value * (2 * uniform(chance, len(image), 1) - 1) * white / 255
    return image + offsets[:, None, None]


def channel_permutation(image: Array, value: float, chance: Chance, white: float) -> Array:
    return image if len(image) == 1 else image[list(PERMUTATIONS[int(chance[0] * 5)])]


def random_erasing(image: Array, value: float, chance: Chance, white: float) -> Array:
    height, width = image.shape[1:]
    shape, down, across = uniform(chance, 3, 1)
    least = max(0.3, value)
    ratio = least * (1 / least / least) ** shape
    rows, columns = (
        min(round(height * math.sqrt(value * ratio)), height),
        min(round(width * math.sqrt(value / ratio)), width),
    )
    top, left = int(down * (height - rows + 1)), int(across * (width - columns + 1))
    levels = np.array(bits(chance, image.size, 2)).reshape(image.shape) // 2**24
    erased = image.copy()
    inside = (slice(None), slice(top, top + rows), slice(left, left + columns))
    erased[inside] = levels[inside] * white / 255
    return erased


def elastic_displacement(height: int, width: int, value: float, chance: Chance) -> Array:
    """The displacement (2, h, w), across and down, in pixels."""
    control = 2 * uniform(chance, 98, 1).reshape(2, 7, 7) - 1
    knots = np.arange(-3, 8)  # of a uniform cubic B-spline with 7 control points, on the interval from 0 to 4
    for axis, side in ((1, height), (2, width)):
        spline = scipy.interpolate.BSpline(knots, control, 3, axis=axis)
        control = spline((np.arange(side) + 0.5) * 4 / side)
    return np.asarray(control * value * np.array([width, height])[:, None, None])


OPERATIONS = {
    "sharpen": sharpen,
    "emboss": emboss,
    "gaussianBlur": gaussian_blur,
    "gaussianNoise": gaussian_noise,
    "dropout": dropout,
    "coarseDropout": coarse_dropout,
    "coarseSaltAndPepper": coarse_salt_and_pepper,
    "addPerChannel": add_per_channel,
    "channelPermutation": channel_permutation,
    "randomErasing": random_erasing,
}

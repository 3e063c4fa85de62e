"""Random numbers for every pixel, made of the two chances that a draw has for each operation of each image.

They are a function of these chances, a place and a stream, and of nothing else: the same in any batch, any memory
format and on any device. The generator is SplitMix (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number
generators") in 32 bits: number k of an image, k from 1 on, is ``mixed(key + k * increment)``, where every image and
stream has a key and an odd increment of its own, made of the 48 bits of its chances. The mixer is one of Wellons'
hash-prospector (github.com/skeeto/hash-prospector at 005ae411, "16 604baa5d 15 43d6ce97 15", of less bias than
murmur3's finalizer).

All arithmetic is that of int64 on numbers below 2 ** 32. Both constants of the mixer, and the increments, are below
2 ** 31, so that no product overflows.

Notation: n images; ``chance`` (n, 2) in [0, 1), of which 24 bits each count; ``stream``, from 1 to 255, tells apart
what one operation needs several times.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

CHANCE_BITS = 24
MASK = 2**32 - 1
QUANTILES = 2**14

CPU = torch.device("cpu")


def bits(chance: Tensor, count: int, *, stream: int) -> Tensor:
    """Numbers (n, count), uniform over the whole numbers below 2 ** 32, as int64."""
    # in float64: exact, also for chances that are no float32
    first, second = (chance.to(torch.float64) * 2.0**CHANCE_BITS).to(torch.int64).unbind(1)
    key = _mixed(first + (stream << CHANCE_BITS))
    increment = (_mixed(second ^ key) & (2**31 - 1)) | 1
    place = torch.arange(1, count + 1, device=chance.device)  # 0 would be the key alone, which knows one chance only
    return _mixed((key[:, None] + place * increment[:, None]) & MASK)


def uniform(chance: Tensor, count: int, *, stream: int) -> Tensor:
    """Numbers (n, count), uniform over the multiples of 2 ** -24 in [0, 1), as float32."""
    return (bits(chance, count, stream=stream) >> 8).to(torch.float32) * 2.0**-24


def normal(chance: Tensor, count: int, *, stream: int) -> Tensor:
    """Numbers (n, count) of a standard normal distribution, as float32.

    Each is one of 16384 quantiles, up to 4.0 in size. Computed anew for each pixel, the last bit of a logarithm or an
    error function would depend on the device.
    """
    table = _QUANTILES if chance.device.type == "cpu" else _normal_quantiles(chance.device)
    return table[bits(chance, count, stream=stream) >> (32 - int(math.log2(QUANTILES)))]


def uniform_cells(chance: Tensor, cells: int, height: int, width: int, *, stream: int) -> Tensor:
    """Numbers (n, 1, height, width) as ``uniform`` gives them, one for each cell of a grid over the image.

    The grid has ``cells`` rows and columns, or as many as there are pixels if those are fewer. Cells differ by at most
    one pixel in height and width.
    """
    rows, columns = min(cells, height), min(cells, width)
    numbers = uniform(chance, rows * columns, stream=stream).view(-1, 1, rows, columns)
    row = torch.arange(height, device=chance.device) * rows // height
    column = torch.arange(width, device=chance.device) * columns // width
    return numbers.index_select(2, row).index_select(3, column)


def _mixed(x: Tensor) -> Tensor:
    """A bijection of the whole numbers below 2 ** 32 in which every bit depends on every bit."""
    x = x ^ (x >> 16)
    x.mul_(0x604BAA5D).bitwise_and_(MASK)
    x.bitwise_xor_(x >> 15)
    x.mul_(0x43D6CE97).bitwise_and_(MASK)
    return x.bitwise_xor_(x >> 15)


def _normal_quantiles(device: torch.device) -> Tensor:
    """The quantiles of the standard normal distribution in the middles of ``QUANTILES`` equal parts."""
    middle = (torch.arange(QUANTILES, device=device, dtype=torch.float64) + 0.5) / QUANTILES
    return (math.sqrt(2.0) * torch.erfinv(2.0 * middle - 1.0)).to(torch.float32)


_QUANTILES = _normal_quantiles(CPU)

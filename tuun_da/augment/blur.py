"""The operations that mix each pixel with its neighbours: blur, sharpen, emboss.

Each takes ``images`` (n, c, h, w), uint8 or float in [0, 1], and ``value`` (n,), the setting of each image in the unit
of its row in ``OPERATION_TYPES``; it returns new images of the same type. Beyond its rim an image goes on mirrored,
without its outermost line twice, and as often as needed where the neighbourhood is larger than the image. uint8 is
rounded. All are shifted sums, not convolutions: cuDNN computes those in TF32, which is off by whole levels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tuun_da.augment.pixels import each_image, from_working, to_working, working_type
from tuun_da.operations import OPERATION_TYPES

REACH = 3.0
"""How many standard deviations the kernel of a blur reaches, rounded up to whole pixels."""

LARGEST_BLUR = OPERATION_TYPES["gaussianBlur"].high


def gaussian_blur(images: Tensor, value: Tensor) -> Tensor:
    """Blur with a Gaussian kernel whose standard deviation is ``value`` times the shorter side; 0 changes nothing."""
    side = min(images.shape[2:])
    sigma = (value * side).to(torch.float64)
    reach = (REACH * sigma).ceil()
    radius = math.ceil(REACH * LARGEST_BLUR * side)
    if images.device.type == "cpu" and not torch.compiler.is_compiling() and len(images) > 0:
        radius = min(radius, int(reach.amax()))  # beyond, all weights are 0 and add nothing
    weights = _half_kernels(sigma, reach, radius).to(working_type(images))
    pixels = to_working(images)
    for dim in (2, 3):
        pixels = _weighted_sum(pixels, weights, radius, dim)
    return from_working(pixels, images, rounded=True)


def sharpen(images: Tensor, value: Tensor) -> Tensor:
    """Blend with (-1 -1 -1, -1 9 -1, -1 -1 -1), ``value`` being its share: 0 changes nothing."""
    pixels = to_working(images)
    height, width = images.shape[2:]
    extended = _mirrored(_mirrored(pixels, 1, 2), 1, 3)
    edges = 9.0 * pixels
    for top in range(3):
        for left in range(3):
            edges = edges - extended[..., top : top + height, left : left + width]
    return from_working(torch.addcmul(pixels, edges, each_image(value, images)), images, rounded=True)


def emboss(images: Tensor, value: Tensor) -> Tensor:
    """Blend with (-2 -1 0, -1 1 1, 0 1 2), ``value`` being its share: light from above and left; 0 changes nothing."""
    pixels = to_working(images)
    height, width = images.shape[2:]
    extended = _mirrored(_mirrored(pixels, 1, 2), 1, 3)

    def shifted(top: int, left: int) -> Tensor:
        return extended[..., top : top + height, left : left + width]

    slope = 2.0 * (shifted(2, 2) - shifted(0, 0)) + (shifted(1, 2) - shifted(1, 0)) + (shifted(2, 1) - shifted(0, 1))
    return from_working(torch.addcmul(pixels, slope, each_image(value, images)), images, rounded=True)


def _half_kernels(sigma: Tensor, reach: Tensor, radius: int) -> Tensor:
    """The weights (n, radius + 1) of the pixels 0, 1, ... radius steps away; with both sides they sum to 1."""
    step = torch.arange(radius + 1, dtype=torch.float64, device=sigma.device)
    weights = torch.exp(-0.5 * (step / sigma.clamp(min=1e-9)[:, None]) ** 2)
    weights = torch.where(step <= reach[:, None], weights, torch.zeros_like(weights))
    # one after the other, since the order in which sum() adds depends on the length
    total = weights[:, 0]
    for k in range(1, radius + 1):
        total = total + 2.0 * weights[:, k]
    return weights / total[:, None]


def _weighted_sum(pixels: Tensor, weights: Tensor, radius: int, dim: int) -> Tensor:
    """Along ``dim``, the sum of each pixel and its neighbours times their ``weights`` (n, radius + 1)."""
    side = pixels.shape[dim]
    extended = _mirrored(pixels, radius, dim)
    column = weights.view(-1, 1, 1, 1, radius + 1).unbind(-1)
    total = pixels * column[0]
    for k in range(1, radius + 1):
        pair = extended.narrow(dim, radius - k, side) + extended.narrow(dim, radius + k, side)
        total.addcmul_(pair, column[k])
    return total


def _mirrored(pixels: Tensor, margin: int, dim: int) -> Tensor:
    """``pixels`` with ``margin`` more lines at both ends of ``dim``."""
    side = pixels.shape[dim]
    period = max(2 * (side - 1), 1)
    line = torch.arange(-margin, side + margin, device=pixels.device).remainder(period)
    return pixels.index_select(dim, torch.minimum(line, (period - line).remainder(period)))

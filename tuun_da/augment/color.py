"""The operations that change colours and leave every pixel in its place.

Each takes ``images`` (n, c, h, w), uint8 or float in [0, 1], and ``value`` (n,), the setting of each image in the unit
of its row in ``OPERATION_TYPES``, sign included; two take ``chance`` (n, 2) in [0, 1), too. They return new images of
the same type. On uint8 they give what torchvision's functionals give, as far as it has them. Float images follow the
same definitions without rounding in between; where an operation is about levels (posterize, solarize, equalize), a
float pixel counts as the nearest of the 256.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tuun_da.augment import random_field
from tuun_da.augment.pixels import (
    each_image,
    factor_and_complement,
    from_levels,
    from_unit,
    from_working,
    keep_where,
    to_levels,
    to_unit,
    to_working,
    white,
    working_type,
)


def brightness(images: Tensor, value: Tensor) -> Tensor:
    """Multiply by ``1 + value``: -1 is black."""
    factor, _ = factor_and_complement(value, images)
    return from_working(to_working(images) * factor, images, rounded=False)


def color(images: Tensor, value: Tensor) -> Tensor:
    """Saturation ``1 + value``: -1 is grey. Images of one channel have no colour and stay as they are."""
    if images.shape[1] == 1:
        return images
    pixels = to_working(images)
    return _blend(pixels, _grayscale(pixels, images), value, images)


def grayscale(images: Tensor, value: Tensor) -> Tensor:
    """Blend with grey, ``value`` being its share: 0 changes nothing, 1 leaves no colour."""
    return color(images, -value)


def contrast(images: Tensor, value: Tensor) -> Tensor:
    """Contrast ``1 + value`` about the mean grey of the image: -1 is flat."""
    # Summed in float64, so that an image gives the same mean alone, in a batch and in any memory format.
    pixels = to_working(images)
    mean = _grayscale(pixels, images).mean(dim=(1, 2, 3), keepdim=True, dtype=torch.float64)
    return _blend(pixels, mean.to(pixels.dtype), value, images)


def sharpness(images: Tensor, value: Tensor) -> Tensor:
    """Sharpness ``1 + value``: -1 is smoothed with (1 1 1, 1 5 1, 1 1 1) / 13.

    The outermost pixels have no full neighbourhood and stay as they are, and so do images under 3 pixels high or wide.
    """
    height, width = images.shape[-2:]
    if height < 3 or width < 3:
        return images
    pixels = to_working(images)
    inner = pixels[..., 1:-1, 1:-1]
    # Shifted sums, not a convolution: cuDNN computes that in TF32, which is off by whole levels.
    across = pixels[..., :-2] + pixels[..., 1:-1] + pixels[..., 2:]
    smooth = (across[..., :-2, :] + across[..., 1:-1, :] + across[..., 2:, :] + 4.0 * inner) / 13.0
    if not images.is_floating_point():
        smooth = smooth.round()
    # clone, and then write inside: concatenating the frame back would take four more copies
    sharpened = pixels.clone()
    _, complement = factor_and_complement(value, images)
    sharpened[..., 1:-1, 1:-1] = torch.addcmul(inner, smooth - inner, complement)
    return from_working(sharpened, images, rounded=False)


def posterize(images: Tensor, value: Tensor) -> Tensor:
    """Keep the ``value`` highest of the 8 bits, a whole number from 0 to 8."""
    bits = value.round().clamp(0.0, 8.0)
    mask = (256.0 - torch.exp2(8.0 - bits)).to(torch.uint8).view(-1, 1, 1, 1)
    if not images.is_floating_point():
        return images & mask
    return keep_where(bits >= 8.0, images, from_levels(to_levels(images) & mask, images))


def solarize(images: Tensor, value: Tensor) -> Tensor:
    """Invert the pixels at or above the threshold ``value`` of 255: 256 changes none, 0 inverts all."""
    if images.is_floating_point():
        return torch.where(to_levels(images) >= value.view(-1, 1, 1, 1), _inverted(images), images)
    # Of uint8, all bits of these pixels are turned: several times as fast on the CPU.
    threshold = value.ceil().view(-1, 1, 1, 1)
    bits = torch.where(threshold <= 255.0, 255, 0).to(torch.uint8)
    return images ^ ((images >= threshold.clamp(0.0, 255.0).to(torch.uint8)).to(torch.uint8) * bits)


def gamma(images: Tensor, value: Tensor) -> Tensor:
    """Raise every pixel, from 0 to 1, to the power of 2 ** ``value``: what is positive darkens, 0 changes nothing."""
    exponent = torch.exp(value.to(torch.float64) * math.log(2.0)).view(-1, 1, 1, 1)
    # Of uint8 only the 256 levels are computed.
    levels = torch.arange(256, device=images.device).to(torch.uint8).view(1, 1, 1, 256)
    given = images if images.is_floating_point() else levels
    unit = to_unit(given).to(torch.float64)
    is_black = unit == 0.0  # whose logarithm has no gradient
    # exp and log in float64: pow's last bit depends on where in memory a pixel lies
    power = torch.exp(torch.log(unit.masked_fill(is_black, 1.0)) * exponent).masked_fill(is_black, 0.0)
    changed = from_unit(power.to(working_type(images)), images)
    if not images.is_floating_point():
        changed = changed.view(-1, 256).gather(1, images.flatten(1).to(torch.int64)).view(images.shape)
    return keep_where(value == 0.0, images, changed)


def add_per_channel(images: Tensor, value: Tensor, chance: Tensor) -> Tensor:
    """Add to each channel an offset of its own, uniform between -``value`` and ``value`` levels of 255."""
    n, channels = images.shape[:2]
    share = 2.0 * random_field.uniform(chance, channels, stream=1).view(n, channels, 1, 1) - 1.0
    pixels = to_working(images)
    offset = share.to(pixels.dtype) * each_image(value, images) * (white(images) / 255.0)
    return from_working(pixels + offset, images, rounded=True)


def channel_permutation(images: Tensor, value: Tensor, chance: Tensor) -> Tensor:
    """Put the three channels into one of their five other orders, each as likely. Has no magnitude.

    Images of one channel stay as they are.
    """
    n, channels, height, width = images.shape
    if channels == 1:
        return images
    order = (chance[:, 0].to(torch.float64) * 5.0).floor().to(torch.int64).view(n, 1) + 1
    # 0, the order as it is, does not occur; 1 and 2 turn it round, 3 to 5 do so backwards
    place = torch.arange(3, device=images.device)
    source = (order % 3 + torch.where(order < 3, place, 2 * place)) % 3
    return images.gather(1, source.view(n, 3, 1, 1).expand(n, 3, height, width))


def invert(images: Tensor, value: Tensor) -> Tensor:
    """White less the pixel. Has no magnitude."""
    return _inverted(images)


def autocontrast(images: Tensor, value: Tensor) -> Tensor:
    """Stretch each channel to the full range; a channel of one value stays as it is. Has no magnitude."""
    pixels = to_working(images)
    darkest = pixels.amin(dim=(2, 3), keepdim=True)
    brightest = pixels.amax(dim=(2, 3), keepdim=True)
    flat = brightest == darkest
    scale = (brightest - darkest) * (1.0 / white(images))
    scale = torch.where(flat, torch.ones_like(scale), scale)
    darkest = torch.where(flat, torch.zeros_like(darkest), darkest)
    return from_working((pixels - darkest) / scale, images, rounded=False)


def equalize(images: Tensor, value: Tensor) -> Tensor:
    """Make the histogram of each channel as flat as Pillow's ``ImageOps.equalize`` does. Has no magnitude.

    A channel that is too small or too uniform for it (fewer than 255 pixels below its brightest level) stays as it is.
    """
    n, channels, height, width = images.shape
    levels = to_levels(images).reshape(n, channels, height * width).to(torch.int64)
    histogram = torch.zeros((n, channels, 256), dtype=torch.int32, device=images.device)
    histogram = histogram.scatter_add(2, levels, torch.ones_like(levels, dtype=torch.int32))
    below_brightest = height * width - histogram.gather(2, levels.amax(dim=2, keepdim=True))
    step = below_brightest // 255
    # Pillow's table: entry k counts the pixels below level k, plus half a step, in whole steps.
    pixels_below = histogram.cumsum(dim=2) - histogram
    table = ((pixels_below + step // 2) // step.clamp(min=1)).clamp(0, 255).to(torch.uint8)
    equalized = from_levels(table.gather(2, levels).view(images.shape), images)
    return keep_where(step.flatten() == 0, images.flatten(0, 1), equalized.flatten(0, 1)).view(images.shape)


def _inverted(images: Tensor) -> Tensor:
    return 1.0 - images if images.is_floating_point() else 255 - images


def _grayscale(pixels: Tensor, images: Tensor) -> Tensor:
    """Luma (n, 1, h, w) of ``images`` as ``pixels``, whole levels for uint8: torchvision's weights, in its order."""
    if images.shape[1] == 1:
        return pixels
    red, green, blue = pixels.unbind(dim=1)
    grey = red.mul(0.2989).add(green, alpha=0.587).add(blue, alpha=0.114).unsqueeze(1)
    return grey if images.is_floating_point() else grey.floor_()


def _blend(pixels: Tensor, other: Tensor, value: Tensor, images: Tensor) -> Tensor:
    """``pixels`` times 1 + value, plus ``other`` times -value."""
    factor, complement = factor_and_complement(value, images)
    return from_working(torch.addcmul(pixels * factor, other, complement), images, rounded=False)

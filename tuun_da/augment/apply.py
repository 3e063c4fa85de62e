"""Which function stands for which row of ``OPERATION_TYPES``, and how it meets a part of a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from tuun_da.augment import blur, color, geometric, hue, noise, occlusion, warp
from tuun_da.operations import OPERATION_TYPES, Operation

FUNCTIONS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {
        "shearX": geometric.shear_x,
        "shearY": geometric.shear_y,
        "translateX": geometric.translate_x,
        "translateY": geometric.translate_y,
        "rotate": geometric.rotate,
        "color": color.color,
        "posterize": color.posterize,
        "solarize": color.solarize,
        "contrast": color.contrast,
        "sharpness": color.sharpness,
        "brightness": color.brightness,
        "autocontrast": color.autocontrast,
        "equalize": color.equalize,
        "invert": color.invert,
        "gaussianBlur": blur.gaussian_blur,
        "sharpen": blur.sharpen,
        "emboss": blur.emboss,
        "gamma": color.gamma,
        "grayscale": color.grayscale,
    }
)
"""``(images, value) -> images`` by the name of the type."""

RANDOM_FUNCTIONS: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = MappingProxyType(
    {
        "randomCrop": geometric.random_crop,
        "randomHorizontalFlip": geometric.random_horizontal_flip,
        "gaussianNoise": noise.gaussian_noise,
        "dropout": noise.dropout,
        "coarseDropout": occlusion.coarse_dropout,
        "addPerChannel": color.add_per_channel,
        "hueSaturation": hue.hue_saturation,
        "coarseSaltAndPepper": noise.coarse_salt_and_pepper,
        "verticalFlip": geometric.random_vertical_flip,
        "perspective": warp.perspective,
        "elastic": warp.elastic,
        "cutout": occlusion.cutout,
        "randomErasing": occlusion.random_erasing,
        "channelPermutation": color.channel_permutation,
    }
)
"""``(images, value, chance) -> images`` for the types with chance beyond their sign; ``chance`` (n, 2) in [0, 1)."""


def apply_operation(operation: Operation, images: Tensor, mask: Tensor, sign: Tensor, chance: Tensor) -> Tensor:
    """Apply ``operation`` to the images (n, c, h, w) where ``mask`` (n,) is true; its probability is not asked here.

    ``sign`` (n,) is -1 or 1 and counts for signed types only; ``chance`` (n, 2) is uniform in [0, 1).
    """
    row = OPERATION_TYPES[operation.type]
    if row.category != "geometric":
        sign = sign.to(torch.float64)  # the factors of a blend are rounded once, at their end
    value = (sign if row.signed else torch.ones_like(sign)) * operation.value
    if operation.type in RANDOM_FUNCTIONS:
        return apply_where(RANDOM_FUNCTIONS[operation.type], images, mask, value, chance)
    return apply_where(FUNCTIONS[operation.type], images, mask, value)


def apply_where(function: Callable[..., Tensor], images: Tensor, mask: Tensor, *parameters: Tensor) -> Tensor:
    """``function(images, *parameters)`` for the images where ``mask`` (n,) is true, the others as they are.

    On the CPU only those images are computed. Elsewhere, and when compiled, all are: to ask how many there are would
    make the host wait for the device, and give the graph a shape that depends on data.
    """
    if images.device.type != "cpu" or torch.compiler.is_compiling():
        return torch.where(mask.view(-1, 1, 1, 1), function(images, *parameters), images)
    chosen = mask.nonzero().squeeze(1)
    if len(chosen) == 0:
        return images
    if len(chosen) == len(images):
        return function(images, *parameters)
    result = images.clone()
    result[chosen] = function(images[chosen], *(parameter[chosen] for parameter in parameters))
    return result

"""Which function stands for which row of ``OPERATION_TYPES``, and how each image of a batch meets its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from tuun_da.augment import blur, color, geometric, hue, noise, occlusion, warp
from tuun_da.augment.pixels import on_host
from tuun_da.operations import OPERATION_TYPES

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


MOVE = "move"
"""The stage of all types that are one affine map: ``geometric.MOVES``. Every other type is a stage of its own."""

NO_STAGE = -1
"""In place of the number of a stage: the image stays as it is."""

CHUNK = 2**17
"""Pixel values that are worked on at a time on the CPU, so that what lies between the steps stays in its cache."""


def stage_of(operation_type: str) -> str:
    """The stage that applies ``operation_type``."""
    return MOVE if operation_type in geometric.MOVES else operation_type


def act(stage: str, images: Tensor, value: Tensor, chance: Tensor, kind: Tensor) -> Tensor:
    """Apply ``stage`` to all images (n, c, h, w), ``value`` (n,) in float64 being the setting of each, sign included.

    ``chance`` (n, 2) is uniform in [0, 1); ``kind`` (n,) says which of ``geometric.MOVES`` it is, and counts for those.
    """
    if stage == MOVE:
        return geometric.move(images, value.to(torch.float32), kind)
    if OPERATION_TYPES[stage].category == "geometric":
        value = value.to(torch.float32)  # only the factors of a blend are rounded once, at their end
    if stage in RANDOM_FUNCTIONS:
        return RANDOM_FUNCTIONS[stage](images, value, chance)
    return FUNCTIONS[stage](images, value)


def apply_each(
    images: Tensor,
    chosen: Tensor,
    functions: Sequence[Callable[..., Tensor]],
    *parameters: Tensor,
    may_overwrite: bool = False,
) -> Tensor:
    """To each image (n, c, h, w) the function whose number is ``chosen`` (n,); with ``NO_STAGE`` it stays as it is.

    A function is called as ``function(images, *parameters)``, with the rows of the parameters (n, ...) of its images.
    With ``may_overwrite`` the result may take the place of contiguous ``images``. On the CPU each function computes its
    own images only, a few at a time. Elsewhere, and when compiled, each computes all: to ask how many there are would
    make the host wait for the device, and give the graph a shape that depends on data.
    """
    if not on_host(images):
        for number, function in enumerate(functions):
            mask = (chosen == number).view(-1, 1, 1, 1)
            images = torch.where(mask, function(images, *parameters), images)
        return images
    counts = torch.bincount(chosen + 1, minlength=len(functions) + 1).tolist()
    if counts[0] == len(images):
        return images
    if len(images) == 1:
        return functions[counts.index(1) - 1](images, *parameters)
    result = images if may_overwrite else images.clone()
    size = max(1, CHUNK // images[0].numel())
    ordered = chosen.argsort()[counts[0] :]
    sorted_parameters = [parameter.index_select(0, ordered) for parameter in parameters]
    end = 0
    for function, count in zip(functions, counts[1:], strict=True):
        begin, end = end, end + count
        for first in range(begin, end, size):
            some = slice(first, min(first + size, end))
            rows = ordered[some]
            changed = function(result.index_select(0, rows), *(parameter[some] for parameter in sorted_parameters))
            _put(result, rows, changed)
    return result


def _put(result: Tensor, rows: Tensor, images: Tensor) -> None:
    """Write ``images`` to these ``rows`` of ``result``, both contiguous along each image."""
    target, source = result.flatten(1), images.contiguous().flatten(1)
    if result.dtype == torch.uint8 and target.shape[1] % 8 == 0:  # eight pixels in one go
        target, source = target.view(torch.int64), source.view(torch.int64)
    target.index_copy_(0, rows, source)

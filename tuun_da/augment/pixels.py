"""How the operations read and write pixels: uint8 from 0 to 255, or any float type from 0 to 1.

Arithmetic runs in float32 (float64 for float64 images) on the scale that the images came in, so that a factor of 1
or an offset of 0 gives back the very same number.
"""

from __future__ import annotations

import torch
from torch import Tensor

GREY = 128.0
"""Mid-grey, of 255: what empty space is filled with."""


def on_host(images: Tensor) -> bool:
    """Whether loops and shapes may depend on what is in the tensors: on the CPU, and not while a graph is compiled.

    On CUDA, to ask for a number would make the host wait for the device.
    """
    return images.device.type == "cpu" and not torch.compiler.is_compiling()


def keep_where(kept: Tensor, images: Tensor, changed: Tensor) -> Tensor:
    """``changed`` (n, ...), but for the rows of ``images`` where ``kept`` (n,) is true."""
    if not on_host(images):
        return torch.where(kept.view(-1, *[1] * (images.ndim - 1)), images, changed)
    if not kept.any():
        return changed
    # whole rows are copied at the speed of memory; torch.where would go through them number by number
    row = torch.arange(len(kept), device=kept.device)
    return torch.cat((images, changed)).index_select(0, torch.where(kept, row, row + len(kept)))


def white(images: Tensor) -> float:
    """The largest pixel value of images of this type."""
    return 1.0 if images.is_floating_point() else 255.0


def working_type(images: Tensor) -> torch.dtype:
    """float32, or float64 for images that came so; half precision is too coarse for 256 levels."""
    return torch.float64 if images.dtype == torch.float64 else torch.float32


def to_working(images: Tensor) -> Tensor:
    """The pixels in the type in which they are computed."""
    return images.to(working_type(images))


def from_working(pixels: Tensor, images: Tensor, *, rounded: bool) -> Tensor:
    """The computed pixels, cut to the valid range, in the type of ``images``.

    For uint8 they are rounded, or cut off when not ``rounded``: torchvision and Pillow round what they interpolate
    and cut off what they blend.
    """
    pixels = pixels.clamp(0.0, white(images))
    if rounded and not images.is_floating_point():
        pixels = pixels.round_()
    return to_uint8(pixels) if images.dtype == torch.uint8 else pixels.to(images.dtype)


def to_uint8(pixels: Tensor) -> Tensor:
    """Numbers from 0 to 255, cut off to whole ones."""
    if on_host(pixels):
        pixels = pixels.to(torch.int16)  # three times as fast as in one step, which is not vectorized
    return pixels.to(torch.uint8)


def to_levels(images: Tensor) -> Tensor:
    """The nearest of the 256 levels for each pixel, as uint8."""
    if not images.is_floating_point():
        return images
    # clamped: on devices where the range is not looked up, 257 would become level 1
    return (to_working(images) * 255.0).round().clamp(0.0, 255.0).to(torch.uint8)


def from_levels(levels: Tensor, images: Tensor) -> Tensor:
    """Levels, as uint8, in the type of ``images``."""
    return (levels.to(working_type(images)) / 255.0).to(images.dtype) if images.is_floating_point() else levels


def to_unit(images: Tensor) -> Tensor:
    """The pixels from 0 to 1, in the type in which they are computed."""
    return to_working(images) if images.is_floating_point() else to_working(images) * (1.0 / 255.0)


def from_unit(pixels: Tensor, images: Tensor) -> Tensor:
    """Pixels in [0, 1] in the type of ``images``. Those of uint8 are divided into 256 parts, as torchvision does it."""
    # torchvision's factor: 1.0 must not become level 256
    return pixels.to(images.dtype) if images.is_floating_point() else to_uint8(pixels * 255.999)


def factor_and_complement(value: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """1 + value and 1 - (1 + value) of each image, as ``each_image`` shapes them.

    Computed in float64 and rounded once, as torchvision does with Python's floats: from factors in float32, a pixel in
    thousands is one level off.
    """
    factor = 1.0 + value.to(torch.float64)
    return each_image(factor, images), each_image(1.0 - factor, images)


def each_image(value: Tensor, images: Tensor) -> Tensor:
    """One number for each image, (n,), in the shape (n, 1, 1, 1) and the type in which ``images`` are computed."""
    return value.to(working_type(images)).view(-1, 1, 1, 1)

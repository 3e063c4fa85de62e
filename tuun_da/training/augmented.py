"""Mini-batches under a transform; on the CPU several at once, because calls on few images cost more than the pixels."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from tuun_da.augment.batch_transform import BatchTransform
from tuun_da.errors import TrainingError

Transform = Callable[..., Tensor]
"""Called as ``transform(images, generator=generator)`` with a mini-batch uint8 (n, c, h, w) on the device and a
generator of the CPU, whose numbers are the same for every device; gives uint8 of the same shape, on the same device."""

# On one core, in microseconds an image: 8x8 in batches of 16 7, one by one 30; 32x32x3 in batches of 64 9 and 17.
IMAGES_AT_ONCE = 1024
BYTES_AT_ONCE = 2**22  # large images are work enough, and may not fit into memory

Batch = tuple[Tensor, Tensor]


def augmented(
    batches: Iterable[Batch], transform: Transform | None, generator: torch.Generator, batch_size: int
) -> Iterator[Batch]:
    """``batches`` of images and labels with ``transform`` applied to each. Raises TrainingError if it breaks its word.

    What chance decides is drawn for each mini-batch by itself, in their order. A transform of ours then acts on several
    of them together where that is faster, with the same result.
    """
    if transform is None:
        yield from batches
        return
    iterator = iter(batches)
    for first in iterator:
        images = first[0]
        at_once = min(IMAGES_AT_ONCE // batch_size, BYTES_AT_ONCE // images.nbytes)
        # elsewhere than on the CPU a mini-batch that shares one sub-policy is computed for that one only
        if at_once > 1 and images.device.type == "cpu" and isinstance(transform, BatchTransform):
            yield from _together([first, *itertools.islice(iterator, at_once - 1)], transform, generator)
        else:
            yield transformed(transform, images, generator), first[1]


def _together(part: list[Batch], transform: BatchTransform[Any], generator: torch.Generator) -> Iterator[Batch]:
    images = transformed_together(transform, [images for images, _ in part], generator)
    sizes = [len(labels) for _, labels in part]
    yield from zip(torch.split(images, sizes), (labels for _, labels in part), strict=True)


def transformed_together(
    transform: BatchTransform[Any], batches: Sequence[Tensor], generator: torch.Generator
) -> Tensor:
    """``batches`` (n, c, h, w) one after the other, in one call, with the chance drawn for each by itself."""
    draws = [transform.draw(len(images), generator) for images in batches]
    with torch.no_grad():
        return transform.transform(torch.cat(list(batches)), transform.draw_type.joined(draws))


def transformed(transform: Transform, images: Tensor, generator: torch.Generator) -> Tensor:
    """``transform`` applied to ``images``. Raises TrainingError if it breaks its promise."""
    with torch.no_grad():
        result = transform(images, generator=generator)
    if not isinstance(result, Tensor) or result.dtype != torch.uint8 or result.shape != images.shape:
        got = f"{result.dtype} {tuple(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
        raise TrainingError(f"the transform must return a uint8 tensor of the shape {tuple(images.shape)}, got {got}")
    return result

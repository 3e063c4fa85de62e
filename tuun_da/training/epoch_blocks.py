"""The augmented images of an epoch, many mini-batches in one call of the transform, the chance drawn for each of them.

A call costs the host the same for one mini-batch as for many, and the mini-batches of a small network are so short that
this would be most of a trial's time on a GPU.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from tuun_da.augment.batch_transform import BatchTransform
from tuun_da.training.augmented import Transform, transformed, transformed_together
from tuun_da.training.batches import Batches

IMAGES_PER_CALL = 4096


def augmented_blocks(
    batches: Batches,
    transform: Transform | None,
    order_generator: torch.Generator,
    transform_generator: torch.Generator,
    *,
    sampling: str = "shuffled",
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch as blocks of m mini-batches: images uint8 (m, B, c, h, w) on the device, labels (m, B).

    Order and chance are those of a loop that calls ``transform`` for each mini-batch. Raises TrainingError if the
    transform breaks its promise.
    """
    mini_batches = batches.shuffled(order_generator, sampling)
    mini_batches_per_call = max(IMAGES_PER_CALL // batches.batch_size, 1)
    while block := list(itertools.islice(mini_batches, mini_batches_per_call)):
        images = torch.stack([images for images, _ in block])
        if transform is not None:
            if isinstance(transform, BatchTransform):
                images = transformed_together(transform, images.unbind(), transform_generator).view_as(images)
            else:
                images = torch.stack([transformed(transform, part, transform_generator) for part in images])
        yield images, torch.stack([labels for _, labels in block])

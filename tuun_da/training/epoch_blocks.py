"""The augmented images of an epoch, many mini-batches in one call of the transform, the chance drawn for each of them.

A call costs the host the same for one mini-batch as for many, and the mini-batches of a small network are so short that
this would be most of a trial's time on a GPU.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace

import torch
from torch import Tensor

from tuun_da.augment.batch_transform import BatchTransform, ChainDraw, Draw
from tuun_da.augment.policy import PolicyDraw
from tuun_da.training.batches import Batches
from tuun_da.training.loop import Transform, transformed

IMAGES_PER_CALL = 4096


def augmented_blocks(
    batches: Batches,
    transform: Transform | None,
    order_generator: torch.Generator,
    transform_generator: torch.Generator,
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch as blocks of m mini-batches: images uint8 (m, B, c, h, w) on the device, labels (m, B).

    Order and chance are those of a loop that calls ``transform`` for each mini-batch. Raises TrainingError if the
    transform breaks its promise.
    """
    mini_batches = batches.shuffled(order_generator)
    mini_batches_per_call = max(IMAGES_PER_CALL // batches.batch_size, 1)
    while block := list(itertools.islice(mini_batches, mini_batches_per_call)):
        images = torch.stack([images for images, _ in block])
        if transform is not None:
            images = transformed_together(transform, images, transform_generator)
        yield images, torch.stack([labels for _, labels in block])


def transformed_together(transform: Transform, images: Tensor, generator: torch.Generator) -> Tensor:
    """``transform`` applied to m mini-batches ``images`` (m, B, c, h, w), as if called for one after the other."""
    if not isinstance(transform, BatchTransform):
        return torch.stack([transformed(transform, part, generator) for part in images])
    draws = [transform.draw(images.shape[1], generator) for _ in images]
    if not all(map(can_be_joined, draws)):
        return torch.stack([transform.transform(part, draw) for part, draw in zip(images, draws, strict=True)])
    return transform.transform(images.flatten(0, 1), joined(draws)).view_as(images)


def can_be_joined(draw: Draw) -> bool:
    """Whether ``joined`` knows what all fields of ``draw`` mean."""
    if isinstance(draw, ChainDraw):
        return all(map(can_be_joined, draw.parts))
    known = {"common"} if isinstance(draw, PolicyDraw) else set()
    return all(field.name in known or isinstance(getattr(draw, field.name), Tensor) for field in fields(draw))


def joined(draws: Sequence[Draw]) -> Draw:
    """One draw, of one transform, for the images of all ``draws``, one after the other."""
    first = draws[0]
    if isinstance(first, ChainDraw):
        chains = [draw for draw in draws if isinstance(draw, ChainDraw)]
        parts = zip(*(chain.parts for chain in chains), strict=True)
        return ChainDraw(sum(map(len, chains)), tuple(joined(part) for part in parts))
    tensors = [field.name for field in fields(first) if isinstance(getattr(first, field.name), Tensor)]
    values = {name: torch.cat([getattr(draw, name) for draw in draws]) for name in tensors}
    # no one sub-policy is common to several mini-batches
    return replace(first, **values, **({"common": None} if isinstance(first, PolicyDraw) else {}))

"""Which training images an epoch sees, and in which order."""

from __future__ import annotations

import torch
from torch import Tensor

SAMPLINGS = ("shuffled", "balanced")


def epoch_order(labels: Tensor, count: int, sampling: str, generator: torch.Generator) -> Tensor:
    """The images of one epoch as indices int64 (count,), drawn from ``generator`` of the CPU.

    ``labels`` (n,) lie on the CPU. "shuffled": every image at most once, as long as ``count`` is at most n. "balanced":
    every class equally often, to within one image; within a class no image comes again before all others have come.
    """
    if sampling == "balanced":
        return _balanced(labels, count, generator)
    return torch.randperm(len(labels), generator=generator)[:count]


def _balanced(labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    members = [torch.nonzero(labels == label).flatten() for label in torch.unique(labels)]
    share, rest = divmod(count, len(members))
    favoured = set(torch.randperm(len(members), generator=generator)[:rest].tolist())
    chosen = []
    for number, images in enumerate(members):
        wanted = share + (number in favoured)
        rounds = -(-wanted // len(images))
        shuffled = [images[torch.randperm(len(images), generator=generator)] for _ in range(rounds)]
        chosen.append(torch.cat([images[:0], *shuffled])[:wanted])
    order = torch.cat(chosen)
    return order[torch.randperm(count, generator=generator)]

"""A policy with all types, images, and generators, for the tests of this folder."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from tuun_da import Operation, Policy, SubPolicy
from tuun_da.operations import OPERATION_TYPES

NAMES = list(OPERATION_TYPES)
ALL_TYPES = tuple(
    SubPolicy((Operation(first, 0.8, 0.6), Operation(second, 0.6, 0.9)))
    for first, second in itertools.zip_longest(NAMES[::2], NAMES[1::2], fillvalue=NAMES[0])
)


def make_policy(per: str = "image", unchanged_share: float = 0.1) -> Policy:
    """A policy with all types."""
    return Policy.from_sub_policies(ALL_TYPES, per=per, unchanged_share=unchanged_share)


def make_images(n: int = 48, channels: int = 3, size: tuple[int, int] = (17, 23)) -> Tensor:
    generator = torch.Generator().manual_seed(11)
    return torch.randint(0, 256, (n, channels, *size), dtype=torch.uint8, generator=generator)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)

"""Random numbers for draws, on the device of a generator; without one, on the CPU from torch's default generator.

The generator is only handed on where there is one: torch.compile cannot trace ``generator=None`` (torch 2.x crashes at
the second size of a batch).
"""

from __future__ import annotations

import torch
from torch import Tensor

CPU = torch.device("cpu")


def uniform(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """Numbers, uniform in [0, 1)."""
    if generator is None:
        return torch.rand(shape, device=CPU)
    return torch.rand(shape, generator=generator, device=generator.device)


def integers(high: int, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """Whole numbers, uniform from 0 to ``high`` - 1."""
    if generator is None:
        return torch.randint(high, shape, device=CPU)
    return torch.randint(high, shape, generator=generator, device=generator.device)

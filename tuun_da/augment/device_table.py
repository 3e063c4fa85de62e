"""Constants of a transform, on every device where they are needed."""

from __future__ import annotations

import torch
from torch import Tensor


class DeviceTable:
    """A small constant tensor that is copied to a device once.

    A copy for each batch would cost more than the work on it, and torch.compile makes no CUDA graph of what reads the
    host's memory (so call a transform once before its compiled form, where speed counts). It is neither parameter nor
    buffer: draws happen where the generator is, not where the model is, and a checkpoint has nothing of it.
    """

    def __init__(self, table: Tensor) -> None:
        self._table = table
        self._on = {table.device: table}

    def on(self, device: torch.device) -> Tensor:
        """The table on ``device``."""
        found = self._on.get(device)
        if found is None:
            found = self._table.to(device, non_blocking=device.type != "cpu")
            if not torch.compiler.is_compiling():  # what a graph makes belongs to the graph
                self._on[device] = found
        return found

    def __reduce__(self) -> tuple[type[DeviceTable], tuple[Tensor]]:
        return DeviceTable, (self._table,)

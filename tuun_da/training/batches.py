"""Mini-batches of uint8 images on the device: cut out of a split that lies there whole, or sent over from the host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tuun_da.training.sampling import epoch_order

MAX_SHARE_OF_FREE_MEMORY = 0.4  # of the GPU, for one split: the network needs the rest, and trials may share a GPU


@dataclass(frozen=True, eq=False)
class Batches:
    """A split as mini-batches for ``device``. ``images`` uint8 (n, c, h, w), ``labels`` (n,), on one device both."""

    images: Tensor
    labels: Tensor
    device: torch.device
    batch_size: int

    @property
    def full(self) -> int:
        """Number of batches of a training epoch: the last one is dropped if it is not full, unless it is the only one.

        A short batch would weigh its images more, and batch normalization cannot train on one image. Because the order
        is drawn anew, other images are left out in every epoch.
        """
        return max(len(self.labels) // self.batch_size, 1)

    def shuffled(self, generator: torch.Generator, sampling: str = "shuffled") -> Iterator[tuple[Tensor, Tensor]]:
        """One training epoch of ``full`` batches, in an order drawn from ``generator`` (of the CPU)."""
        count = min(self.full * self.batch_size, len(self.labels))
        order = epoch_order(self.labels.cpu(), count, sampling, generator)
        order = order.to(self.images.device)
        for begin in range(0, len(order), self.batch_size):
            chosen = order[begin : begin + self.batch_size]
            yield self._sent(self.images[chosen]), self._sent(self.labels[chosen])

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, the last batch as short as it comes."""
        for begin in range(0, len(self.labels), self.batch_size):
            part = slice(begin, begin + self.batch_size)
            yield self._sent(self.images[part]), self._sent(self.labels[part])

    def _sent(self, tensor: Tensor) -> Tensor:
        if tensor.device.type == "cpu" and self.device.type == "cuda":
            tensor = tensor.pin_memory()  # so that the copy runs beside the computation; torch keeps it until then
        return tensor.to(self.device, non_blocking=True)


def placed(images: Tensor, labels: Tensor, device: torch.device, batch_size: int) -> Batches:
    """The split as batches for ``device``, and lying there whole if it fits."""
    if device.type == "cuda" and images.device != device:
        free_bytes, _ = torch.cuda.mem_get_info(device)
        if images.nbytes <= MAX_SHARE_OF_FREE_MEMORY * free_bytes:
            images, labels = images.to(device), labels.to(device)
    elif device.type == "cpu":
        images, labels = images.to(device), labels.to(device)
    return Batches(images, labels, device, batch_size)

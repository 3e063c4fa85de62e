"""Mini-batches of uint8 images on the device: cut out of a split that lies there whole, or sent over from the host."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tuun_da.training.reading_ahead import read_ahead
from tuun_da.training.sampling import epoch_order
from tuun_da.training.stored_images import StoredImages

MAX_SHARE_OF_FREE_MEMORY = 0.4  # of the GPU, for one split: the network needs the rest, and trials may share a GPU

BATCHES_AHEAD = 4  # of those that are gathered beside the computation: enough to smooth out a disk, and little memory


@dataclass(frozen=True, eq=False)
class Batches:
    """A split as mini-batches for ``device``. ``images`` uint8 (n, c, h, w), ``labels`` (n,), on one device both.

    Where the images are not on ``device``, or in a file, the batches are gathered in a background thread, which ends
    with the iteration, also one that is left early.
    """

    images: Tensor | StoredImages
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
        return self._gathered(order[begin : begin + self.batch_size] for begin in range(0, len(order), self.batch_size))

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, the last batch as short as it comes."""
        return self._gathered(
            slice(begin, begin + self.batch_size) for begin in range(0, len(self.labels), self.batch_size)
        )

    def _gathered(self, parts: Iterable[Tensor | slice]) -> Iterator[tuple[Tensor, Tensor]]:
        """The images and labels of each of ``parts`` on the device."""
        if isinstance(self.images, Tensor) and self.images.device.type == self.device.type:
            return ((self.images[part].to(self.device), self.labels[part].to(self.device)) for part in parts)
        return self._streamed(parts)

    def _streamed(self, parts: Iterable[Tensor | slice]) -> Iterator[tuple[Tensor, Tensor]]:
        with contextlib.closing(read_ahead(self._on_host(parts), BATCHES_AHEAD)) as batches:
            for images, labels in batches:
                # pinned memory goes over beside the computation; torch keeps it until it has
                yield images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)

    def _on_host(self, parts: Iterable[Tensor | slice]) -> Iterator[tuple[Tensor, Tensor]]:
        """Each part in the memory of the host, pinned where it goes to a GPU. Runs in the background thread."""
        if self.device.type != "cuda":
            for part in parts:
                yield self.images[part], self.labels[part]
        else:
            torch.cuda.set_device(self.device)  # of this thread, which begins on GPU 0
            for part in parts:
                yield self.images[part].pin_memory(), self.labels[part].pin_memory()


def placed(images: Tensor | StoredImages, labels: Tensor, device: torch.device, batch_size: int) -> Batches:
    """The split as batches for ``device``, and lying there whole if it fits; what is stored stays so on the CPU."""
    if device.type == "cuda" and images.device != device:
        free_bytes, _ = torch.cuda.mem_get_info(device)
        if images.nbytes <= MAX_SHARE_OF_FREE_MEMORY * free_bytes:
            images, labels = images.to(device), labels.to(device)
    elif device.type == "cpu":
        images, labels = images.to(device), labels.to(device)
    return Batches(images, labels, device, batch_size)

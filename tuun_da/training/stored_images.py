"""Images that stay in a file: a map of it, and which of its images are meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tuun_da.training.resizing import Pixels

PART_BYTES = 2**26  # read at once on the way to another device


class StoredImages:
    """Some images uint8 (n, c, h, w) of a file, in place of a tensor that would not fit into memory.

    Indexing reads what is asked for, as a tensor of its own. The file may be removed, but not changed, while it is
    used.
    """

    dtype = torch.uint8
    device = torch.device("cpu")

    def __init__(self, pixels: Pixels, places: npt.NDArray[np.int64] | None = None) -> None:
        """``pixels`` (m, c, h, w) are all that the file holds, ``places`` (n,) those that are meant; None: all."""
        self._pixels = pixels
        self._places = np.arange(len(pixels)) if places is None else places

    @classmethod
    def in_file(cls, path: Path, shape: tuple[int, int, int, int]) -> StoredImages:
        """The images of ``shape`` (n, c, h, w) with which the file at ``path`` begins. Raises OSError, ValueError."""
        return cls(np.asarray(np.memmap(path, dtype=np.uint8, mode="r", shape=shape)))

    def __len__(self) -> int:
        return len(self._places)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), *self._pixels.shape[1:]))

    @property
    def nbytes(self) -> int:
        """What they would take in memory."""
        return self.shape.numel()

    def __getitem__(self, index: Tensor | npt.NDArray[np.int64] | slice | int) -> Tensor:
        """The images of these numbers (or of a mask) as a tensor of the CPU; of one number, (c, h, w)."""
        chosen = index.cpu().numpy() if isinstance(index, Tensor) else index
        return torch.from_numpy(np.take(self._pixels, self._places[chosen], axis=0))

    def chosen(self, mask: npt.NDArray[np.bool_]) -> StoredImages:
        """The images for which ``mask`` (n,) is true; nothing is read."""
        return StoredImages(self._pixels, self._places[mask])

    def in_memory(self) -> Pixels:
        """A copy of all of them."""
        return np.take(self._pixels, self._places, axis=0)

    def to(self, device: torch.device | str) -> Tensor | StoredImages:
        """These for the CPU, where they stay in the file; a tensor for another device, read part by part."""
        device = torch.device(device)
        if device.type == "cpu":
            return self
        result = torch.empty(self.shape, dtype=self.dtype, device=device)
        step = max(PART_BYTES // self.shape[1:].numel(), 1)
        for start in range(0, len(self), step):
            result[start : start + step] = self[start : start + step].to(device)
        return result

    def repeat(self, times: int, *others: int) -> StoredImages:
        """Each of them ``times`` times, all after each other, as Tensor.repeat(times, 1, 1, 1). Raises ValueError."""
        if others != (1, 1, 1):
            raise ValueError(f"stored images can be repeated as (times, 1, 1, 1) only, got {(times, *others)}")
        return StoredImages(self._pixels, np.tile(self._places, times))

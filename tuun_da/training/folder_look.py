"""A quick look at a folder of images: classes, how many of each, how large. Only a few files are opened."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tuun_da.errors import DataError
from tuun_da.training.folder import listed_folder
from tuun_da.training.image_files import FORMATS

FILES_OPENED = 200
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class FolderLook:
    """What a data folder holds, as far as its file names and the heads of some files tell.

    ``counts`` is the number of images by split ("train", perhaps "validation" and "test") and class. ``sizes`` are
    (width, height) in pixels of up to ``FILES_OPENED`` of the images, spread over all of them.
    """

    counts: Mapping[str, Mapping[str, int]]
    sizes: tuple[tuple[int, int], ...]

    @property
    def total(self) -> int:
        return sum(sum(split.values()) for split in self.counts.values())

    @property
    def smallest(self) -> tuple[str, int]:
        """The class with the fewest training images, and how many."""
        return min(self.counts["train"].items(), key=lambda item: item[1])

    @property
    def largest(self) -> tuple[str, int]:
        """The class with the most training images, and how many."""
        return max(self.counts["train"].items(), key=lambda item: item[1])

    @property
    def imbalance(self) -> float:
        """The largest class over the smallest, of the training images; 1 where all are equal."""
        return self.largest[1] / self.smallest[1]

    @property
    def shorter_side(self) -> int | None:
        """The median of the shorter sides, in pixels; None where no file could be opened."""
        return round(statistics.median(min(size) for size in self.sizes)) if self.sizes else None

    def describe(self) -> str:
        """In two sentences."""
        train = self.counts["train"]
        splits = ", ".join(f"{sum(split.values())} in {name}" for name, split in self.counts.items())
        of = f" ({splits})" if len(self.counts) > 1 else ""
        least, most = self.smallest[1], self.largest[1]
        each = f"{least} a class" if least == most else f"{least} to {most} a class"
        head = f"{self.total} images of {len(train)} classes{of}, {each}"
        if not self.sizes:
            return f"{head}."
        widths, heights = zip(*self.sizes, strict=True)
        same = len(set(self.sizes)) == 1
        size = (
            f"{widths[0]}x{heights[0]} pixels"
            if same
            else f"{min(widths)} to {max(widths)} wide and {min(heights)} to {max(heights)} high"
        )
        return f"{head}. They are {size}" + (
            f", {len(self.sizes)} of them looked at." if self.total > len(self.sizes) else "."
        )


def look_at_folder(root: Path) -> FolderLook:
    """What the data folder ``root`` holds, laid out as ``load_folder`` wants it. Raises DataError."""
    found = listed_folder(root)
    if not found.listings["train"].paths:
        raise DataError(next(found.problems()))
    counts = {split: dict(Counter(found.listings[split].class_of)) for split in SPLITS if split in found.listings}
    paths = found.paths
    step = max(-(-len(paths) // FILES_OPENED), 1)
    sizes = (_size_of(path) for path in paths[::step])
    return FolderLook(counts, tuple(size for size in sizes if size is not None))


def _size_of(path: Path) -> tuple[int, int] | None:
    """Width and height in pixels; None for a file that Pillow does not know, which the search will tell of."""
    try:
        with Image.open(path, formats=FORMATS) as file:  # reads the head only
            return file.size
    except Exception:  # Pillow's readers raise anything from OSError to SyntaxError and struct.error
        return None

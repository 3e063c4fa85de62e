"""What a data set brings itself, before it is divided: images with their classes, in the splits that it has."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tuun_da.training.image_facts import Fingerprints, ImageFacts, fingerprints_of, pixel_sums
from tuun_da.training.resizing import Pixels
from tuun_da.training.stored_images import StoredImages


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images uint8 (n, c, h, w), their classes int64 (n,), and their ``facts`` where these are known already."""

    images: Pixels | StoredImages
    labels: npt.NDArray[np.int64]
    facts: ImageFacts | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def chosen(self, mask: npt.NDArray[np.bool_]) -> LabelledImages:
        """The images for which ``mask`` (n,) is true."""
        images = self.images.chosen(mask) if isinstance(self.images, StoredImages) else self.images[mask]
        return LabelledImages(images, self.labels[mask], None if self.facts is None else self.facts.chosen(mask))

    @cached_property
    def fingerprints(self) -> Fingerprints:
        """A digest (n,) for each image; equal for images with equal pixels."""
        return fingerprints_of(self.images) if self.facts is None else self.facts.fingerprints

    @cached_property
    def pixel_sums(self) -> npt.NDArray[np.int64]:
        """The sums (n, 2, c) of ``ImageFacts``."""
        return pixel_sums(self.images) if self.facts is None else self.facts.sums


@dataclass(frozen=True, eq=False)
class Source:
    """A data set as it lies on the disk. ``validation`` and ``test`` are None where they are to be carved out of train.

    ``duplicates_dropped`` is 0 until ``splits.without_leaks`` has counted them.
    """

    name: str
    class_names: tuple[str, ...]
    train: LabelledImages
    validation: LabelledImages | None = None
    test: LabelledImages | None = None
    default_test_share: float = 0.2
    skipped: tuple[str, ...] = ()
    ignored_files: int = 0
    duplicates_dropped: int = 0

"""What splitting asks of images beside their classes: fingerprints, and sums that give mean and deviation."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tuun_da.training.resizing import Pixels
from tuun_da.training.stored_images import StoredImages

Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]
Fingerprints = npt.NDArray[np.bytes_]

FINGERPRINT_TYPE = np.dtype("S32")
PART_BYTES = 2**24  # images of about this size are taken at once: what is computed of them is several times as large
MIN_STD = 1e-3  # of pixels in [0, 1]: a channel of one colour must not be divided by zero


@dataclass(frozen=True, eq=False)
class ImageFacts:
    """Facts of n images with c channels.

    ``fingerprints`` S32 (n,): equal for images with equal pixels. ``sums`` int64 (n, 2, c): of the pixel values 0 to
    255, and of their squares.
    """

    fingerprints: Fingerprints
    sums: Integers

    def chosen(self, mask: Bools) -> ImageFacts:
        """Those of the images for which ``mask`` (n,) is true."""
        return ImageFacts(self.fingerprints[mask], self.sums[mask])


def facts_of(images: Pixels | StoredImages) -> ImageFacts:
    """The facts of ``images`` (n, c, h, w)."""
    return ImageFacts(fingerprints_of(images), pixel_sums(images))


def fingerprints_of(images: Pixels | StoredImages) -> Fingerprints:
    """A digest (n,) for each of ``images`` (n, c, h, w)."""
    digests = [
        hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest()  # hex: numpy strips trailing zero bytes
        for start, stop in parts(images)
        for image in np.asarray(images[start:stop])
    ]
    return np.array(digests, dtype=FINGERPRINT_TYPE)


def pixel_sums(images: Pixels | StoredImages) -> Integers:
    """The sums int64 (n, 2, c), of the values and of their squares, of ``images`` (n, c, h, w)."""
    sums = np.empty((len(images), 2, images.shape[1]), dtype=np.int64)
    for start, stop in parts(images):
        values = np.asarray(images[start:stop]).astype(np.uint16)  # in which the squares have room
        sums[start:stop, 0] = values.sum(axis=(2, 3), dtype=np.int64)
        sums[start:stop, 1] = np.square(values, out=values).sum(axis=(2, 3), dtype=np.int64)
    return sums


def parts(images: Pixels | StoredImages) -> list[tuple[int, int]]:
    """Begin and end of the parts in which to go through ``images``."""
    step = max(PART_BYTES // max(math.prod(images.shape[1:]), 1), 1)
    return [(start, min(start + step, len(images))) for start in range(0, len(images), step)]


def pixel_statistics(sums: Integers, pixels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, of pixels scaled to [0, 1], of images with ``pixels`` pixels each.

    ``sums`` (n, 2, c) are those of the images. They are whole numbers, so that nothing depends on an order of adding.
    """
    count = len(sums) * pixels
    totals: list[list[int]] = sums.sum(axis=0).tolist()
    mean = tuple(total / (255 * count) for total in totals[0])
    # the variance as one fraction of Python's whole numbers, of which no digit is lost
    variances = ((count * squares - total**2) / (255 * count) ** 2 for total, squares in zip(*totals, strict=True))
    return mean, tuple(max(math.sqrt(variance), MIN_STD) for variance in variances)

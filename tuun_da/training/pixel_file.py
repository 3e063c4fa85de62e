"""A file of decoded images: their pixels first, so that they can be mapped, then what is known of them.

    uint8 (n, c, h, w) | fingerprints, 32 bytes each | sums int64 (n, 2, c), little end first
    | a JSON object | length of that, 8 bytes | MAGIC

What describes it stands at the end, because only then is it known: the first image in colour makes all of them three
channels. A file that is not whole has no such end, or another size than the end says.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from tuun_da.training.image_facts import FINGERPRINT_TYPE, ImageFacts, facts_of, parts
from tuun_da.training.resizing import Pixels, common_shape, widened
from tuun_da.training.stored_images import StoredImages

MAGIC = b"tuun_da\x01"
SUM_TYPE = np.dtype("<i8")
LENGTH_BYTES = 8


@dataclass(frozen=True, eq=False)
class PixelFile:
    """What is in a file: ``images``, their ``facts``, and what was to be kept ``about`` them."""

    images: StoredImages
    facts: ImageFacts
    about: dict[str, Any]


class PixelFileWriter:
    """Takes images in the shapes they come in, and writes them in one that suits all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] = _new_file(path)  # ``close`` closes it
        self._shape: tuple[int, int, int] | None = None
        self._facts: list[ImageFacts] = []

    def append(self, images: Pixels) -> None:
        """Add ``images`` (n, c, s, s). Those before are written anew if these have more channels or another size."""
        channels, size, _ = images.shape[1:]
        shape = (channels, size, size)
        if self._shape is not None:
            shape = common_shape(self._shape, shape)
            if shape != self._shape:
                self._write_anew(shape)
        self._shape = shape
        self._write(widened(images, shape))

    def finish(self, about: dict[str, Any]) -> None:
        """Write the end, with the JSON object ``about``, and see to it that all is on the disk."""
        if self._shape is None:
            raise ValueError("a file of images must have one at least")
        facts = ImageFacts(
            np.concatenate([facts.fingerprints for facts in self._facts]),
            np.concatenate([facts.sums for facts in self._facts]),
        )
        self._file.write(facts.fingerprints.tobytes())
        self._file.write(facts.sums.astype(SUM_TYPE).tobytes())
        text = json.dumps({"shape": [len(facts.sums), *self._shape], "about": about}).encode()
        self._file.write(text + len(text).to_bytes(LENGTH_BYTES, "little") + MAGIC)
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def _write(self, images: Pixels) -> None:
        self._facts.append(facts_of(images))
        self._file.write(images.data)

    def _write_anew(self, shape: tuple[int, int, int]) -> None:
        """Bring what is written to ``shape``, by parts: it may be larger than the memory."""
        assert self._shape is not None
        self._file.close()
        count = sum(len(facts.sums) for facts in self._facts)
        before = StoredImages.in_file(self._path, (count, *self._shape))
        self._path.unlink()  # it stays as long as it is mapped
        self._file = _new_file(self._path)
        self._facts = []
        for start, stop in parts(before):
            self._write(widened(before[start:stop].numpy(), shape))


def _new_file(path: Path) -> IO[bytes]:
    """An empty file at ``path``, to be written; never one that a link there leads to."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "wb")


@contextlib.contextmanager
def new_pixel_file(path: Path) -> Iterator[PixelFileWriter]:
    """A writer for the file ``path``, which is there whole once the writer has finished, and else not at all."""
    partial = path.with_suffix(".partial")
    writer = PixelFileWriter(partial)
    try:
        yield writer
        writer.close()
        os.replace(partial, path)
    finally:
        writer.close()
        partial.unlink(missing_ok=True)


def read_pixel_file(path: Path) -> PixelFile | None:
    """What is in the file at ``path``; None if it is absent, torn or something else. Pixels are not checked."""
    wrong = (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError)  # what hostile JSON can raise
    with contextlib.suppress(*wrong), open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END) - len(MAGIC) - LENGTH_BYTES
        file.seek(max(end, 0))
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if file.read() != MAGIC or length > end:
            return None
        file.seek(end - length)
        described = json.loads(file.read(length))
        count, channels, height, width = (int(number) for number in described["shape"])
        pixel_bytes = math.prod((count, channels, height, width))
        fingerprint_bytes, sum_bytes = count * FINGERPRINT_TYPE.itemsize, count * 2 * channels * SUM_TYPE.itemsize
        if min(count, channels, height, width) < 1 or pixel_bytes + fingerprint_bytes + sum_bytes + length != end:
            return None
        file.seek(pixel_bytes)
        fingerprints = np.frombuffer(file.read(fingerprint_bytes), dtype=FINGERPRINT_TYPE)
        sums = np.frombuffer(file.read(sum_bytes), dtype=SUM_TYPE).reshape(count, 2, channels).astype(np.int64)
        images = StoredImages.in_file(path, (count, channels, height, width))
        return PixelFile(images, ImageFacts(fingerprints, sums), dict(described["about"]))
    return None

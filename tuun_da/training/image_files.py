"""One image file to pixels, and many of them in parallel."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from tuun_da.errors import DataError
from tuun_da.training.resizing import Pixels, fitted

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".jp2", ".bmp", ".gif", ".tga", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
)
BITS_PER_SAMPLE = 258  # the tag of a TIFF file
MAX_THREADS = 8
QUIET_SECONDS = 2.0


def read_image(path: Path, size: int | None) -> Pixels:
    """The image file at ``path`` as (h, w) if it is grey, else (h, w, 3), turned as its EXIF orientation says.

    Transparent parts are laid over white, of an animation the first frame is taken. Grey of 12 or 16 bits is scaled to
    8 bits. A TIFF file of 32-bit integers does not say what white is: if none is above 255 they are taken for 8-bit
    values, if none is above 65535 for 16-bit values, otherwise the image is refused. Raises DataError, which names the
    file.
    """
    try:
        with Image.open(path) as file:
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and file.width * file.height > limit:  # Pillow itself only warns up to twice that
                raise ValueError(f"it has {file.width}x{file.height} pixels, more than Pillow's limit of {limit}")
            white = _white(file)
            upright = ImageOps.exif_transpose(file)
            return fitted(_as_grey_or_rgb(upright, white), size)
    except Exception as error:  # Pillow's readers raise anything from OSError to SyntaxError and struct.error
        raise DataError(f"image {path} cannot be read: {error or type(error).__name__}") from error


def _as_grey_or_rgb(image: Image.Image, white: int) -> Image.Image:
    """``image`` in mode L or RGB; ``white`` is the value of white in modes I and I;16."""
    mode = image.mode
    transparent = image.info.get("transparency")
    if mode.startswith("I"):  # convert("L") would clip everything above 255 to white
        wide = np.asarray(image).astype(np.int64)
        grey = (np.minimum(wide, white) * 255 // white).astype(np.uint8)
        return Image.fromarray(np.where(wide == transparent, 255, grey).astype(np.uint8))
    if mode == "F":
        raise ValueError("its pixels are floating-point numbers; wanted 8 or 16 bits")
    if mode == "1":
        bits = np.asarray(image)
        return Image.fromarray(np.where(bits | (transparent == 0), 255, 0).astype(np.uint8))
    if transparent is not None or mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, "white")
        flat = Image.alpha_composite(background, image)
        return flat.convert("L" if mode in ("L", "LA", "La") else "RGB")
    return image if mode in ("L", "RGB") else image.convert("RGB")


def _white(file: Image.Image) -> int:
    """The value of white in the file's grey pixels of more than 8 bits. Raises ValueError where it cannot be told."""
    if not file.mode.startswith("I"):
        return 255
    low, high = np.asarray(file).min(), np.asarray(file).max()
    if low < 0 or high > 65535:
        raise ValueError("its pixels are 32-bit numbers beyond 0 to 65535")
    if isinstance(file, TiffImageFile):
        if file.mode == "I":
            return 255 if high <= 255 else 65535
        bits = file.tag_v2.get(BITS_PER_SAMPLE, (16,))[0]
        return int(2**bits - 1)
    return 65535  # Pillow scales other formats to 16 bits, also where it calls them I


def read_images(paths: Sequence[Path], size: int | None, *, skip_broken: bool) -> tuple[list[Pixels | None], list[str]]:
    """All images in the order of ``paths``, None for the broken ones, and a message for each of those.

    Without ``skip_broken`` the first broken one raises DataError.
    """
    images: list[Pixels | None] = []
    broken: list[str] = []
    threads = min(MAX_THREADS, len(os.sched_getaffinity(0)))
    pool = ThreadPoolExecutor(threads)  # Pillow decodes outside the interpreter lock
    try:
        for outcome in with_progress(pool.map(lambda path: _read_or_error(path, size), paths), len(paths)):
            if isinstance(outcome, DataError):
                if not skip_broken:
                    raise outcome
                broken.append(str(outcome))
                images.append(None)
            else:
                images.append(outcome)
    finally:
        pool.shutdown(cancel_futures=True)
    return images, broken


def _read_or_error(path: Path, size: int | None) -> Pixels | DataError:
    try:
        return read_image(path, size)
    except DataError as error:
        return error


def with_progress(items: Iterable[Pixels | DataError], total: int) -> Iterator[Pixels | DataError]:
    """``items`` again; says on stderr how many are done, from two seconds on: every half second on a terminal, where
    the line is written over, otherwise (a log file) every ten."""
    terminal = sys.stderr.isatty()
    pause = 0.5 if terminal else 10.0
    begin = time.monotonic()
    next_message = begin + QUIET_SECONDS
    spoke = False
    for done, item in enumerate(items, 1):
        yield item
        if time.monotonic() >= next_message or (spoke and done == total):
            end = "\r" if terminal and done < total else "\n"
            print(f"reading images: {done} of {total}", end=end, file=sys.stderr, flush=True)
            next_message = time.monotonic() + pause
            spoke = True

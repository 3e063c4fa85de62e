"""One image file to pixels, and many of them in parallel."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from tuun_da.errors import DataError
from tuun_da.training.resizing import Pixels, fitted

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".jp2", ".bmp", ".gif", ".tga", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
)
FORMATS = ("PNG", "JPEG", "JPEG2000", "BMP", "GIF", "TGA", "WEBP", "PPM", "TIFF")
"""What the files may hold, whatever they are called. Pillow knows more; EPS it would hand to Ghostscript, a program."""
MAX_PIXELS = 89_478_485  # as Pillow's own limit, from which on it only warns up to twice that; a quarter GB in colour
MANY_PIXELS = 2**24  # an image of more is decoded while no other such one is: together they could fill the memory
BITS_PER_SAMPLE, PHOTOMETRIC = 258, 262  # tags of a TIFF file
MAX_THREADS = 8
FILES_AT_ONCE = 16  # to a thread: one by one, handing them over takes as long as decoding small ones
QUIET_SECONDS = 2.0

T = TypeVar("T")


def read_image(path: Path, size: int | None) -> Pixels:
    """The image file at ``path`` as (h, w) if it is grey, else (h, w, 3), turned as its EXIF orientation says.

    Transparent parts are laid over white, of an animation the first frame is taken. Grey of 12 or 16 bits is scaled to
    8 bits. A TIFF file of 32-bit integers does not say what white is: if none is above 255 they are taken for 8-bit
    values, if none is above 65535 for 16-bit values, otherwise the image is refused. Raises DataError, which names the
    file.
    """
    try:
        with Image.open(path, formats=FORMATS) as file:
            pixels = file.width * file.height
            if pixels > MAX_PIXELS:
                raise ValueError(f"it has {file.width}x{file.height} pixels, more than the limit of {MAX_PIXELS}")
            with _one_at_a_time if pixels > MANY_PIXELS else contextlib.nullcontext():
                return _decoded(file, size)
    except Exception as error:  # Pillow's readers raise anything from OSError to SyntaxError and struct.error
        raise DataError(f"image {path} cannot be read: {error or type(error).__name__}") from error


_one_at_a_time = threading.Lock()


def _decoded(file: Image.Image, size: int | None) -> Pixels:
    white, negative, grey = _white(file), _is_negative(file), is_grey_with_alpha(file)
    image = _as_grey_or_rgb(ImageOps.exif_transpose(file), white)
    if negative:
        image = ImageOps.invert(image)
    return fitted(image.convert("L") if grey else image, size)


def _as_grey_or_rgb(image: Image.Image, white: int) -> Image.Image:
    """``image`` in mode L or RGB; ``white`` is the value of white in modes I and I;16."""
    mode = image.mode
    transparent = image.info.get("transparency")
    if mode.startswith("I"):  # convert("L") would clip everything above 255 to white
        wide = np.asarray(image).astype(np.int32)  # up to 65535, so that 255 times as much fits
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


def _is_negative(file: Image.Image) -> bool:
    """Whether 0 is white in the file's grey pixels of more than 8 bits. Of those with fewer Pillow turns it round."""
    return isinstance(file, TiffImageFile) and file.mode.startswith("I") and file.tag_v2.get(PHOTOMETRIC) == 0


def is_grey_with_alpha(file: Image.Image) -> bool:
    """Whether the file is grey with an alpha channel of 16 bits, which Pillow opens as colours."""
    return isinstance(file, PngImageFile) and any("LA;16B" in str(tile) for tile in file.tile)


def read_images(paths: Sequence[Path], size: int | None) -> Iterator[Pixels | DataError]:
    """The image, or what is wrong with it, of each of ``paths`` in their order; read in parallel, a little ahead."""
    return read_in_parallel(partial(_read_or_error, size=size), paths)


def read_in_parallel(read: Callable[[Path], T], paths: Sequence[Path]) -> Iterator[T]:
    """What ``read`` makes of each of ``paths``, in their order; by threads, a little ahead."""
    threads = min(MAX_THREADS, len(os.sched_getaffinity(0)))
    pool = ThreadPoolExecutor(threads)  # Pillow decodes outside the interpreter lock
    waiting: deque[Future[list[T]]] = deque()
    try:
        for start in range(0, len(paths), FILES_AT_ONCE):
            waiting.append(pool.submit(_read_each, read, paths[start : start + FILES_AT_ONCE]))
            if len(waiting) > 2 * threads:  # else what is read faster than it is taken would fill the memory
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read_each(read: Callable[[Path], T], paths: Sequence[Path]) -> list[T]:
    return [read(path) for path in paths]


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

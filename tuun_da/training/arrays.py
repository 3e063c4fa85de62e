"""Images and labels that a program has in memory, checked in words, and kept as a file that trials can read."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tuun_da.errors import DataError
from tuun_da.training.npz_file import checked_images, checked_labels

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def checked_arrays(images: object, labels: object) -> tuple[Images, Labels]:
    """Images uint8 (n, h, w) or (n, h, w, c), c = 1 or 3, and labels int64 (n,). Raises DataError."""
    pixels, classes = _array(images, "images"), _array(labels, "labels")
    if pixels.ndim < 3 <= classes.ndim:
        raise DataError(
            f"images come first and labels second; got images of the shape {pixels.shape} and labels of the shape "
            f"{classes.shape}"
        )
    if pixels.dtype != np.uint8:
        raise DataError(f"images must be uint8 from 0 to 255, got {pixels.dtype}{_how_to_convert(pixels)}")
    if pixels.ndim == 4 and pixels.shape[3] not in (1, 3) and pixels.shape[1] in (1, 3):
        move = "permute" if hasattr(images, "permute") else "transpose"  # torch's word, and numpy's
        raise DataError(
            f"images must have their channels last, (n, h, w, {pixels.shape[1]}), got the shape {pixels.shape}; "
            f"images.{move}(0, 2, 3, 1) has them there"
        )
    checked_images(pixels, "images")
    if classes.ndim == 2 and classes.shape[1] > 1 and len(classes) == len(pixels):
        raise DataError(
            f"labels must be one whole number for each image, got the shape {classes.shape}; of one-hot labels, "
            "labels.argmax(axis=1) are the numbers"
        )
    if not np.issubdtype(classes.dtype, np.integer):
        raise DataError(f"labels must be whole numbers, one for each image, got {_what_labels_are(classes)}")
    classes = checked_labels(classes, len(pixels), "labels")
    different = np.unique(classes)
    if len(different) < 2:
        raise DataError(f"labels must be of at least two classes, got only {different[0]}")
    return pixels, classes.astype(np.int64)


def kept_as_npz(images: Images, labels: Labels, folder: Path) -> Path:
    """The file in ``folder`` that holds these arrays, written unless it is there: its name is made of what is in it.

    Raises DataError where it cannot be written.
    """
    digest = hashlib.blake2b(digest_size=8)
    for array in (images, labels):
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    path = folder / f"arrays-{digest.hexdigest()}.npz"
    if path.exists():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=folder, suffix=".partial")
        try:
            with open(descriptor, "wb") as file:
                np.savez(file, images=images, labels=labels)
            os.replace(partial, path)
        except BaseException:
            os.unlink(partial)
            raise
    except OSError as error:
        raise DataError(f"images cannot be kept in {path}: {error.strerror}") from None
    return path


def _array(value: object, name: str) -> npt.NDArray[Any]:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):  # of images, not of numbers
        shapes = {_shape_in_words(one) for one in value}
        if len(shapes) > 1:
            first, second = sorted(shapes)[:2]
            raise DataError(
                f"{name} must be of one shape, got {first} and {second}; a folder of image files may have any sizes"
            )
    try:
        array = np.asarray(value)
    except Exception as error:  # lists of different lengths, a tensor on a GPU: each library has its own errors
        raise DataError(f"{name} must be an array, got {type(value).__name__} ({error})") from None
    if array.dtype == object and array.size and all(isinstance(one, str) for one in array.flat):  # as pandas keeps them
        array = array.astype(str)
    if array.ndim == 0:
        raise DataError(f"{name} must be an array of numbers, got {type(value).__name__}")
    if array.dtype == object:
        kinds = sorted({type(one).__name__ for one in array.flat})
        raise DataError(f"{name} must be an array of numbers, got an array of {', '.join(kinds[:5])}")
    return array


def _what_labels_are(labels: npt.NDArray[Any]) -> str:
    """The labels' type, what is wrong with their values, and the way to whole numbers where one is certain."""
    if np.issubdtype(labels.dtype, np.str_) or np.issubdtype(labels.dtype, np.bytes_):
        return f"texts such as {str(labels.flat[0])!r}; np.unique(labels, return_inverse=True)[1] are numbers for them"
    if np.issubdtype(labels.dtype, np.bool_):
        return "true and false; labels.astype(int) are numbers for them"
    if not np.issubdtype(labels.dtype, np.floating) or not labels.size:
        return str(labels.dtype)
    strange = labels[~np.isfinite(labels) | (labels != np.round(labels))]
    if len(strange):
        return f"{labels.dtype} with {len(strange)} that are no whole numbers, the first is {strange[0]:g}"
    return f"{labels.dtype}; labels.astype(int) are the numbers"


def _shape_in_words(value: object) -> str:
    """Of an array or a tensor its shape, of a PIL image size and mode, without looking at the pixels."""
    if hasattr(value, "shape"):
        return f"{tuple(value.shape)}"
    if hasattr(value, "size") and hasattr(value, "mode"):
        return f"{value.size} {value.mode}"
    return type(value).__name__ if isinstance(value, Sequence) else "a number"


def _how_to_convert(images: npt.NDArray[Any]) -> str:
    """What the values look like, and the way to uint8 if one is certain, to be put behind "got float32"."""
    if np.issubdtype(images.dtype, np.bool_):
        return "; images.astype('uint8') * 255 are the pixels, if true is white"
    if not (np.issubdtype(images.dtype, np.number) and images.size) or np.issubdtype(images.dtype, np.complexfloating):
        return ""
    is_float = np.issubdtype(images.dtype, np.floating)
    if is_float and not (finite := np.isfinite(images)).all():
        return f", and {int((~finite).sum())} of its {images.size} values are NaN or infinite; mend these first"
    low, high = float(images.min()), float(images.max())
    found = f" from {low:g} to {high:g}"
    if is_float and low >= 0 and high <= 1:
        return f"{found}; (images * 255).round().astype('uint8') are the pixels, if 1 is white"
    if low >= 0 and high <= 255:
        rounded = "images.round()" if is_float else "images"
        return f"{found}; {rounded}.astype('uint8') are the pixels"
    if is_float and low < 0:
        return f"{found}, which looks normalized; hand over the images as they were before that"
    return f"{found}; bring them to the range from 0 to 255 first"

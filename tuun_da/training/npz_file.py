"""A NumPy archive as a data set: arrays images and labels, or train_images, train_labels, test_images, ..."""

from __future__ import annotations

import logging
import math
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib.format import MAGIC_PREFIX, read_array, read_array_header_1_0, read_array_header_2_0, read_magic

from tuun_da.errors import DataError
from tuun_da.training.folder import ONLY_CLASSIFICATION
from tuun_da.training.free_memory import free_bytes
from tuun_da.training.resizing import Pixels, resized_array
from tuun_da.training.settings import MIN_IMAGE_SIZE, DataConfig
from tuun_da.training.sources import LabelledImages, Source

logger = logging.getLogger(__name__)

# The names of images and labels by split. The second row of train and test is that of Keras, the third of MedMNIST.
ARRAY_NAMES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "train": (("train_images", "train_labels"), ("x_train", "y_train"), ("images", "labels")),
    "validation": (
        ("validation_images", "validation_labels"),
        ("val_images", "val_labels"),
        ("valid_images", "valid_labels"),
        ("x_val", "y_val"),
        ("x_valid", "y_valid"),
    ),
    "test": (("test_images", "test_labels"), ("x_test", "y_test")),
}

MAX_ARRAYS = 1_000  # in a file
MAX_BYTES = 2**36  # of the arrays that are read, where the system does not say how much memory is free

HEADER_READERS = {(1, 0): read_array_header_1_0, (2, 0): read_array_header_2_0}  # 3.0 is for names of fields only

Labels = npt.NDArray[Any]


def load_npz(config: DataConfig) -> Source:
    """The data set in the file ``config.path``. Raises DataError."""
    return npz_source(config, labelled_arrays(config.path))


def labelled_arrays(path: Path) -> dict[str, tuple[Pixels, Labels]]:
    """The images (n, c, h, w) and labels (n,) of each split in the file at ``path``. Raises DataError.

    Images are uint8 (n, h, w), (n, h, w, c) or (n, c, h, w) with c = 1 or 3; labels are whole numbers (n,) or (n, 1),
    of which every different one is a class. Arrays of other names are left out with a warning; but one that is called
    images or labels, or x_... or y_..., is refused, for it may be a split whose name is not known here.
    """
    arrays, names = read_arrays(path)
    found: dict[str, tuple[Pixels, Labels]] = {}
    for split, pairs in ARRAY_NAMES.items():
        for images_name, labels_name in pairs:
            if images_name in arrays or labels_name in arrays:
                if split in found:
                    raise DataError(f"npz file {path} has arrays for {split} under two names, one is {images_name}")
                for missing, present in ((images_name, labels_name), (labels_name, images_name)):
                    if missing not in arrays:
                        raise DataError(
                            f"npz file {path} has {present}, but no {missing} (it has {', '.join(sorted(names))}): "
                            f"{ONLY_CLASSIFICATION}"
                        )
                images = checked_images(arrays[images_name], f"{images_name} of npz file {path}")
                labels = checked_labels(arrays[labels_name], len(images), f"{labels_name} of npz file {path}")
                found[split] = (images, labels)
    if "train" not in found:
        wanted = ", or ".join(f"{images} and {labels}" for images, labels in ARRAY_NAMES["train"])
        raise DataError(f"npz file {path} must have the arrays {wanted}; it has {', '.join(sorted(names)) or 'none'}")
    check_unknown(path, names)
    return found


def npz_source(config: DataConfig, arrays: Mapping[str, tuple[Pixels, Labels]]) -> Source:
    """The data set of the ``arrays`` of a file, brought to one size. Raises DataError where its splits do not agree."""
    path = config.path
    found = {split: (resized_array(images, config.image_size), labels) for split, (images, labels) in arrays.items()}
    shapes = {split: images.shape[1:] for split, (images, _) in found.items()}
    if len(set(shapes.values())) > 1:
        raise DataError(f"npz file {path}: images of all splits must have one shape (c, h, w), got {shapes}")
    classes = np.unique(found["train"][1])
    for split, (_, labels) in found.items():
        strange = np.setdiff1d(labels, classes)
        if len(strange):
            raise DataError(f"npz file {path}: label {strange[0]} of {split} does not occur in train")
    parts = {
        split: LabelledImages(images, np.searchsorted(classes, labels).astype(np.int64))
        for split, (images, labels) in found.items()
    }
    return Source(
        name=config.data,
        class_names=tuple(str(label) for label in classes),
        train=parts["train"],
        validation=parts.get("validation"),
        test=parts.get("test"),
    )


def check_unknown(path: Path, names: Iterable[str]) -> None:
    """Raise DataError for an array of images or labels that ``ARRAY_NAMES`` lacks; log other unknown ones."""
    known = [name for pairs in ARRAY_NAMES.values() for pair in pairs for name in pair]
    unknown = sorted(set(names) - set(known))
    for name in unknown:
        words = name.lower().split("_")
        if words[-1] in ("image", "images", "label", "labels") or words[0] in ("x", "y"):
            raise DataError(
                f"npz file {path} has an array {name}, which belongs to no split; known are {', '.join(known)}. "
                "Give it one of these names, or leave it out"
            )
    if unknown:
        logger.warning("npz file %s: left out arrays of unknown names: %s", path, ", ".join(unknown))


def read_arrays(path: Path) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    """The arrays in the file whose names are in ``ARRAY_NAMES``, and the names of all, which are not read otherwise.

    Pickled objects are refused: data must be safe to open, whoever sent it. A file may be broken or made to do harm: a
    header may promise more than there is, and a small archive may unpack to more than the memory, so sizes are compared
    before any memory is taken.
    """
    if not path.is_file():
        raise DataError(f"npz file {path} {'is not a file' if path.exists() else 'does not exist'}")
    member = ""
    try:
        with open(path, "rb") as file:
            begin = file.read(len(MAGIC_PREFIX))
        if begin == MAGIC_PREFIX:
            raise DataError(
                f"npz file {path} must be an archive of named arrays, as np.savez writes it; got a single array"
            )
        arrays = {}
        with zipfile.ZipFile(path) as archive:
            names = array_names(path, archive)
            known = {name for pairs in ARRAY_NAMES.values() for pair in pairs for name in pair}
            wanted = [archive.getinfo(f"{name}.npy") for name in names if name in known]
            check_memory(path, sum(info.file_size for info in wanted))
            for info in wanted:
                name = info.filename.removesuffix(".npy")
                member = f", array {name}"
                if info.flag_bits & 1:
                    raise DataError(f"npz file {path}{member} cannot be read: it is encrypted")
                with archive.open(info) as stream:
                    check_header(stream, info.file_size)
                with archive.open(info) as stream:
                    arrays[name] = read_array(stream, allow_pickle=False)
    except DataError:
        raise
    except zipfile.BadZipFile as error:
        raise DataError(f"npz file {path}{member} cannot be read: it is broken, or no npz archive ({error})") from error
    except MemoryError as error:
        raise DataError(f"npz file {path}{member} cannot be read: it is larger than the memory") from error
    except OSError as error:
        raise DataError(f"npz file {path}{member} cannot be read: {error}") from error
    except Exception as error:  # of a broken header or an unknown compression, from TokenError to NotImplementedError
        reason = error if isinstance(error, BrokenArray | NotImplementedError) else f"broken ({type(error).__name__})"
        raise DataError(f"npz file {path}{member} cannot be read: {reason}") from error
    return arrays, names


def array_names(path: Path, archive: zipfile.ZipFile) -> list[str]:
    """The names of the arrays in ``archive``; of what is none, a warning. Raises DataError if a name comes twice."""
    names = []
    for info in archive.infolist():
        if info.filename.endswith(".npy"):
            names.append(info.filename.removesuffix(".npy"))
        else:
            logger.warning("npz file %s: left out %s, which is no array", path, info.filename)
    if len(names) > MAX_ARRAYS:
        raise DataError(f"npz file {path} must have at most {MAX_ARRAYS} arrays, got {len(names)}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"npz file {path} has two arrays {twice}")
    return names


def check_memory(path: Path, needed: int) -> None:
    """Raise DataError if ``needed`` bytes are not to be had."""
    free = free_bytes()
    limit = MAX_BYTES if free is None else free
    if needed > limit:
        raise DataError(
            f"npz file {path} cannot be read: it unpacks to {needed / 1e9:.1f} GB, and {limit / 1e9:.1f} GB of memory "
            "are free"
        )


class BrokenArray(Exception):
    """The header of an array is not one that can be used; the message says why, without the file."""


def check_header(stream: IO[bytes], size: int) -> None:
    """Raise BrokenArray, or what numpy raises, if the array in ``stream``, ``size`` bytes in all, cannot be read."""
    version = read_magic(stream)
    if version not in HEADER_READERS:
        raise BrokenArray(f"its format {version} is not known")
    shape, _, dtype = HEADER_READERS[version](stream)
    if dtype.hasobject:
        raise BrokenArray("it holds Python objects, which could run code when read; wanted numbers")
    needed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or needed > size:
        raise BrokenArray(f"its header promises {needed} bytes of the shape {shape}, and it has {size}")


def checked_images(images: npt.NDArray[Any], where: str) -> Pixels:
    """The images as (n, c, h, w). Raises DataError if they are no such array."""
    if images.dtype != np.uint8:
        raise DataError(f"{where} must be uint8 from 0 to 255, got {images.dtype}")
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise DataError(f"{where} must have the shape (n, h, w), (n, h, w, c) or (n, c, h, w), got {images.shape}")
    if images.ndim == 3:
        result = images[:, None]
    elif images.shape[3] in (1, 3):
        result = images.transpose(0, 3, 1, 2)
    elif images.shape[1] in (1, 3):
        result = images
    else:
        raise DataError(f"{where} must have 1 or 3 channels, got the shape {images.shape}")
    if min(result.shape[2:]) < MIN_IMAGE_SIZE:
        raise DataError(
            f"{where} must have at least {MIN_IMAGE_SIZE}x{MIN_IMAGE_SIZE} pixels, got the shape {images.shape}"
        )
    return result


def checked_labels(labels: npt.NDArray[Any], count: int, where: str) -> Labels:
    """The labels as (n,). Raises DataError if they are not one whole number for each of ``count`` images."""
    if labels.ndim == 2 and labels.shape[1] == 1:  # MedMNIST, and Keras's CIFAR-10
        labels = labels[:, 0]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{where} must be whole numbers of the shape (n,), got {labels.dtype} of the shape {labels.shape}: "
            f"{ONLY_CLASSIFICATION}"
        )
    if len(labels) != count:
        raise DataError(f"{where} must be as many as the images, {count}, got {len(labels)}")
    return labels

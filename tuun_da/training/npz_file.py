"""A NumPy archive as a data set: arrays images and labels, or train_images, train_labels, test_images, ..."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tuun_da.errors import DataError
from tuun_da.training.folder import ONLY_CLASSIFICATION
from tuun_da.training.resizing import Pixels, resized_array
from tuun_da.training.settings import DataConfig
from tuun_da.training.splits import LabelledImages, Source

# The names of images and labels by split. The second row of train and test is that of Keras, the third of MedMNIST.
ARRAY_NAMES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "train": (("train_images", "train_labels"), ("x_train", "y_train"), ("images", "labels")),
    "validation": (
        ("validation_images", "validation_labels"),
        ("val_images", "val_labels"),
        ("x_val", "y_val"),
    ),
    "test": (("test_images", "test_labels"), ("x_test", "y_test")),
}

Labels = npt.NDArray[Any]


def load_npz(config: DataConfig) -> Source:
    """The data set in the file ``config.path``. Raises DataError.

    Images are uint8 (n, h, w), (n, h, w, c) or (n, c, h, w) with c = 1 or 3; labels are whole numbers (n,) or (n, 1),
    of which every different one is a class.
    """
    path = config.path
    arrays = read_arrays(path)
    found: dict[str, tuple[Pixels, Labels]] = {}
    for split, pairs in ARRAY_NAMES.items():
        for images_name, labels_name in pairs:
            if images_name in arrays or labels_name in arrays:
                if split in found:
                    raise DataError(f"npz file {path} has arrays for {split} under two names, one is {images_name}")
                for missing, present in ((images_name, labels_name), (labels_name, images_name)):
                    if missing not in arrays:
                        raise DataError(
                            f"npz file {path} has {present}, but no {missing} (it has {', '.join(sorted(arrays))}): "
                            f"{ONLY_CLASSIFICATION}"
                        )
                images = checked_images(arrays[images_name], f"{images_name} of npz file {path}")
                labels = checked_labels(arrays[labels_name], len(images), f"{labels_name} of npz file {path}")
                found[split] = (resized_array(images, config.image_size), labels)
    if "train" not in found:
        wanted = ", or ".join(f"{images} and {labels}" for images, labels in ARRAY_NAMES["train"])
        raise DataError(f"npz file {path} must have the arrays {wanted}; it has {', '.join(sorted(arrays)) or 'none'}")
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


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays in the file by name. Pickled objects are refused: data must be safe to open, whoever sent it."""
    if not path.is_file():
        raise DataError(f"npz file {path} {'is not a file' if path.exists() else 'does not exist'}")
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.lib.npyio.NpzFile):
            with archive:
                return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"npz file {path} cannot be read: {error}") from error
    raise DataError(f"npz file {path} must be an archive of named arrays, as np.savez writes it; got a single array")


def checked_images(images: npt.NDArray[Any], where: str) -> Pixels:
    """The images as (n, c, h, w). Raises DataError if they are no such array."""
    if images.dtype != np.uint8:
        raise DataError(f"{where} must be uint8 from 0 to 255, got {images.dtype}")
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise DataError(f"{where} must have the shape (n, h, w), (n, h, w, c) or (n, c, h, w), got {images.shape}")
    if images.ndim == 3:
        return images[:, None]
    if images.shape[3] in (1, 3):
        return images.transpose(0, 3, 1, 2)
    if images.shape[1] in (1, 3):
        return images
    raise DataError(f"{where} must have 1 or 3 channels, got the shape {images.shape}")


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

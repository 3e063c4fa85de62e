"""Data sets by name or path: whole splits as uint8 tensors."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from tuun_da.errors import DataError
from tuun_da.training.folder import load_folder
from tuun_da.training.npz_file import load_npz
from tuun_da.training.resizing import resized_array
from tuun_da.training.settings import DataConfig
from tuun_da.training.sources import LabelledImages, Source
from tuun_da.training.splits import Splits, make_splits


def load_splits(config: DataConfig) -> Splits:
    """The data set that ``config`` names, divided as it says, on the CPU. Raises DataError, ConfigError.

    Images with equal pixels are on one side of every split; the same ``config`` gives the same splits.
    """
    return make_splits(SOURCES[config.kind](config), config)


def load_digits(config: DataConfig) -> Source:
    """The 1,797 digits of 8x8 pixels that come with scikit-learn, 0 to 16 scaled to 0 to 255; half of them are test."""
    pixels, labels = digits_table()
    images = np.rint(pixels.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    return Source(
        name="digits",
        class_names=tuple("0123456789"),
        train=LabelledImages(resized_array(images, config.image_size), labels),
        default_test_share=0.5,
    )


def digits_table() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Pixels (1797, 64) from 0 to 16, and labels (1797,).

    Read from scikit-learn's file, because its ``load_digits`` takes 3 s to import, in every trial; by that where the
    file is not in its place.
    """
    spec = importlib.util.find_spec("sklearn")
    file = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz" if spec and spec.origin else None
    if file is not None and file.is_file():
        table = np.loadtxt(file, delimiter=",")
        return table[:, :-1], table[:, -1].astype(np.int64)
    from sklearn import datasets as sklearn_datasets

    digits = sklearn_datasets.load_digits()
    return digits.data, digits.target.astype(np.int64)


def load_cifar(config: DataConfig) -> Source:
    """CIFAR-10 or CIFAR-100: 50,000 images to train and validate, 10,000 to test, 32x32 pixels."""
    import torchvision.datasets  # takes seconds to import

    kind = torchvision.datasets.CIFAR10 if config.data == "cifar10" else torchvision.datasets.CIFAR100
    files = f"{kind.filename}, or what is in it, the folder {kind.base_folder}"
    parts = {}
    for split in ("train", "test"):
        make = partial(kind, config.cache_folder, train=split == "train")
        part = downloaded(config, make, kind.url, files)
        images = resized_array(part.data.transpose(0, 3, 1, 2), config.image_size)
        parts[split] = LabelledImages(images, np.array(part.targets, dtype=np.int64))
        class_names = tuple(part.classes)
    return Source(name=config.data, class_names=class_names, train=parts["train"], test=parts["test"])


def load_svhn(config: DataConfig) -> Source:
    """Street View House Numbers: 73,257 images to train and validate, 26,032 to test, 32x32 pixels; with
    ``config.extra`` 531,131 easier ones more to train and validate."""
    import torchvision.datasets  # takes seconds to import

    kind = torchvision.datasets.SVHN
    splits = ("train", "extra", "test") if config.extra else ("train", "test")
    files = " and ".join(kind.split_list[split][1] for split in splits)
    parts = {}
    for split in splits:
        make = partial(kind, config.cache_folder, split=split)
        part = downloaded(config, make, kind.split_list[split][0], files)
        parts[split] = LabelledImages(resized_array(part.data, config.image_size), part.labels.astype(np.int64))
    train = parts["train"]
    if config.extra:
        extra = parts.pop("extra")
        train = LabelledImages(
            np.concatenate([train.images, extra.images]), np.concatenate([train.labels, extra.labels])
        )
    return Source(name="svhn", class_names=tuple("0123456789"), train=train, test=parts["test"])


def downloaded(config: DataConfig, load: Callable[..., Any], url: str, files: str) -> Any:
    """What ``load(download=False)`` gives, or ``load(download=True)`` where files are absent. Raises DataError."""
    folder = config.cache_folder
    with contextlib.suppress(RuntimeError):  # torchvision: not found or corrupted
        return load(download=False)  # first without the lock, because a shared folder may be read-only
    try:
        folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC  # a link might lead to somebody's file
        with os.fdopen(os.open(folder / ".download.lock", flags, 0o666), "r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # trials start together, and two downloads into one file spoil it
            try:
                return load(download=False)
            except RuntimeError:
                return load(download=True)
    except (OSError, RuntimeError, EOFError) as error:  # URLError is an OSError
        raise DataError(
            f"data set {config.data} is not in {folder}, and {url} could not be downloaded ({error}). "
            f"Without a network, put this into {folder}: {files}; "
            "or name another folder with --data-dir or $TUUN_DA_DATA"
        ) from error


SOURCES: Mapping[str, Callable[[DataConfig], Source]] = MappingProxyType(
    {
        "digits": load_digits,
        "cifar10": load_cifar,
        "cifar100": load_cifar,
        "svhn": load_svhn,
        "folder": load_folder,
        "npz": load_npz,
    }
)
"""The reader of each kind of data set."""

"""The images of DeepAugment and their splits: train_set_size to train, a fifth kept back, all others to validate."""

from __future__ import annotations

import os

from tuun_da.api.python_search import Place
from tuun_da.errors import ConfigError, DataError
from tuun_da.training.data_spec import data_spec
from tuun_da.training.settings import DataConfig

TEST_SHARE = 0.2
"""Of the images, kept for ``confirm``."""


def data_and_splits(images: object, labels: object, train_set_size: int, place: Place) -> tuple[DataConfig, int]:
    """The data with their splits, and how many images are for validation. Raises DataError, ConfigError."""
    if isinstance(images, str | os.PathLike):
        if labels is not None:
            raise ConfigError(
                f"labels are for images in arrays; the images are {os.fspath(images)!r}, which has its own"
            )
        return _named_data(data_spec(images), train_set_size)
    from tuun_da.training.arrays import checked_arrays, kept_as_npz

    pixels, classes = checked_arrays(images, labels)
    validation = _validation_size(len(pixels), train_set_size)
    place.make_folder()
    spec = f"npz:{kept_as_npz(pixels, classes, place.folder)}"
    return _split(spec, train_set_size, validation, TEST_SHARE), validation


def _named_data(spec: str, train_set_size: int) -> tuple[DataConfig, int]:
    """The same of a data set that is on the disk, or is downloaded: its own splits stay."""
    from tuun_da.training.datasets import SOURCES

    source = SOURCES[DataConfig(data=spec).kind](DataConfig(data=spec))
    test_share = TEST_SHARE if source.test is None else None
    if source.validation is not None:
        return _split(spec, train_set_size, None, test_share), len(source.validation)
    validation = _validation_size(len(source.train), train_set_size, test_share or 0.0)
    return _split(spec, train_set_size, validation, test_share), validation


def _split(spec: str, train_size: int, validation_size: int | None, test_size: float | None) -> DataConfig:
    return DataConfig(data=spec, train_size=train_size, validation_size=validation_size, test_size=test_size)


def _validation_size(n_images: int, train_set_size: int, test_share: float = TEST_SHARE) -> int:
    """The images that are left for validation. Raises DataError where none are."""
    rest = n_images - round(test_share * n_images)
    if train_set_size >= rest:
        for_test = f"{n_images - rest} are kept for the test and " if test_share else ""
        raise DataError(
            f"train_set_size must be less than {rest}, because of {n_images} images {for_test}some must be left to "
            f"validate; got {train_set_size}"
        )
    return rest - train_set_size

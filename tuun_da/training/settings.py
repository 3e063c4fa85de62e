"""Which images a trial sees: the data set, its size, and how it is split. Loads no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tuun_da.errors import ConfigError
from tuun_da.training.checks import checked_integer, checked_path, checked_size, made_from_mapping

NAMED_DATA_SETS = ("digits", "cifar10", "cifar100", "svhn")
PATH_KINDS = ("folder", "npz")
DEFAULT_VALIDATION_SHARE = 0.2
DEFAULT_IMAGE_SIZE = 64
MIN_IMAGE_SIZE = 4
MAX_IMAGE_SIZE = 4096


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The data set and its splits. Raises ConfigError.

    ``data``             digits, cifar10, cifar100, svhn, folder:PATH or npz:PATH. Links within a folder are followed,
                         those out of it left out and counted; a class or split that is such a link is refused.
    ``image_size``       side in pixels to which images are resized once (shorter side, then the centre square);
                         None keeps images that are all of one square size up to 64, and makes all others 64.
    ``train_size``       number of training images, the classes in proportion; None: all that are left.
    ``train_per_class``  number of training images of each class, instead of ``train_size``.
    ``validation_size``  number of images, or share of the images it is drawn from: of the training images, or of the
                         data set's own validation split. None: that split whole, or else 0.2 of the training images.
    ``test_size``        number or share, only for data without a test split of its own; None: 0.5 of digits, 0.2 of a
                         folder or npz file. Drawn with a fixed seed, so that no ``split_seed`` moves a test image.
    ``extra``            also train on SVHN's 531,131 extra images; only for svhn.
    ``split_seed``       draws validation and training images. A trial's own seed has no part in it.
    ``data_dir``         cache folder of the downloaded sets, and of the decoded images of a folder; None:
                         $TUUN_DA_DATA, or else ~/.cache/tuun_da.
    ``skip_broken``      leave image files out that cannot be read, instead of stopping at the first.
    """

    data: str = "digits"
    image_size: int | None = None
    train_size: int | None = None
    train_per_class: int | None = None
    validation_size: int | float | None = None
    test_size: int | float | None = None
    extra: bool = False
    split_seed: int = 0
    data_dir: str | None = None
    skip_broken: bool = False

    def __post_init__(self) -> None:
        check_spec(self.data)
        for name, low, high in (
            ("image_size", MIN_IMAGE_SIZE, MAX_IMAGE_SIZE),
            ("train_size", 1, None),
            ("train_per_class", 1, None),
        ):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, checked_integer(name, getattr(self, name), low=low, high=high))
        if self.train_size is not None and self.train_per_class is not None:
            raise ConfigError(
                "train_size or train_per_class may be given, not both; "
                f"got {self.train_size} and {self.train_per_class}"
            )
        for name in ("validation_size", "test_size"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, checked_size(name, getattr(self, name)))
        object.__setattr__(self, "split_seed", checked_integer("split_seed", self.split_seed, low=0))
        if self.data_dir is not None:
            if not isinstance(self.data_dir, str | os.PathLike) or not str(self.data_dir):
                raise ConfigError(f"data_dir must be the path of a folder, got {self.data_dir!r}")
            object.__setattr__(self, "data_dir", str(self.data_dir))
        for name in ("skip_broken", "extra"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} must be true or false, got {getattr(self, name)!r}")
        if self.extra and self.data != "svhn":
            raise ConfigError(f"extra is for svhn, which has a further split of that name; data is {self.data!r}")

    @property
    def kind(self) -> str:
        """The part of ``data`` before the colon: digits, cifar10, ..., folder, npz."""
        return self.data.partition(":")[0]

    @property
    def path(self) -> Path:
        """The path in ``data``, with ~ resolved; only for folder:PATH and npz:PATH."""
        return checked_path("data", self.data.partition(":")[2])

    @property
    def cache_folder(self) -> Path:
        """Where downloaded data sets lie, and in its folder ``decoded`` the pixels of image files."""
        return checked_path("data_dir", self.data_dir or os.environ.get("TUUN_DA_DATA") or "~/.cache/tuun_da")

    def to_dict(self) -> dict[str, Any]:
        """The settings as a JSON object."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> DataConfig:
        """The settings in a JSON object. Raises ConfigError."""
        return made_from_mapping(cls, mapping)


def check_spec(data: object) -> None:
    """Raise ConfigError if ``data`` is no data set name, folder:PATH or npz:PATH."""
    wanted = f"data must be one of {', '.join(NAMED_DATA_SETS)}, folder:PATH or npz:PATH"
    if not isinstance(data, str):
        raise ConfigError(f"{wanted}; got {data!r}")
    kind, colon, path = data.partition(":")
    if data in NAMED_DATA_SETS or (kind in PATH_KINDS and path):
        return
    hint = ""
    if not colon and os.path.isdir(data):
        hint = f" (for that folder: folder:{data})"
    elif not colon and data.endswith(".npz"):
        hint = f" (for that file: npz:{data})"
    raise ConfigError(f"{wanted}; got {data!r}{hint}")


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """How many trainings a trial is, and on which validation images each is judged. Raises ConfigError.

    ``repeats``            trainings, with the seeds from the trial's on, whose scores are averaged.
    ``resplit``            each repeat draws other training and validation images (Monte Carlo cross-validation), for
                           data sets of so few images that one division says little. The test split stays.
    ``validation_sample``  number of validation images that each trial draws anew, the classes in proportion;
                           None: all of them, the same for each trial. With a fresh sample a policy cannot be chosen
                           for what it does to a few images; DeepAugment takes 1,000.
    """

    repeats: int = 1
    resplit: bool = False
    validation_sample: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "repeats", checked_integer("repeats", self.repeats, low=1))
        if not isinstance(self.resplit, bool):
            raise ConfigError(f"resplit must be true or false, got {self.resplit!r}")
        if self.resplit and self.repeats == 1:
            raise ConfigError("resplit draws other images in each repeat, so it needs repeats of at least 2, got 1")
        if self.validation_sample is not None:
            number = checked_integer("validation_sample", self.validation_sample, low=1)
            object.__setattr__(self, "validation_sample", number)

    def to_dict(self) -> dict[str, Any]:
        """The settings as a JSON object."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> TrialConfig:
        """The settings in a JSON object. Raises ConfigError."""
        return made_from_mapping(cls, mapping)

"""Three small data sets and nets on which a whole training from scratch takes seconds on one core.

``train_policy("digits", parameters, seed, data_dir=...)`` is such a training; a process loads each data set once.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from tuun_da.augment.batch_transform import BatchTransform
from tuun_da.augment.named import build_transform
from tuun_da.augment.policy import Policy
from tuun_da.errors import ConfigError, DataError
from tuun_da.known_policies import KNOWN_POLICIES
from tuun_da.training.datasets import load_splits
from tuun_da.training.loop import train
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig
from tuun_da.training.splits import Splits

BASELINES = ("none", "etp", "trivialaugment", "autoaugment")
CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A data set, its splits, and one training.

    ``archive_folder`` is where the archive of ``data`` unpacks its training images; None for the digits of
    scikit-learn. ``passes`` over the training images make one epoch of ``tuun_da.training.loop.train``, which
    validates after each: with 100 training and 1,600 validation images that would be most of the time.
    """

    name: str
    data_set: str
    archive_folder: str | None
    train_per_class: int
    validation_images: int
    test_size: int  # never looked at: one image a class, the least that the splits allow
    image_size: int
    net: str
    passes: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 5e-4

    @property
    def train_config(self) -> TrainConfig:
        """The settings of one training, without its seed. float32, so that the hardware matters little."""
        return TrainConfig(
            model=f"benchmarks.nets:{self.net}",
            epochs=1,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            precision="float32",
        )


SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting(
            name="digits",
            data_set="digits",
            archive_folder=None,
            train_per_class=10,
            validation_images=1600,
            test_size=10,
            image_size=8,
            net="digits_net",
            passes=120,
            batch_size=25,
            learning_rate=0.05,
        ),
        Setting(
            name="steel",
            data_set="steel",
            archive_folder="all",
            train_per_class=20,
            validation_images=1600,
            test_size=6,
            image_size=32,
            net="steel_net",
            passes=200,
            batch_size=60,
            learning_rate=0.1,
        ),
        Setting(
            name="cifar10",
            data_set="cifar10",
            archive_folder="train",
            train_per_class=200,
            validation_images=5000,
            test_size=10,
            image_size=16,
            net="cifar10_net",
            passes=30,
            batch_size=50,
            learning_rate=0.1,
        ),
    )
}
"""The settings by name."""

RACES: Mapping[str, Setting] = SETTINGS | {
    "cifar10_500": replace(SETTINGS["cifar10"], name="cifar10_500", train_per_class=50, passes=30)
}
"""What real_race runs on: the settings, and 500 images of CIFAR-10, small enough for thousands of trainings."""

REFERENCES: Mapping[str, Setting] = {
    "digits": replace(SETTINGS["digits"], net="digits_reference_net", passes=600),
    "steel": replace(SETTINGS["steel"], net="steel_reference_net", passes=600),
    "cifar10": replace(SETTINGS["cifar10"], net="cifar10_reference_net", passes=120),
}
"""For each setting the same images with a wider net and a training as long as a user would make it."""


@functools.cache
def setting_splits(name: str, data_dir: str = "data") -> Splits:
    """The images of setting ``name``, loaded once in a process. Raises DataError, ConfigError."""
    setting = named_setting(name)
    splits = load_splits(
        DataConfig(
            data="digits" if setting.archive_folder is None else f"folder:{image_folder(setting, data_dir)}",
            image_size=setting.image_size,
            train_per_class=setting.train_per_class,
            validation_size=setting.validation_images,
            test_size=setting.test_size,
        )
    )
    return replace(splits, name=name)


def named_setting(name: str) -> Setting:
    """The setting or race ``name``. Raises ConfigError."""
    if name not in RACES:
        raise ConfigError(f"setting must be one of {', '.join(RACES)}; got {name!r}")
    return RACES[name]


def image_folder(setting: Setting, data_dir: str) -> Path:
    """The folder of the class folders: unpacked in ``data_dir``, or in a folder there of the data set's name.

    Raises DataError.
    """
    assert setting.archive_folder is not None
    places = [Path(data_dir) / setting.archive_folder, Path(data_dir) / setting.data_set / setting.archive_folder]
    for place in places:
        if place.is_dir():
            return place
    archive = {"steel": "neu_det_64.tar.xz", "cifar10": "cifar10_jpeg.tar.xz"}[setting.data_set]
    raise DataError(
        f"the images of {setting.name} are neither in {places[0]} nor in {places[1]}; "
        f"unpack {archive} (tar -xJf) into {data_dir}, or name another folder with --data-dir"
    )


def train_setting(
    setting: Setting, policy: Mapping[str, Any] | BatchTransform[Any] | str, seed: int, *, data_dir: str = "data"
) -> float:
    """The validation accuracy, a share in [0, 1], of ``setting`` trained from scratch with ``policy`` and ``seed``.

    ``policy`` is a policy's flat parameters, applied per batch, one of ``BASELINES``, or a transform.
    """
    splits = setting_splits(setting.name, data_dir)
    repeated = replace(
        splits,
        train_images=splits.train_images.repeat(setting.passes, 1, 1, 1),
        train_labels=splits.train_labels.repeat(setting.passes),
    )
    return train(replace(setting.train_config, seed=seed), repeated, transform_of(policy), CPU).score


def train_policy(setting: str, policy: Mapping[str, Any] | str, seed: int, *, data_dir: str = "data") -> float:
    """``train_setting`` for the setting of that name, for a race with real trainings. Raises ConfigError, DataError."""
    return train_setting(named_setting(setting), policy, seed, data_dir=data_dir)


def transform_of(policy: Mapping[str, Any] | BatchTransform[Any] | str) -> BatchTransform[Any] | None:
    """The transform of flat parameters (per batch) or of a baseline (per image, as published). Raises ConfigError."""
    if isinstance(policy, BatchTransform):
        return policy
    if not isinstance(policy, str):
        return Policy(policy)
    if policy not in BASELINES:
        raise ConfigError(f"policy must be flat parameters or one of {', '.join(BASELINES)}; got {policy!r}")
    if policy == "autoaugment":
        return Policy.from_sub_policies(KNOWN_POLICIES["autoaugment-cifar10"], per="image")
    return build_transform(policy, None)

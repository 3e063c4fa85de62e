"""What the protocol's tables are made on: data sets, which of their images are labelled, nets and trainings.

Test images are the same for every search and lie in no labelled set. Each search draws its own labelled images where a
setting has few, and its own division of them into training and validation images. A recommendation is trained again on
all of them. Identical images stay together, on one side of every division.
"""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tuun_da.augment.batch_transform import BatchTransform
from tuun_da.errors import ConfigError, DataError
from tuun_da.training.datasets import SOURCES
from tuun_da.training.image_facts import pixel_statistics
from tuun_da.training.loop import train
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig
from tuun_da.training.sources import LabelledImages
from tuun_da.training.splits import Splits, choose, split_images, without_leaks

SMALL = {"epochs": 1, "precision": "float32"}  # float32, so that the hardware matters little
SCARCE_CLASSES = 2
FIRST_RETRAINING_SEED = 1_000_000_000  # far from those of trials: the luck of the search must not be counted again

_TEST, _LABELLED, _DIVISION = range(3)  # streams of chance


@dataclass(frozen=True, kw_only=True)
class ProtocolSetting:
    """A data set, its labelled images, and one training; what is here is written before a table's results.

    ``labelled_per_class``  images with a label, drawn for each search; None: all but the test images.
    ``scarce_per_class``    so many of two classes instead: the first two in search 0, the next two in search 1, ...
    ``validation_share``    of each class's labelled images, rounded, but one at least.
    ``test_per_class``      drawn once and for all; None: the data set's own test images.
    ``divisions``           into training and validation images; a trial trains once for each, and its score is the
                            mean (Monte Carlo cross-validation). The same ones for every trial of a search.
    ``passes``              over the training images make one epoch of ``train_config``. After each epoch the loop
                            validates, which would be most of the time with a hundred training images.
    ``train_config``        fields of TrainConfig, without the seed.
    ``reduced``             is it a small stand-in for the published protocol?
    """

    name: str
    data_set: str
    image_size: int
    labelled_per_class: int | None = None
    scarce_per_class: int | None = None
    validation_share: float
    test_per_class: int | None = None
    divisions: int = 1
    autoaugment: str
    passes: int = 1
    train_config: dict[str, Any] = field(default_factory=dict)
    reduced: bool = True

    @property
    def epochs(self) -> int:
        """Passes over the training images in all."""
        return self.passes * self.seeded(0).epochs

    def seeded(self, seed: int) -> TrainConfig:
        """The settings of the training with ``seed``. Raises ConfigError."""
        return TrainConfig.from_mapping({**self.train_config, "seed": seed})

    def to_dict(self) -> dict[str, Any]:
        """The setting as a JSON object."""
        return asdict(self)


STEEL_TEST = 200
SETTINGS: dict[str, ProtocolSetting] = {
    setting.name: setting
    for setting in (
        ProtocolSetting(
            name="cifar10_small",
            data_set="cifar10",
            image_size=16,
            labelled_per_class=150,
            validation_share=2 / 3,
            autoaugment="autoaugment-cifar10",
            passes=25,
            train_config=SMALL | {"model": "benchmarks.nets:cifar10_net", "batch_size": 50, "learning_rate": 0.1},
        ),
        ProtocolSetting(
            name="steel20",
            data_set="steel",
            image_size=32,
            labelled_per_class=20,
            validation_share=0.3,
            test_per_class=STEEL_TEST,
            divisions=2,
            autoaugment="autoaugment-imagenet",
            passes=70,
            train_config=SMALL | {"model": "benchmarks.nets:steel_net", "batch_size": 30, "learning_rate": 0.1},
        ),
        ProtocolSetting(
            name="steel5",
            data_set="steel",
            image_size=32,
            labelled_per_class=5,
            validation_share=0.4,
            test_per_class=STEEL_TEST,
            divisions=3,
            autoaugment="autoaugment-imagenet",
            passes=120,
            train_config=SMALL | {"model": "benchmarks.nets:steel_net", "batch_size": 30, "learning_rate": 0.1},
        ),
        ProtocolSetting(
            name="steel_imbalanced",
            data_set="steel",
            image_size=32,
            labelled_per_class=100,
            scarce_per_class=5,
            validation_share=1 / 3,
            test_per_class=STEEL_TEST,
            divisions=2,
            autoaugment="autoaugment-imagenet",
            passes=16,
            train_config=SMALL
            | {"model": "benchmarks.nets:steel_net", "batch_size": 60, "learning_rate": 0.1}
            | {"metric": "balanced_accuracy", "sampling": "balanced"},
        ),
        *(
            ProtocolSetting(
                name=name,
                data_set=name,
                image_size=32,
                validation_share=share,
                autoaugment=f"autoaugment-{'svhn' if name == 'svhn' else 'cifar10'}",
                train_config={"model": "basenet_resnet18", "epochs": 50, "batch_size": 128},
                reduced=False,
            )
            for name, share in (("cifar10", 0.1), ("cifar100", 0.1), ("svhn", 5000 / 73257))
        ),
        *(
            ProtocolSetting(
                name=f"{name}_full",
                data_set="steel",
                image_size=64,
                labelled_per_class=labelled,
                scarce_per_class=scarce,
                validation_share=share,
                test_per_class=STEEL_TEST,
                divisions=divisions,
                autoaugment="autoaugment-imagenet",
                passes=passes,
                train_config={"model": "wide_resnet_40_2", "epochs": 20, "batch_size": 60, "learning_rate": 0.1}
                | other,
                reduced=False,
            )
            for name, labelled, scarce, share, divisions, passes, other in (
                ("steel20", 20, None, 0.3, 2, 20, {}),
                ("steel5", 5, None, 0.4, 3, 60, {}),
                ("steel_imbalanced", 100, 5, 1 / 3, 2, 6, {"metric": "balanced_accuracy", "sampling": "balanced"}),
            )
        ),
    )
}
"""The settings by name: four for a CPU, in the order in which they are run, then those of full size for a GPU."""

CPU_SETTINGS = tuple(name for name, setting in SETTINGS.items() if setting.reduced)


@dataclass(frozen=True, eq=False)
class SearchImages:
    """The images of one search: those with a label, and the test images, which no trial gets to see."""

    setting: ProtocolSetting
    search: int
    class_names: tuple[str, ...]
    labelled: LabelledImages
    test: LabelledImages

    def of_trial(self, division: int) -> Splits:
        """The labelled images, divided for the ``division``-th time, without any test image."""
        counts = np.bincount(self.labelled.labels, minlength=len(self.class_names))
        wanted = np.maximum(np.rint(self.setting.validation_share * counts).astype(np.int64), 1)
        rng = np.random.default_rng([self.search, _DIVISION, division])
        validation = choose(self.labelled, np.ones(len(self.labelled), dtype=bool), wanted, rng)
        none = self.test.chosen(np.zeros(len(self.test), dtype=bool))
        return self._splits(self.labelled.chosen(~validation), self.labelled.chosen(validation), none)

    def of_retraining(self) -> Splits:
        """All labelled images to train on, and the test images.

        Validated after each epoch is one image of each class: the loop wants some, and nobody reads the score.
        """
        _, first = np.unique(self.labelled.labels, return_index=True)
        some = np.isin(np.arange(len(self.labelled)), first)
        return self._splits(self.labelled, self.labelled.chosen(some), self.test)

    def _splits(self, training: LabelledImages, validation: LabelledImages, test: LabelledImages) -> Splits:
        mean, std = pixel_statistics(training.pixel_sums, self.setting.image_size**2)
        passes = self.setting.passes
        return Splits(
            train_images=split_images(training, in_memory=True).repeat(passes, 1, 1, 1),
            train_labels=torch.from_numpy(training.labels).repeat(passes),
            validation_images=split_images(validation, in_memory=True),
            validation_labels=torch.from_numpy(validation.labels),
            test_images=split_images(test, in_memory=True),
            test_labels=torch.from_numpy(test.labels),
            class_names=self.class_names,
            name=self.setting.name,
            mean=mean,
            std=std,
        )


def trial_score(images: SearchImages, transform: BatchTransform[Any] | None, seed: int, device: torch.device) -> float:
    """The validation score of a trial, a share in [0, 1]: the mean over the divisions, with seed, seed + 1, ..."""
    scores = [
        train(images.setting.seeded(seed + k), images.of_trial(k), transform, device).score
        for k in range(images.setting.divisions)
    ]
    return float(np.mean(scores))


def retrained_score(
    images: SearchImages, transform: BatchTransform[Any] | None, seed: int, device: torch.device
) -> float:
    """The test score of a training on all labelled images. Nothing else reads the test images."""
    splits = images.of_retraining()
    result = train(images.setting.seeded(seed), splits, transform, device, evaluate_test=True)
    assert result.test_score is not None
    return result.test_score


def trial_seed(search: int, number: int) -> int:
    """Of the first training of a trial. The same for every row of a table, so that differences are paired."""
    return 1_000_000 * (search + 1) + 10 * number


def retraining_seed(search: int, number: int) -> int:
    """Of a retraining, which no trial has, and which is the same for every row."""
    return FIRST_RETRAINING_SEED + 1000 * search + number


def named_setting(name: str) -> ProtocolSetting:
    """The setting ``name``. Raises ConfigError."""
    if name not in SETTINGS:
        raise ConfigError(f"setting must be one of {', '.join(SETTINGS)}; got {name!r}")
    return SETTINGS[name]


def search_images(setting: ProtocolSetting, search: int, data_dir: str) -> SearchImages:
    """The images of search number ``search``, the same ones every time. Raises DataError, ConfigError."""
    class_names, pool, test = pool_and_test(setting.data_set, setting.image_size, setting.test_per_class, data_dir)
    if setting.labelled_per_class is None:
        return SearchImages(setting, search, class_names, pool, test)
    wanted = np.full(len(class_names), setting.labelled_per_class)
    if setting.scarce_per_class is not None:
        wanted[scarce_classes(search, len(class_names))] = setting.scarce_per_class
    rng = np.random.default_rng([search, _LABELLED])
    return SearchImages(setting, search, class_names, _chosen(pool, wanted, rng, setting.name), test)


def scarce_classes(search: int, classes: int) -> list[int]:
    """Which classes have few images in search number ``search``: two by two, all in turn."""
    return [(SCARCE_CLASSES * search + k) % classes for k in range(SCARCE_CLASSES)]


@functools.cache
def pool_and_test(
    data_set: str, image_size: int, test_per_class: int | None, data_dir: str
) -> tuple[tuple[str, ...], LabelledImages, LabelledImages]:
    """Class names, the images that may be labelled, and the test images; read once in a process. Raises DataError."""
    config = data_config(data_set, image_size, data_dir)
    source = without_leaks(SOURCES[config.kind](config))
    if test_per_class is None:
        if source.test is None:
            raise DataError(f"data set {data_set} in {data_dir} has no test images of its own")
        return source.class_names, source.train, source.test
    wanted = np.full(len(source.class_names), test_per_class)
    every = np.ones(len(source.train), dtype=bool)
    is_test = choose(source.train, every, wanted, np.random.default_rng([0, _TEST]))
    return source.class_names, source.train.chosen(~is_test), source.train.chosen(is_test)


def data_config(data_set: str, image_size: int, data_dir: str) -> DataConfig:
    """What lies in ``data_dir``: folders of images, or the data set as its authors pack it. Raises DataError.

    Nothing is downloaded, and no image is read.
    """
    root = Path(data_dir)
    if data_set == "steel":
        folders = [place for place in (root / "all", root / "steel" / "all") if place.is_dir()]
        wanted = "steel/all/CLASS/*.png"
    else:
        # the archive of CIFAR-10's JPEG copies has no folder of that name
        places = (root / data_set, *([root] if data_set == "cifar10" else []))
        folders = [place for place in places if (place / "train").is_dir() and (place / "test").is_dir()]
        wanted = f"{data_set}/train/CLASS/* and {data_set}/test/CLASS/*, or the data set as it is downloaded"
    if folders:
        return DataConfig(data=f"folder:{folders[0]}", image_size=image_size)
    if any((root / file).exists() for file in NATIVE_FILES.get(data_set, ())):
        return DataConfig(data=data_set, data_dir=data_dir, image_size=image_size)
    raise DataError(f"the images of {data_set} are not in {data_dir}; wanted there: {wanted}")


NATIVE_FILES = {
    "cifar10": ("cifar-10-batches-py", "cifar-10-python.tar.gz"),
    "cifar100": ("cifar-100-python", "cifar-100-python.tar.gz"),
    "svhn": ("train_32x32.mat",),
}
"""One of these lies in the folder where torchvision keeps the data set."""


def _chosen(pool: LabelledImages, wanted: NDArray[np.int64], rng: np.random.Generator, name: str) -> LabelledImages:
    chosen = pool.chosen(choose(pool, np.ones(len(pool), dtype=bool), wanted, rng))
    found = np.bincount(chosen.labels, minlength=len(wanted))
    if (found != wanted).any():
        raise DataError(f"{name} wants {wanted.tolist()} labelled images of the classes, found {found.tolist()}")
    return chosen

"""Train, validation and test: how images are divided, stratified and seeded, with identical images on one side.

First every split is drawn as a choice of images, then they are copied out, or, where memory is too small for them,
left where they are; a source of images (``datasets``, ``folder``, ``npz_file``) only has to hand over what lies on the
disk, as a ``Source``.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuun_da.errors import ConfigError, DataError
from tuun_da.training.class_presence import check_drawn, named, note_on_duplicates, refuse_absent_classes
from tuun_da.training.free_memory import fits_into_memory
from tuun_da.training.image_facts import Bools, Integers, pixel_statistics
from tuun_da.training.settings import DEFAULT_VALIDATION_SHARE, MIN_IMAGE_SIZE, DataConfig
from tuun_da.training.sources import LabelledImages, Source
from tuun_da.training.stored_images import StoredImages

logger = logging.getLogger(__name__)

TEST_SEED = 0
"""The test split that a data set does not bring itself is drawn with this seed, whatever ``split_seed`` says:
else an image that one search validated on could become another's test image."""

NAMES_SHOWN = 5  # of classes or files in a message
DIGEST_IMAGES = 1000  # read at once, for a digest


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set ready for training: images uint8 (n, c, h, w), labels int64 (n,), on one device.

    The images are tensors; those of a folder that are too large for the memory are ``StoredImages`` instead, all three.
    ``mean`` and ``std`` hold a number for each channel, of the training images' pixels scaled to [0, 1]. ``skipped``
    names the broken files that were left out, ``ignored_files`` counts other files that are no images of the data
    folder, ``duplicates_dropped`` the training or validation images left out because a later split has the same image.
    """

    train_images: Tensor | StoredImages
    train_labels: Tensor
    validation_images: Tensor | StoredImages
    validation_labels: Tensor
    test_images: Tensor | StoredImages
    test_labels: Tensor
    class_names: tuple[str, ...]
    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    skipped: tuple[str, ...] = ()
    ignored_files: int = 0
    duplicates_dropped: int = 0

    @property
    def channels(self) -> int:
        return int(self.train_images.shape[1])

    @property
    def image_size(self) -> int:
        """Side in pixels; images are square."""
        return int(self.train_images.shape[2])

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits, equal for equal splits.

        They are of all labels, the validation images, and mean and deviation of the training images, which no other
        choice of these has by chance.
        """
        total = hashlib.blake2b(repr((self.class_names, self.mean, self.std)).encode(), digest_size=16)
        for labels in (self.train_labels, self.validation_labels, self.test_labels):
            total.update(labels.numpy(force=True).tobytes())
        for start in range(0, len(self.validation_labels), DIGEST_IMAGES):
            part: Tensor = self.validation_images[start : start + DIGEST_IMAGES]
            total.update(part.numpy(force=True).tobytes())
        return total.hexdigest()

    @property
    def left_out(self) -> dict[str, Any]:
        """What is not in the splits, as a JSON object: how many broken files and the first of them, and so on."""
        return {
            "skipped": len(self.skipped),
            "first_skipped": list(self.skipped[:NAMES_SHOWN]),
            "ignored_files": self.ignored_files,
            "duplicates_dropped": self.duplicates_dropped,
        }

    def to(self, device: torch.device | str) -> Splits:
        """The same splits with all tensors on ``device``; stored images become tensors there, unless it is the CPU."""
        return replace(
            self,
            train_images=self.train_images.to(device),
            train_labels=self.train_labels.to(device),
            validation_images=self.validation_images.to(device),
            validation_labels=self.validation_labels.to(device),
            test_images=self.test_images.to(device),
            test_labels=self.test_labels.to(device),
        )

    def describe(self) -> str:
        """One line: sizes of the splits, classes, image size."""
        sizes = (
            f"{len(self.train_labels)} train, {len(self.validation_labels)} validation, {len(self.test_labels)} test"
        )
        shape = f"{self.image_size}x{self.image_size} pixels, {self.channels} channel{'s' * (self.channels > 1)}"
        return f"{self.name}: {sizes} images of {self.num_classes} classes, {shape}"


@dataclass(frozen=True, eq=False)
class Division:
    """Which images are in which split, before they are copied out; ``source`` is without what was left out."""

    source: Source
    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages


def make_splits(source: Source, config: DataConfig) -> Splits:
    """Divide ``source`` as ``config`` says, ready for training. Raises as ``divided`` does."""
    division = divided(source, config)
    source, train, validation, test = division.source, division.train, division.validation, division.test
    height, width = train.images.shape[2:]
    mean, std = pixel_statistics(train.pixel_sums, height * width)
    in_memory = fits_into_memory(sum(part.images.nbytes for part in (train, validation, test)))
    return Splits(
        train_images=split_images(train, in_memory=in_memory),
        train_labels=torch.from_numpy(train.labels),
        validation_images=split_images(validation, in_memory=in_memory),
        validation_labels=torch.from_numpy(validation.labels),
        test_images=split_images(test, in_memory=in_memory),
        test_labels=torch.from_numpy(test.labels),
        class_names=source.class_names,
        name=source.name,
        mean=mean,
        std=std,
        skipped=source.skipped,
        ignored_files=source.ignored_files,
        duplicates_dropped=source.duplicates_dropped,
    )


def divided(source: Source, config: DataConfig) -> Division:
    """Divide ``source`` as ``config`` says. Raises DataError where there are not enough images for it.

    Every class is in every split, or it is a DataError: a class needs as many different images as there are splits to
    be carved out of the training images, and one more, because copies of an image are never divided. Only a size that
    is smaller than the number of classes is taken at its word; the classes without an image are then logged.
    """
    if len(source.class_names) < 2:
        found = f"got {len(source.class_names)}: {', '.join(source.class_names) or 'none'}"
        raise DataError(f"{source.name} must have at least two classes, {found}")
    if source.test is not None and config.test_size is not None:
        raise ConfigError(f"test_size is for data without a test split; {source.name} has one, got {config.test_size}")
    before, source = source, without_leaks(source)
    height, width = source.train.images.shape[2:]
    if min(height, width) < MIN_IMAGE_SIZE:
        raise DataError(
            f"images of {source.name} must have at least {MIN_IMAGE_SIZE}x{MIN_IMAGE_SIZE} pixels, got {width}x{height}"
        )
    refuse_absent_classes(source, before)

    # Everything is drawn from the training images in this order, so that the test split depends on nothing but
    # test_size, and the validation split not on the number of training images.
    pool = source.train
    rest = np.ones(len(pool), dtype=bool)
    test = source.test
    if test is None:
        size = source.default_test_share if config.test_size is None else config.test_size
        mask = drawn(pool, rest, size, source, "test_size", [TEST_SEED, 0], keep=2)
        test, rest = pool.chosen(mask), rest & ~mask

    validation = source.validation
    if validation is None:
        size = DEFAULT_VALIDATION_SHARE if config.validation_size is None else config.validation_size
        mask = drawn(pool, rest, size, source, "validation_size", [config.split_seed, 1], keep=1)
        validation, rest = pool.chosen(mask), rest & ~mask
    elif config.validation_size is not None:
        everything = np.ones(len(validation), dtype=bool)
        seed = [config.split_seed, 1]
        mask = drawn(validation, everything, config.validation_size, source, "validation_size", seed, keep=0)
        validation = validation.chosen(mask)

    if config.train_per_class is not None:
        rest = drawn_per_class(pool, rest, config.train_per_class, source, [config.split_seed, 2])
    elif config.train_size is not None:
        rest = drawn(pool, rest, config.train_size, source, "train_size", [config.split_seed, 2], keep=0)
    train = pool.chosen(rest)
    absent = np.setdiff1d(np.arange(len(source.class_names)), train.labels)
    if len(absent):  # images of one class that are copies of another's go where those go
        raise DataError(
            f"{source.name}: no image of class {named(source, absent)} is left to train on, because identical images "
            "are taken together or not at all; remove the copies, or choose another size of the splits"
        )
    return Division(source, train, validation, test)


def split_images(part: LabelledImages, *, in_memory: bool) -> Tensor | StoredImages:
    """The images of ``part`` for a split; those in a file stay there unless they are wanted ``in_memory``."""
    if isinstance(part.images, StoredImages):
        return torch.from_numpy(part.images.in_memory()) if in_memory else part.images
    return torch.from_numpy(part.images)


def without_leaks(source: Source) -> Source:
    """``source`` without the train images that its own validation or test split has too, and without the validation
    images that its test split has; how many were left out is in ``duplicates_dropped``."""
    dropped = 0
    train, validation = source.train, source.validation
    if validation is not None and source.test is not None:
        keep = ~np.isin(validation.fingerprints, source.test.fingerprints)
        dropped += int((~keep).sum())
        validation = validation if keep.all() else validation.chosen(keep)
    for other in (validation, source.test):
        if other is not None:
            keep = ~np.isin(train.fingerprints, other.fingerprints)
            dropped += int((~keep).sum())
            train = train if keep.all() else train.chosen(keep)
    if dropped:
        logger.warning("%s: left out %d images that occur again in the validation or test split", source.name, dropped)
    return replace(source, train=train, validation=validation, duplicates_dropped=dropped)


def drawn(
    pool: LabelledImages, free: Bools, size: int | float, source: Source, name: str, seed: list[int], *, keep: int
) -> Bools:
    """A stratified choice of ``size`` of the ``free`` images, as a mask (n,), that leaves ``keep`` of each class."""
    counts = np.bincount(pool.labels[free], minlength=len(source.class_names))
    limits = np.maximum(counts - keep, 0)
    total = size if isinstance(size, int) else max(round(size * int(counts.sum())), 1)
    if total > limits.sum():
        raise DataError(
            f"{name} must be at most {limits.sum()} for {source.name}, of which {counts.sum()} images are left for it "
            f"and later splits{note_on_duplicates(source)}; got {size}"
        )
    if name == "train_size" and total < len(counts):
        raise DataError(
            f"train_size must be at least 1 for each of the {len(counts)} classes of {source.name}, got {size}"
        )
    wanted = proportional(counts, limits, total)
    chosen = choose(pool, free, wanted, np.random.default_rng(seed))
    check_drawn(source, pool.chosen(free), pool.chosen(chosen), wanted, name, size)
    return chosen


def drawn_per_class(pool: LabelledImages, free: Bools, per_class: int, source: Source, seed: list[int]) -> Bools:
    """``per_class`` of the ``free`` images of each class, as a mask (n,). With one seed, more contain fewer.

    Raises DataError if a class has no more images, or has so many identical ones that it would come out short.
    """
    counts = np.bincount(pool.labels[free], minlength=len(source.class_names))
    fewest = int(np.argmin(counts))
    if counts[fewest] < per_class:
        raise DataError(
            f"train_per_class must be at most {counts[fewest]} for {source.name}, because class "
            f"{source.class_names[fewest]} has no more images left{note_on_duplicates(source)}; got {per_class}"
        )
    chosen = choose(pool, free, np.full(len(counts), per_class), np.random.default_rng(seed))
    found = np.bincount(pool.labels[chosen], minlength=len(counts))
    if (found != per_class).any():
        strange = int(np.argmax(found != per_class))
        raise DataError(
            f"train_per_class {per_class} gives {found[strange]} of the {counts[strange]} images that class "
            f"{source.class_names[strange]} of {source.name} has left, because identical images are taken together or "
            "not at all; remove the copies, or choose another number"
        )
    return chosen


def proportional(counts: Integers, limits: Integers, total: int) -> Integers:
    """How many of each class: ``total`` in all, in proportion to ``counts``, at most ``limits``, by largest remainder.

    If ``total`` is enough for it, every class that can gets at least one.
    """
    quotas = total * counts / counts.sum()
    least = np.minimum(limits, 1 if total >= len(counts) else 0)
    given: Integers = np.clip(np.floor(quotas).astype(np.int64), least, limits)
    while (missing := total - int(given.sum())) != 0:
        if missing > 0:
            given[np.argmax(np.where(given < limits, quotas - given, -np.inf))] += 1
        else:
            given[np.argmax(np.where(given > least, given - quotas, -np.inf))] -= 1
    return given


def choose(pool: LabelledImages, free: Bools, wanted: Integers, rng: np.random.Generator) -> Bools:
    """``wanted`` (classes,) of the ``free`` images, as a mask (n,). Identical images are taken together or not at all.

    A set of identical images counts for the class of its first one; one that is larger than what is still wanted is
    passed over, so a class with many copies can come out short of ``wanted``.
    """
    order = rng.permutation(len(pool))
    order = order[free[order]]
    _, group_of = np.unique(pool.fingerprints, return_inverse=True)
    sizes = np.bincount(group_of[order], minlength=len(pool))
    taken_groups = np.zeros(len(pool), dtype=bool)
    seen = np.zeros(len(pool), dtype=bool)
    open_places = wanted.copy()
    for index in order:
        group = group_of[index]
        if seen[group]:
            continue
        seen[group] = True
        if sizes[group] <= open_places[pool.labels[index]]:
            open_places[pool.labels[index]] -= sizes[group]
            taken_groups[group] = True
    return free & taken_groups[group_of]

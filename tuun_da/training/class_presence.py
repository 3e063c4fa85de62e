"""Whether every class is in every split, and what to say where one is not: names, counts, cause and remedy."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tuun_da.errors import DataError

if TYPE_CHECKING:
    from tuun_da.training.sources import LabelledImages, Source

logger = logging.getLogger(__name__)

Integers = npt.NDArray[np.int64]

CLASSES_SHOWN = 5


def refuse_absent_classes(source: Source, before: Source) -> None:
    """Raise DataError if a class of ``source`` cannot be in every split. ``before`` is it with its duplicates.

    A split that the data set brings needs an image of each class; the training images need one that is different for
    each split that is to be carved out of them, and one more.
    """
    for split, part, whole in (
        ("train", source.train, before.train),
        ("validation", source.validation, before.validation),
        ("test", source.test, before.test),
    ):
        if part is None or whole is None:
            continue
        counts, counts_before = counts_of(part, source), counts_of(whole, source)
        absent = np.flatnonzero(counts == 0)
        if not len(absent):
            continue
        names = named(source, absent)
        lost = int(counts_before[absent].sum())
        cause = ""
        if lost:
            others = "validation or test" if split == "train" else "test"
            cause = f": {lost} that it had were dropped as duplicates, because they occur again in the {others} split"
        left = "left to train on" if split == "train" else f"in the {split} split"
        raise DataError(
            f"{source.name}: no image of class {names} is {left}{cause}; add other images, or leave the class out"
        )
    carved = [split for split, part in (("validation", source.validation), ("test", source.test)) if part is None]
    needed = 1 + len(carved)
    different = different_of(source.train, source)
    scarce = np.flatnonzero(different < needed)
    if len(scarce):
        found = named(source, scarce, different, counts_of(source.train, source))
        raise DataError(
            f"{source.name}: every class needs {needed} different images, one for each of train, {' and '.join(carved)}"
            f"; too few has {found}{note_on_duplicates(source)}. Add other images of it, or leave the class out"
        )


def check_drawn(
    source: Source, pool: LabelledImages, chosen: LabelledImages, wanted: Integers, name: str, size: int | float
) -> None:
    """See whether ``chosen``, drawn from ``pool`` for the setting ``name``, holds the ``wanted`` (classes,) images.

    A class with none is a DataError; only where fewer images than classes were asked for it is a warning, for then it
    was the user's choice. Fewer images than the whole number asked for are a warning too.
    """
    counts, total = counts_of(chosen, source), int(wanted.sum())
    absent = np.flatnonzero(counts == 0)
    if len(absent):
        names = named(source, absent, different_of(pool, source), counts_of(pool, source))
        if total >= len(counts):
            raise DataError(
                f"{source.name}: {name} {size} finds no place for class {names}, because identical images are taken "
                f"together or not at all; remove the copies, or choose a larger {name}"
            )
        logger.warning(
            "%s: %s %s gives %d images for %d classes, so %d have none: %s",
            source.name, name, size, total, len(counts), len(absent), names,
        )  # fmt: skip
    if isinstance(size, int) and len(chosen) < total:
        short = np.flatnonzero(counts < wanted)
        logger.warning(
            "%s: %s found only %d images of %d, because identical images are taken together or not at all; short is %s",
            source.name, name, len(chosen), total, named(source, short),
        )  # fmt: skip


def counts_of(part: LabelledImages, source: Source) -> Integers:
    """Images of each class (classes,)."""
    return np.bincount(part.labels, minlength=len(source.class_names)).astype(np.int64)


def different_of(part: LabelledImages, source: Source) -> Integers:
    """Images of each class (classes,) of which no two have equal pixels."""
    _, image_of = np.unique(part.fingerprints, return_inverse=True)
    pairs = np.unique(np.stack([part.labels, image_of.astype(np.int64)]), axis=1)
    return np.bincount(pairs[0], minlength=len(source.class_names)).astype(np.int64)


def named(source: Source, classes: Integers, different: Integers | None = None, counts: Integers | None = None) -> str:
    """The first names of ``classes`` (numbers), with their different and all images where these are given."""
    texts: Sequence[str] = [source.class_names[k] for k in classes[:CLASSES_SHOWN]]
    if different is not None and counts is not None:
        texts = [f"{text} ({different[k]} different of {counts[k]})" for text, k in zip(texts, classes, strict=False)]
    more = len(classes) - CLASSES_SHOWN
    return ", ".join(texts) + (f" and {more} more" if more > 0 else "")


def note_on_duplicates(source: Source) -> str:
    """To be added to a message about too few images; empty if none were dropped."""
    if not source.duplicates_dropped:
        return ""
    return f" ({source.duplicates_dropped} duplicates of validation or test images were dropped before)"

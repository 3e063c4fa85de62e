"""A data set before a search: look at it, divide it as a search would, and say what is good and bad about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tuun_da.errors import DataError
from tuun_da.training.class_presence import counts_of
from tuun_da.training.data_copies import copies_in
from tuun_da.training.data_facts import DataFacts, Finding, Severity, SizeFacts
from tuun_da.training.data_findings import findings_of
from tuun_da.training.data_look import SPLITS, Look, OnProgress, look_at
from tuun_da.training.image_facts import Integers
from tuun_da.training.settings import DataConfig
from tuun_da.training.splits import divided

ONE_FOLDER_EACH = "put the images of each class into a folder of its own"


def check_data(config: DataConfig, on_progress: OnProgress = lambda stage, done, total: None) -> DataFacts:
    """What there is to know of the data set that ``config`` names, and of the splits that it asks for.

    Images of a folder are decoded into the cache, from which a search reads them afterwards, and never all in memory.
    Raises DataError where there is nothing to look at, ConfigError for settings that the data set cannot have.
    """
    return facts_of_look(look_at(config, on_progress), config)


def facts_of_look(look: Look, config: DataConfig) -> DataFacts:
    """The facts of what has been looked at. Raises ConfigError."""
    problems = list(look.problems)
    planned = None
    if look.source is not None:
        try:
            planned = planned_counts(look, config)
        except DataError as error:
            advice = ""  # beyond what the error says
            if len(look.class_names) < 2:
                advice = ONE_FOLDER_EACH if config.kind == "folder" else "labels must tell two classes apart at least"
            problems.append(Finding(Severity.ERROR, "split", str(error), advice))
    facts = DataFacts(
        data=config.data,
        class_names=look.class_names,
        counts={split: tuple(look.counts(split).tolist()) for split in SPLITS if split in look.splits},
        planned=planned,
        image_shape=look.image_shape,
        sizes=size_facts(look.sizes, look.image_shape[1]),
        kinds=look.kinds,
        broken=look.broken,
        ignored=look.ignored,
        copies=copies_in(look),
        findings=tuple(problems),
    )
    return replace(facts, findings=findings_of(facts, config))


def planned_counts(look: Look, config: DataConfig) -> Mapping[str, tuple[int, ...]]:
    """Images of each class in each split of a search. Raises DataError where it would fail, ConfigError."""
    assert look.source is not None
    division = divided(look.source, config)
    parts = {"train": division.train, "validation": division.validation, "test": division.test}
    return {split: tuple(counts_of(part, division.source).tolist()) for split, part in parts.items()}


def size_facts(sizes: Integers, side: int) -> SizeFacts:
    """Of ``sizes`` (n, 2), widths and heights, of images that become ``side`` x ``side``."""
    widths, heights = sizes.T
    shorter, longer = sizes.min(axis=1), sizes.max(axis=1)
    pairs, numbers = np.unique(sizes, axis=0, return_counts=True)
    most = int(np.argmax(numbers))
    return SizeFacts(
        widths=spread(widths),
        heights=spread(heights),
        distinct=len(pairs),
        commonest=(int(pairs[most, 0]), int(pairs[most, 1])),
        commonest_share=float(numbers[most] / len(sizes)),
        not_square=float(np.mean(widths != heights)),
        cut_off=float(np.mean(1.0 - shorter / longer)),
        smaller=int(np.sum(shorter < side)),
        shorter_side=int(np.median(shorter)),
    )


def spread(numbers: Integers) -> tuple[int, int, int]:
    """Smallest, median, largest."""
    return int(numbers.min()), int(np.median(numbers)), int(numbers.max())

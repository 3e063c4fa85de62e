"""A few images of each class of a data set that has been looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from tuun_da.training.data_look import Look
from tuun_da.training.resizing import Pixels

Samples: TypeAlias = Mapping[int, Sequence[Pixels]]
"""Images (c, h, w) by the number of their class."""


def samples_of(look: Look, per_class: int) -> Samples:
    """Up to ``per_class`` training images of each class, from its first to its last one at even distances."""
    in_train = look.split_of == look.splits.index("train")
    samples = {}
    for label in range(len(look.class_names)):
        numbers = np.flatnonzero(in_train & (look.labels == label))
        places = np.linspace(0, len(numbers) - 1, min(per_class, len(numbers))).round().astype(np.int64)
        samples[label] = [look.pixels_of(int(number)) for number in numbers[places]]
    return samples

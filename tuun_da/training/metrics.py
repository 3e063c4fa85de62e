"""How good predictions are: one number in [0, 1] from true and predicted classes, larger is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def accuracy(confusion: Integers) -> float:
    """The share of images that are predicted as what they are."""
    return float(np.trace(confusion) / confusion.sum())


def balanced_accuracy(confusion: Integers) -> float:
    """The mean over the classes of the share of a class's images that are recognized; 1 / classes is guessing.

    So a rare class counts as much as a frequent one. Classes without an image do not count.
    """
    images = confusion.sum(axis=1)
    return float(np.mean(np.diag(confusion)[images > 0] / images[images > 0]))


def macro_f1(confusion: Integers) -> float:
    """The mean over the classes of F1, the harmonic mean of precision and recall; 0 for a class without a hit.

    Classes that neither occur nor are predicted do not count.
    """
    both = confusion.sum(axis=0) + confusion.sum(axis=1)
    return float(np.mean(2 * np.diag(confusion)[both > 0] / both[both > 0]))


METRICS: Mapping[str, Callable[[Integers], float]] = MappingProxyType(
    {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "macro_f1": macro_f1}
)
"""All metrics by name. Each takes counts (classes, classes): a row for each true class, a column for each predicted."""


def confusion_matrix(labels: npt.ArrayLike, predictions: npt.ArrayLike, num_classes: int) -> Integers:
    """How often each true class (row) was predicted as each class (column): counts (classes, classes).

    ``labels`` and ``predictions`` (n,) are whole numbers from 0 to ``num_classes`` - 1.
    """
    pairs = np.asarray(labels, dtype=np.int64) * num_classes + np.asarray(predictions, dtype=np.int64)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes).astype(np.int64)

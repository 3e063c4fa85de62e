"""Two rows of a benchmark against each other, paired: the mean difference and its 95 % interval (Student's t)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """A row less another, paired: mean difference and its 95 % interval."""

    label: str
    difference: float
    low: float
    high: float


def compare(values: Sequence[float], others: Sequence[float], label: str = "") -> Comparison:
    """``values`` less ``others``, paired. One pair alone tells nothing: its interval is without bounds."""
    from scipy.stats import t

    differences = [a - b for a, b in zip(values, others, strict=True)]
    mean, n = statistics.fmean(differences), len(differences)
    if n < 2:
        return Comparison(label, mean, -math.inf, math.inf)
    half = float(t.ppf(0.975, n - 1)) * statistics.stdev(differences) / math.sqrt(n)
    return Comparison(label, mean, mean - half, mean + half)

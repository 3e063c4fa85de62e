"""What random search would have come to: the expected best of the first n of its trials.

The experiment's own random trials are the evidence. Of m of them with values v_(1) <= ... <= v_(m), the best of n drawn
without replacement is expected to be (the estimator of the maximum as a U-statistic, for n <= m)

    sum_i v_(i) C(i - 1, n - 1) / C(m, n)

Beyond m nothing has been seen, so a normal distribution of their mean and standard deviation is followed there, of
log(v / (1 - v)) where all values lie between 0 and 1, so that no share passes 1. Where one of them is 0 or 1, which
has no log odds, the normal distribution of the values is cut off there.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST = 4  # random trials, below which no expectation is given
QUANTILES = 400


@dataclass(frozen=True)
class RandomExpectation:
    """``best[n - 1]`` is the expected best of n trials, in the user's own direction; the first ``seen`` are seen."""

    best: tuple[float, ...]
    seen: int
    scale: str  # of the normal distribution: "log odds" or "score"


def expected_best(values: Sequence[float], n_trials: int, *, maximize: bool = True) -> RandomExpectation | None:
    """The expectation for 1 to ``n_trials`` trials from the values of random ones; None where these are too few."""
    if len(values) < FEWEST:
        return None
    sign = 1.0 if maximize else -1.0
    ordered = sorted(sign * value for value in values)
    shares = all(0.0 < value < 1.0 for value in values)
    n_seen = min(len(ordered), n_trials)
    model = NormalModel.fitted(values if shares else ordered, log_odds=shares, sign=sign if shares else 1.0)
    largest = order_statistic(ordered, n_seen)
    known = {
        n: order_statistic(ordered, n) if n <= n_seen else max(model.expected_best(n), largest)
        for n in _computed(n_seen, n_trials)
    }
    best = tuple(sign * value for value in _between(known, n_trials))
    if all(0.0 <= value <= 1.0 for value in values):
        best = tuple(min(max(value, 0.0), 1.0) for value in best)
    return RandomExpectation(best, n_seen, "log odds" if shares else "score")


def _computed(n_seen: int, n_trials: int) -> list[int]:
    """The numbers of trials for which the expectation is computed: all up to 64, then ever fewer; both ends."""
    numbers = {1, n_seen, min(n_seen + 1, n_trials), n_trials}
    n = 1
    while n < n_trials:
        numbers.add(n)
        n += max(1, n // 64)
    return sorted(numbers)


def _between(known: dict[int, float], n_trials: int) -> list[float]:
    """``known`` for all of 1 to ``n_trials``, on straight lines between its numbers."""
    found: list[float] = []
    for low, high in itertools.pairwise(known):
        step = (known[high] - known[low]) / (high - low)
        found += [known[low] + step * (n - low) for n in range(low, high)]
    return [*found, known[n_trials]]


def order_statistic(ordered: Sequence[float], n: int) -> float:
    """The expected largest of ``n`` of the rising values, drawn without replacement."""
    weight = n / len(ordered)  # that of the largest; each next one's follows from the quotient of the binomials
    terms = []
    for i in range(len(ordered), n - 1, -1):
        terms.append(weight * ordered[i - 1])
        weight *= (i - n) / (i - 1) if i > 1 else 0.0
    return math.fsum(terms)


@dataclass(frozen=True)
class NormalModel:
    """Values whose ``sign`` times themselves (or log odds) are normal."""

    mean: float
    deviation: float
    log_odds: bool
    sign: float

    @classmethod
    def fitted(cls, values: Sequence[float], *, log_odds: bool, sign: float) -> NormalModel:
        """With mean and deviation of ``values``, which are shares with ``log_odds``."""
        numbers = [sign * (math.log(value / (1.0 - value)) if log_odds else value) for value in values]
        return cls(statistics.fmean(numbers), statistics.stdev(numbers), log_odds, sign)

    def expected_best(self, n: int) -> float:
        """The expected largest of ``sign`` times n values."""
        normal = statistics.NormalDist()
        drawn = []
        for k in range(QUANTILES):  # equal parts of the largest one's distribution, which is that of one to the n
            quantile = ((k + 0.5) / QUANTILES) ** (1.0 / n)
            number = self.mean + self.deviation * normal.inv_cdf(min(quantile, 1.0 - 1e-16))
            if self.log_odds:  # the number is sign * log odds
                number = self.sign / (1.0 + math.exp(-self.sign * number))
            drawn.append(number)
        return statistics.fmean(drawn)

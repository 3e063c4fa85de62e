"""What an experiment maximizes: one number from the epochs of a training."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from tuun_da.errors import TrainingError
from tuun_da.training.checks import checked_choice

ROUNDING = 1e-9  # 0.75 - 0.70 is more than 0.05


class Epoch(Protocol):
    """What a reward looks at, each in [0, 1]: the score by the chosen metric, and two accuracies."""

    @property
    def validation_score(self) -> float: ...
    @property
    def validation_accuracy(self) -> float: ...
    @property
    def train_accuracy(self) -> float: ...


def last(epochs: Sequence[Epoch], gap: float, count: int) -> float:
    """The validation score of the last epoch. Unlike the best of all epochs it is not biased by choosing."""
    del gap, count
    return epochs[-1].validation_score


def best(epochs: Sequence[Epoch], gap: float, count: int) -> float:
    """The best validation score of all epochs: what early stopping of the final training would give, flattered."""
    del gap, count
    return max(epoch.validation_score for epoch in epochs)


def top3(epochs: Sequence[Epoch], gap: float, count: int) -> float:
    """DeepAugment's: the mean of the best ``count`` epochs, three if not told otherwise, that do not over-fit.

    Those are the epochs whose validation accuracy is at most ``gap`` below the accuracy on the augmented training
    images as they are sampled; both are accuracies, whatever the metric of the score. Where fewer qualify it is the
    mean of these; where none does, the last epoch counts.
    """
    fitting = [epoch for epoch in epochs if epoch.train_accuracy - epoch.validation_accuracy <= gap + ROUNDING]
    if not fitting:
        return last(epochs, gap, count)
    return statistics.fmean(sorted((epoch.validation_score for epoch in fitting), reverse=True)[:count])


REWARDS: Mapping[str, Callable[[Sequence[Epoch], float, int], float]] = MappingProxyType(
    {"last": last, "best": best, "top3": top3}
)
"""All rewards by name. Each takes the epochs so far, and the gap and the number of epochs of top3; larger is better."""


def reward(epochs: Sequence[Epoch], kind: str = "last", *, gap: float = 0.05, count: int = 3) -> float:
    """The reward of a training, or of its beginning, with these ``epochs``.

    Raises ConfigError for an unknown ``kind``, TrainingError where there is no epoch.
    """
    chosen = REWARDS[checked_choice("reward", kind, REWARDS)]
    if not epochs:
        raise TrainingError("a reward needs at least one finished epoch, got none")
    return float(chosen(epochs, gap, count))

"""What an experiment maximizes: one number from the curve of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from tuun_da.errors import TrainingError
from tuun_da.training.checks import checked_choice


def last(curve: Sequence[float]) -> float:
    """The validation accuracy after the last epoch. Unlike the best over all epochs it is not biased by choosing."""
    return curve[-1]


REWARDS: Mapping[str, Callable[[Sequence[float]], float]] = MappingProxyType({"last": last})
"""All rewards by name. Each takes the validation accuracies, one for each epoch; larger is better."""


def reward(curve: Sequence[float], kind: str = "last") -> float:
    """The reward of a training whose validation accuracies, one for each epoch, are ``curve``.

    Raises ConfigError for an unknown ``kind``, TrainingError for a curve without an epoch.
    """
    chosen = REWARDS[checked_choice("reward", kind, REWARDS)]
    if not curve:
        raise TrainingError("a reward needs at least one finished epoch, got none")
    return float(chosen(curve))

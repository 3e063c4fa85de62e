"""How far a trial is, in epochs and in score. Loads no torch."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from tuun_da.training.reward import Epoch, reward
from tuun_da.training.schedule import TrainConfig


class TrialProgress:
    """What is known of a trial while it runs; ``on_epoch`` hears the validation score of each epoch.

    Call ``begin`` before each training, and the object itself with the report of each of its epochs.
    """

    def __init__(self, on_epoch: Callable[[float], object] = lambda score: None) -> None:
        self._on_epoch = on_epoch
        self._trainings: list[tuple[TrainConfig, list[Epoch]]] = []

    def begin(self, config: TrainConfig) -> None:
        """A training begins, with these settings."""
        self._trainings.append((config, []))

    def __call__(self, report: Epoch) -> None:
        """One more epoch of the last training."""
        self._trainings[-1][1].append(report)
        self._on_epoch(report.validation_score)

    @property
    def curve(self) -> tuple[float, ...]:
        """The validation scores of all epochs, one training after the other."""
        return tuple(epoch.validation_score for _, epochs in self._trainings for epoch in epochs)

    @property
    def score(self) -> float | None:
        """The mean reward of the trainings, of the last one as far as it is; None before the first epoch."""
        rewards = [
            reward(epochs, config.reward, gap=config.reward_gap, count=config.reward_epochs)
            for config, epochs in self._trainings
            if epochs
        ]
        return statistics.fmean(rewards) if rewards else None

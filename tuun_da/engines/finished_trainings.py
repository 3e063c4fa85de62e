"""Trainings that are done when they are asked for: taken from the disk, or done now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from tuun_da.engines.kept_trainings import KeptTrainings
from tuun_da.engines.retraining import DataFacts, Training, Workers, device_kind, predict_one, train_one

OnProgress: TypeAlias = Callable[[str, int, int], None]
"""Hears of the stage in words, how many of its trainings are done, and how many there are."""
READING = "Reading the test images"


class FinishedTrainings:
    """Does the trainings that are not done yet with the workers of ``pool``, and puts each on disk."""

    def __init__(
        self, pool: Workers, kept: KeptTrainings, facts: DataFacts, device: str, on_progress: OnProgress
    ) -> None:
        self.facts = facts
        self._pool, self._kept, self._device, self._on_progress = pool, kept, device, on_progress
        self._kind = device_kind(device)

    def key(self, training: Training) -> str:
        """The name of a training among those that are kept."""
        return training.key(self.facts.digest, self._kind)

    def validation(
        self, stage: str, labels: Sequence[str], grid: Sequence[Sequence[Training]], *, keep: bool
    ) -> list[list[float]]:
        """The validation score of each training of ``grid`` (rows, seeds); ``keep`` the networks for ``tested``."""

        def is_done(key: str) -> bool:
            has_network = not keep or self._kept.tested(key) is not None or self._kept.network(key).is_file()
            return self._kept.validation(key) is not None and has_network

        # by the seed, so that a worker meets the same images again
        pairs = [
            (label, row[number]) for number in range(len(grid[0])) for label, row in zip(labels, grid, strict=True)
        ]
        missing = [(label, training) for label, training in pairs if not is_done(self.key(training))]
        done = len(pairs) - len(missing)
        self._on_progress(stage, done, len(pairs))

        def note(number: int, score: float) -> None:
            nonlocal done
            label, training = missing[number]
            self._kept.add_validation(self.key(training), label, score)
            done += 1
            self._on_progress(stage, done, len(pairs))

        jobs = [
            (training, self._device, self._pool.threads, str(self._kept.network(self.key(training))) if keep else None)
            for _, training in missing
        ]
        self._pool.run(train_one, jobs, note)
        return [[self._score(training) for training in row] for row in grid]

    def tested(self, grid: Sequence[Sequence[Training]]) -> tuple[list[list[list[int]]], list[int]]:
        """What each network takes the test images for (rows, seeds, n), and what these are (n,)."""
        missing = [training for row in grid for training in row if self._kept.tested(self.key(training)) is None]
        total = sum(len(row) for row in grid)
        done = total - len(missing)
        self._on_progress(READING, done, total)

        def note(number: int, result: tuple[list[int], list[int]]) -> None:
            nonlocal done
            self._kept.add_tested(self.key(missing[number]), *result)
            done += 1
            self._on_progress(READING, done, total)

        jobs = [
            (training, self._device, self._pool.threads, str(self._kept.network(self.key(training))))
            for training in missing
        ]
        self._pool.run(predict_one, jobs, note)
        found = [[self._kept.tested(self.key(training)) for training in row] for row in grid]
        predictions = [[pair[0] for pair in row if pair is not None] for row in found]
        labels = next(pair[1] for row in found for pair in row if pair is not None)
        return predictions, labels

    def _score(self, training: Training) -> float:
        score = self._kept.validation(self.key(training))
        assert score is not None  # the run has just noted it
        return score

"""The progress of an experiment as a line of text."""

from __future__ import annotations

import sys
from typing import TextIO

from tuun_da.engines.nni_experiment import Progress
from tuun_da.engines.replay import best_trial


class ProgressLine:
    """Shows trials finished of all, the best score so far and the time left.

    On a terminal the line is rewritten; elsewhere a new one comes with each finished trial.
    """

    def __init__(self, max_trials: int | None, concurrency: int, stream: TextIO | None = None) -> None:
        self._max_trials = max_trials
        self._concurrency = concurrency
        self._stream = sys.stdout if stream is None else stream
        self._shown: str | None = None
        self._n_finished = -1

    def show(self, progress: Progress) -> None:
        """Show how far it is, if that is news."""
        text = self.text(progress)
        if self._stream.isatty():
            if text != self._shown:
                print(f"\r{text:<100}", end="", file=self._stream, flush=True)
        elif progress.n_finished != self._n_finished:
            print(text, file=self._stream, flush=True)
        self._shown, self._n_finished = text, progress.n_finished

    def close(self) -> None:
        """End the line."""
        if self._shown is not None and self._stream.isatty():
            print(file=self._stream, flush=True)

    def text(self, progress: Progress) -> str:
        """The line."""
        best = best_trial(progress.journal) if progress.journal is not None else None
        parts = [f"{progress.n_finished:>3}/{self._max_trials or '?'} trials"]
        if progress.n_failed:
            parts.append(f"{progress.n_failed} failed")
        n_fallbacks = sum(event.fallback is not None for event in progress.journal.events) if progress.journal else 0
        if n_fallbacks:
            parts.append(f"{n_fallbacks} at random because the surrogate failed")
        parts.append(f"best score {best.value:.4f} (trial {best.id})" if best is not None else "no score yet")
        parts.append(f"{_clock(progress.seconds)} passed")
        left = self.seconds_left(progress)
        if left is not None:
            parts.append(f"about {_clock(left)} left")
        return ", ".join(parts)

    def seconds_left(self, progress: Progress) -> float | None:
        """An estimate from the trials so far; None before the first has finished."""
        if self._max_trials is None or progress.n_finished == 0:
            return None
        # Trials that are running are taken for half done.
        n_done = progress.n_finished + 0.5 * min(progress.n_running, self._concurrency)
        return progress.seconds / n_done * max(self._max_trials - n_done, 0)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

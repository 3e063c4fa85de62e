"""Whether there is time for one more trial, when the whole has to end in time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from tuun_da.search.history import JournalContent, TrialState

LATEST = 12  # trials from whose times the next one's is told: what else a machine does changes


def seconds_of_trial(content: JournalContent, planned: float) -> float:
    """The median of the latest trials that came to a score; ``planned`` before there is one."""
    times = [
        trial.ended - trial.started
        for trial in content.trials
        if trial.state is TrialState.SUCCEEDED and trial.started is not None and trial.ended is not None
    ]
    return statistics.median(times[-LATEST:]) if times else planned


class Pace:
    """Lets trials begin as long as what follows can still end in time, and a few in any case.

    ``ends`` is when all must be over, by ``clock``; ``after`` says how many seconds will be needed after the search, if
    a training takes so many. ``least`` and ``most`` are numbers of trials that have begun, baselines included: up to
    ``least`` the next one begins whatever the time is. ``planned_seconds`` is what a trial takes before one has ended.
    """

    def __init__(
        self,
        *,
        ends: float,
        least: int,
        most: int,
        planned_seconds: float,
        after: Callable[[float], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ends, self._least, self._most = ends, least, most
        self._planned, self._after, self._clock = planned_seconds, after, clock

    def may_begin(self, n_begun: int, content: JournalContent) -> bool:
        """Whether one more trial may begin."""
        if n_begun >= self._most:
            return False
        if n_begun < self._least:
            return True
        seconds = seconds_of_trial(content, self._planned)
        return self._clock() + seconds + self._after(seconds) <= self._ends

    def seconds_left(self, planned: int, n_workers: int, content: JournalContent) -> float:
        """Until all is over, if ``planned`` trials are run, baselines included, or as many as there is time for."""
        seconds, ended = seconds_of_trial(content, self._planned), len(content.trials)
        at_least, all_planned = (
            max(n - ended, 0) * seconds / n_workers + self._after(seconds) for n in (min(self._least, planned), planned)
        )
        return max(at_least, min(all_planned, self._ends - self._clock()))

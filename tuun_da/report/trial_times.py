"""How long an experiment took, and what that cost."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from tuun_da.search.history import JournalContent


@dataclass(frozen=True)
class Times:
    """Seconds. ``busy`` is while at least one trial ran, so that pauses do not count; ``trials`` sums them up."""

    began: float | None
    ended: float | None
    busy: float | None
    trials: float | None
    median: float | None
    cost_per_hour: float | None

    @property
    def cost(self) -> float | None:
        """Busy hours at ``cost_per_hour``, in its currency."""
        if self.cost_per_hour is None or self.busy is None:
            return None
        return self.cost_per_hour * self.busy / 3600


def times_of(content: JournalContent, cost_per_hour: float | None) -> Times:
    """The times of the trials that ended; a trial that does not say when it began did so when it was asked for."""
    asked = {event.id: event.time for event in content.events if event.trial is None}
    spans = []
    for trial in content.trials:
        began = trial.started if trial.started is not None else asked.get(trial.id)
        if isinstance(began, int | float) and isinstance(trial.ended, int | float) and trial.ended >= began:
            spans.append((float(began), float(trial.ended)))
    ends = [end for _, end in spans]
    began = content.started if isinstance(content.started, int | float) else min((b for b, _ in spans), default=None)
    busy, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    lengths = [end - start for start, end in spans]
    return Times(
        began=began,
        ended=max(ends, default=None),
        busy=busy if spans else None,
        trials=sum(lengths) if spans else None,
        median=statistics.median(lengths) if lengths else None,
        cost_per_hour=cost_per_hour,
    )

"""The trials of a journal in the order in which they ended: where each came from, and the best score so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tuun_da.search.history import JournalContent, Trial, TrialState

KINDS = ("baseline", "random", "proposed", "elsewhere")


@dataclass(frozen=True)
class Point:
    """A trial that ended, the ``place``-th from 1. ``best`` is the best score of a complete trial up to it.

    ``kind`` is one of ``KINDS``: a policy known before, one drawn at random (also of a Latin hypercube), one that the
    model proposed, or a result from elsewhere. ``label`` names a baseline.
    """

    place: int
    trial: Trial
    kind: str
    label: str | None
    best: float | None

    @property
    def succeeded(self) -> bool:
        """Whether its score is that of a whole training."""
        return self.trial.state is TrialState.SUCCEEDED


def points_of(content: JournalContent, trials: Mapping[int, Trial], labels: Mapping[int, str]) -> tuple[Point, ...]:
    """The trials that ended, in order, with what they are and the best so far."""
    random = random_ids(content, labels)
    sign = 1.0 if content.maximize else -1.0
    best: float | None = None
    points = []
    for place, trial in enumerate(trials.values(), 1):
        if trial.state is TrialState.SUCCEEDED and trial.value is not None:
            best = trial.value if best is None else sign * max(sign * best, sign * trial.value)
        if trial.id in labels:
            kind = "baseline"
        elif trial.imported:
            kind = "elsewhere"
        else:
            kind = "random" if trial.id in random else "proposed"
        points.append(Point(place, trial, kind, labels.get(trial.id), best))
    return tuple(points)


def random_ids(content: JournalContent, labels: Mapping[int, str]) -> set[int]:
    """The trials that no model proposed: of random search all, else those asked for while trials were too few.

    This repeats what the optimizer counts when it is asked: finished, stopped and running trials.
    """
    if content.settings.get("surrogate") == "random":
        return {event.id for event in content.events} - set(labels)
    n_initial = content.settings.get("n_initial", 10)
    found: set[int] = set()
    begun: set[int] = set()
    scored = 0
    for event in content.events:
        if event.trial is None:
            if (len(begun) < n_initial or scored == 0) and event.id not in labels:
                found.add(event.id)
            begun.add(event.id)
        elif event.trial.state is TrialState.FAILED or not event.trial.parameters:  # a baseline without any
            begun.discard(event.id)
        else:
            begun.add(event.id)
            scored += event.trial.state is TrialState.SUCCEEDED
    return found

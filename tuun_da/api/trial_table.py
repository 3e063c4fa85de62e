"""The trials of a search as rows: what a program reads, pandas and CSV take, and a notebook shows as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tuun_da.search.history import Trial, TrialState

FIRST_COLUMNS = ("trial", "state", "score", "seconds", "error")
SHOWN = 20  # rows in a notebook, half of them from the beginning


class TrialTable(list[dict[str, Any]]):
    """A row for each trial that ended, in that order: trial, state, score, seconds, error, and its parameters."""

    @classmethod
    def of(cls, trials: Iterable[Trial]) -> TrialTable:
        """The rows of these trials."""
        return cls(row_of(trial) for trial in trials)

    @property
    def columns(self) -> list[str]:
        """All names, in the order in which they first come; those that every row has where there is none."""
        return list(dict.fromkeys([*FIRST_COLUMNS, *(name for row in self for name in row)]))

    def to_text(self) -> str:
        """The rows as CSV, with a header."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self)
        return text.getvalue()

    def _repr_html_(self) -> str:
        """For a notebook: the first and the last rows, each policy in one line."""
        from tuun_da.report.notebook_view import table_view

        half = SHOWN // 2
        chosen: Sequence[Mapping[str, Any]] = self if len(self) <= SHOWN else [*self[:half], *self[-half:]]
        parameters = [{name: value for name, value in row.items() if name not in FIRST_COLUMNS} for row in chosen]
        return table_view(chosen, parameters, n_left_out=len(self) - len(chosen), after=half)


def row_of(trial: Trial) -> dict[str, Any]:
    """A trial as a row of a table."""
    timed = trial.started is not None and trial.ended is not None and trial.ended >= trial.started
    return {
        "trial": trial.id,
        "state": trial.state.value,
        "score": trial.value if trial.state is TrialState.SUCCEEDED else None,
        "seconds": round(trial.ended - trial.started, 3) if timed else None,  # type: ignore[operator]
        "error": trial.error,
        **trial.parameters,
    }

"""What a search in Python came to: policy, trials, and the comparison with doing nothing."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from tuun_da.data_files import write_text
from tuun_da.engines.export import Recommendation, recommend
from tuun_da.engines.replay import best_trial
from tuun_da.errors import ConfigError, ExperimentError
from tuun_da.policy_format import PolicyRecord, describe, split_parameters
from tuun_da.search.history import JournalContent, Trial, TrialState, read_journal

if TYPE_CHECKING:
    import pandas

    from tuun_da.augment.policy import Policy
    from tuun_da.engines.confirm import Confirmation

BASELINES = ("none", "etp", "trivialaugment")


class SearchResult:
    """A search that has ended, or was interrupted; ``SearchResult.load`` makes one of any journal.

    ``content`` is what its journal holds, ``journal_path`` where that is, None where it was kept in memory.
    ``interrupted`` says whether fewer trials ended than were wanted. ``model`` is the network of the search if its
    caller named it: code, which a journal alone is not trusted to name. ``kept`` lives as long as the result.
    """

    def __init__(
        self,
        content: JournalContent,
        journal_path: Path | None = None,
        *,
        interrupted: bool = False,
        model: str | None = None,
        kept: object = None,
    ) -> None:
        self.content = content
        self.journal_path = journal_path
        self.interrupted = interrupted
        self._model = model
        self._kept = kept

    @classmethod
    def load(cls, journal_path: str | os.PathLike[str]) -> SearchResult:
        """What the journal at this path holds, of a search that runs or has ended. Raises JournalError."""
        return cls(read_journal(journal_path), Path(journal_path))

    @functools.cached_property
    def _recommended(self) -> Recommendation:
        return recommend(self.content)

    @property
    def record(self) -> PolicyRecord:
        """The recommended policy as data: best by the model's mean, since the best score is also the luckiest.

        Raises ExperimentError before any trial has come to a score.
        """
        record = self._recommended.record
        if record is None:
            raise ExperimentError("the search space holds no policy")
        return record

    @property
    def policy(self) -> Policy:
        """The recommended policy as a transform. Raises ExperimentError as ``record`` does."""
        from tuun_da.augment.policy import Policy

        return Policy.from_record(self.record)

    @property
    def best_params(self) -> dict[str, Any]:
        """The parameters of the recommended trial. Raises ExperimentError as ``record`` does."""
        return dict(self._recommended.parameters)

    @property
    def best_score(self) -> float | None:
        """The best score of any trial, which flatters; None before there is one."""
        best = best_trial(self.content)
        return None if best is None else best.value

    @property
    def trials(self) -> list[dict[str, Any]]:
        """A row for each trial that ended, in that order: trial, state, score, seconds, error, and its parameters."""
        return [row_of(trial) for trial in self.content.trials]

    def to_frame(self) -> pandas.DataFrame:
        """The ``trials`` as a table of pandas. Raises ConfigError where pandas is not installed."""
        try:
            import pandas
        except ImportError:
            raise ConfigError("a table of the trials needs pandas; .trials and .to_csv do without") from None
        return pandas.DataFrame(self.trials, columns=_columns(self.trials))

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the ``trials`` as a table with a header. Raises ConfigError where the file cannot be written."""
        rows = self.trials
        text = io.StringIO()
        writer = csv.DictWriter(text, _columns(rows), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(path, text.getvalue(), "table of trials", ConfigError)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the recommended policy as a policy file. Raises PolicyError, and ExperimentError as ``record`` does."""
        self.record.save(path)

    def confirm(
        self,
        *,
        baselines: Sequence[str] = BASELINES,
        n_seeds: int = 5,
        n_workers: int | None = None,
        device: str = "auto",
        overrides: Mapping[str, Any] | None = None,
        progress: bool = True,
    ) -> Confirmation:
        """Train the recommended policy and the ``baselines`` on ``n_seeds`` fresh seeds, and read the test images.

        See ``tuun_da.engines.confirm.confirm``, whose ``workers`` are ``n_workers`` here. They are processes of
        multiprocessing: a script that calls this must do so under ``if __name__ == "__main__":``.
        """
        from tuun_da.engines.confirm import confirm
        from tuun_da.engines.progress_bar import ProgressBar

        changed = dict(overrides or {})
        if self._model is not None:
            changed.setdefault("model", self._model)
        with contextlib.closing(ProgressBar()) as bar:

            def show(done: int, total: int) -> None:
                if progress:
                    bar.show("Confirming on the test images", done, total, "trainings")

            return confirm(
                self.record,
                baselines=baselines,
                n_seeds=n_seeds,
                workers=n_workers,
                device=device,
                overrides=changed,
                on_progress=show,
            )

    def __repr__(self) -> str:
        state = ", interrupted" if self.interrupted else ""
        best = "no score yet" if self.best_score is None else f"best score {self.best_score:.4f}"
        where = "in memory" if self.journal_path is None else f"journal {self.journal_path}"
        return f"<{type(self).__name__}: {len(self.content.trials)} trials{state}, {best}, {where}>"

    def __str__(self) -> str:
        if self.best_score is None:
            return repr(self)
        return f"{self!r}\n{describe(self.record.sub_policies)}"


class BestPolicies(SearchResult, Sequence[tuple["Policy", float]]):
    """A result that is also a sequence: pairs of a policy and its score, the best score first."""

    @functools.cached_property
    def _ranked(self) -> list[Trial]:
        sign = -1.0 if self.content.maximize else 1.0
        scored = [t for t in self.content.trials if t.state is TrialState.SUCCEEDED and t.value is not None]
        return sorted(scored, key=lambda trial: sign * (trial.value or 0.0))

    def __len__(self) -> int:
        return len(self._ranked)

    @overload
    def __getitem__(self, place: int) -> tuple[Policy, float]: ...
    @overload
    def __getitem__(self, place: slice) -> list[tuple[Policy, float]]: ...

    def __getitem__(self, place: int | slice) -> tuple[Policy, float] | list[tuple[Policy, float]]:
        if isinstance(place, slice):
            return [self._pair(trial) for trial in self._ranked[place]]
        return self._pair(self._ranked[place])

    def __iter__(self) -> Iterator[tuple[Policy, float]]:
        return (self._pair(trial) for trial in self._ranked)

    def _pair(self, trial: Trial) -> tuple[Policy, float]:
        from tuun_da.augment.policy import Policy

        recommended = self.record  # it says how the policies of this search meet the images
        policy = Policy(
            split_parameters(trial.parameters)[0],
            per=recommended.per,
            unchanged_share=recommended.unchanged_share,
            searched={**recommended.searched, "trial": trial.id, "score": trial.value},
        )
        return policy, float(trial.value or 0.0)


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


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """All names, in the order in which they first come; those that every row has where there is none."""
    first = ("trial", "state", "score", "seconds", "error")
    return list(dict.fromkeys([*first, *(name for row in rows for name in row)]))

"""What a search in Python came to: policy, trials, and the comparison with doing nothing."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from tuun_da.api.trial_table import TrialTable
from tuun_da.data_files import write_text
from tuun_da.engines.export import Recommendation, recommend
from tuun_da.engines.replay import best_trial
from tuun_da.errors import ConfigError, ExperimentError, TuunDaError
from tuun_da.policy_format import PolicyRecord, describe, split_parameters
from tuun_da.search.history import JournalContent, Trial, TrialState, read_journal

if TYPE_CHECKING:
    import pandas

    from tuun_da.augment.policy import Policy
    from tuun_da.engines.confirmation import Confirmation

BASELINES = ("none", "etp", "trivialaugment", "etp+policy")


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
    def trials(self) -> TrialTable:
        """A row for each trial that ended, in that order: trial, state, score, seconds, error, and its parameters.

        A list of dictionaries, which a notebook shows as a table; ``to_frame`` makes one of pandas.
        """
        return TrialTable.of(self.content.trials)

    def to_frame(self) -> pandas.DataFrame:
        """The ``trials`` as a table of pandas. Raises ConfigError where pandas is not installed."""
        try:
            import pandas
        except ImportError:
            raise ConfigError("a table of the trials needs pandas; .trials and .to_csv do without") from None
        trials = self.trials
        return pandas.DataFrame(trials, columns=trials.columns)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the ``trials`` as a table with a header. Raises ConfigError where the file cannot be written."""
        write_text(path, self.trials.to_text(), "table of trials", ConfigError)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the recommended policy as a policy file. Raises PolicyError, and ExperimentError as ``record`` does."""
        self.record.save(path)

    def confirm(
        self,
        *,
        n_candidates: int = 3,
        baselines: Sequence[str] = BASELINES,
        n_seeds: int = 5,
        n_workers: int | None = None,
        device: str = "auto",
        overrides: Mapping[str, Any] | None = None,
        fresh: bool = False,
        progress: bool = True,
    ) -> Confirmation:
        """Choose among ``n_candidates`` recommended policies, train it and the ``baselines``, and read the test images.

        See ``tuun_da.engines.confirm.confirm_experiment``, whose ``workers`` are ``n_workers`` here. What has finished
        and the record of test readings are beside the journal; of one in memory nothing is kept. The ``record`` of the
        result is the policy that was chosen. The workers are processes of multiprocessing: a script that calls this
        must do so under ``if __name__ == "__main__":``.
        """
        from tuun_da.engines.confirm import confirm_experiment
        from tuun_da.engines.progress_bar import ProgressBar

        changed = dict(overrides or {})
        if self._model is not None:
            changed.setdefault("model", self._model)
        with contextlib.closing(ProgressBar()) as bar:

            def show(stage: str, done: int, total: int) -> None:
                if progress:
                    bar.show(stage, done, total, "trainings")

            return confirm_experiment(
                self.content,
                None if self.journal_path is None else self.journal_path.resolve().parent,
                n_candidates=n_candidates,
                baselines=baselines,
                n_seeds=n_seeds,
                workers=n_workers,
                device=device,
                overrides=changed,
                fresh=fresh,
                on_progress=show,
            )

    def report(
        self,
        path: str | os.PathLike[str] = "report.html",
        *,
        confirmation: str | os.PathLike[str] | Confirmation | None = None,
        images: str | os.PathLike[str] | None = None,
        data_dir: str | None = None,
        cost_per_hour: float | None = None,
        paths: bool = False,
    ) -> Path:
        """Write all that there is to say of the search into one file, whose path is returned.

        The ending of ``path`` says the format: .html, .md or .json; a file that is no report is not replaced.
        ``confirmation`` is what ``confirm`` returned or a file of it; None: that beside the experiment's
        best_policy.json, if there is one. ``images`` are shown under the policy, a folder, a file or a data set; None:
        those of the search, "none": none. ``cost_per_hour`` is the price of the machine. Home folders are shown as ~
        unless ``paths``. Raises ConfigError, and ExperimentError before any trial has come to a score.
        """
        from tuun_da.api.confirmed_policy import confirmation_of, policy_places
        from tuun_da.api.experiment_report import SUFFIXES, check_report_path, report_of, write_report

        target = Path(path).expanduser().resolve()
        form = SUFFIXES.get(target.suffix.lower())
        if form is None:
            raise ConfigError(f"a report's file must end in {', '.join(SUFFIXES)}; got {os.fspath(path)!r}")
        check_report_path(target)
        recommended = self._recommended
        confirmed_trial: int | None = None
        with contextlib.ExitStack() as stack:
            if confirmation is None:
                file, confirmed_trial = confirmation_of(self.content, policy_places(self.journal_path))
            elif isinstance(confirmation, str | os.PathLike):
                file = os.fspath(confirmation)
            else:
                chosen = None if confirmation.record is None else confirmation.record.searched.get("trial")
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tuun_da-"))
                file = os.path.join(folder, "confirmation.json")
                write_text(file, json.dumps(confirmation.to_dict()), "confirmation", ConfigError)
                confirmed_trial = recommended.trial.id if chosen is None else chosen
            made = report_of(
                self.content,
                named="" if self.journal_path is None else str(self.journal_path),
                recommendation=recommended,
                confirmation=file,
                confirmed_trial=confirmed_trial,
                images=None if images is None else os.fspath(images),
                data_dir=data_dir,
                cost_per_hour=cost_per_hour,
                paths=paths,
                with_pictures=form == "html",
            )
        write_report(made, target, form)
        return target

    def _repr_html_(self) -> str:
        """For a notebook: what it came to, the scores as a small chart, the recommended policy as a table."""
        from tuun_da.report.notebook_view import result_view
        from tuun_da.report.summary import NOTHING
        from tuun_da.report.wording import does_nothing

        sentences, record = [self._state()], None
        with contextlib.suppress(TuunDaError):  # before any score; and what is shown must not fail
            recommended = self._recommended
            record = recommended.record
            what = "setting" if record is None else "policy"
            score = "" if recommended.trial.value is None else f", which scored {recommended.trial.value:.4f}"
            sentences.append(f"Recommended is the {what} of trial {recommended.trial.id}{score}.")
            if record is not None and does_nothing(record.sub_policies):
                sentences.append(NOTHING)
        return result_view(self.content, sentences, record, self._best_rows())

    def _best_rows(self) -> list[list[str]]:
        """For the notebook: rank, trial, score and policy of the best by score; none for a result that has one."""
        return []

    def _state(self) -> str:
        """What came of the search, in a line."""
        best = best_trial(self.content)
        n = len(self.content.trials)
        words = f"{n} trial{'' if n == 1 else 's'}"
        failed = sum(trial.state is TrialState.FAILED for trial in self.content.trials)
        words += f", {failed} of them failed" if failed else ""
        words += ", interrupted" if self.interrupted else ""
        words += "; no score yet" if best is None else f"; best score {best.value:.4f} of trial {best.id}"
        return words + ("; kept in memory." if self.journal_path is None else f"; journal {self.journal_path}")

    def __repr__(self) -> str:
        state = ", interrupted" if self.interrupted else ""
        best = "no score yet" if self.best_score is None else f"best score {self.best_score:.4f}"
        where = "in memory" if self.journal_path is None else f"journal {self.journal_path}"
        return f"<{type(self).__name__}: {len(self.content.trials)} trials{state}, {best}, {where}>"

    def __str__(self) -> str:
        if self.best_score is None:
            return repr(self)
        record = self._recommended.record
        return repr(self) if record is None else f"{self!r}\n{describe(record.sub_policies)}"


class BestPolicies(SearchResult, Sequence[tuple["Policy", float]]):
    """A result that is also a sequence: pairs of a policy and its score, the best score first."""

    @functools.cached_property
    def _ranked(self) -> list[Trial]:
        sign = -1.0 if self.content.maximize else 1.0
        scored = [t for t in self.content.trials if t.state is TrialState.SUCCEEDED and t.value is not None]
        return sorted(scored, key=lambda trial: sign * (trial.value or 0.0))

    def _best_rows(self) -> list[list[str]]:
        from tuun_da.report.trials_table import policy_text

        return [
            [str(rank), str(trial.id), f"{trial.value:.4f}", policy_text(trial.parameters)]
            for rank, trial in enumerate(self._ranked[:5], 1)
        ]

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

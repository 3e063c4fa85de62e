"""A search that a Python program starts: where its files lie, what it shows, what it returns."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tuun_da.api.search_result import SearchResult
from tuun_da.engines.experiment_files import FOLDER
from tuun_da.engines.local import run_search
from tuun_da.engines.local_trial import TrialPlan
from tuun_da.engines.progress_bar import ProgressBar
from tuun_da.engines.replay import best_trial
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.errors import ConfigError
from tuun_da.search.history import JournalContent, Trial, TrialState

AUTO = "auto"
"""In the working directory: the journals of searches that were given no other place."""

Result = TypeVar("Result", bound=SearchResult)


class Place:
    """Where a search keeps its journal, and beside it the arrays that it was given. Raises ConfigError.

    ``journal`` is "auto", a file for these very settings in ``FOLDER``; the path of a file; or None, where nothing
    outlives the result: then ``kept`` is a temporary folder.
    """

    def __init__(self, journal: str | os.PathLike[str] | None) -> None:
        if journal is not None and (not isinstance(journal, str | os.PathLike) or not os.fspath(journal)):
            raise ConfigError(f"journal must be auto, the path of a file, or None; got {journal!r}")
        self.kept: tempfile.TemporaryDirectory[str] | None = None
        self._path = None if journal is None or journal == AUTO else Path(journal).expanduser().resolve()
        self._is_auto = journal == AUTO
        if self._is_auto:
            self.folder = Path(FOLDER).resolve()
        elif self._path is not None:
            self.folder = self._path.parent
        else:
            self.kept = tempfile.TemporaryDirectory(prefix="tuun_da-")
            self.folder = Path(self.kept.name)

    def make_folder(self) -> None:
        """Make the folder unless it is there. Raises ConfigError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"folder {self.folder} for the journal cannot be made: {error.strerror}; name a file elsewhere as the "
                "journal, or None to keep it in memory"
            ) from None

    def journal(self, plan: TrialPlan, space: Mapping[str, Any], settings: TunerSettings) -> Path | None:
        """The journal of a search with these settings; None where it is kept in memory."""
        if not self._is_auto:
            return self._path
        name = Path(plan.data.path).stem if ":" in plan.data.data else plan.data.data
        return self.folder / f"{name}-{digest([space, settings.to_dict(), plan.settings()])}.jsonl"


def digest(content: object) -> str:
    """A short name for a JSON value, the same whenever that is the same."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


def search_in_python(
    result_type: type[Result],
    plan: TrialPlan,
    space: Mapping[str, Any],
    settings: TunerSettings,
    n_trials: int,
    *,
    place: Place,
    n_workers: int,
    trial_seconds: float | None = None,
    progress: bool,
    on_trial: Callable[[Trial, JournalContent], None],
) -> Result:
    """Run the search, show how far it is if ``progress``, and return what it came to. Raises as ``run_search``."""
    place.make_folder()
    journal = place.journal(plan, space, settings)
    with contextlib.closing(ProgressBar()) as bar:

        def heard(trial: Trial, content: JournalContent) -> None:
            if progress:
                show_progress(bar, content, n_trials)
            on_trial(trial, content)

        def begun(content: JournalContent) -> None:
            if not progress:
                return
            n = len(content.trials)
            if journal is not None:
                there = f", which has {n} trials already" if n >= n_trials else f", which goes on after {n} trials"
                print(f"Journal: {journal}{there if n else ''}")
            if n < n_trials:
                show_progress(bar, content, n_trials)

        content, interrupted = run_search(
            plan,
            space,
            settings,
            n_trials,
            journal=journal,
            n_workers=n_workers,
            trial_seconds=trial_seconds,
            on_begin=begun,
            on_trial=heard,
        )
    if interrupted and progress:
        n = len(content.trials)
        kept = f" after {n} of {n_trials} trials, which are kept" if n else " before the first trial had ended"
        print(f"Interrupted{kept}{'' if journal is None else '; the same call goes on from there'}.")
    return result_type(content, journal, interrupted=interrupted, model=plan.train.model, kept=place.kept)


def show_progress(bar: ProgressBar, content: JournalContent, n_trials: int) -> None:
    """Tell how many trials have ended, the best score, and how many failed."""
    best = best_trial(content)
    score = "" if best is None or best.value is None else f", best score {best.value:.4f}"
    failed = sum(trial.state is TrialState.FAILED for trial in content.trials)
    lost = f", {failed} failed" if failed else ""
    bar.show("Searching", min(len(content.trials), n_trials), n_trials, f"trials{score}{lost}")

"""Trials in this process, or in worker processes beside it: an experiment without NNI.

The journal is the same as NNI's, so that whatever reads one reads the other.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from tuun_da.engines.echo import final_metric, read_metric
from tuun_da.engines.local_trial import TrialPlan, check_same_plan, run_planned
from tuun_da.engines.local_worker import Worker, cause_of_death
from tuun_da.engines.study import Study
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.errors import ConfigError, ExperimentError, JournalError
from tuun_da.policy_format import TRIAL_ID_KEY
from tuun_da.search.history import JournalContent, Trial, TrialState, read_journal
from tuun_da.training.checks import checked_integer, checked_number

_logger = logging.getLogger(__name__)

FIRST_FAILURES = 3
"""If so many trials fail before any succeeds, the settings are wrong, and more trials would not help."""
MOST_UNWRITTEN = 3
"""If the disk has refused the records of so many finished trials, the search ends: a crash would lose them."""
LOOK_SECONDS = 1.0  # between two looks at workers that say nothing

OnTrial = Callable[[Trial, JournalContent], None]
"""Hears of each trial that ended, and what the journal then holds."""


def run_search(
    plan: TrialPlan,
    space: Mapping[str, Any],
    settings: TunerSettings,
    n_trials: int,
    *,
    journal: Path | None = None,
    n_workers: int = 0,
    trial_seconds: float | None = None,
    on_begin: Callable[[JournalContent], None] = lambda content: None,
    on_trial: OnTrial = lambda trial, content: None,
    folders: Sequence[Path] = (Path(),),
) -> tuple[JournalContent, bool]:
    """Run trials until ``n_trials`` of the journal have ended; what it holds then, and whether that was interrupted.

    ``n_workers`` 0 runs the trials in this process, one after the other, and repeats exactly with the same seeds; from
    1 on they run in so many processes, each with its share of the cores. A worker that dies costs its trial, which
    counts as failed; so does one that has had its trial for more than ``trial_seconds`` (a new worker's start included;
    None: no limit), and it is ended. Ctrl-C, or a KeyboardInterrupt from ``on_trial``, ends all at once. With the same
    ``journal`` the search goes on where it stopped, and runs what was running again; None keeps it in memory.
    ``on_begin`` hears what the journal holds before the first trial.

    Raises what Study.open raises, DataError for images that cannot be used, ConfigError for a model that is not there
    and for trials that ran with other settings, ExperimentError where the first trials all fail, JournalError where the
    journal cannot be written any more, with the trials that are not in it.
    """
    checked_integer("n_trials", n_trials, low=1)
    checked_integer("n_workers", n_workers, low=0)
    if trial_seconds is not None:
        checked_number("trial_seconds", trial_seconds, "(0, inf)")
        if n_workers == 0:
            raise ConfigError(
                "a time limit for a trial needs n_workers of at least 1: nobody could end a training in this process"
            )
    _check_before(plan, keep_images=n_workers == 0)
    study = Study.open(journal, space, settings, folders=folders)
    try:
        for trial in study.journal.content.trials:
            found = trial.details.get("settings")
            if isinstance(found, Mapping):
                check_same_plan(plan, found, trial.parameters, str(journal))
        on_begin(study.journal.content)
        interrupted = not _run_trials(study, plan, n_trials, n_workers, trial_seconds, on_trial)
        _write_rest(study)
        content = study.journal.content
    finally:
        study.journal.close()
    # A Ctrl-C may have come between writing a record and noting it.
    return (content if journal is None else read_journal(journal)), interrupted


def available_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_before(plan: TrialPlan, *, keep_images: bool) -> None:
    """Raise now what would make every trial fail."""
    from tuun_da.training.models.names import maker_named
    from tuun_da.training.trial import trial_splits

    maker_named(plan.train.model)
    trial_splits(plan.data)
    if not keep_images:
        trial_splits.cache_clear()  # the workers have their own


def _write_rest(study: Study) -> None:
    """Raise JournalError where finished trials are still not on disk, and say which: they go with this process."""
    try:
        study.write_rest()
    except JournalError as error:
        lost = ", ".join(f"{trial.id} ({trial.state.value}, score {trial.value})" for trial in study.unwritten)
        if lost:
            raise JournalError(f"{error}; these finished trials are not in it: {lost}") from None
        _logger.warning("%s; all finished trials are in it", error)


def _run_trials(
    study: Study, plan: TrialPlan, n_trials: int, n_workers: int, trial_seconds: float | None, on_trial: OnTrial
) -> bool:
    """Whether it came to its end."""
    for trial_id in study.journal.content.running:
        study.hand_out_again(trial_id)
    run = _Run(study, n_trials, on_trial)
    try:
        if n_workers == 0:
            while run.wants_more:
                trial_id, parameters = run.ask()
                run.finish(run_planned(plan, trial_id, parameters))
        else:
            _run_in_workers(run, plan, n_workers, trial_seconds)
    except KeyboardInterrupt:
        return False
    return True


def _run_in_workers(run: _Run, plan: TrialPlan, n_workers: int, trial_seconds: float | None) -> None:
    if plan.threads is None:
        plan = replace(plan, threads=max(1, available_cores() // n_workers))
    workers: list[Worker] = []
    try:
        while True:
            while run.wants_more and len(workers) < n_workers:
                workers.append(Worker(plan))
                workers[-1].begin(*run.ask())
            if not workers:
                return
            wait([worker.connection for worker in workers], LOOK_SECONDS)
            for worker in list(workers):
                assert worker.trial is not None  # only those that run one are in the list
                trial_id, parameters = worker.trial
                is_dead = worker.is_dead  # before its last words are looked for
                metric = worker.result()
                is_dead |= worker.has_hung_up
                is_late = trial_seconds is not None and worker.seconds > trial_seconds
                if metric is None and not (is_dead or is_late):
                    continue
                if metric is None:
                    death = cause_of_death(worker.end())
                    error = death if is_dead else f"the trial was ended after its time limit of {trial_seconds:g} s"
                    metric = final_metric({**parameters, TRIAL_ID_KEY: trial_id}, None, state="failed", error=error)
                # An unexpected error can leave a GPU's state broken in its process: the next trial gets a new one.
                if run.finish(metric) and run.wants_more:
                    worker.begin(*run.ask())
                else:
                    workers.remove(worker)
                    worker.end()
    finally:
        for worker in workers:
            worker.connection.close()  # all of them now, so that they end at the same time
        for worker in workers:
            worker.end()


class _Run:
    """Counts the trials of one call, asks the study for them and tells it of their ends."""

    def __init__(self, study: Study, n_trials: int, on_trial: OnTrial) -> None:
        self._study, self._n_trials, self._on_trial = study, n_trials, on_trial
        earlier = study.journal.content.trials
        self._n_begun = len(earlier)
        self._any_succeeded = any(trial.state is TrialState.SUCCEEDED for trial in earlier)
        self._n_failed = 0

    @property
    def wants_more(self) -> bool:
        return self._n_begun < self._n_trials

    def ask(self) -> tuple[int, dict[str, Any]]:
        self._n_begun += 1
        return self._study.ask()

    def finish(self, metric: Mapping[str, Any]) -> bool:
        """Put the end of a trial on record; whether it succeeded. Raises ExperimentError where only failures came."""
        echo = read_metric(metric)
        assert echo is not None  # final_metric made it
        self._study.finish(echo)
        self._study.note_end()
        content = self._study.journal.content
        trial = next((trial for trial in reversed(content.trials) if trial.id == echo.id), None)
        if len(self._study.unwritten) >= MOST_UNWRITTEN:
            _write_rest(self._study)
        if trial is None:  # the disk refused it; the study says so, and tries again
            return echo.state is TrialState.SUCCEEDED
        self._on_trial(trial, content)
        self._any_succeeded |= trial.state is TrialState.SUCCEEDED
        self._n_failed += trial.state is TrialState.FAILED
        if not self._any_succeeded and self._n_failed >= FIRST_FAILURES:
            raise ExperimentError(f"the first {self._n_failed} trials all failed; the last one: {trial.error}")
        return trial.state is TrialState.SUCCEEDED

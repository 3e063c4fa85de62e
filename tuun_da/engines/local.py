"""Trials in this process, or in worker processes beside it: an experiment without NNI.

The journal is the same as NNI's, so that whatever reads one reads the other.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tuun_da.engines.echo import final_metric, read_metric
from tuun_da.engines.local_trial import SEARCHED, TrialPlan, check_same_plan, run_planned
from tuun_da.engines.study import BASELINE_KEY, Study
from tuun_da.engines.task_pool import Ended, Task, TaskPool
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.engines.worker_pool import WorkerPool
from tuun_da.errors import ConfigError, ExperimentError, JournalError
from tuun_da.policy_format import TRIAL_ID_KEY
from tuun_da.search.history import JournalContent, Trial, TrialState, read_journal
from tuun_da.training.checks import checked_integer, checked_number

_logger = logging.getLogger(__name__)

FIRST_FAILURES = 3
"""If so many trials fail before any succeeds, the settings are wrong, and more trials would not help."""

MOST_UNWRITTEN = 3
"""If the disk has refused the records of so many finished trials, the search ends: a crash would lose them."""

OnTrial = Callable[[Trial, JournalContent], None]
"""Hears of each trial that ended, and what the journal then holds."""
MayBegin = Callable[[int, JournalContent], bool]
"""Whether a further trial may begin, after so many that have, and what the journal then holds."""


def run_search(
    plan: TrialPlan,
    space: Mapping[str, Any],
    settings: TunerSettings,
    n_trials: int,
    *,
    journal: Path | None = None,
    n_workers: int = 0,
    pool: TaskPool | None = None,
    trial_seconds: float | None = None,
    baselines: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    may_begin: MayBegin = lambda n_begun, content: True,
    on_begin: Callable[[JournalContent], None] = lambda content: None,
    on_trial: OnTrial = lambda trial, content: None,
    folders: Sequence[Path] = (Path(),),
) -> tuple[JournalContent, bool]:
    """Run trials until ``n_trials`` of the journal have ended; what it holds then, and whether that was interrupted.

    ``n_workers`` 0 runs the trials in this process, one after the other, and repeats exactly with the same seeds; from
    1 on they run in so many processes, each with its share of the cores. A worker that dies costs its trial, which
    counts as failed; so does one that has had its trial for more than ``trial_seconds`` (a new worker's start included;
    None: no limit), and it is ended. With a ``pool`` they run in its processes, which go on living. Ctrl-C, or a
    KeyboardInterrupt from ``on_trial``, ends all at once. With the same ``journal`` the search goes on where it
    stopped, and runs what was running again; None keeps it in memory. ``on_begin`` hears what the journal holds before
    the first trial.

    ``baselines``, final metrics (echo.py) by name, are trials that ran before; they come first in the journal and count
    among the ``n_trials``. ``may_begin`` is asked before each further trial, with the number of those that have begun
    and what the journal holds; the first False ends the search as soon as the others have ended.

    Raises what Study.open raises, DataError for images that cannot be used, ConfigError for a model or a device that is
    not there and for trials that ran with other settings, ExperimentError where the first trials all fail, JournalError
    where the journal cannot be written any more, with the trials that are not in it.
    """
    checked_integer("n_trials", n_trials, low=1)
    checked_integer("n_workers", n_workers, low=0)
    if trial_seconds is not None:
        checked_number("trial_seconds", trial_seconds, "(0, inf)")
        if n_workers == 0 or pool is not None:
            raise ConfigError(
                "a time limit for a trial needs n_workers of at least 1: nobody could end a training in this process"
            )
    if plan.policy not in SEARCHED:
        raise ConfigError(f"policy of a search must be one of {', '.join(SEARCHED)}; got {plan.policy!r}")
    in_process = n_workers == 0 and pool is None
    _check_before(plan, keep_images=in_process)
    study = Study.open(journal, space, settings, folders=folders)
    try:
        for name, metric in baselines.items():
            echo = read_metric(metric)
            if echo is None:
                raise ConfigError(f"baseline {name} must be a final metric (echo.py), got {metric!r}")
            study.add_baseline(name, echo)
        for trial in study.journal.content.trials:
            if BASELINE_KEY in trial.details:
                continue
            found = trial.details.get("settings")
            if isinstance(found, Mapping):
                check_same_plan(plan, found, trial.parameters, str(journal))
        on_begin(study.journal.content)
        run = _Run(study, n_trials, may_begin, on_trial)
        own = None if in_process or pool is not None else WorkerPool(n_workers, task_seconds=trial_seconds)
        with contextlib.nullcontext(pool) if own is None else own as chosen:
            interrupted = not _run_trials(study, plan, run, chosen)
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
    from tuun_da.training.device import check_device_is_there
    from tuun_da.training.models.names import maker_named
    from tuun_da.training.trial import trial_splits

    maker_named(plan.train.model)
    check_device_is_there(plan.device)
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


def _run_trials(study: Study, plan: TrialPlan, run: _Run, pool: TaskPool | None) -> bool:
    """Whether it came to its end."""
    for trial_id in study.journal.content.running:
        study.hand_out_again(trial_id)
    try:
        if pool is None:
            while run.wants_more:
                trial_id, parameters = run.ask()
                run.finish(run_planned(plan, trial_id, parameters))
        else:
            _run_in_workers(run, plan, pool)
    except KeyboardInterrupt:
        return False
    return True


def _run_in_workers(run: _Run, plan: TrialPlan, pool: TaskPool) -> None:
    if plan.threads is None:
        plan = replace(plan, threads=max(1, available_cores() // pool.n_workers))

    def next_trial() -> tuple[tuple[int, dict[str, Any]], Task] | None:
        if not run.wants_more:
            return None
        trial_id, parameters = run.ask()
        return (trial_id, parameters), functools.partial(run_planned, plan, trial_id, parameters)

    def on_end(ended: Ended) -> bool:
        trial_id, parameters = ended.key
        metric = ended.result
        if ended.error is not None:
            metric = final_metric({**parameters, TRIAL_ID_KEY: trial_id}, None, state="failed", error=ended.error)
        return run.finish(metric)

    pool.run(next_trial, on_end)


class _Run:
    """Counts the trials of one call, asks the study for them and tells it of their ends."""

    def __init__(self, study: Study, n_trials: int, may_begin: MayBegin, on_trial: OnTrial) -> None:
        self._study, self._n_trials, self._may_begin, self._on_trial = study, n_trials, may_begin, on_trial
        earlier = study.journal.content.trials
        self._n_begun = len(earlier)
        self._any_succeeded = any(trial.state is TrialState.SUCCEEDED for trial in earlier)
        self._n_failed = 0
        self._is_over = False  # for good, so that no worker is left waiting while others begin trials again

    @property
    def wants_more(self) -> bool:
        if not self._is_over:
            may_begin = self._may_begin(self._n_begun, self._study.journal.content)
            self._is_over = self._n_begun >= self._n_trials or not may_begin
        return not self._is_over

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

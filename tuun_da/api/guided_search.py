"""A search from a folder of images and some minutes: look, measure, plan, baselines, search, confirmation, report.

All of it lies in one folder, and the same call again goes on where the last one stopped, with the plan in the folder.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuun_da.api.guided_call import GuidedCall
from tuun_da.api.guided_confirmation import confirm_guided
from tuun_da.api.guided_end import save_policy, say_end, say_files, write_policy, write_report
from tuun_da.api.guided_plan import ExperimentFolder, GuidedPlan, GuidedRequest, space_of
from tuun_da.api.guided_planning import make_guided_plan
from tuun_da.api.guided_text import Say, baselines_text, clock_text, console, progress_text
from tuun_da.engines.baselines import (
    ON_TOP,
    PROBE,
    Metric,
    as_first_trials,
    expressible,
    policy_choice,
    run_baselines,
    score_of,
)
from tuun_da.engines.confirm import LABELS
from tuun_da.engines.known import check_known, read_known
from tuun_da.engines.local import run_search
from tuun_da.engines.measuring import Machine
from tuun_da.engines.pace import Pace, seconds_of_trial
from tuun_da.engines.study import BASELINE_KEY
from tuun_da.engines.task_pool import TaskPool
from tuun_da.engines.time_plan import MOST_TRIALS
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.engines.worker_pool import WorkerPool
from tuun_da.errors import SearchSpaceError, TuunDaError
from tuun_da.policy_format import PolicyRecord
from tuun_da.search.history import JournalContent, read_journal
from tuun_da.search.policy_space import find_policy
from tuun_da.search.space import SearchSpace

LEAST_TRIALS = 12  # after the baselines, however slow they are: ten to begin with, and some that were proposed


@dataclass(frozen=True)
class GuidedResult:
    """What a guided search came to; ``record`` is None where no trial has come to a score yet."""

    folder: Path
    interrupted: bool
    record: PolicyRecord | None
    confirmation: Mapping[str, Any] | None = None


def guided_search(
    request: GuidedRequest, *, say: Say | None = None, clock: Callable[[], float] = time.monotonic
) -> GuidedResult:
    """Do all that ``request`` asks for, and tell of each step through ``say`` (None: standard output).

    The same call again goes on where this one stopped, whatever stopped it; what is done is not done again. Each call
    has the minutes for itself, by ``clock``. Ctrl-C ends it: the policy and the report of what there is are written
    then. Raises ConfigError (also where the time is too short, and where the folder's plan contradicts the request),
    DataError, SearchSpaceError, TrainingError and ExperimentError where trainings fail.
    """
    files = ExperimentFolder(request.experiment_folder)
    call = GuidedCall(request, files, console() if say is None else say, clock(), clock)
    space_of(request)  # a mistake is said before anything is started
    with files.held():
        plan = GuidedPlan.load(files.plan) if files.plan.exists() else None
        if plan is not None:
            plan.check_same(request, files.path)
            call.say(f"Going on with the search in {files.path}")
        if plan is not None and files.confirmation.exists():  # by this search, or by tuun-da confirm
            return _done(call, plan)
        try:
            content, plan = _train(call, plan)
            return _finish(call, plan, content)
        except KeyboardInterrupt:
            return _interrupted(call)


def _done(call: GuidedCall, plan: GuidedPlan) -> GuidedResult:
    """Nothing is left to do: the policy has been confirmed, and the test images are not read again."""
    record = PolicyRecord.load(call.files.policy)
    save_policy(call, record)
    confirmation = json.loads(call.files.confirmation.read_text(encoding="utf-8"))
    trials = read_journal(call.files.journal).trials
    n_trials, planned = sum(BASELINE_KEY not in trial.details for trial in trials), plan.search.n_trials
    after = f", after {n_trials} of the {planned} trials that were planned" if n_trials < planned else ""
    call.say(f"It is done: the policy has been confirmed{after}.")
    if not _is_newer(call.files.report, call.files.confirmation):
        write_report(call)
    say_end(call, confirmation)
    return GuidedResult(call.files.path, False, record, confirmation)


def _is_newer(path: Path, other: Path) -> bool:
    """Whether the file at ``path`` is there, and was written after the ``other``."""
    return path.exists() and path.stat().st_mtime_ns >= other.stat().st_mtime_ns


def _train(call: GuidedCall, plan: GuidedPlan | None) -> tuple[JournalContent, GuidedPlan]:
    """The trials: plan, baselines and search. Raises KeyboardInterrupt on a Ctrl-C, when all are kept."""
    call.say("Starting ...")
    with contextlib.ExitStack() as stack:
        if call.request.engine == "ray":
            from tuun_da.engines.ray_search import check_can_confirm, machine_and_pool

            machine, ray_pool = machine_and_pool(
                call.request.device or "auto" if plan is None else plan.device,
                call.request.workers if plan is None else plan.search.n_workers,
                address=call.request.address,
                goes_on=plan is not None,
            )
            pool: TaskPool = stack.enter_context(ray_pool)
            if call.request.confirm if plan is None else plan.search.confirm:
                check_can_confirm(machine.device)  # now, not after hours
        else:
            if plan is None:
                machine = Machine.found(call.request.device or "auto", call.request.workers)
            else:
                n_gpus = Machine.found(plan.device, plan.search.n_workers).n_gpus
                machine = Machine(plan.device, n_gpus, plan.search.n_workers, plan.threads, plan.trials_per_gpu)
            pool = stack.enter_context(WorkerPool(machine.n_workers))
        if plan is None:
            plan = make_guided_plan(call, machine, pool)
            plan.save(call.files.plan)
        for line in plan.says:
            call.say(line)
        call.say(f"Folder: {call.files.path}\n")
        content = _searched(call, plan, pool, _baselines(call, plan, pool))
    return content, plan


def _baselines(call: GuidedCall, plan: GuidedPlan, pool: TaskPool) -> dict[str, Metric]:
    """What costs no search, and the probe."""
    layout = find_policy(SearchSpace.from_nni(plan.space))
    assert layout is not None  # space_of made sure

    def ended(name: str, score: float | None) -> None:
        call.passing("  probe measured" if name == PROBE else f"  {LABELS[name]}: {score:.4f}")

    call.say("Baselines" + (" and probe" if plan.search.probe else "") + " ...")
    return run_baselines(
        pool,
        plan.trial_plan("none"),
        call.files.baselines,
        probe=call.files.probe if plan.search.probe else None,
        types=layout.types,
        on_end=ended,
    )


def _searched(call: GuidedCall, plan: GuidedPlan, pool: TaskPool, baselines: Mapping[str, Metric]) -> JournalContent:
    """The search, and what it said."""
    choice = policy_choice(baselines, plan.choice)
    scores = {name: score_of(metric) or 0.0 for name, metric in baselines.items()}
    call.say(baselines_text(scores, on_top=choice == ON_TOP, told=plan.choice != "auto"))
    space = SearchSpace.from_nni(plan.space)
    parameters = expressible(space, choice)
    goes_on = call.files.journal.exists()
    n_baselines, planned = len(baselines), plan.search.n_trials
    # A call that goes on runs what was planned; the first one as many as its time allows, unless told a number.
    most = planned if goes_on or call.request.trials is not None else max(planned, MOST_TRIALS)
    pace = Pace(
        ends=call.begun + 60 * plan.minutes,
        least=n_baselines + min(planned, LEAST_TRIALS),
        most=n_baselines + most,
        planned_seconds=plan.search.training_seconds,
        after=plan.search.after_search,
        clock=call.clock,
    )

    def show(content: JournalContent) -> None:
        left = pace.seconds_left(n_baselines + most, pool.n_workers, content)
        n_trials = max(planned, len(content.trials) - n_baselines)  # more than planned, where trials are faster
        call.passing(progress_text(content, n_baselines, n_trials, scores, left))

    call.say("\nSearch")
    content, interrupted = run_search(
        plan.trial_plan(choice),
        plan.space,
        TunerSettings(
            # what is known has been trained: the search is only told that these were given
            initial=_initial(space, choice, parameters),
            probe=call.files.probe.name if plan.search.probe else None,
            seed=plan.seed,
        ),
        n_baselines + most,
        journal=call.files.journal,
        pool=pool,
        baselines=as_first_trials(baselines, choice, parameters),
        may_begin=pace.may_begin,
        on_begin=show,
        on_trial=lambda trial, content: show(content),
        folders=(call.files.path,),
    )
    if interrupted:
        raise KeyboardInterrupt
    done = len(content.trials) - n_baselines
    if done < planned:
        call.say(f"Trials were slower than planned: {done} fitted into the time, not {planned}.")
    elif done > planned and not goes_on:
        call.say(f"Trials were faster than planned: {done} fitted into the time, not {planned}.")
    return content


def _initial(space: SearchSpace, choice: str, parameters: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The known policies among the baselines, as the search names them."""
    names = []
    for baseline in parameters:
        name = "none" if choice == ON_TOP else baseline
        try:
            check_known(read_known(None, [name], []), space)
        except SearchSpaceError:
            continue
        names.append(name)
    return names


def _finish(call: GuidedCall, plan: GuidedPlan, content: JournalContent) -> GuidedResult:
    """Policy, confirmation, report."""
    record = write_policy(call, content)
    confirmation = None
    if plan.search.confirm:
        trial_seconds = seconds_of_trial(content, plan.search.training_seconds)
        seconds = plan.search.after_search(trial_seconds) - plan.search.seconds["report"]
        left = 60 * plan.minutes - call.seconds_passed
        late = f"; only {clock_text(left)} of the time are left, but it is what counts" if left < seconds else ""
        call.say(f"\nConfirmation on the test images, about {clock_text(seconds)}{late}")

        def progress(stage: str, done: int, total: int) -> None:
            call.passing(f"  {stage}: {done} of {total} trainings")

        workers = plan.search.n_workers
        if call.request.engine == "ray":  # those are of the cluster
            workers = min(workers, Machine.found(plan.device, None).n_workers)
        record, tables = confirm_guided(call.files, plan, content, workers, progress)
        call.say(tables)
        save_policy(call, record)
        confirmation = json.loads(call.files.confirmation.read_text(encoding="utf-8"))
    write_report(call)
    say_end(call, confirmation)
    return GuidedResult(call.files.path, False, record, confirmation)


def _interrupted(call: GuidedCall) -> GuidedResult:
    """After a Ctrl-C: what there is, as policy and report."""
    call.say("\nInterrupted; what has finished is kept, and the same command goes on from there.")
    record = None
    if call.files.confirmation.exists():
        record = PolicyRecord.load(call.files.policy)  # the confirmed one stays
    elif call.files.journal.exists():
        try:
            record = write_policy(call, read_journal(call.files.journal))
        except TuunDaError as error:
            call.say(f"No policy yet: {error}")
    if record is not None:
        write_report(call)
        say_files(call)
    return GuidedResult(call.files.path, True, record)

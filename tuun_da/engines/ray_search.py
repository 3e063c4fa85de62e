"""A search whose trials run on a Ray cluster. The journal is that of every engine, written by the driver alone.

What a search knows is in one place, the study (study.py): Ray runs trainings and nothing else. So whatever dies, of Ray
or of the machines, the same call with the same journal goes on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuun_da.engines import local
from tuun_da.engines.local import OnTrial
from tuun_da.engines.local_trial import TrialPlan
from tuun_da.engines.measuring import Machine
from tuun_da.engines.nni_config import NniConfig
from tuun_da.engines.planned_config import plan_of, trial_folder
from tuun_da.engines.ray_pool import RayPool
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.errors import ConfigError
from tuun_da.search.history import JournalContent


def run_search(
    plan: TrialPlan,
    space: Mapping[str, Any],
    settings: TunerSettings,
    n_trials: int,
    *,
    journal: Path | None = None,
    address: str | None = None,
    n_workers: int = 0,
    on_begin: Callable[[JournalContent], None] = lambda content: None,
    on_trial: OnTrial = lambda trial, content: None,
    folders: Sequence[Path] = (Path(),),
) -> tuple[JournalContent, bool]:
    """Run trials until ``n_trials`` of the journal have ended; what it holds then, and whether that was interrupted.

    As ``local.run_search``, but on the machines of the Ray cluster at ``address``: "auto" is the one on this machine,
    None starts Ray here, and ends it. ``n_workers`` trials run at a time, 0: as many as there is room for. A trial
    takes a GPU, or the share of one that ``plan.trials_per_gpu`` says, and ``plan.threads`` cores, or one; with device
    "auto" it takes a GPU if the cluster has any. Every machine must have tuun_da, and the images at the same place.

    A trial whose worker or machine dies is run once more, with the same parameters; if that dies, too, it counts as
    failed. Raises what ``local.run_search`` raises, ConfigError for a cluster that cannot be reached or a device
    "cuda:N", since Ray chooses the GPU, and ExperimentError where no machine has room for a trial.
    """
    with pool_for(plan, address=address, n_workers=n_workers) as pool:
        return local.run_search(
            replace(plan, threads=plan.threads or pool.cores),
            space,
            settings,
            n_trials,
            journal=journal,
            pool=pool,
            on_begin=on_begin,
            on_trial=on_trial,
            folders=folders,
        )


def run_config(
    config: NniConfig,
    journal: Path,
    *,
    address: str | None = None,
    on_begin: Callable[[JournalContent], None] = lambda content: None,
    on_trial: OnTrial = lambda trial, content: None,
) -> tuple[JournalContent, bool]:
    """As ``run_search``, for an NNI configuration: its trials, so many at a time, until maxTrialNumber have ended.

    Paths in the trial command belong to trialCodeDirectory, those of the tuner to its codeDirectory, as under NNI.
    Raises ConfigError also for what ``plan_of`` refuses, and where maxTrialNumber is missing.
    """
    if config.max_trials is None:
        raise ConfigError(f"{config.path}: maxTrialNumber: is missing; without NNI's web page nobody ends the search")
    journal = journal.resolve()
    code = config.content["tuner"].get("codeDirectory")
    folders = [] if code is None else [(config.path.parent / Path(str(code)).expanduser()).resolve()]
    plan = plan_of(config)
    with contextlib.chdir(trial_folder(config)):  # where the workers go, too
        return run_search(
            plan,
            config.space,
            config.settings,
            config.max_trials,
            journal=journal,
            address=address,
            n_workers=config.concurrency,
            on_begin=on_begin,
            on_trial=on_trial,
            folders=folders,
        )


def pool_for(plan: TrialPlan, *, address: str | None = None, n_workers: int = 0) -> RayPool:
    """Workers that have what a trial of ``plan`` takes. Raises ConfigError."""
    if plan.device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device must be auto, cpu or cuda with Ray, which chooses the GPU; got {plan.device!r}")
    return RayPool(
        address,
        n_workers=n_workers,
        cores=plan.threads or 1,
        on_gpu={"cpu": False, "cuda": True, "auto": None}[plan.device],
        tasks_per_gpu=plan.trials_per_gpu,
    )


def machine_and_pool(
    device: str, n_workers: int | None, *, address: str | None = None, goes_on: bool = False
) -> tuple[Machine, RayPool]:
    """The cluster as a plan sees it, and its workers. Raises ConfigError as ``pool_for`` does.

    Raises ConfigError also for more workers than there is room for, since a plan would count on them; not where a
    search goes on with what was planned, and a machine is missing.
    """
    pool = pool_for(TrialPlan(device=device), address=address, n_workers=n_workers or 0)
    if n_workers is not None and not goes_on and n_workers > (room := pool.room):
        pool.close()
        raise ConfigError(f"workers must be at most the {room} that the Ray cluster has room for; got {n_workers}")
    n_gpus = pool.n_workers if pool.on_gpu else 0  # a task has one of its own
    return Machine("cuda" if pool.on_gpu else "cpu", n_gpus, pool.n_workers, pool.cores, 1), pool


def check_can_confirm(device: str) -> None:
    """Raise ConfigError for a ``device`` that this machine, which trains the confirmation, has not."""
    try:
        Machine.found(device, None)
    except ConfigError as error:
        raise ConfigError(
            f"the confirmation trains on this machine, not on the Ray cluster, and {error}; say --no-confirm, and "
            "later tuun-da confirm on a machine that has one"
        ) from None

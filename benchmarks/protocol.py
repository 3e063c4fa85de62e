"""The tables of the published protocols: every method searched several times, retrained, and tested once.

    python -m benchmarks.protocol --data-dir data --settings cifar10_small steel20 --workers 2 [--minutes 9]
    python -m benchmarks.protocol --report

A search has 60 trials. What it recommends is trained 3 times on the training and the validation images together, and
these trainings alone read the test images. Every training is a line of ``results/protocol_SETTING.jsonl`` as soon as it
is done, and is never repeated; a search that was interrupted goes on as it would have. Searches with one number share
their images and the seeds of their trainings, so differences between the rows are paired by the number.

With ``--minutes`` it ends between two trainings. Exit code 0: everything is done; 3: something is left; 1: an error.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks import race
from benchmarks.protocol_check import CHECKS, run_check
from benchmarks.protocol_records import RETRAINING, RETRAININGS, TRIAL, Plan, TimeIsUp, Trainings
from benchmarks.protocol_report import write_report
from benchmarks.protocol_rows import ROWS, SEARCHES, PolicyJson, make_search, policy_of_row, rows_of, transform_of
from benchmarks.protocol_settings import (
    CPU_SETTINGS,
    SETTINGS,
    ProtocolSetting,
    data_config,
    named_setting,
    retrained_score,
    retraining_seed,
    search_images,
    trial_score,
    trial_seed,
)
from tuun_da.errors import ConfigError, DataError, TuunDaError
from tuun_da.training.device import pick_device

RESULTS = Path(__file__).parent / "results"
SOMETHING_IS_LEFT = 3


@dataclass(frozen=True)
class Job:
    """Search number ``number`` of one setting, with all rows that come of it; ``search`` None: all that need none."""

    setting: ProtocolSetting
    search: str | None
    number: int


def do(job: Job, plan: Plan) -> bool:
    """All trainings of a job that are not done; False if time is up before. Run in a worker process, or in this one."""
    if plan.device == "cpu":
        torch.set_num_threads(1)
    trainings = Trainings(job.setting, plan)
    images = search_images(job.setting, job.number, plan.data_dir)
    try:
        with pick_device(plan.device) as device:

            def train(role: str, number: int, policy: PolicyJson) -> float:
                transform = transform_of(policy, job.setting.autoaugment)
                if role == TRIAL:
                    return trial_score(images, transform, trial_seed(job.number, number), device)
                return retrained_score(images, transform, retraining_seed(job.number, number), device)

            # computing time, because other processes may share a CPU; a GPU's is that on the clock
            clock = time.process_time if device.type == "cpu" else time.monotonic
            run_job(job, plan, trainings, train, clock)
    except TimeIsUp:
        return False
    return True


def run_job(
    job: Job,
    plan: Plan,
    trainings: Trainings,
    train: Callable[[str, int, PolicyJson], float],
    clock: Callable[[], float],
) -> None:
    """Search, and retrain what is recommended. Raises TimeIsUp.

    ``train`` maps role, number and policy to a score; ``clock`` gives the seconds that the search costs.
    """

    def trained(row: str, role: str, number: int, policy: PolicyJson, asked: float = 0.0) -> float:
        begin, wall = clock(), time.monotonic()
        score = train(role, number, policy)
        record = {"row": row, "search": job.number, "role": role, "number": number, "policy": dict(policy)}
        record |= {"seed": (trial_seed if role == TRIAL else retraining_seed)(job.number, number), "score": score}
        record |= {"seconds": round(clock() - begin, 3), "wall_seconds": round(time.monotonic() - wall, 3)}
        trainings.add(record | ({"seconds_of_suggestion": round(asked, 3)} if role == TRIAL else {}))
        return score

    open_retrainings = [
        (row, number)
        for row in rows_of(job.search)
        for number in range(RETRAININGS)
        if trainings.find(row.name, job.number, RETRAINING, number) is None
    ]
    if not open_retrainings:
        return
    recommended = None
    if job.search is not None:
        search = make_search(job.search, job.number)
        for number in range(plan.trials):
            known = trainings.find(job.search, job.number, TRIAL, number)
            if known is None:
                plan.check_time(trainings.longest(TRIAL))
                begin = clock()
                policy = search.ask()
                search.tell(policy, trained(job.search, TRIAL, number, policy, clock() - begin))
            else:
                search.tell(known["policy"], known["score"])
        recommended = search.recommend()
    for row, number in open_retrainings:
        plan.check_time(trainings.longest(RETRAINING))
        trained(row.name, RETRAINING, number, policy_of_row(row, recommended))


def run_all(jobs: Sequence[Job], plan: Plan, workers: int) -> bool:
    """All jobs, ``workers`` at once; False if something is left."""
    if workers == 1:
        return all(do(job, plan) for job in jobs)  # ends at the first that time did not suffice for
    # spawned, because torch's threads do not survive a fork
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(do, job, plan): job for job in jobs}
        states = []
        try:
            for future in as_completed(futures):
                states.append(future.result())
                job = futures[future]
                state = "done" if states[-1] else "to be continued"
                print(f"{job.setting.name}, search {job.number}, {job.search or 'no search'}: {state}", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return all(states)


def planned_jobs(setting: ProtocolSetting, searches: int, rows: Sequence[str]) -> list[Job]:
    """The jobs whose rows are asked for, search by search, so that an unfinished table has whole searches."""
    wanted = [search for search in (None, *SEARCHES) if any(row.name in rows for row in rows_of(search))]
    return [Job(setting, search, number) for number in range(searches) for search in wanted]


def available(settings: Sequence[ProtocolSetting], data_dir: str) -> list[ProtocolSetting]:
    """Those whose images are there; of the others it says that they are not."""
    found = []
    for setting in settings:
        try:
            data_config(setting.data_set, setting.image_size, data_dir)
        except DataError as error:
            print(f"{setting.name} is left out: {error}", file=sys.stderr)
            continue
        found.append(setting)
    return found


def at_least_1(text: str) -> int:
    """The number in ``text``."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, got {text!r}")
    return int(text)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [row.name for row in ROWS]
    parser.add_argument("--settings", nargs="+", default=list(CPU_SETTINGS), metavar="NAME", help=", ".join(SETTINGS))
    parser.add_argument("--rows", nargs="+", default=names, choices=names, help="rows of one search come together")
    parser.add_argument("--searches", type=at_least_1, default=3, help="independent searches of each row")
    parser.add_argument("--trials", type=at_least_1, default=60, help="of a search")
    parser.add_argument("--check", choices=CHECKS, help="train this net with and without what 'tuun' recommended")
    parser.add_argument("--data-dir", default="data", help="folder with cifar10/{train,test}, steel/all, ...")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--workers", type=at_least_1, default=1, help="jobs side by side, on a CPU one core each")
    parser.add_argument("--minutes", type=float, help="end between two trainings before so much time is over")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON-lines files")
    parser.add_argument("--report", action="store_true", help="write the tables of what is there")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(arguments)
    plan = Plan(
        results=options.results,
        data_dir=options.data_dir,
        device=options.device,
        trials=options.trials,
        deadline=None if options.minutes is None else time.monotonic() + 60 * options.minutes,
    )
    try:
        if options.report:
            print(write_report(options.results))
            return 0
        settings = [named_setting(name) for name in options.settings]
        if options.device == "cpu":
            os.environ.update(race.ONE_CORE)  # for the workers, which are new processes
        if options.check is not None:
            return 0 if run_check(options.check, plan, options.searches) else SOMETHING_IS_LEFT
        for setting in settings:
            setting.seeded(0)  # a mistake in the settings shows before the first training
        jobs = [
            job
            for setting in available(settings, options.data_dir)
            for job in planned_jobs(setting, options.searches, options.rows)
        ]
        if not jobs:
            raise ConfigError(
                f"none of the settings {', '.join(options.settings)} has its images in {options.data_dir}"
            )
        return 0 if run_all(jobs, plan, options.workers) else SOMETHING_IS_LEFT
    except TuunDaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

"""The race on emulators (and on test functions): every optimizer, paired seeds, one JSON line for each finished run.

    python -m benchmarks.search_race --settings cifar10 digits --seeds 20 --trials 60 --workers 2
    python -m benchmarks.search_race --functions branin hartmann6 mixed nested
    python -m benchmarks.search_race --report

A run that is in the results already is skipped, unless the data or (for ``ours``) the code of tuun_da's search has
changed since. The trials themselves are kept in ``.cache``, so that with another recommender only it runs again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import time
import traceback
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks import race
from benchmarks.race import Problem
from benchmarks.rivals import RIVALS, missing_packages

HERE = Path(__file__).parent
SETTINGS = ("cifar10", "steel", "digits")
EMULATORS = ("deepsets", "trees")
DEFAULT_OPTIMIZERS = ["ours:gp", *(name for name in RIVALS if name not in ("ours", "skopt_et", "smac_bb"))]


@dataclass(frozen=True)
class Task:
    """One run. ``problem`` is SETTING/EMULATOR, or the name of a function."""

    optimizer: str
    problem: str
    trials: int
    seed: int
    concurrency: int
    recommender: str  # options of tuun_da's Optimizer as JSON


@dataclass(frozen=True)
class Places:
    """Where the trainings and the cache are."""

    data: Path
    cache: Path


@cache
def problem_of(name: str, places: Places) -> Problem:
    if "/" not in name:
        from benchmarks.functions import FUNCTIONS

        return FUNCTIONS[name]
    from benchmarks.emulators import load_emulator

    emulator = load_emulator(*name.split("/"), places.data, places.cache)
    space = json.loads((race.ROOT / "search_spaces" / "tuun.json").read_text())
    return Problem(name, space, emulator.true_values, emulator.noise, emulator.key)


def identity(task: Task, places: Places) -> dict[str, Any]:
    """What a result depends on, but for the recommender."""
    known = {key: value for key, value in asdict(task).items() if key != "recommender"}
    code = race.code_of_ours() if task.optimizer.startswith("ours") else None
    return known | {"data": problem_of(task.problem, places).key, "code": code}


def do(task: Task, places: Places) -> dict[str, Any]:
    """Run one task, or only judge it where its trials are in the cache."""
    warnings.simplefilter("ignore")
    problem, known = problem_of(task.problem, places), identity(task, places)
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:20]
    kept = places.cache / "trials" / f"{digest}.json"
    if kept.exists():
        trials = race.Trials(**json.loads(kept.read_text()))
    else:
        trials = race.run(task.optimizer, problem, task.seed, task.trials, task.concurrency)
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps(asdict(trials)))
        partial.rename(kept)
    judged = race.judge(problem, trials, race.recommender(json.loads(task.recommender)))
    by = {"recommender": task.recommender, "recommender_code": race.code_of_ours()}
    return known | by | judged | {"conditions": race.conditions()}


def tasks_of(options: argparse.Namespace) -> Iterator[Task]:
    """Seed by seed, so that a race that is not finished yet is paired all the same."""
    problems = [f"{setting}/{emulator}" for setting in options.settings for emulator in options.emulators]
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for problem in [*problems, *options.functions]:
            for optimizer in options.optimizers:
                yield Task(optimizer, problem, options.trials, seed, options.concurrency, options.recommender)


def main() -> None:
    options = parse()
    places = Places(options.data, options.cache)
    if options.report:
        from benchmarks.race_report import write_report

        probes = {name: int(n) for name, _, n in (entry.rpartition("=") for entry in options.probe_trials)}
        print(write_report(race.read_lines(options.results), options.results, options.reference, probes))
        return
    for name in list(options.optimizers):
        if missing_packages(name):
            print(f"{name} is left out: {', '.join(missing_packages(name))} not installed", flush=True)
            options.optimizers.remove(name)
    tasks = list(tasks_of(options))
    i, n = map(int, options.shard.split("/"))
    mine = [task for number, task in enumerate(tasks) if number % n == i]
    present = [] if options.redo else race.read_lines(options.results)
    left = [task for task in mine if not any(_is_result_of(record, task, places, options) for record in present)]
    print(f"{len(mine)} runs, {len(mine) - len(left)} of them there already", flush=True)
    for task in left:
        problem_of(task.problem, places)  # fits what is not in the cache, before the workers look
    begun = time.perf_counter()
    os.environ.update(race.ONE_CORE)  # for the workers, which are new processes
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(do, task, places): task for task in left}
        for number, future in enumerate(as_completed(futures), 1):
            task = futures[future]
            try:
                record = future.result()
            except Exception:
                print(f"{task} failed:\n{traceback.format_exc()}", flush=True)
                continue
            race.append_line(options.results, record)
            print(
                f"[{number}/{len(left)}, {time.perf_counter() - begun:.0f} s] {task.optimizer} on {task.problem}, seed "
                f"{task.seed}: recommended {record['recommended'][-1]:.3f}, "
                f"{record['seconds_per_suggestion']:.3f} s each",
                flush=True,
            )


def _is_result_of(record: dict[str, Any], task: Task, places: Places, options: argparse.Namespace) -> bool:
    wanted = identity(task, places) | {"recommender": task.recommender, "recommender_code": race.code_of_ours()}
    if options.ignore_code:
        del wanted["code"], wanted["recommender_code"]
    return all(record.get(key) == value for key, value in wanted.items())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--optimizers", nargs="+", default=DEFAULT_OPTIMIZERS, help="names, with options: ours:forest")
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS), help="of results/trainings_SETTING.jsonl")
    parser.add_argument("--emulators", nargs="+", choices=EMULATORS, default=list(EMULATORS))
    parser.add_argument(
        "--functions", nargs="*", default=[], help="instead of the emulators, unless --settings is given"
    )
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=1, help="trials that run at once")
    parser.add_argument("--recommender", default="{}", help="options of tuun_da's Optimizer, as JSON")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--shard", default="0/1", help="i/n: the i-th (from 0) of n parts of the runs")
    parser.add_argument("--redo", action="store_true", help="run what is there already, too; the report takes the last")
    parser.add_argument("--ignore-code", action="store_true", help="keep results of an older state of tuun_da's search")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "search_race.jsonl")
    parser.add_argument("--data", type=Path, default=HERE / "results", help="folder of the trainings")
    parser.add_argument("--cache", type=Path, default=HERE / ".cache")
    parser.add_argument("--report", action="store_true", help="write tables and plots beside the results")
    parser.add_argument("--reference", default="random", help="optimizer that the others are compared with")
    parser.add_argument("--probe-trials", nargs="*", default=[], help="OPTIMIZER=n: its probe costs n trials")
    options = parser.parse_args()
    if options.functions and options.settings == list(SETTINGS):
        options.settings = []
    return options


if __name__ == "__main__":
    main()

"""Train a small net from scratch for each of many policies, and keep each result as soon as it is there.

    python -m benchmarks.collect_trainings digits --data-dir data/ [--workers 2] [--shard 0/2] [--policies FILE.jsonl]

Run it from the repository root. ``data/`` is where the archives were unpacked (``tar -xJf``): train/ is of CIFAR-10,
all/ of the steel defects. What is in benchmarks/results/trainings_{setting}.jsonl is not repeated. ``--policies``
trains those in the file instead of the planned ones, a JSON object a line: {"policy": {...}, "name": ..., "seed": ...},
or with "seeds": [...].
``seconds`` of a record are those of one core's computing time, because other processes may share it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch

from benchmarks.planned_policies import PlannedTraining, planned_trainings
from benchmarks.real_trainings import SETTINGS, Setting, setting_splits, train_setting
from benchmarks.training_records import append_training, make_header, trainings_done
from tuun_da.errors import ConfigError, TuunDaError
from tuun_da.policy_format import sub_policies_from_parameters

RESULTS = Path(__file__).parent / "results"


def collect(
    setting: Setting,
    plan: Sequence[PlannedTraining],
    path: Path,
    *,
    data_dir: str = "data",
    workers: int = 1,
    shard: tuple[int, int] = (0, 1),
) -> None:
    """Train what is in ``plan`` and not yet in the file ``path``, and append it there. Raises TuunDaError."""
    splits = setting_splits(setting.name, data_dir)
    header = make_header(
        setting,
        train_images=len(splits.train_labels),
        validation_images=len(splits.validation_labels),
    )
    done = trainings_done(path, header)
    index, count = shard
    open_tasks = [task for task in plan[index::count] if (task.name, task.seed) not in done]
    begin = time.monotonic()
    for number, record in enumerate(trained(setting, open_tasks, data_dir, workers), 1):
        append_training(path, header, record)
        left = (time.monotonic() - begin) / number * (len(open_tasks) - number)
        print(
            f"{path.stem} {number}/{len(open_tasks)}  {record['name']} seed {record['seed']}: "
            f"{record['accuracy']:.4f} in {record['seconds']:.1f} s;  {left / 60:.1f} min left",
            flush=True,
        )


def trained(
    setting: Setting, tasks: Sequence[PlannedTraining], data_dir: str, workers: int
) -> Iterator[dict[str, Any]]:
    """The record of each training, in the order in which they end."""
    if workers == 1:
        for task in tasks:
            yield train_one(setting, task, data_dir)
        return
    # spawned, because torch's threads do not survive a fork
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(train_one, setting, task, data_dir) for task in tasks]):
            yield future.result()


def train_one(setting: Setting, task: PlannedTraining, data_dir: str) -> dict[str, Any]:
    """One training, as a record. Run in a worker process, or in this one."""
    torch.set_num_threads(1)
    setting_splits(setting.name, data_dir)  # not to be counted
    begin = time.process_time()
    policy = task.name if task.policy is None else task.policy
    accuracy = train_setting(setting, policy, task.seed, data_dir=data_dir)
    return {
        "kind": task.kind,
        "name": task.name,
        "seed": task.seed,
        "policy": task.policy,
        "accuracy": round(accuracy, 6),
        "seconds": round(time.process_time() - begin, 2),
    }


def proposed_trainings(path: Path) -> list[PlannedTraining]:
    """The trainings that a file of policies asks for. Raises ConfigError, PolicyError."""
    tasks = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        entry = json.loads(line) if line.strip() else {}
        if not isinstance(entry, dict) or not isinstance(entry.get("policy"), dict):
            raise ConfigError(f'{path}, line {number}: wanted a JSON object with "policy", got {line[:80]!r}')
        policy = entry["policy"]
        sub_policies_from_parameters(policy)
        digest = hashlib.blake2b(json.dumps(policy, sort_keys=True).encode(), digest_size=5).hexdigest()
        name = entry.get("name", f"proposed-{digest}")
        tasks += [
            PlannedTraining("proposed", name, policy, seed) for seed in entry.get("seeds", [entry.get("seed", 0)])
        ]
    return tasks


def shard_of(text: str) -> tuple[int, int]:
    """The i and n of "i/n"."""
    index, slash, count = text.partition("/")
    if not (slash and index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise argparse.ArgumentTypeError(f"wanted i/n with i from 0 to n - 1, got {text!r}")
    return int(index), int(count)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train a small net for each of many policies.")
    parser.add_argument("setting", choices=SETTINGS)
    parser.add_argument("--data-dir", default="data", help="where the archives were unpacked")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON-lines files")
    parser.add_argument("--workers", type=int, default=1, help="processes, of one core each")
    parser.add_argument(
        "--shard", type=shard_of, default=(0, 1), metavar="i/n", help="every n-th training from the i-th"
    )
    parser.add_argument(
        "--policies", type=Path, help="JSON-lines file of policies to train instead of the planned ones"
    )
    options = parser.parse_args(arguments)
    try:
        plan = planned_trainings() if options.policies is None else proposed_trainings(options.policies)
        collect(
            SETTINGS[options.setting],
            plan,
            options.results / f"trainings_{options.setting}.jsonl",
            data_dir=options.data_dir,
            workers=options.workers,
            shard=options.shard,
        )
    except TuunDaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

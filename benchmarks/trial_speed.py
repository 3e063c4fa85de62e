"""Seconds of a trial: ours against a plain rendering of Tuun's, same network, same images, same machine, in one run.

    python -m benchmarks.trial_speed --data folder:data/cifar10 --train-size 2000 --model child_cnn [--device cuda]
    python -m benchmarks.trial_speed --paper --data folder:data/cifar10 --device cuda --minutes 9
    python -m benchmarks.trial_speed --report [--device cuda] [--target-accuracy 0.6]

Contestants, each with ``@BATCH`` behind it if its mini-batch is another one than ``--batch-size``:

    ours, ours_compiled     training.loop, as it is and with torch.compile
    tuun_like               Pillow in the workers of a DataLoader, half precision (tuun_like_trial.py)

In a round all contestants take turns, each with a whole training of ``--epochs``, so that what else the machine does
falls on all of them; before it, the rate of matrix products is measured. Seconds of an epoch are of all epochs but the
first; what that took longer is start-up. A round that is there for the code as it is, from one run, is skipped.

``--paper`` is the published trial: 45,000 + 5,000 images, BaseNet ResNet-18, 50 epochs, crop + flip, test accuracy, for
each size of mini-batch and each seed (paper_trials.py). Each result is a line of JSON.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import paper_trials, race
from benchmarks.augment_works import random_policy
from benchmarks.timed_training import TimeSlice, code_of_ours, conditions
from benchmarks.trial_contestants import OURS, OURS_COMPILED, TUUN_LIKE, Contestant, parsed, run_contestant
from benchmarks.trial_floor import epoch_flops, epoch_size, image_flops, matrix_rate
from benchmarks.trial_speed_report import report
from tuun_da.errors import TuunDaError
from tuun_da.operations import SubPolicy
from tuun_da.training.datasets import load_splits
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig
from tuun_da.training.splits import Splits

HERE = Path(__file__).parent
KIND = "turn"
CONTESTANTS = {
    "cpu": (OURS, TUUN_LIKE),
    "cuda": (OURS, OURS_COMPILED, f"{OURS}@512", f"{OURS_COMPILED}@512", TUUN_LIKE),
}
POLICY_NUMBER = 0
EPOCHS = 3


def policies() -> Mapping[str, Sequence[SubPolicy] | None]:
    """By name: one of the random policies of the augmentation benchmark, the same for everyone, and none."""
    return {"random": random_policy(POLICY_NUMBER), "none": None}


@dataclass(frozen=True)
class Cell:
    """What is measured with all contestants, and must be the same for a result to be taken for this one."""

    device: str
    data: str
    train_images: int
    validation_images: int
    image_size: int
    config: Mapping[str, Any]
    policy: str
    workers: int
    threads: int


def measure_round(
    contestants: Sequence[Contestant], number: int, cell: Cell, base: TrainConfig, splits: Splits, device: torch.device
) -> Iterator[dict[str, Any]]:
    """A record of each contestant's training, with ``error`` where it cannot run. Everyone is first in some round."""
    rate = asdict(matrix_rate(device))
    flops = image_flops(
        base.model, num_classes=splits.num_classes, channels=splits.channels, image_size=splits.image_size
    )
    first = number % len(contestants)
    for contestant in [*contestants[first:], *contestants[:first]]:
        size = epoch_size(
            train_images=cell.train_images,
            validation_images=cell.validation_images,
            batch_size=contestant.batch_size,
        )
        record: dict[str, Any] = {
            "contestant": str(contestant),
            "flops_of_an_epoch": epoch_flops(flops, size),
            "images_of_an_epoch": size.trained,
            "matrix_rate": rate,
        }
        try:
            training = run_contestant(contestant, base, splits, policies()[cell.policy], device, workers=cell.workers)
            record["training"] = training.to_dict()
        except Exception as error:  # whatever it is, the others go on
            record["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
            print(f"  {contestant}: {record['error']}", flush=True)
        yield record


def is_done(cell: Cell, number: int, names: Sequence[str], records: Sequence[dict[str, Any]]) -> bool:
    """Whether one run has this round of all ``names``, with the code as it is."""
    wanted = {"kind": KIND, "cell": asdict(cell), "round": number, "code": code_of_ours()}
    runs: dict[str, set[str]] = {}
    for record in records:
        if "training" in record and all(record.get(key) == value for key, value in wanted.items()):
            runs.setdefault(record["run"], set()).add(record["contestant"])
    return any(found.issuperset(names) for found in runs.values())


def run_rounds(options: argparse.Namespace, splits: Splits, device: torch.device, time_slice: TimeSlice) -> int:
    """Measure what is not there yet, as far as the time goes; how many rounds are still to be measured.

    A round is begun only if one as long as the longest so far would be done in time.
    """
    base = TrainConfig(
        model=options.model,
        epochs=options.epochs or EPOCHS,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
    )
    contestants = [parsed(text, options.batch_size) for text in options.contestants or CONTESTANTS[options.device]]
    names = [str(contestant) for contestant in contestants]
    run = f"{time.time_ns():x}"
    waiting = []
    for number in range(options.rounds):
        for policy in options.policies:
            cell = Cell(
                options.device, splits.name, len(splits.train_labels), len(splits.validation_labels),
                splits.image_size, base.to_dict(), policy, options.workers, torch.get_num_threads(),
            )  # fmt: skip
            if not is_done(cell, number, names, race.read_lines(options.results)):
                waiting.append((number, cell))
    longest = 0.0
    for done, (number, cell) in enumerate(waiting):
        if not time_slice.has_room_for(longest):
            return len(waiting) - done
        begin = time.perf_counter()
        for record in measure_round(contestants, number, cell, base, splits, device):
            about = {"kind": KIND, "run": run, "cell": asdict(cell), "round": number, "code": code_of_ours()}
            about |= {"load": os.getloadavg()[0], "conditions": conditions(device)}
            race.append_line(options.results, about | record)
        seconds = time.perf_counter() - begin
        longest = max(longest, seconds)
        print(f"round {number}, policy {cell.policy}: {seconds:.0f} s", flush=True)
    return 0


def run_paper(options: argparse.Namespace, splits: Splits, device: torch.device, time_slice: TimeSlice) -> int:
    """The published trials; how many are still to be trained."""
    base = TrainConfig(model=options.model, epochs=options.epochs or paper_trials.EPOCHS)
    compiled = {"no": [False], "yes": [True], "both": [False, True]}[options.compile]
    batches = paper_trials.parsed_rates(options.rates)
    configs = list(paper_trials.planned(base, batches, options.seeds, compiled))
    return paper_trials.run_paper_trials(configs, splits, device, options.results, time_slice)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--data", default="cifar10", help="cifar10, folder:PATH or another data set of tuun-da")
    parser.add_argument("--data-dir", help="where the downloaded data sets lie")
    parser.add_argument("--train-size", type=int, help="training images; without it all that are left")
    paper_images = paper_trials.VALIDATION_IMAGES
    parser.add_argument("--validation-size", type=int, default=paper_images, help="images (default: %(default)s)")
    parser.add_argument("--model", default="basenet_resnet18")
    parser.add_argument("--epochs", type=int, help=f"default: {EPOCHS}; with --paper {paper_trials.EPOCHS}")
    parser.add_argument("--threads", type=int, help="of torch; without it its own choice")
    parser.add_argument("--minutes", type=float, help="begin nothing that would not be done by then")
    parser.add_argument("--results", type=Path, help="default: results/trial_speed_DEVICE.jsonl")
    parser.add_argument("--report", action="store_true", help="only print the tables of what is there")
    parser.add_argument("--target-accuracy", type=float, help="of the report: a validation accuracy to be reached")
    rounds = parser.add_argument_group("contestants in rounds")
    rounds.add_argument("--batch-size", type=int, default=128)
    rounds.add_argument("--learning-rate", type=float, default=0.1, help="with --batch-size; else in proportion")
    rounds.add_argument("--contestants", nargs="+", metavar="NAME[@BATCH]")
    rounds.add_argument("--policies", nargs="+", default=list(policies()), choices=list(policies()))
    rounds.add_argument("--rounds", type=int, default=3)
    rounds.add_argument("--workers", type=int, default=4, help="of tuun_like's DataLoader")
    paper = parser.add_argument_group("the published trial")
    paper.add_argument("--paper", action="store_true")
    paper.add_argument("--rates", nargs="+", default=list(paper_trials.RATES), metavar="BATCH=RATE")
    paper.add_argument("--seeds", type=int, default=paper_trials.SEEDS, help="how many")
    paper.add_argument("--compile", default="both", choices=("no", "yes", "both"))
    options = parser.parse_args(arguments)
    options.results = options.results or HERE / "results" / f"trial_speed_{options.device}.jsonl"
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(sys.argv[1:] if arguments is None else arguments)
    if options.report:
        print(report(race.read_lines(options.results), options.target_accuracy))
        return 0
    time_slice = TimeSlice(options.minutes)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    try:
        splits = load_splits(
            DataConfig(
                data=options.data,
                data_dir=options.data_dir,
                train_size=options.train_size,
                validation_size=options.validation_size,
            )
        )
        run = run_paper if options.paper else run_rounds
        left = run(options, splits, torch.device(options.device), time_slice)
    except TuunDaError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    if left:
        print(f"stopped after {time_slice.seconds / 60:.1f} minutes, {left} still to do: run the same command again")
    print(report(race.read_lines(options.results), options.target_accuracy))
    return 3 if left else 0


if __name__ == "__main__":
    sys.exit(main())

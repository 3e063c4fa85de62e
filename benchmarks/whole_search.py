"""A whole search by the clock, in one process: how long suggestions, trainings and start-up take.

    python -m benchmarks.whole_search paper --data folder:data/cifar10 --device cuda --minutes 9
    python -m benchmarks.whole_search deepaugment --data folder:data/cifar10 --device cuda --at-once 50 --minutes 9
    python -m benchmarks.whole_search paper --data digits --model child_cnn --epochs 2 --trials 4
    python -m benchmarks.whole_search --report

``paper`` is 60 trials of the published protocol (45,000 + 5,000 images, BaseNet ResNet-18, 50 epochs), ``deepaugment``
500 of DeepAugment's (2,000 + 1,000 images, child CNN, mini-batches of 64, 120 epochs, the mean of the best three epochs
as the reward); each option changes one thing of it. The optimizer proposes, with ``--at-once`` so many policies at a
time, which are then trained side by side. Every trial is kept as it is done; the same command goes on from there, with
the suggestions that an uninterrupted search would have made. The clock begins when the modules are loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from benchmarks import race
from benchmarks.timed_training import TimedTraining, TimeSlice, code_of_ours, conditions, machine_of, table
from tuun_da.augment.policy import Policy
from tuun_da.errors import ConfigError, TrainingError, TuunDaError
from tuun_da.policy_format import split_parameters
from tuun_da.search.optimizer import Optimizer
from tuun_da.search.space import SearchSpace
from tuun_da.training.datasets import load_splits
from tuun_da.training.loop import EpochReport, TrialResult, train
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig
from tuun_da.training.splits import Splits

HERE = Path(__file__).parent
SLICE, TRIAL = "slice", "trial"


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A published search. ``published`` says what others needed."""

    trials: int
    space: str
    train_size: int | None
    validation_size: int
    config: TrainConfig
    published: str


AUTOAUGMENT = "AutoAugment: 15,000 trainings"
PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "paper": Preset(
            trials=60,
            space="tuun",
            train_size=None,
            validation_size=5_000,
            config=TrainConfig(),
            published=f"Tuun: 60 trials of about 9 minutes each on a V100; {AUTOAUGMENT}",
        ),
        "deepaugment": Preset(
            trials=500,
            space="deepaugment",
            train_size=2_000,
            validation_size=1_000,
            config=TrainConfig(model="child_cnn", epochs=120, batch_size=64, learning_rate=0.02, reward="top3"),
            published=f"DeepAugment: 500 trials in 4.2 hours, 13 dollars; {AUTOAUGMENT}",
        ),
    }
)


@dataclass(frozen=True)
class Trained:
    """What became of trials that were trained together: scores, None of a failed one; the seconds are of all."""

    scores: tuple[float | None, ...]
    seconds: float
    startup_seconds: float


def train_together(
    configs: Sequence[TrainConfig], splits: Splits, policies: Sequence[Policy], device: torch.device
) -> Trained:
    """Train ``configs``, which differ in their seeds, each with its policy: one by ``loop``, several side by side."""
    ends: list[float] = []
    curve: list[float] = []
    begin = time.perf_counter()

    def heard(report: EpochReport) -> None:
        if report.epoch > len(ends):  # of trainings side by side the first that reports
            ends.append(time.perf_counter() - begin)
            curve.append(report.validation_accuracy)

    results: Sequence[TrialResult | TrainingError]
    if len(configs) == 1:
        try:
            results = [train(configs[0], splits, policies[0], device, heard)]
        except TrainingError as error:
            results = [error]
    else:
        from tuun_da.training.side_by_side import train_side_by_side

        results = train_side_by_side(configs, splits, policies, device, lambda number, report: heard(report))
    timed = TimedTraining(curve=tuple(curve), epoch_ends=tuple(ends), seconds=time.perf_counter() - begin)
    scores = tuple(None if isinstance(result, TrainingError) else result.score for result in results)
    return Trained(scores, timed.seconds, timed.startup_seconds)


def search(
    key: Mapping[str, Any],
    space: SearchSpace,
    config: TrainConfig,
    splits: Splits,
    device: torch.device,
    results: Path,
    time_slice: TimeSlice,
) -> int:
    """Go on with the search ``key`` as far as the time goes; how many trials are still to be run.

    Trials are begun only if such as took longest so far would be done in time. A trial's parameters, score and share of
    the seconds are a record; so is the beginning of this slice, with what it took until the first suggestion.
    """
    optimizer = Optimizer(space, seed=key["seed"])
    number = restored(optimizer, key, race.read_lines(results))
    if number >= key["trials"]:
        return 0
    about = {"key": dict(key), "conditions": conditions(device), "load": os.getloadavg()[0]}
    race.append_line(results, about | {"kind": SLICE, "startup_seconds": time_slice.seconds})
    longest = 0.0
    while number < key["trials"]:
        if not time_slice.has_room_for(longest):
            return int(key["trials"] - number)
        begin = time.perf_counter()
        numbers = list(range(number, min(number + key["at_once"], key["trials"])))
        proposed = [optimizer.ask(one) for one in numbers]
        asked = time.perf_counter()
        policies = [Policy(split_parameters(params)[0]) for params in proposed]
        trained = train_together([replace(config, seed=one) for one in numbers], splits, policies, device)
        before_told = time.perf_counter()
        for one, score in zip(numbers, trained.scores, strict=True):
            if score is None:
                optimizer.tell_failed(one)
            else:
                optimizer.tell(one, score)
        suggestion_seconds = asked - begin + time.perf_counter() - before_told
        longest = max(longest, time.perf_counter() - begin)
        share = 1 / len(numbers)
        for one, params, score in zip(numbers, proposed, trained.scores, strict=True):
            record = about | {
                "kind": TRIAL,
                "number": one,
                "params": params,
                "score": score,
                "suggestion_seconds": share * suggestion_seconds,
                "training_seconds": share * (trained.seconds - trained.startup_seconds),
                "startup_seconds": share * trained.startup_seconds,
            }
            race.append_line(results, record)
        number = numbers[-1] + 1
        best = max((score for score in trained.scores if score is not None), default=float("nan"))
        print(
            f"{number} of {key['trials']} trials: {longest:.1f} s at most, the best of the last {best:.4f}", flush=True
        )
    return 0


def restored(optimizer: Optimizer, key: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> int:
    """Tell ``optimizer`` the trials of the search ``key``; how many there were."""
    trials = {record["number"]: record for record in records if record["kind"] == TRIAL and record["key"] == key}
    numbers = range(next(number for number in range(len(trials) + 1) if number not in trials))
    for number in numbers:
        if trials[number]["score"] is None:
            optimizer.tell_failed(number, trials[number]["params"])
        else:
            optimizer.tell(number, trials[number]["score"], trials[number]["params"])
    optimizer.restore(asked=len(numbers))
    return len(numbers)


def report(records: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: one line for each search."""
    searches: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        name = json.dumps([record["key"], machine_of(record["conditions"])], sort_keys=True)
        searches.setdefault(name, []).append(record)
    head = ["search", "trials", "minutes", "suggestions", "training", "start-up", "s a trial", "best validation, %"]
    rows = []
    notes = []
    for found in searches.values():
        key = found[0]["key"]
        trials = list({record["number"]: record for record in found if record["kind"] == TRIAL}.values())
        parts = {
            part: sum(record[f"{part}_seconds"] for record in trials) for part in ("suggestion", "training", "startup")
        }
        parts["startup"] += sum(record["startup_seconds"] for record in found if record["kind"] == SLICE)
        seconds = sum(parts.values())
        scores = [record["score"] for record in trials if record["score"] is not None]
        slices = sum(record["kind"] == SLICE for record in found)
        rows.append(
            [
                key["search"],
                str(len(trials)) if len(trials) == key["trials"] else f"{len(trials)} of {key['trials']}",
                f"{seconds / 60:.3g}",
                *(f"{100 * parts[part] / seconds:.1f} %" for part in ("suggestion", "training", "startup")),
                f"{seconds / max(len(trials), 1):.3g}",
                f"{100 * max(scores):.2f}" if scores else "",
            ]
        )
        config, about = key["config"], found[-1]["conditions"]
        notes.append(
            f"{key['search']}: {key['data']}, {key['train_images']} + {key['validation_images']} images, "
            f"{config['model']}, {config['epochs']} epochs, mini-batches of {config['batch_size']}, "
            f"{key['at_once']} at once, in {slices} slices ({machine_of(about)}; commit {about['commit']}). "
            f"Published: {PRESETS[key['search']].published}."
        )
    return f"{table(head, rows)}\n\n" + "\n\n".join(notes) if rows else "nothing measured yet"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("search", nargs="?", choices=list(PRESETS))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--data", default="cifar10", help="cifar10, folder:PATH or another data set of tuun-da")
    parser.add_argument("--data-dir", help="where the downloaded data sets lie")
    parser.add_argument("--at-once", type=int, default=1, help="policies that are trained side by side")
    parser.add_argument("--seed", type=int, default=0, help="of the search; a trial's is its number")
    parser.add_argument("--threads", type=int, help="of torch; without it its own choice")
    parser.add_argument("--minutes", type=float, help="begin nothing that would not be done by then")
    parser.add_argument("--results", type=Path, help="default: results/whole_search_DEVICE.jsonl")
    parser.add_argument("--report", action="store_true", help="only print the table of what is there")
    preset = parser.add_argument_group("instead of the preset's")
    preset.add_argument("--trials", type=int)
    preset.add_argument("--train-size", type=int)
    preset.add_argument("--validation-size", type=int)
    preset.add_argument("--model")
    preset.add_argument("--epochs", type=int)
    preset.add_argument("--batch-size", type=int)
    preset.add_argument("--learning-rate", type=float)
    preset.add_argument("--compile", action="store_true", default=None)
    options = parser.parse_args(arguments)
    if options.search is None and not options.report:
        parser.error(f"name a search: {', '.join(PRESETS)}")
    options.results = options.results or HERE / "results" / f"whole_search_{options.device}.jsonl"
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(sys.argv[1:] if arguments is None else arguments)
    if options.report:
        print(report(race.read_lines(options.results)))
        return 0
    time_slice = TimeSlice(options.minutes)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    try:
        left = run(options, time_slice)
    except TuunDaError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    if left:
        print(f"stopped after {time_slice.seconds / 60:.1f} minutes, {left} trials to go: run the same command again")
    print(report(race.read_lines(options.results)))
    return 3 if left else 0


def run(options: argparse.Namespace, time_slice: TimeSlice) -> int:
    """The search that the options describe; how many trials are still to be run. Raises ConfigError, DataError."""
    preset = PRESETS[options.search]
    names = ("model", "epochs", "batch_size", "learning_rate", "compile")
    changes = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    config = replace(preset.config, **changes)
    trials = preset.trials if options.trials is None else options.trials
    for name, value in (("trials", trials), ("at_once", options.at_once)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}")
    data = DataConfig(
        data=options.data,
        data_dir=options.data_dir,
        train_size=preset.train_size if options.train_size is None else options.train_size,
        validation_size=preset.validation_size if options.validation_size is None else options.validation_size,
    )
    splits = load_splits(data)
    nni_space = json.loads((race.ROOT / "search_spaces" / f"{preset.space}.json").read_text())
    key = {
        "search": options.search,
        "trials": trials,
        "at_once": options.at_once,
        "seed": options.seed,
        "device": options.device,
        "data": splits.name,
        "train_images": len(splits.train_labels),
        "validation_images": len(splits.validation_labels),
        "config": config.to_dict(),
        "code": code_of_ours(),
        "search_code": race.code_of_ours(),
    }
    space = SearchSpace.from_nni(nni_space)
    return search(key, space, config, splits, torch.device(options.device), options.results, time_slice)


if __name__ == "__main__":
    sys.exit(main())

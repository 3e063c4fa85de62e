"""Does a policy that was found with a cheap training hold for the training that the user does?

    python -m benchmarks.proxy_rank [digits cifar10] [--data-dir data] [--rounds 1] [--rungs small full]
    python -m benchmarks.proxy_rank --report

The same 14 policies (four known ones, five that searches recommended, five random ones) are trained cheap in several
ways and in full: the ladders are in ``LADDERS``. Trainings of check_order.py, collect_trainings.py and real_race.py
count where their settings are the same; of a race only the retrainings, with seeds that no trial had. New ones are kept
in results/proxy_rank.jsonl, and a rerun goes on from there, seed by seed. What comes out is in proxy_rank_report.py.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.planned_policies import random_policies
from benchmarks.race import ROOT, append_line, conditions, read_lines
from benchmarks.real_race import FIRST_RETRAINING_SEED
from benchmarks.real_trainings import BASELINES, CPU, RACES, REFERENCES, Setting, setting_splits, transform_of
from benchmarks.training_records import cpu_name, read_trainings
from tuun_da.errors import TuunDaError
from tuun_da.search.space import SearchSpace
from tuun_da.training.loop import train
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.splits import Splits

FOLDER = Path(__file__).parent / "results"
RESULTS = FOLDER / "proxy_rank.jsonl"
CLASSES = 10  # of the digits and of CIFAR-10
RANDOM = 5  # the first of the planned ones, of which there are trainings already
FOUND = (("ours:gp", 0), ("ours:gp", 1), ("optuna_tpe", 2), ("flat_gp", 3), ("random", 4))
"""Optimizer and seed of the races whose recommendations after 60 trials are taken; the races judged them on the same
validation images, those of the digits in the same setting as the rung "small net, 120 passes"."""
RACE_OF = {"digits": "digits", "cifar10": "cifar10_500"}

Parameters = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One way to train: ``passes`` of ``model`` over the training images of the setting ``images``.

    ``per_class`` takes fewer of these images. ``seeds`` trainings are wanted of each policy.
    """

    name: str
    images: str
    model: str
    passes: int
    seeds: int
    per_class: int | None = None
    learning_rate: float | None = None  # None: the setting's
    batch_size: int | None = None

    @property
    def train_config(self) -> TrainConfig:
        """The settings of one training, without its seed."""
        config = replace(RACES[self.images].train_config, model=self.model)
        if self.learning_rate is not None:
            config = replace(config, learning_rate=self.learning_rate)
        return config if self.batch_size is None else replace(config, batch_size=self.batch_size)

    @property
    def images_per_class(self) -> int:
        return self.per_class or RACES[self.images].train_per_class


def _reference(data: str, seeds: int) -> Rung:
    """The full training: that of check_order.py."""
    setting = REFERENCES[data]
    return Rung(
        name=f"full: wider net, {setting.passes} passes",
        images=data,
        model=f"benchmarks.nets:{setting.net}",
        passes=setting.passes,
        seeds=seeds,
    )


_DIGITS_NET, _CIFAR_NET = "benchmarks.nets:digits_net", "benchmarks.nets:cifar10_net"
_CHILD = {"model": "child_cnn", "learning_rate": 0.02}

LADDERS: Mapping[str, tuple[Rung, ...]] = {
    "digits": (
        Rung(name="small net, 30 passes", images="digits", model=_DIGITS_NET, passes=30, seeds=5),
        Rung(name="small net, 120 passes", images="digits", model=_DIGITS_NET, passes=120, seeds=5),
        Rung(name="small net, 120 passes, half the images", images="digits", model=_DIGITS_NET, passes=120, per_class=5,
             seeds=5),
        # net, batch size and learning rate of nni_configs/digits.yml
        Rung(name="child_cnn, 60 passes", images="digits", passes=60, batch_size=16, seeds=3, **_CHILD),
        Rung(name="child_cnn, 120 passes", images="digits", passes=120, batch_size=16, seeds=1, **_CHILD),
        Rung(name="child_cnn, 240 passes", images="digits", passes=240, batch_size=16, seeds=1, **_CHILD),
        _reference("digits", 3),
    ),
    "cifar10": (
        Rung(name="small net, 30 passes, a quarter of the images", images="cifar10_500", model=_CIFAR_NET, passes=30,
             seeds=5),
        Rung(name="small net, 10 passes", images="cifar10", model=_CIFAR_NET, passes=10, seeds=3),
        Rung(name="child_cnn, 30 passes, a quarter of the images", images="cifar10_500", passes=30, seeds=2, **_CHILD),
        Rung(name="small net, 30 passes", images="cifar10", model=_CIFAR_NET, passes=30, seeds=3),
        Rung(name="child_cnn, 120 passes, a quarter of the images", images="cifar10_500", passes=120, seeds=1,
             **_CHILD),
        _reference("cifar10", 2),
    ),
}  # fmt: skip
"""For each data set the ways to train, the full one last."""


def policies_of(data: str, folder: Path = FOLDER) -> dict[str, Parameters | str]:
    """The policies by name: flat parameters, or the name of a baseline."""
    policies: dict[str, Parameters | str] = {name: name for name in BASELINES}
    wanted = dict.fromkeys(FOUND)
    for record in read_lines(folder / f"real_race_{RACE_OF[data]}.jsonl"):
        key = record.get("optimizer"), record.get("race_seed")
        if record["kind"] == "result" and record["at"] == 60 and record["figure"] == "recommended" and key in wanted:
            wanted[key] = _named(record["policy"])
    for (optimizer, seed), policy in wanted.items():
        assert policy is not None, f"no recommendation of {optimizer} with seed {seed} in the race on {RACE_OF[data]}"
        policies[f"found by {optimizer}, seed {seed}"] = policy
    for number, policy in enumerate(itertools.islice(random_policies(), RANDOM)):
        policies[f"random {number}"] = policy
    return policies


@functools.cache
def _names() -> tuple[str, ...]:
    space = SearchSpace.from_nni(json.loads((ROOT / "search_spaces" / "tuun.json").read_text()))
    return tuple(column.name for column in space.columns)


def _named(values: Sequence[Any]) -> Parameters:
    return dict(zip(_names(), values, strict=True))


def earlier_trainings(rung: Rung, folder: Path = FOLDER) -> Iterator[dict[str, Any]]:
    """The trainings in other files whose settings are those of ``rung``.

    Each with policy, seed, accuracy and seconds.
    """
    for path in (folder / f"{kind}_{rung.images}.jsonl" for kind in ("trainings", "references")):
        for record in read_trainings(path) if path.exists() else []:
            if _same(rung, record["net"], record["epochs"], record["train_images"], record["train_config"]):
                yield {
                    "policy": record["policy"] or record["name"],
                    **{key: record[key] for key in ("seed", "accuracy", "seconds")},
                }
    race: Setting = RACES[rung.images]
    images = race.train_per_class * CLASSES
    if _same(rung, race.net, race.passes, images, race.train_config.to_dict()):
        for record in read_lines(folder / f"real_race_{rung.images}.jsonl"):
            if record["kind"] == "training" and record["training_seed"] >= FIRST_RETRAINING_SEED:
                policy = record["policy"]
                yield {
                    "policy": policy if isinstance(policy, str) else _named(policy),
                    "seed": record["training_seed"],
                    "accuracy": record["accuracy"],
                    "seconds": record["seconds"],
                }


def _same(rung: Rung, net: str, passes: int, train_images: int, config: Mapping[str, Any]) -> bool:
    """Whether records of these settings are trainings of ``rung``."""
    mine = rung.train_config.to_dict()
    return (f"benchmarks.nets:{net}", passes, train_images) == (
        rung.model,
        rung.passes,
        rung.images_per_class * CLASSES,
    ) and all(mine[key] == value for key, value in config.items() if key not in ("model", "epochs", "seed"))


def all_trainings(data: str, results: Path = RESULTS, folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Every training of the ladder of ``data``: rung, name, seed, accuracy, seconds, and whether it is ``earlier``."""
    names = {json.dumps(policy, sort_keys=True): name for name, policy in policies_of(data, folder).items()}
    records = [record | {"earlier": False} for record in read_lines(results) if record["data"] == data]
    for rung in LADDERS[data]:
        for record in earlier_trainings(rung, folder):
            name = names.get(json.dumps(record.pop("policy"), sort_keys=True))
            if name is not None:
                records.append({"data": data, "rung": rung.name, "name": name, **record, "earlier": True})
    return records


def open_trainings(
    data: str,
    records: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    rounds: int | None = None,
    rungs: Sequence[str] = ("",),
) -> list[tuple[Rung, str, int]]:
    """What is wanted and not among ``records``, the first training of every policy and rung before any second.

    No more than ``rounds`` trainings of any, and of rungs only those with one of ``rungs`` in their name.
    """
    missing = []
    for rung in LADDERS[data]:
        for name in names if any(part in rung.name for part in rungs) else ():
            seeds = {record["seed"] for record in records if (record["rung"], record["name"]) == (rung.name, name)}
            fresh = (seed for seed in itertools.count() if seed not in seeds)
            wanted = rung.seeds if rounds is None else min(rung.seeds, rounds)
            # counted from the number of trainings that there are, so that all policies keep abreast
            missing += [(number, rung, name, next(fresh)) for number in range(len(seeds), wanted)]
    missing.sort(key=lambda entry: entry[0])
    return [entry[1:] for entry in missing]


@functools.cache
def rung_splits(images: str, per_class: int | None, data_dir: str) -> Splits:
    """The images of the setting ``images``, of each class the first ``per_class`` of the training images only."""
    splits = setting_splits(images, data_dir)
    if per_class is None:
        return splits
    chosen = torch.cat([(splits.train_labels == label).nonzero()[:per_class, 0] for label in range(splits.num_classes)])
    return replace(splits, train_images=splits.train_images[chosen], train_labels=splits.train_labels[chosen])


def train_rung(rung: Rung, policy: Parameters | str, seed: int, data_dir: str) -> float:
    """The validation accuracy, a share in [0, 1], of one training."""
    splits = rung_splits(rung.images, rung.per_class, data_dir)
    repeated = replace(
        splits,
        train_images=splits.train_images.repeat(rung.passes, 1, 1, 1),
        train_labels=splits.train_labels.repeat(rung.passes),
    )
    return train(replace(rung.train_config, seed=seed), repeated, transform_of(policy), CPU).score


def measure(data: str, data_dir: str, results: Path, rounds: int | None = None, rungs: Sequence[str] = ("",)) -> None:
    """Train what is missing."""
    torch.set_num_threads(1)
    policies = policies_of(data)
    left = open_trainings(data, all_trainings(data, results), list(policies), rounds, rungs)
    for number, (rung, name, seed) in enumerate(left, 1):
        rung_splits(rung.images, rung.per_class, data_dir)  # not to be counted
        begin = time.process_time()
        accuracy = train_rung(rung, policies[name], seed, data_dir)
        record = {"data": data, "rung": rung.name, "name": name, "seed": seed, "accuracy": round(accuracy, 6)}
        record |= {"seconds": round(time.process_time() - begin, 2), "hardware": f"{cpu_name()}, 1 core"}
        append_line(results, record | {"commit": conditions()["commit"]})
        print(f"{data} {number}/{len(left)}: {rung.name}: {name}, seed {seed}: {accuracy:.4f}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", metavar="data", help=f"of {', '.join(LADDERS)}; default: all")
    parser.add_argument("--data-dir", default="data", help="where the archives were unpacked")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--rounds", type=int, help="at most so many trainings of each policy; default: all wanted")
    parser.add_argument("--rungs", nargs="+", default=[""], help="parts of the names of those to train; default: all")
    parser.add_argument("--report", action="store_true", help="only write the tables of what is there")
    options = parser.parse_args(arguments)
    for data in options.data:
        if data not in LADDERS:
            parser.error(f"data must be one of {', '.join(LADDERS)}, got {data!r}")
    try:
        if not options.report:
            for data in options.data or LADDERS:
                measure(data, options.data_dir, options.results, options.rounds, options.rungs)
    except TuunDaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    from benchmarks.proxy_rank_report import write_report  # which needs scipy's statistics

    print(write_report(options.results))
    return 0


if __name__ == "__main__":
    sys.exit(main())

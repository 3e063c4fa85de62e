"""Trials of random policies with all that a search could have seen of them: the validation curve, and every hit.

    python -m benchmarks.trial_curves cifar10_500 [--policies 100] [--repeats 1] [--data-dir data]
    python -m benchmarks.trial_curves digits

Each is a training with real epochs, validated after each. validation_overfitting.py and early_stopping.py simulate
searches with them. Kept in results/trial_curves_SETTING.jsonl; a rerun goes on from there. The policies are the first
of the random ones in planned_policies.py, by number.
"""

from __future__ import annotations

import argparse
import base64
import functools
import itertools
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.planned_policies import random_policies
from benchmarks.race import append_line, conditions, read_lines
from benchmarks.real_trainings import CPU, RACES, image_folder
from benchmarks.training_records import cpu_name
from tuun_da.augment.policy import Policy
from tuun_da.errors import ConfigError, TuunDaError
from tuun_da.training.datasets import load_splits
from tuun_da.training.loop import Classifier, train
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig
from tuun_da.training.splits import Splits

FOLDER = Path(__file__).parent / "results"
SETTINGS = ("cifar10_500", "digits")
CLASSES = 10
CURVE_IMAGES, POOL_IMAGES, TRUTH_IMAGES = 1_000, 5_000, 10_000  # of cifar10_500; the curve's are part of the pool
EVALUATED_AT_ONCE = 500

Hits = NDArray[np.bool_]


@dataclass(frozen=True)
class HeldOut:
    """A setting's images: ``splits``, whose validation images make the curve, and two disjoint sets to judge by.

    A search may see hits on ``pool``; ``truth`` is what it never sees. Of cifar10_500, image i of either has class
    i % CLASSES.
    """

    splits: Splits
    pool: tuple[Tensor, Tensor]  # images uint8 (n, c, h, w), labels (n,)
    truth: tuple[Tensor, Tensor]


def config_of(setting: str) -> TrainConfig:
    """The settings of one trial, without its seed. Raises ConfigError."""
    if setting == "cifar10_500":
        race = RACES[setting]
        return replace(race.train_config, epochs=race.passes)
    if setting == "digits":  # as in nni_configs/digits.yml
        return TrainConfig(model="child_cnn", epochs=60, batch_size=16, learning_rate=0.02, precision="float32")
    raise ConfigError(f"setting must be one of {', '.join(SETTINGS)}; got {setting!r}")


@functools.cache
def held_out(setting: str, data_dir: str = "data") -> HeldOut:
    """The images of ``setting``, loaded once in a process. Raises DataError."""
    if setting == "digits":
        splits = load_splits(DataConfig(data="digits", train_per_class=15, validation_size=600))
        return HeldOut(
            splits, (splits.validation_images, splits.validation_labels), (splits.test_images, splits.test_labels)
        )
    race = RACES[setting]
    splits = load_splits(
        DataConfig(
            data=f"folder:{image_folder(race, data_dir)}",
            image_size=race.image_size,
            train_per_class=race.train_per_class,
            validation_size=POOL_IMAGES + TRUTH_IMAGES,
            test_size=race.test_size,
        )
    )
    order = interleaved(splits.validation_labels)
    images, labels = splits.validation_images[order], splits.validation_labels[order]
    shown = replace(splits, validation_images=images[:CURVE_IMAGES], validation_labels=labels[:CURVE_IMAGES])
    return HeldOut(shown, (images[:POOL_IMAGES], labels[:POOL_IMAGES]), (images[POOL_IMAGES:], labels[POOL_IMAGES:]))


def interleaved(labels: Tensor) -> Tensor:
    """An order (n,) of images with ``labels`` in which the classes take turns; within a class it is drawn, with a fixed
    seed. Raises ConfigError unless the classes are equally large."""
    counts = torch.bincount(labels)
    if (counts != counts[0]).any():
        raise ConfigError(f"the classes must be equally large, got {counts.tolist()} images")
    drawn = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return drawn[labels[drawn].argsort(stable=True)].view(len(counts), -1).t().flatten()


def run_trial(setting: str, policy: Mapping[str, Any], seed: int, data_dir: str = "data") -> dict[str, Any]:
    """One training: ``curve``, ``pool`` hits, packed, accuracy on the ``truth`` images, and ``seconds`` of one core."""
    held = held_out(setting, data_dir)
    begin = time.process_time()
    found: dict[str, Any] = {}

    def look(classifier: Classifier) -> None:
        found["seconds"] = round(time.process_time() - begin, 2)  # without what only this benchmark looks at
        found["pool"] = pack(hits(classifier, *held.pool))
        found["truth"] = round(float(hits(classifier, *held.truth).mean()), 6)

    result = train(replace(config_of(setting), seed=seed), held.splits, Policy(policy), CPU, on_trained=look)
    return {"curve": [round(value, 6) for value in result.curve], **found}


def hits(classifier: Classifier, images: Tensor, labels: Tensor) -> Hits:
    """Whether each of ``images`` (n, c, h, w) is put into its class, (n,)."""
    parts = zip(images.split(EVALUATED_AT_ONCE), labels.split(EVALUATED_AT_ONCE), strict=True)
    return torch.cat([classifier(some).argmax(dim=1) == right for some, right in parts]).numpy()


def pack(hit: Hits) -> str:
    """(n,) as text, a bit each."""
    return base64.b64encode(np.packbits(hit).tobytes()).decode()


def unpack(text: str, count: int) -> Hits:
    """What ``pack`` packed, (count,)."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=count).astype(bool)


def results_of(setting: str) -> Path:
    return FOLDER / f"trial_curves_{setting}.jsonl"


def collect(setting: str, policies: int, repeats: int, data_dir: str, results: Path) -> None:
    """Train what is missing, each policy once before any twice."""
    torch.set_num_threads(1)
    done = {(record["policy"], record["repeat"]) for record in read_lines(results)}
    drawn = list(itertools.islice(random_policies(), policies))
    left = [(repeat, i) for repeat in range(repeats) for i in range(policies) if (i, repeat) not in done]
    held_out(setting, data_dir)  # not to be counted
    for number, (repeat, i) in enumerate(left, 1):
        # every training has a seed of its own: with a common one, the luck of an initialization would be common too
        trial = run_trial(setting, drawn[i], 1000 * repeat + i, data_dir)
        record = {"policy": i, "repeat": repeat, **trial, "hardware": f"{cpu_name()}, 1 core"}
        append_line(results, record | {"commit": conditions()["commit"]})
        print(f"{setting} {number}/{len(left)}: random {i}, repeat {repeat}: {trial['truth']:.4f}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("setting", choices=SETTINGS)
    parser.add_argument("--policies", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--data-dir", default="data", help="where the archives were unpacked")
    parser.add_argument("--results", type=Path, help="default: results/trial_curves_SETTING.jsonl")
    options = parser.parse_args(arguments)
    try:
        results = options.results or results_of(options.setting)
        collect(options.setting, options.policies, options.repeats, options.data_dir, results)
    except TuunDaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

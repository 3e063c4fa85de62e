"""The published trial, timed and judged: for each size of mini-batch and each seed a training, kept as it is done.

45,000 + 5,000 images, 50 epochs, crop + flip; the test accuracy is of the network after the last epoch. The seeds are
the outermost loop, so that an interrupted run has something of every size.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import race
from benchmarks.timed_training import TimeSlice, code_of_ours, conditions
from benchmarks.trial_contestants import train_ours
from benchmarks.trial_floor import epoch_flops, epoch_size, image_flops, matrix_rate
from tuun_da.augment.named import build_transform
from tuun_da.errors import ConfigError
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.splits import Splits

KIND = "paper"
POLICY = "etp"
EPOCHS = 50
VALIDATION_IMAGES = 5_000
RATES = ("128=0.1", "512=0.4", "1024=0.8")  # mini-batch and learning rate, in proportion
SEEDS = 5


@dataclass(frozen=True)
class Batch:
    """A size of mini-batch, with its learning rate."""

    size: int
    learning_rate: float


def parsed_rates(texts: Sequence[str]) -> list[Batch]:
    """Of texts ``SIZE=RATE``. Raises ConfigError."""
    found = []
    for text in texts:
        size, _, rate = text.partition("=")
        try:
            found.append(Batch(int(size), float(rate)))
        except ValueError:
            raise ConfigError(f"a mini-batch and its learning rate must be SIZE=RATE, got {text!r}") from None
    return found


def planned(base: TrainConfig, batches: Sequence[Batch], seeds: int, compiled: Sequence[bool]) -> Iterator[TrainConfig]:
    """All trainings, in their order."""
    for seed in range(seeds):
        for batch in batches:
            for compile in compiled:
                yield replace(
                    base, seed=seed, batch_size=batch.size, learning_rate=batch.learning_rate, compile=compile
                )


def key_of(config: TrainConfig, splits: Splits, device: torch.device) -> dict[str, Any]:
    """What must be the same for a training to be taken for this one."""
    return {
        "kind": KIND,
        "policy": POLICY,
        "device": device.type,
        "data": splits.name,
        "train_images": len(splits.train_labels),
        "validation_images": len(splits.validation_labels),
        "test_images": len(splits.test_labels),
        "config": config.to_dict(),
        "code": code_of_ours(),
    }


def run_paper_trials(
    configs: Sequence[TrainConfig], splits: Splits, device: torch.device, results: Path, time_slice: TimeSlice
) -> int:
    """Train what is not in ``results`` yet, as far as the time goes; how many of ``configs`` are still to be trained.

    A training is begun only if the longest one so far would be done in time.
    """
    records = race.read_lines(results)
    waiting = [config for config in configs if not is_done(key_of(config, splits, device), records)]
    if not waiting:
        return 0
    rate = matrix_rate(device)
    flops = image_flops(
        waiting[0].model, num_classes=splits.num_classes, channels=splits.channels, image_size=splits.image_size
    )
    longest = 0.0
    seen: set[tuple[int, bool]] = set()  # of which this process has graphs
    for done, config in enumerate(waiting):
        if not time_slice.has_room_for(longest):
            return len(waiting) - done
        training = train_ours(config, splits, build_transform(POLICY, None), device, evaluate_test=True)
        longest = max(longest, training.seconds)
        size = epoch_size(
            train_images=len(splits.train_labels),
            validation_images=len(splits.validation_labels),
            batch_size=config.batch_size,
        )
        record = key_of(config, splits, device) | {
            "training": training.to_dict(),
            "flops_of_an_epoch": epoch_flops(flops, size),
            "images_of_an_epoch": size.trained,
            "matrix_rate": asdict(rate),
            "first_of_process": (config.batch_size, config.compile) not in seen,
            "load": os.getloadavg()[0],
            "conditions": conditions(device),
        }
        race.append_line(results, record)
        seen.add((config.batch_size, config.compile))
        print(
            f"batch {config.batch_size}, seed {config.seed}, compile {config.compile}: {training.seconds:.1f} s, "
            f"test {training.test_score:.4f}",
            flush=True,
        )
    return 0


def is_done(key: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a training with this key is among the records."""
    return any(all(record.get(name) == value for name, value in key.items()) for record in records)

"""Who takes part in the benchmark of trials: ours with several mini-batches, compiled or not, and Tuun's rendering."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch

from benchmarks.timed_training import OnEpoch, TimedTraining, timed
from tuun_da.augment.batch_transform import BatchTransform
from tuun_da.augment.policy import Policy
from tuun_da.errors import ConfigError
from tuun_da.operations import SubPolicy
from tuun_da.training.loop import EpochReport, train
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.splits import Splits

OURS, OURS_COMPILED, TUUN_LIKE = NAMES = ("ours", "ours_compiled", "tuun_like")
PACKAGES: Mapping[str, tuple[str, ...]] = MappingProxyType({TUUN_LIKE: ("PIL", "torchvision")})
"""What a contestant has to import beside torch."""


@dataclass(frozen=True)
class Contestant:
    """One way of training, with mini-batches of ``batch_size``."""

    name: str
    batch_size: int

    def __str__(self) -> str:
        return f"{self.name}@{self.batch_size}"

    @property
    def missing_packages(self) -> list[str]:
        """Those that are not installed."""
        return [package for package in PACKAGES.get(self.name, ()) if importlib.util.find_spec(package) is None]

    def config(self, base: TrainConfig) -> TrainConfig:
        """``base`` with its mini-batch, and the learning rate in proportion to that (Goyal 2017, arXiv:1706.02677)."""
        return replace(
            base,
            batch_size=self.batch_size,
            learning_rate=base.learning_rate * self.batch_size / base.batch_size,
            compile=self.name == OURS_COMPILED,
        )


def parsed(text: str, batch_size: int) -> Contestant:
    """``NAME`` or ``NAME@BATCH``; without one it is ``batch_size``. Raises ConfigError."""
    name, at, size = text.partition("@")
    if name not in NAMES or (at and not size.isdecimal()):
        raise ConfigError(f"contestant must be one of {', '.join(NAMES)}, with @BATCH behind it or not; got {text!r}")
    return Contestant(name, int(size) if at else batch_size)


def run_contestant(
    contestant: Contestant,
    base: TrainConfig,
    splits: Splits,
    sub_policies: Sequence[SubPolicy] | None,
    device: torch.device,
    *,
    workers: int,
) -> TimedTraining:
    """One training by the clock; ``sub_policies`` None: images as they are. Raises ConfigError."""
    if contestant.missing_packages:
        raise ConfigError(f"{contestant.name} needs {', '.join(contestant.missing_packages)}, not installed")
    config = contestant.config(base)
    if contestant.name == TUUN_LIKE:
        from benchmarks.tuun_like_trial import train_like_tuun  # Pillow may not be there

        return timed(
            lambda on_epoch: train_like_tuun(config, splits, sub_policies, device, on_epoch, workers=workers),
            config.epochs,
        )
    transform = None if sub_policies is None else Policy.from_sub_policies(sub_policies, per="batch")
    return train_ours(config, splits, transform, device)


def train_ours(
    config: TrainConfig,
    splits: Splits,
    transform: BatchTransform[Any] | None,
    device: torch.device,
    *,
    evaluate_test: bool = False,
) -> TimedTraining:
    """``training.loop`` by the clock, whatever it says of itself."""

    def trained(on_epoch: OnEpoch) -> float | None:
        def heard(report: EpochReport) -> None:
            on_epoch(report.validation_accuracy)

        return train(config, splits, transform, device, heard, evaluate_test=evaluate_test).test_score

    return timed(trained, config.epochs)

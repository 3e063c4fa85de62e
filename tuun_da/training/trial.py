"""One trial: its images, and one training or several."""

from __future__ import annotations

import functools
from dataclasses import replace

import torch

from tuun_da.errors import ConfigError
from tuun_da.training.augmented import Transform
from tuun_da.training.datasets import load_splits
from tuun_da.training.fresh_validation import fresh_validation
from tuun_da.training.loop import TrialResult, train
from tuun_da.training.progress import TrialProgress
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig, TrialConfig
from tuun_da.training.splits import Splits


def run_trial(
    train_config: TrainConfig,
    data_config: DataConfig,
    trial_config: TrialConfig,
    transform: Transform | None,
    device: torch.device,
    progress: TrialProgress | None = None,
    *,
    number: int = 0,
) -> tuple[TrialResult, ...]:
    """The trainings of one trial, one after the other; the mean of their scores is what it is worth.

    ``progress`` hears of each epoch, and knows that mean. ``number`` tells trials apart that draw fresh validation
    images. Never reads the test split. Raises DataError, ConfigError, TrainingError.
    """
    progress = TrialProgress() if progress is None else progress
    results = []
    first = None
    for repeat in range(trial_config.repeats):
        shift = repeat if trial_config.resplit else 0
        splits = trial_splits(replace(data_config, split_seed=data_config.split_seed + shift))
        if trial_config.resplit and repeat == 1 and splits.digest == first:
            raise ConfigError(
                f"resplit must draw other images for each repeat, but {splits.name} has a validation split of its own "
                "and train_size is not given, so that there is nothing to draw"
            )
        first = splits.digest if trial_config.resplit and repeat == 0 else first
        if trial_config.validation_sample is not None:
            sample = trial_config.repeats * number + repeat
            splits = fresh_validation(splits, trial_config.validation_sample, sample, data_config.split_seed)
        config = replace(train_config, seed=train_config.seed + repeat)
        progress.begin(config)
        results.append(train(config, splits, transform, device, progress))
    return tuple(results)


@functools.lru_cache(maxsize=1)
def trial_splits(config: DataConfig) -> Splits:
    """The images that ``config`` names, kept for the next call with the same settings."""
    return load_splits(config)

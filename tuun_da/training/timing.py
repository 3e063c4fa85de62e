"""How long a training takes on this machine, found out in a second: a few epochs of made-up images."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch

from tuun_da.augment.trivial_augment import TrivialAugment
from tuun_da.errors import TuunDaError
from tuun_da.training.device import pick_device, requested_gpus, set_threads
from tuun_da.training.loop import EpochReport, train
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.splits import Splits

FEWEST_EPOCHS = 2  # after the first, which is slow: memory is taken, algorithms are chosen
MOST_EPOCHS = 50
STEPS = 3  # in an epoch


@dataclass(frozen=True, kw_only=True)
class TimedTraining:
    """What is to be timed: ``model`` on square images of ``image_size`` in batches of ``batch_size``."""

    model: str
    image_size: int
    batch_size: int
    channels: int
    classes: int
    device: str = "auto"
    threads: int | None = None
    trials_per_gpu: int = 1


class _Enough(Exception):
    pass


def time_training(timed: TimedTraining, seconds: float) -> float | str:
    """Seconds of one step, with its share of the augmentation: the median of the epochs that fit into ``seconds``.

    At least three epochs run. The pixels are random, since their content costs nothing. A text says why there is no
    such training: too little memory, no such model.
    """
    epochs: list[float] = []
    begin = time.monotonic()

    def on_epoch(report: EpochReport) -> None:
        epochs.append(report.seconds)
        if len(epochs) > FEWEST_EPOCHS and time.monotonic() - begin > seconds:
            raise _Enough

    try:
        set_threads(timed.threads)
        config = TrainConfig(
            model=timed.model, epochs=MOST_EPOCHS, batch_size=timed.batch_size, learning_rate=1e-6, warmup_share=0.0
        )
        with pick_device(timed.device, trials_per_gpu=timed.trials_per_gpu) as device:
            train(config, made_up_splits(timed), TrivialAugment(), device, on_epoch)
    except _Enough:
        pass
    except TuunDaError as error:
        return str(error)
    except (Exception, SystemExit) as error:  # a network of the user's own may raise anything
        return f"{type(error).__name__}: {error}"
    return statistics.median(epochs[1:]) / STEPS


def made_up_splits(timed: TimedTraining) -> Splits:
    """Random images for ``STEPS`` batches; the few to validate and to test cost next to nothing."""
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> torch.Tensor:
        shape = (count, timed.channels, timed.image_size, timed.image_size)
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)

    def labels(count: int) -> torch.Tensor:
        return torch.arange(count) % timed.classes

    return Splits(
        train_images=images(STEPS * timed.batch_size),
        train_labels=labels(STEPS * timed.batch_size),
        validation_images=images(2),
        validation_labels=labels(2),
        test_images=images(2),
        test_labels=labels(2),
        class_names=tuple(str(number) for number in range(timed.classes)),
        name="made-up images",
        mean=(0.5,) * timed.channels,
        std=(0.25,) * timed.channels,
    )


def gpus_for(device: str) -> int:
    """How many GPUs ``device`` stands for; 0 is the CPU. Raises ConfigError for one that is not there."""
    return len(requested_gpus(device, torch.cuda.device_count() if torch.cuda.is_available() else 0))

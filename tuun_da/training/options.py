"""The options of a training, for the command line and for NNI's trial alike. Loads no torch."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tuun_da.errors import ConfigError
from tuun_da.policy_format import split_parameters
from tuun_da.training.checks import check_known
from tuun_da.training.schedule import METRIC_NAMES, PRECISIONS, REWARD_NAMES, SAMPLING_NAMES, TrainConfig
from tuun_da.training.settings import (
    DEFAULT_IMAGE_SIZE,
    DEFAULT_VALIDATION_SHARE,
    MIN_IMAGE_SIZE,
    NAMED_DATA_SETS,
    DataConfig,
    TrialConfig,
)

SEARCHABLE = ("learning_rate", "weight_decay", "batch_size", "label_smoothing")
"""Settings of the training that a search space may hold beside the policy; they win over the option."""

TRAIN_NAMES = (
    "model", "weights", "epochs", "batch_size", "learning_rate", "momentum", "weight_decay", "label_smoothing",
    "warmup_share", "seed", "precision", "metric", "reward", "reward_gap", "reward_epochs", "sampling", "compile",
)  # fmt: skip
DATA_NAMES = (
    "data", "image_size", "train_size", "train_per_class", "validation_size", "test_size", "extra", "split_seed",
    "data_dir", "skip_broken",
)  # fmt: skip
TRIAL_NAMES = ("repeats", "resplit", "validation_sample")

PROBE_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {"model": "child_cnn", "epochs": 30, "batch_size": 16, "learning_rate": 0.02}
)
"""Other defaults for a probe: a small network, and fewer passes over the images."""


def add_data_options(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """Add the options that say which images are for what to ``parser``; ``required``: the data set must be named."""
    data = parser.add_argument_group("data")
    named = f"data set: {', '.join(NAMED_DATA_SETS)}, folder:PATH or npz:PATH"
    data.add_argument(
        "--data",
        default=None if required else DataConfig.data,
        required=required,
        metavar="NAME",
        help=named if required else f"{named} (default: %(default)s)",
    )
    data.add_argument(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help=f"side to which images are resized, at least {MIN_IMAGE_SIZE} (default: as they are, if all are square, "
        f"of one size and at most {DEFAULT_IMAGE_SIZE}; else {DEFAULT_IMAGE_SIZE})",
    )
    size = data.add_mutually_exclusive_group()
    size.add_argument(
        "--train-size",
        type=int,
        metavar="IMAGES",
        help="training images in all, the classes in proportion (default: all that are left)",
    )
    size.add_argument(
        "--train-per-class",
        type=int,
        metavar="IMAGES",
        help="training images of each class, instead of --train-size (default: all that are left)",
    )
    data.add_argument(
        "--validation-size",
        type=number_or_share,
        metavar="SIZE",
        help="validation images: a number, or a share such as 0.1 (default: the data set's own validation split, or "
        f"else {DEFAULT_VALIDATION_SHARE} of the training images)",
    )
    data.add_argument(
        "--test-size",
        type=number_or_share,
        metavar="SIZE",
        help="test images, a number or a share, for data without a test split (default: 0.2; of digits 0.5)",
    )
    data.add_argument(
        "--extra", action="store_true", help="train on the 531,131 extra images of svhn, too (default: without them)"
    )
    data.add_argument(
        "--split-seed",
        type=int,
        default=DataConfig.split_seed,
        metavar="SEED",
        help="seed of the choice of training and validation images (default: %(default)s)",
    )
    data.add_argument(
        "--data-dir",
        metavar="FOLDER",
        help="where downloads and decoded images are kept (default: $TUUN_DA_DATA, or else ~/.cache/tuun_da)",
    )
    data.add_argument(
        "--skip-broken",
        action="store_true",
        help="leave image files out that cannot be read, and count them (default: stop at the first)",
    )


def add_training_options(parser: argparse.ArgumentParser, defaults: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Add the options to ``parser``, with other ``defaults`` where given, by the names of the settings.

    ``device``, ``threads`` and ``trials_per_gpu`` are for ``training.device``.
    """
    add_data_options(parser)
    training = parser.add_argument_group("training")
    training.add_argument(
        "--model",
        default=TrainConfig.model,
        metavar="NAME",
        help="basenet_resnet18, child_cnn, wide_resnet_28_10 and the like, a classification model of torchvision, such "
        "as resnet50, or your own as module:function (default: %(default)s)",
    )
    training.add_argument(
        "--weights",
        metavar="FILE",
        help="fine-tune from these: DEFAULT, torchvision's pretrained ones of the model, or a file (default: train "
        "from scratch)",
    )
    training.add_argument(
        "--epochs",
        type=int,
        default=TrainConfig.epochs,
        metavar="NUMBER",
        help="passes over the training images (default: %(default)s)",
    )
    training.add_argument(
        "--batch-size",
        type=int,
        default=TrainConfig.batch_size,
        metavar="IMAGES",
        help="images in a step, at least 2 (default: %(default)s)",
    )
    training.add_argument(
        "--learning-rate",
        type=float,
        default=TrainConfig.learning_rate,
        metavar="RATE",
        help="learning rate at its peak (default: %(default)s)",
    )
    training.add_argument(
        "--momentum",
        type=float,
        default=TrainConfig.momentum,
        metavar="SHARE",
        help="Nesterov momentum, from 0 to below 1 (default: %(default)s)",
    )
    training.add_argument(
        "--weight-decay",
        type=float,
        default=TrainConfig.weight_decay,
        metavar="FACTOR",
        help="factor of the L2 penalty on the weights (default: %(default)s)",
    )
    training.add_argument(
        "--label-smoothing",
        type=float,
        default=TrainConfig.label_smoothing,
        metavar="SHARE",
        help="share of the target spread over all classes, from 0 to below 1 (default: %(default)s)",
    )
    training.add_argument(
        "--warmup-share",
        type=float,
        default=TrainConfig.warmup_share,
        metavar="SHARE",
        help="share of the steps on which the learning rate rises (default: %(default)s)",
    )
    training.add_argument(
        "--seed",
        type=int,
        default=TrainConfig.seed,
        metavar="SEED",
        help="seed of weights, order of images, dropout and augmentation (default: %(default)s)",
    )
    training.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=TrainConfig.precision,
        help="arithmetic; auto is bfloat16 on a GPU and float32 on the CPU (default: %(default)s)",
    )
    training.add_argument(
        "--sampling",
        choices=SAMPLING_NAMES,
        default=TrainConfig.sampling,
        help="balanced shows every class equally often, for data with rare classes (default: %(default)s)",
    )
    training.add_argument(
        "--compile",
        action="store_true",
        help="compile the network: a minute at first, then faster steps on a GPU (default: off)",
    )

    machine = parser.add_argument_group("machine")
    machine.add_argument(
        "--device",
        default="auto",
        help="auto (a free GPU, or the CPU if there is none), cpu, cuda or cuda:N (default: %(default)s)",
    )
    machine.add_argument(
        "--threads",
        type=int,
        metavar="NUMBER",
        help="CPU threads of one training (default: $OMP_NUM_THREADS, by tuun-da search a trial's share of the "
        "cores; else all cores)",
    )
    machine.add_argument(
        "--trials-per-gpu", type=int, default=1, metavar="NUMBER",
        help="trainings that may share a GPU; further ones wait (default: %(default)s)",
    )  # fmt: skip
    parser.set_defaults(**defaults)  # the help shows them too


def add_trial_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a trial, which may be several trainings, and of its score to ``parser``."""
    score = parser.add_argument_group("score of a training")
    add_metric_option(score)
    score.add_argument(
        "--reward",
        choices=REWARD_NAMES,
        default=TrainConfig.reward,
        help="the last epoch's, the best epoch's, or the mean of the best three that do not over-fit "
        "(default: %(default)s)",
    )
    score.add_argument(
        "--reward-gap",
        type=float,
        default=TrainConfig.reward_gap,
        metavar="SHARE",
        help="of top3: how far the validation accuracy may be below the training accuracy (default: %(default)s)",
    )
    score.add_argument(
        "--reward-epochs",
        type=int,
        default=TrainConfig.reward_epochs,
        metavar="NUMBER",
        help="of top3: the mean of how many epochs (default: %(default)s)",
    )

    trial = parser.add_argument_group("trial")
    trial.add_argument(
        "--repeats",
        type=int,
        default=TrialConfig.repeats,
        metavar="NUMBER",
        help="trainings of a trial, with one seed after the other, whose scores are averaged (default: %(default)s)",
    )
    trial.add_argument(
        "--resplit",
        action="store_true",
        help="other training and validation images for each repeat, where there are few (default: the same)",
    )
    trial.add_argument(
        "--validation-sample",
        type=int,
        metavar="IMAGES",
        help="validation images that each trial of an experiment draws anew, so that no policy is chosen for what "
        "it does to a few (default: all)",
    )


def add_metric_option(group: argparse._ArgumentGroup) -> None:
    """Add the one option of a score that a training by itself has, too."""
    group.add_argument(
        "--metric",
        choices=METRIC_NAMES,
        default=TrainConfig.metric,
        help="of the validation images; with rare classes not accuracy (default: %(default)s)",
    )


def number_or_share(text: str) -> int | float:
    """ "600" is a number of images, "0.2" a share of them."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def configs_from_options(
    namespace: argparse.Namespace, parameters: Mapping[str, Any] | None = None
) -> tuple[TrainConfig, DataConfig]:
    """The settings that parsed options stand for, and over them those ``parameters`` of a trial that are no policy.

    Settings of the score are at their defaults where ``add_trial_options`` was not asked for them. Raises ConfigError,
    also for a parameter that is neither of the policy nor in ``SEARCHABLE``.
    """
    train_settings = {name: getattr(namespace, name) for name in TRAIN_NAMES if hasattr(namespace, name)}
    train_settings |= searched_settings({} if parameters is None else parameters)
    data_settings = {name: getattr(namespace, name) for name in DATA_NAMES}
    return TrainConfig(**train_settings), DataConfig(**data_settings)


def searched_settings(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Those ``parameters`` of a trial that are no policy, as settings of TrainConfig.

    Raises ConfigError for one that is not in ``SEARCHABLE``, and for a text.
    """
    _, others = split_parameters(parameters)
    check_known("parameter of the search space", others, SEARCHABLE)
    for name, value in others.items():
        if name == "batch_size" and isinstance(value, float) and value.is_integer():
            others[name] = int(value)  # NNI's quniform gives 64.0
        if isinstance(value, str):
            raise ConfigError(f"parameter {name} must be a number, got {value!r}")
    return others


def trial_config_from_options(namespace: argparse.Namespace) -> TrialConfig:
    """The settings that the options of a trial stand for. Raises ConfigError."""
    return TrialConfig(**{name: getattr(namespace, name) for name in TRIAL_NAMES})

"""``tuun-da train``: one network, with a baseline or a policy, to keep."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tuun_da.commands.command_parser import options_of
from tuun_da.commands.options import add_command, add_config_option, check_output, check_replaceable
from tuun_da.engines.train_network import (
    ON_TOP_OF,
    Augmentation,
    augmentation_named,
    checkpoint_path,
    curve_path,
    is_training_report,
    searched_settings_of,
    train_network,
)
from tuun_da.errors import ConfigError
from tuun_da.training.data_spec import data_spec
from tuun_da.training.options import (
    DATA_NAMES,
    TRAIN_NAMES,
    add_metric_option,
    add_training_options,
    configs_from_options,
)
from tuun_da.training.settings import NAMED_DATA_SETS

if TYPE_CHECKING:
    from tuun_da.commands.options import Subparsers
    from tuun_da.training.loop import EpochReport
    from tuun_da.training.schedule import TrainConfig
    from tuun_da.training.settings import DataConfig
    from tuun_da.training.splits import Splits

HOW_TO_USE = """
the weights in use:
  import torch
  from tuun_da.training.network_file import load_network

  network = load_network("model.pt")  # takes images as they are: uint8 (n, channels, size, size)
  images = torch.zeros(1, network.channels, network.image_size, network.image_size, dtype=torch.uint8)
  with torch.inference_mode():
      best = network(images).argmax(dim=1)
  print([network.class_names[number] for number in best])

torch.load("model.pt", weights_only=True)["state_dict"] is the state dict alone; --weights model.pt starts from it."""


def add_parser(commands: Subparsers) -> None:
    """Add this command to the command line."""
    parser = add_command(
        commands,
        "train",
        train,
        "train one network with a policy or a baseline, and keep its weights",
        "tuun-da train --data ./images --policy best_policy.json -o model.pt",
    )
    parser.epilog = f"{parser.epilog}\n{HOW_TO_USE}"
    parser.add_argument(
        "--policy",
        required=True,
        metavar="NAME",
        help="a policy file, or a baseline: none, etp (crop + flip), etp+cutout, autoaugment-cifar10, "
        "autoaugment-svhn, autoaugment-imagenet, randaugment, trivialaugment, trivialaugment-narrow. With a file and "
        "without --data, images and training are those of its search, but for the options given here",
    )
    parser.add_argument(
        "--on-top-of",
        choices=ON_TOP_OF,
        help="the policy file on top of etp (crop + flip), or of none (default: as its search had it)",
    )
    parser.add_argument("-o", "--output", default="model.pt", metavar="FILE", help="weights (default: %(default)s)")
    parser.add_argument("--test", action="store_true", help="at the end, read the test split once (default: never)")
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="begin anew (default: go on where the same training was interrupted, from OUTPUT.checkpoint)",
    )
    add_config_option(parser)
    add_training_options(parser)
    data = options_of(parser)["--data"]
    data.default = None
    data.help = (
        f"a folder with a folder of images for each class, an .npz file, or {', '.join(NAMED_DATA_SETS)} (default: the "
        "images of the search, if --policy is a file that names them)"
    )
    add_metric_option(parser.add_argument_group("score of a training"))


def train(options: argparse.Namespace) -> int:
    """Train one network and write its weights; the exit code."""
    from tuun_da.engines.confirm import LABELS
    from tuun_da.training.checks import check_device

    augmentation = augmentation_named(options.policy, options.on_top_of, tuple(LABELS))
    train_config, data_config = _settings(options, augmentation)
    check_device(options.device)
    _check_outputs(options.output)
    output = Path(options.output).resolve()

    # Only now what takes seconds to import.
    from tuun_da.training.device import set_threads
    from tuun_da.training.network_file import is_network_file

    check_replaceable(options.output, is_network_file)
    if options.fresh:
        checkpoint_path(output).unlink(missing_ok=True)
    set_threads(options.threads)
    epochs = _Epochs(train_config, augmentation, output)
    try:
        trained = train_network(
            train_config,
            data_config,
            augmentation,
            output,
            device=options.device,
            trials_per_gpu=options.trials_per_gpu,
            evaluate_test=options.test,
            on_images=epochs.begin,
            on_epoch=epochs.show,
        )
    except KeyboardInterrupt:
        if checkpoint_path(output).exists():
            print("\nWhat is trained is kept; the same command goes on from there.", flush=True)
        raise
    scores = trained.report["scores"]
    metric = train_config.metric.replace("_", " ")
    print(f"Validation {metric}: {scores['validation']:.2%} of {scores['validation_images']} images")
    if scores["test"] is not None:
        print(f"Test {metric}: {scores['test']:.2%} of {scores['test_images']} images. They were read now, once; what")
        print("is chosen by this figure is no longer measured by it.")
    print(f"Written to {trained.network} and {trained.curve}")
    return 0


def _settings(options: argparse.Namespace, augmentation: Augmentation) -> tuple[TrainConfig, DataConfig]:
    """What the options say, or the policy file where they do not name the data."""
    if options.data is not None:
        options.data = data_spec(options.data)
        return configs_from_options(options)
    if augmentation.record is None:
        raise ConfigError("--data is missing; wanted a folder of images, an .npz file, or a data set such as cifar10")
    given = {name: getattr(options, name) for name in (*TRAIN_NAMES, *DATA_NAMES) if name in options.given}
    return searched_settings_of(augmentation.record, given, options.policy)


def _check_outputs(output: str) -> None:
    check_output(output)
    curve = curve_path(Path(output))
    if curve == Path(output):
        raise ConfigError(f"--output is for weights and must not end in .json, where its scores go; got {output!r}")
    check_output(str(curve))
    check_replaceable(str(curve), is_training_report)


class _Epochs:
    """Says what is trained, and a line for each epoch. Those of an interrupted training are said again."""

    def __init__(self, train_config: TrainConfig, augmentation: Augmentation, output: Path) -> None:
        self._config, self._augmentation = train_config, augmentation
        self._kept = checkpoint_path(output)
        self._seconds: list[float] = []

    def begin(self, splits: Splits) -> None:
        config = self._config
        print(splits.describe())
        print(
            f"Training {config.model} for {config.epochs} epochs; augmentation: {self._augmentation.text}", flush=True
        )
        if self._kept.exists():
            print(f"Going on from {self._kept}", flush=True)

    def show(self, report: EpochReport) -> None:
        from tuun_da.report.wording import duration

        self._seconds.append(report.seconds)
        left = (self._config.epochs - report.epoch) * sum(self._seconds) / len(self._seconds)
        width = len(str(self._config.epochs))
        print(
            f"Epoch {report.epoch:>{width}} of {self._config.epochs}: loss {report.train_loss:.4f}, "
            f"validation {self._config.metric.replace('_', ' ')} {report.validation_score:.2%}"
            + (f", about {duration(left)} left" if report.epoch < self._config.epochs else ""),
            flush=True,
        )

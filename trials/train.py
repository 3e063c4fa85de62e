"""One trial: train a network with the policy that NNI hands over, report the validation accuracy after each epoch.

Copy this file for a training of your own. What it must keep: ask NNI for the parameters before anything slow (NNI hands
them out in order of arrival), and report ``final_metric(parameters, ...)`` at the end, also of a stopped training.

    python3 train.py --data digits --model child_cnn --policy trivialaugment      # also runs without NNI
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from typing import Any

import nni

from tuun_da.engines.echo import final_metric, without_id
from tuun_da.errors import TuunDaError
from tuun_da.policy_format import split_parameters
from tuun_da.training.options import add_training_options, configs_from_options


def main() -> int:
    parser = argparse.ArgumentParser(description="Train one trial of an augmentation search.")
    add_training_options(parser)
    parser.add_argument(
        "--policy",
        default="search",
        help="search (the policy in NNI's parameters), etp+search, a policy file, or a baseline: none, etp (crop + "
        "flip), etp+cutout, autoaugment-cifar10, autoaugment-svhn, autoaugment-imagenet, randaugment, trivialaugment, "
        "trivialaugment-narrow (default: %(default)s)",
    )
    options = parser.parse_args()
    parameters = nni.get_next_parameter() or {}  # {} outside of an experiment
    trial: dict[str, Any] = {"started": time.time(), "seed": options.seed, "planned_epochs": options.epochs}
    curve: list[float] = []
    try:
        trial["settings"] = settings = {"policy": options.policy}
        policy_parameters, other_parameters = split_parameters(without_id(parameters))
        train_config, data_config = configs_from_options(options, other_parameters)
        settings |= {"train": train_config.to_dict(), "data": data_config.to_dict()}

        # Only now what takes seconds to import.
        from tuun_da.augment.named import build_transform
        from tuun_da.training.datasets import load_splits
        from tuun_da.training.device import pick_device, set_threads
        from tuun_da.training.loop import EpochReport, train

        def on_epoch(report: EpochReport) -> None:
            curve.append(report.validation_accuracy)
            nni.report_intermediate_result(report.validation_accuracy)

        set_threads(options.threads)
        transform = build_transform(options.policy, policy_parameters)
        splits = load_splits(data_config)
        settings |= {"image_size": splits.image_size, "num_classes": splits.num_classes}
        trial["left_out"] = splits.left_out  # broken files, with --skip-broken, and duplicates
        with pick_device(options.device, trials_per_gpu=options.trials_per_gpu) as device:
            result = train(train_config, splits, transform, device, on_epoch)
    except KeyboardInterrupt:  # NNI stops a trial by SIGINT, and kills it 5 s later
        score = curve[-1] if curve else None
        report(parameters, score, curve, state="stopped", stopped_at_epoch=len(curve), **trial)
        return 0
    except TuunDaError as error:
        report(parameters, None, curve, state="failed", error=str(error), **trial)
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        report(parameters, None, curve, state="failed", error=f"{type(error).__name__}: {error}", **trial)
        raise
    report(parameters, result.score, curve, **trial)
    return 0


def report(parameters: dict[str, Any], score: float | None, curve: list[float], **trial: Any) -> None:
    """Tell the tuner how the trial ended and what it ran."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the end is near; another one must not cost the report
    nni.report_final_result(final_metric(parameters, score, curve=curve, ended=time.time(), **trial))


if __name__ == "__main__":
    sys.exit(main())

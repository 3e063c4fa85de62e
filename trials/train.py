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
from tuun_da.training.options import (
    add_training_options,
    add_trial_options,
    configs_from_options,
    trial_config_from_options,
)
from tuun_da.training.progress import TrialProgress

TIME_OF_CLOCK = time.time() - time.monotonic()
"""What makes seconds since 1970 of a clock that nobody sets, so that no trial takes years or ends before it began."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Train one trial of an augmentation search.")
    add_training_options(parser)
    add_trial_options(parser)
    parser.add_argument(
        "--policy",
        default="search",
        help="search (the policy in NNI's parameters), etp+search, a policy file, or a baseline: none, etp (crop + "
        "flip), etp+cutout, autoaugment-cifar10, autoaugment-svhn, autoaugment-imagenet, randaugment, trivialaugment, "
        "trivialaugment-narrow (default: %(default)s)",
    )
    options = parser.parse_args()
    parameters = nni.get_next_parameter() or {}  # {} outside of an experiment
    trial: dict[str, Any] = {"started": TIME_OF_CLOCK + time.monotonic(), "seed": options.seed}
    progress = TrialProgress(nni.report_intermediate_result)
    try:
        trial["settings"] = settings = {"policy": options.policy}
        policy_parameters, other_parameters = split_parameters(without_id(parameters))
        train_config, data_config = configs_from_options(options, other_parameters)
        trial_config = trial_config_from_options(options)
        settings |= {"train": train_config.to_dict(), "data": data_config.to_dict(), "trial": trial_config.to_dict()}
        trial["planned_epochs"] = train_config.epochs * trial_config.repeats

        # Only now what takes seconds to import.
        from tuun_da.augment.named import build_transform
        from tuun_da.training.device import pick_device, set_threads
        from tuun_da.training.hardware import described_hardware
        from tuun_da.training.trial import run_trial, trial_splits

        set_threads(options.threads)
        transform = build_transform(options.policy, policy_parameters)
        splits = trial_splits(data_config)
        settings |= {"image_size": splits.image_size, "num_classes": splits.num_classes}
        trial["left_out"] = splits.left_out  # broken files, with --skip-broken, and duplicates
        trial["number"] = number = nni.get_sequence_id()  # draws the fresh validation images; 0 outside an experiment
        with pick_device(options.device, trials_per_gpu=options.trials_per_gpu) as device:
            trial["hardware"] = described_hardware(device)
            run_trial(train_config, data_config, trial_config, transform, device, progress, number=number)
    except KeyboardInterrupt:  # NNI stops a trial by SIGINT, and kills it 5 s later
        report(parameters, progress, state="stopped", stopped_at_epoch=len(progress.curve), **trial)
        return 0
    except TuunDaError as error:
        report(parameters, progress, state="failed", error=str(error), **trial)
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        report(parameters, progress, state="failed", error=f"{type(error).__name__}: {error}", **trial)
        raise
    report(parameters, progress, **trial)
    return 0


def report(parameters: dict[str, Any], progress: TrialProgress, state: str = "succeeded", **trial: Any) -> None:
    """Tell the tuner how the trial ended and what it ran."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the end is near; another one must not cost the report
    score = None if state == "failed" else progress.score
    trial |= {"state": state, "curve": progress.curve, "ended": TIME_OF_CLOCK + time.monotonic()}
    nni.report_final_result(final_metric(parameters, score, **trial))


if __name__ == "__main__":
    sys.exit(main())

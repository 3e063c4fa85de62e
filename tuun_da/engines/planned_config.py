"""An NNI configuration whose trials run without NNI: what its trial command says, as a TrialPlan."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path
from typing import NoReturn

import tuun_da
from tuun_da.engines.local_trial import SEARCHED, TrialPlan
from tuun_da.engines.nni_config import NniConfig
from tuun_da.errors import ConfigError
from tuun_da.training.options import (
    add_training_options,
    add_trial_options,
    configs_from_options,
    trial_config_from_options,
)

TRIAL_SCRIPT = Path(tuun_da.__file__).parent / "starter" / "trials" / "train.py"
OF_NNI_ALONE = ("assessor", "maxExperimentDuration", "maxTrialDuration")
PYTHON = re.compile(r"python(3(\.[0-9]+)?)?")


def trial_folder(config: NniConfig) -> Path:
    """The folder in which the trials of the configuration run, to which their relative paths belong."""
    return (config.path.parent / Path(str(config.content["trialCodeDirectory"])).expanduser()).resolve()


def plan_of(config: NniConfig) -> TrialPlan:
    """What the trials of the configuration do.

    Raises ConfigError unless the trial command is train.py as it is in the package, with options that it takes, and for
    what would have no effect: an assessor, time limits, another platform than the local one.
    """
    for key in OF_NNI_ALONE:
        if config.content.get(key):
            raise ConfigError(f"{config.path}: {key}: trials that run without NNI have none; leave it out")
    platform = config.content["trainingService"].get("platform")
    if platform != "local":
        raise ConfigError(
            f"{config.path}: trainingService.platform: must be local without NNI, whatever runs the trials; got "
            f"{platform!r}"
        )
    command = str(config.content["trialCommand"])
    try:
        program, *arguments = shlex.split(command)
        script = trial_folder(config) / arguments[0]
        same = bool(PYTHON.fullmatch(Path(program).name)) and script.read_bytes() == TRIAL_SCRIPT.read_bytes()
    except (OSError, ValueError, IndexError):
        same = False
    if not same:
        raise ConfigError(
            f"{config.path}: trialCommand: without NNI it must be python3 and train.py, unchanged, as tuun-da init "
            f"writes it; got {command!r}"
        )
    parser = _Parser(prog=f"{config.path}: trialCommand", add_help=False, allow_abbrev=False)
    add_training_options(parser)
    add_trial_options(parser)
    parser.add_argument("--policy", default="search")
    options = parser.parse_args(arguments[1:])
    if options.policy not in SEARCHED:
        raise ConfigError(
            f"{config.path}: trialCommand: --policy must be {' or '.join(SEARCHED)}; got {options.policy!r}"
        )
    train, data = configs_from_options(options)
    return TrialPlan(
        train=train,
        data=data,
        trial=trial_config_from_options(options),
        policy=options.policy,
        device=options.device,
        trials_per_gpu=options.trials_per_gpu,
        threads=options.threads,
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{self.prog}: {message}")

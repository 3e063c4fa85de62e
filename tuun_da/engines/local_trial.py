"""One trial of a search in Python: what ``trials/train.py`` is under NNI, as a function."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tuun_da.engines.echo import final_metric
from tuun_da.errors import ConfigError, TuunDaError
from tuun_da.policy_format import (
    TRIAL_ID_KEY,
    WAYS_OF_APPLYING,
    PolicyRecord,
    split_parameters,
    sub_policies_from_parameters,
)
from tuun_da.training.checks import check_device, checked_choice, checked_integer, checked_number
from tuun_da.training.options import searched_settings
from tuun_da.training.progress import TrialProgress
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig, TrialConfig

_logger = logging.getLogger(__name__)

SEARCHED = ("search", "etp+search")  # of augment.named, which loads torch
BASELINES = ("none", "etp", "trivialaugment")  # likewise: those that a search compares itself with


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """What all trials of a search have in common. Raises ConfigError.

    ``policy``           "search", or "etp+search": the policy on top of crop + flip; or one of ``BASELINES``, which
                         have no parameters.
    ``per``              "batch" or "image": what a sub-policy is drawn for.
    ``unchanged_share``  share of the images that the policy leaves alone, in [0, 1].
    ``device``, ``trials_per_gpu`` and ``threads`` are for ``training.device``; ``threads`` None is torch's choice.
    """

    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)
    trial: TrialConfig = field(default_factory=TrialConfig)
    policy: str = "search"
    per: str = "batch"
    unchanged_share: float = 0.0
    device: str = "auto"
    trials_per_gpu: int = 1
    threads: int | None = None

    def __post_init__(self) -> None:
        checked_choice("policy", self.policy, (*SEARCHED, *BASELINES))
        checked_choice("per", self.per, WAYS_OF_APPLYING)
        object.__setattr__(self, "unchanged_share", checked_number("unchanged_share", self.unchanged_share, "[0, 1]"))
        check_device(self.device)
        checked_integer("trials_per_gpu", self.trials_per_gpu, low=1)
        if self.threads is not None:
            checked_integer("threads", self.threads, low=1)

    def settings(self) -> dict[str, Any]:
        """What decides the score of a trial, as a JSON object: not where it runs."""
        return {
            "policy": self.policy,
            "per": self.per,
            "unchanged_share": self.unchanged_share,
            "train": self.train.to_dict(),
            "data": self.data.to_dict(),
            "trial": self.trial.to_dict(),
        }


def run_planned(plan: TrialPlan, trial_id: int, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Train as ``plan`` says with the ``parameters`` of the trial; what it came to, as a final metric (echo.py).

    What goes wrong makes it a failed trial, which says why; only a KeyboardInterrupt is let through.
    """
    settings = plan.settings()
    begun = time.monotonic()  # so that a clock that is set meanwhile does not change how long the trial took
    about: dict[str, Any] = {"started": time.time(), "seed": plan.train.seed, "settings": settings}
    progress = TrialProgress()
    error: str | None = None
    try:
        config = replace(plan.train, **searched_settings(parameters))
        settings["train"] = config.to_dict()
        about["planned_epochs"] = config.epochs * plan.trial.repeats
        record = None
        if plan.policy in SEARCHED:
            found = sub_policies_from_parameters(split_parameters(parameters)[0])
            record = PolicyRecord(found, plan.per, plan.unchanged_share)

        # Only now what takes seconds to import.
        from tuun_da.augment.named import build_transform
        from tuun_da.training.device import pick_device, set_threads
        from tuun_da.training.hardware import described_hardware
        from tuun_da.training.trial import run_trial, trial_splits

        set_threads(plan.threads)
        transform = build_transform(plan.policy, record)
        splits = trial_splits(plan.data)
        settings |= {"image_size": splits.image_size, "num_classes": splits.num_classes}
        about["left_out"] = splits.left_out
        with pick_device(plan.device, trials_per_gpu=plan.trials_per_gpu) as device:
            about["hardware"] = described_hardware(device)
            run_trial(config, plan.data, plan.trial, transform, device, progress, number=trial_id)
    except TuunDaError as problem:
        error = str(problem)
        _logger.warning("trial %d failed: %s", trial_id, error)
    except (Exception, SystemExit) as problem:  # a network of the user's own may raise anything
        error = f"{type(problem).__name__}: {problem}"
        _logger.warning("trial %d failed", trial_id, exc_info=True)
    return final_metric(
        {**parameters, TRIAL_ID_KEY: trial_id},
        progress.score if error is None else None,
        curve=progress.curve,
        state="succeeded" if error is None else "failed",
        ended=about["started"] + time.monotonic() - begun,
        error=error,
        **about,
    )


def check_same_plan(plan: TrialPlan, settings: Mapping[str, Any], parameters: Mapping[str, Any], journal: str) -> None:
    """Raise ConfigError where a trial in the ``journal`` ran with other ``settings`` than ``plan`` has.

    Those that its ``parameters`` brought do not count, nor does what a trial of another engine did not say.
    """
    _, searched = split_parameters(parameters)
    for name, wanted in plan.settings().items():
        found = settings.get(name, wanted)
        pairs = {name: (found, wanted)}
        if isinstance(wanted, Mapping) and isinstance(found, Mapping):
            pairs = {key: (found.get(key, value), value) for key, value in wanted.items() if key not in searched}
        for key, (before, now) in pairs.items():
            if before != now:
                raise ConfigError(
                    f"the trials in journal {journal} ran with {key} = {before!r}, and {key} is {now!r} now; "
                    "scores of the two do not compare, so give this search a journal of its own"
                )

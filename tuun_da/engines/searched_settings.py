"""How the trials trained that found a policy, as its file says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuun_da.errors import ConfigError
from tuun_da.policy_format import PolicyRecord
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig


def settings_of(record: PolicyRecord, overrides: Mapping[str, Any]) -> tuple[TrainConfig, DataConfig, str]:
    """How the trials trained that found the policy: training, data, and how the policy was applied."""
    settings = record.searched.get("settings")
    if (
        not isinstance(settings, Mapping)
        or not {"train", "data", "policy"} <= set(settings)
        or not all(isinstance(settings[part], Mapping) for part in ("train", "data"))
    ):
        raise ConfigError(
            "the policy file does not say how its trials trained (searched.settings with train, data and policy); "
            "it is written by tuun-da search and tuun-da best when the trials report it, as trials/train.py does"
        )
    train, data = dict(settings["train"]), dict(settings["data"])
    for name, value in overrides.items():
        if name in train:
            train[name] = value
        elif name in data:
            data[name] = value
        else:
            raise ConfigError(f"there is no setting {name!r}; there are {', '.join([*train, *data])}")
    if "model" not in overrides and ":" in str(train.get("model")):
        raise ConfigError(
            f"the policy file names the model {train['model']!r}, which is code, and a policy file is only data; "
            f"if you trust it, say so: --model {train['model']}"
        )
    choice = settings["policy"]
    return (
        TrainConfig.from_mapping(train),
        DataConfig.from_mapping(data),
        "etp+search" if choice == "etp+search" else "search",
    )

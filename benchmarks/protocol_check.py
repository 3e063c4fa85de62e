"""DeepAugment's check: does a policy that was found with a small net, in short trainings, help a large one?

The large net is trained with what each search of "tuun" recommended, and without augmentation, on all labelled images
of the same search and with the same seed. Such a training takes long, so it keeps a checkpoint and goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.protocol_records import RETRAINING, Plan, TimeIsUp, Trainings, results_file
from benchmarks.protocol_rows import PolicyJson, transform_of
from benchmarks.protocol_settings import SETTINGS, ProtocolSetting, retraining_seed, search_images
from benchmarks.training_records import read_trainings
from tuun_da.errors import ConfigError
from tuun_da.training.device import pick_device
from tuun_da.training.loop import EpochReport, train

SEARCHED = "cifar10"  # the setting whose policies are checked
CHECKS: Mapping[str, ProtocolSetting] = {
    "wide_resnet_28_10": replace(
        SETTINGS[SEARCHED],
        name="check_wide_resnet_28_10",
        train_config={"model": "wide_resnet_28_10", "epochs": 30, "batch_size": 128},
    )
}
"""The trainings by the names of their nets."""


def run_check(net: str, plan: Plan, searches: int) -> bool:
    """Train ``net`` with and without the policy of each search; False if time is up before. Raises TuunDaError."""
    setting = CHECKS[net]
    trainings = Trainings(setting, plan)
    policies = recommended(plan.results, searches)
    try:
        for search, policy in enumerate(policies):
            for row, chosen in (("none", {"choice": "none"}), ("tuun", policy)):
                if trainings.find(row, search, RETRAINING, 0) is None:
                    trainings.add(trained(setting, plan, row, search, chosen))
    except TimeIsUp:
        return False
    return True


def recommended(results: Path, searches: int) -> list[PolicyJson]:
    """The policies that the searches of "tuun" ended with. Raises ConfigError if they have not."""
    path = results_file(results, SEARCHED)
    found = {
        record["search"]: record["policy"]
        for record in (read_trainings(path) if path.exists() else [])
        if record["row"] == "tuun" and record["role"] == RETRAINING
    }
    missing = [search for search in range(searches) if search not in found]
    if missing:
        raise ConfigError(
            f"search {missing[0]} of tuun on {SEARCHED} has recommended nothing yet in {path}; "
            f"first run --settings {SEARCHED} --rows tuun, or fewer --searches"
        )
    return [found[search] for search in range(searches)]


def trained(setting: ProtocolSetting, plan: Plan, row: str, search: int, policy: PolicyJson) -> dict[str, Any]:
    """The record of one training, which goes on from its checkpoint. Raises TimeIsUp between two epochs."""
    checkpoint = plan.results / f"{setting.name}_{row}_{search}.pt"
    seed = retraining_seed(search, 0)
    epochs: list[float] = []

    def on_epoch(report: EpochReport) -> None:
        epochs.append(report.seconds)
        if report.epoch < config.epochs:
            plan.check_time(max(epochs))

    config = setting.seeded(seed)
    splits = search_images(setting, search, plan.data_dir).of_retraining()
    transform = transform_of(policy, setting.autoaugment)
    begin = time.monotonic()
    with pick_device(plan.device) as device:
        result = train(config, splits, transform, device, on_epoch, evaluate_test=True, checkpoint=checkpoint)
    assert result.test_score is not None
    checkpoint.unlink(missing_ok=True)
    record = {"row": row, "search": search, "role": RETRAINING, "number": 0, "policy": dict(policy), "seed": seed}
    wall = round(time.monotonic() - begin, 3)
    return record | {"score": result.test_score, "seconds": round(result.seconds, 3), "wall_seconds": wall}

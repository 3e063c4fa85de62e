"""One network, trained to be kept: with a baseline or with a policy, on a user's images, into a file."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuun_da import __version__
from tuun_da.data_files import write_atomically
from tuun_da.engines.readings import check_readings, record_reading
from tuun_da.engines.searched_settings import settings_of
from tuun_da.errors import ConfigError
from tuun_da.policy_format import PolicyRecord
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig

if TYPE_CHECKING:
    from tuun_da.training.loop import EpochReport
    from tuun_da.training.splits import Splits

FORMAT = "tuun_da training"
ON_TOP_OF = ("none", "etp")


@dataclass(frozen=True)
class Augmentation:
    """What is done to the training images: ``choice`` as in ``augment.named``, with a policy where it needs one."""

    choice: str
    record: PolicyRecord | None = None

    @property
    def text(self) -> str:
        """In words."""
        if self.record is None:
            return self.choice
        return "the policy on top of crop + flip" if self.choice == "etp+search" else "the policy"


def augmentation_named(name: str, on_top_of: str | None, baselines: Collection[str]) -> Augmentation:
    """The augmentation that ``name``, one of ``baselines`` or the path of a policy file, stands for.

    ``on_top_of`` is "etp" for a policy on top of crop + flip, "none" for the policy alone, and None as its search had
    it. Raises ConfigError, and PolicyError for a file that holds no policy.
    """
    if name in baselines:
        if on_top_of is not None:
            raise ConfigError(f"on-top-of is for a policy file, and the policy is {name}")
        return Augmentation(name)
    if not Path(name).exists():
        raise ConfigError(f"policy must be one of {', '.join(baselines)}, or a policy file; there is no file {name!r}")
    record = PolicyRecord.load(name)
    if on_top_of is None:
        on_top_of = "etp" if record.on_top_of_etp else "none"
    return Augmentation("etp+search" if on_top_of == "etp" else "search", record)


def searched_settings_of(
    record: PolicyRecord, overrides: Mapping[str, Any], source: str
) -> tuple[TrainConfig, DataConfig]:
    """The training and the images of the search that found the policy, with ``overrides`` in their place.

    Raises ConfigError where the file ``source`` does not say them, or names a model that is code.
    """
    if not record.searched.get("settings"):
        raise ConfigError(f"data is missing: policy file {source} does not say on which images its trials trained")
    overrides = dict(overrides)
    for one, other in (("train_size", "train_per_class"), ("train_per_class", "train_size")):
        if overrides.get(one) is not None:  # of two that exclude each other, the search's goes
            overrides.setdefault(other, None)
    train_config, data_config, _ = settings_of(record, overrides)
    return train_config, data_config


@dataclass(frozen=True)
class Trained:
    """What came of it: ``report`` is what the JSON file holds."""

    network: Path
    curve: Path
    report: Mapping[str, Any]


def train_network(
    train_config: TrainConfig,
    data_config: DataConfig,
    augmentation: Augmentation,
    output: Path,
    *,
    device: str = "auto",
    trials_per_gpu: int = 1,
    evaluate_test: bool = False,
    on_images: Callable[[Splits], object] = lambda splits: None,
    on_epoch: Callable[[EpochReport], object] = lambda report: None,
) -> Trained:
    """Train one network, and write its weights to ``output`` and its curve and scores beside it.

    Interrupted, it leaves its state in ``checkpoint_path(output)``, from which the same call goes on. The weights are
    those after the last epoch. The test split is read with ``evaluate_test`` only, once, at the end; that is noted in
    the folder of ``output``, and a second reading warns. Raises DataError, ConfigError, TrainingError, OSError, and
    JournalError where that record is damaged or not ours.
    """
    from tuun_da.augment.named import build_transform
    from tuun_da.training.datasets import load_splits
    from tuun_da.training.device import pick_device
    from tuun_da.training.loop import train
    from tuun_da.training.network_file import save_network, state_to_keep

    train_config = replace(train_config, reward="last")  # what is kept is the network after the last epoch
    transform = build_transform(augmentation.choice, augmentation.record)
    splits = load_splits(data_config)
    on_images(splits)
    states: list[Any] = []
    epochs: list[EpochReport] = []

    def hear(report: EpochReport) -> None:
        epochs.append(report)
        on_epoch(report)

    if evaluate_test:
        check_readings(output.parent)  # now, not after hours
    with pick_device(device, trials_per_gpu=trials_per_gpu) as chosen:
        result = train(
            train_config,
            splits,
            transform,
            chosen,
            hear,
            evaluate_test=evaluate_test,
            on_network=lambda network: states.append(state_to_keep(network)),
            checkpoint=checkpoint_path(output),
        )
        device_type = chosen.type
    record = augmentation.record
    about: dict[str, Any] = {
        "settings": {"train": train_config.to_dict(), "data": data_config.to_dict()},
        "augmentation": {
            "choice": augmentation.choice,
            "policy": None if record is None else json.loads(record.to_json()),
        },
        "scores": {
            "metric": train_config.metric,
            "validation": result.curve[-1],
            "validation_images": len(splits.validation_labels),
            "test": result.test_score,  # None: not read
            "test_images": len(splits.test_labels),
        },
        "data": {"classes": list(splits.class_names), "train_images": len(splits.train_labels), **splits.left_out},
        "device": device_type,
        "ended": time.time(),
        "tuun_da": __version__,
    }
    if evaluate_test:
        said = json.dumps([about["settings"], about["augmentation"], about["ended"]])
        reading = hashlib.blake2b(said.encode(), digest_size=16).hexdigest()
        record_reading(output.parent, data_config, reading, {"network": output.name}, read_now=True)
    save_network(output, states[0], train_config.model, splits, about)
    seconds = sum(report.seconds for report in epochs)
    report = {"format": FORMAT, "version": 1, "seconds": seconds, "epochs": [asdict(e) for e in epochs], **about}
    write_atomically(curve_path(output), json.dumps(report, indent=1) + "\n")
    checkpoint_path(output).unlink(missing_ok=True)
    return Trained(output, curve_path(output), report)


def checkpoint_path(output: Path) -> Path:
    """Where an interrupted training leaves its state."""
    return output.with_name(output.name + ".checkpoint")


def curve_path(output: Path) -> Path:
    """Where the learning curve and the scores are written."""
    return output.with_suffix(".json")


def is_training_report(path: str | os.PathLike[str]) -> bool:
    """Whether the file at ``path`` is what ``train_network`` writes beside the weights. Raises OSError."""
    with open(path, "rb") as file:
        begin = file.read(100)
    return begin.startswith(b"{\n") and json.dumps({"format": FORMAT})[1:-1].encode() in begin

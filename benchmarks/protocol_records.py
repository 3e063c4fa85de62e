"""The protocol's trainings on the disk: what a run is to do, and what has been done. Every training is one JSON line.

A line has the row, the number of the search, the role and the number of the training, the policy, the seed, the score
(a share in [0, 1]: of a trial on validation images, of a retraining on the test images), the seconds of computing time
and those on the clock; of a trial also the seconds that its suggestion took.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import race
from benchmarks.protocol_rows import SHIPPED_TUNER
from benchmarks.protocol_settings import ProtocolSetting
from benchmarks.training_records import Record, append_training, check_header, cpu_name, read_trainings

TRIAL, RETRAINING = "trial", "retraining"  # the roles of a training
RETRAININGS = 3


class TimeIsUp(Exception):
    """The time of a run is over before everything is done."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What every job of a run has in common. ``deadline`` is a time of ``time.monotonic``; None: there is none."""

    results: Path
    data_dir: str
    device: str = "cpu"
    trials: int = 60
    deadline: float | None = None

    def check_time(self, seconds: float) -> None:
        """Raise TimeIsUp if what takes so many seconds would not be done before the deadline."""
        if self.deadline is not None and time.monotonic() + seconds > self.deadline:
            raise TimeIsUp


class Trainings:
    """The trainings in the file of ``setting``. Several processes may add to it, each to rows or searches of its own.

    Raises ConfigError if the file has trainings under other conditions.
    """

    def __init__(self, setting: ProtocolSetting, plan: Plan) -> None:
        self._path = results_file(plan.results, setting.name)
        self._header = make_header(setting, plan)
        records = read_trainings(self._path) if self._path.exists() else []
        if records:
            check_header(self._path, self._header, {name: records[-1][name] for name in self._header})
        self._known = {_place(record): record for record in records}

    def find(self, row: str, search: int, role: str, number: int) -> Record | None:
        """The record of a training, if it has been done."""
        return self._known.get((row, search, role, number))

    def add(self, record: Record) -> None:
        """Write it down."""
        append_training(self._path, self._header, record)
        self._known[_place(record)] = record

    def longest(self, role: str) -> float:
        """Seconds on the clock of the longest training of that role; 0 before the first."""
        return max((record["wall_seconds"] for record in self._known.values() if record["role"] == role), default=0.0)


def results_file(results: Path, setting: str) -> Path:
    """Where the trainings of a setting lie."""
    return results / f"protocol_{setting}.jsonl"


def make_header(setting: ProtocolSetting, plan: Plan) -> Record:
    """What all trainings of a table have in common; hardware and versions may change on the way."""
    conditions = race.conditions()
    hardware = f"{cpu_name()}, 1 core"
    if plan.device == "cuda":
        import torch

        hardware = torch.cuda.get_device_name() if torch.cuda.is_available() else hardware
    header = {
        "setting": setting.name,
        "training": {name: value for name, value in setting.to_dict().items() if name != "name"},
        "trials": plan.trials,
        "tuner": dict(SHIPPED_TUNER),
        "device": plan.device,
        "hardware": hardware,
        "versions": conditions["versions"] | {"tuun_da": conditions["commit"]},
    }
    return dict(json.loads(json.dumps(header)))  # as it is read again


def _place(record: Record) -> tuple[str, int, str, int]:
    return record["row"], record["search"], record["role"], record["number"]

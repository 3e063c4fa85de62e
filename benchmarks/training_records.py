"""Trainings on the disk: JSON lines, a header before the records that it holds for. Survives being killed."""

from __future__ import annotations

import fcntl
import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.real_trainings import Setting
from tuun_da.errors import ConfigError

Record = dict[str, Any]
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn")
MACHINE_KEYS = ("hardware", "versions")
HELD_SETTINGS = (  # of the training; the others are at their defaults
    "batch_size", "learning_rate", "momentum", "weight_decay", "label_smoothing", "warmup_share", "precision",
)  # fmt: skip


def read_trainings(path: Path | str) -> list[Record]:
    """Every training in the file, each with the fields of its header. A line that was cut off at the end is ignored."""
    return _parsed(Path(path).read_bytes())[1]


def append_training(path: Path, header: Record, record: Mapping[str, Any]) -> None:
    """Add one training, with ``header`` before it if the last one in the file is another. Many processes may call it.

    A line that was cut off is removed first. Raises ConfigError if the file belongs to another setting.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            file.truncate(len(whole))
        last_header, _ = _parsed(whole)
        check_header(path, header, last_header)
        lines = [record] if last_header == header else [{"header": header}, record]
        file.write("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode())
        file.flush()
        os.fsync(file.fileno())


def check_header(path: Path, header: Record, last_header: Record | None) -> None:
    """Raise ConfigError unless both are of the same setting. The machine may be another."""
    if last_header is None:
        return
    for key in header.keys() | last_header.keys():
        if key not in MACHINE_KEYS and header.get(key) != last_header.get(key):
            raise ConfigError(
                f"{path} holds trainings with {key} {last_header.get(key)!r}, now it is {header.get(key)!r}; "
                "move the file away, or name another folder with --results"
            )


def trainings_done(path: Path, header: Record) -> set[tuple[str, int]]:
    """Name and seed of each training in the file. Raises ConfigError if it belongs to another setting."""
    if not path.exists():
        return set()
    last_header, records = _parsed(path.read_bytes())
    check_header(path, header, last_header)
    return {(record["name"], record["seed"]) for record in records}


def make_header(setting: Setting, *, train_images: int, validation_images: int) -> Record:
    """What all trainings of ``setting`` on this machine have in common. ``epochs`` are passes over the images."""
    config = {name: value for name, value in setting.train_config.to_dict().items() if name in HELD_SETTINGS}
    return {
        "setting": setting.name,
        "net": setting.net,
        "epochs": setting.passes,
        "train_images": train_images,
        "validation_images": validation_images,
        "image_size": setting.image_size,
        "train_config": config,
        "hardware": f"{cpu_name()}, 1 core",
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _parsed(content: bytes) -> tuple[Record | None, list[Record]]:
    """The last header, and every record joined with its header."""
    header: Record | None = None
    records = []
    for line in content[: content.rfind(b"\n") + 1].splitlines():
        entry = json.loads(line)
        if "header" in entry:
            header = entry["header"]
        else:
            records.append({**(header or {}), **entry})
    return header, records

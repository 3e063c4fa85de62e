"""How many faults of each kind are injected, and the table of what came of them.

TUUN_DA_FAULTS=200           so many within this machine's processes in all (default 40), in proportion to ``SHARES``
TUUN_DA_FAULTS_SEED=1        another seed for all moments and places (default 0)
TUUN_DA_FAULTS_TABLE=FILE    where the table is written at the end, as JSON
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT = 40
SHARES = {
    "kill -9 of the search": 7,
    "kill -9 of the search and its workers left alone": 3,
    "kill -9 of a worker": 3,
    "a worker dies before it asks for parameters": 1,
    "a trial exits 0 without a result": 1,
    "a trial reports twice": 1,
    "a trial reports NaN or infinity": 2,
    "a trial hangs": 2,
    "full disk, room is made": 2,
    "full disk, no room": 2,
    "read-only file system": 2,
    "last line torn at every byte": 2,
    "a bit, or a block, damaged": 4,
    "two processes on one journal": 2,
    "the surrogate raises": 2,
    "the clock jumps": 3,
    "memory runs out in a training": 1,
}


def numbers(fault: str) -> list[int]:
    """The numbers of the injections of this fault, from which their seeds are made; at least one."""
    total = int(os.environ.get("TUUN_DA_FAULTS", DEFAULT))
    count = max(1, -(-SHARES[fault] * total // sum(SHARES.values())))
    return list(range(count))


def experiments() -> list[int]:
    """The numbers of the experiments under NNI, of ten injections each."""
    return list(range(1 if int(os.environ.get("TUUN_DA_FAULTS", DEFAULT)) < 200 else 2))


def seed_of(fault: str, number: int) -> list[int]:
    """The seed of everything random in an injection."""
    return [int(os.environ.get("TUUN_DA_FAULTS_SEED", 0)), *fault.encode(), number]


@dataclass
class Row:
    """One fault: how often it was injected, how often all held, what happened."""

    injections: int = 0
    survived: int = 0
    seconds: list[float] = field(default_factory=list)
    happened: dict[str, int] = field(default_factory=dict)


class FaultTable:
    """Gathers injections as they happen."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}

    @contextlib.contextmanager
    def injected(self, fault: str, *, together: int = 1) -> Iterator[list[str]]:
        """Around one injection and the checks after it. The list takes words for what happened.

        Of ``together`` injections in one experiment, each is told to have taken its share of the time.
        """
        begin, words = time.monotonic(), []
        row = self._rows.setdefault(fault, Row())
        row.injections += 1
        try:
            yield words
            row.survived += 1
        finally:
            row.seconds.append((time.monotonic() - begin) / together)
            for word in words:
                row.happened[word] = row.happened.get(word, 0) + 1

    def write(self, path: Path) -> None:
        """The table as JSON, with what it was made with."""
        rows = [
            {
                "fault": fault,
                "injections": row.injections,
                "survived": row.survived,
                "mean_seconds": round(statistics.mean(row.seconds), 2),
                "happened": row.happened,
            }
            for fault, row in self._rows.items()
        ]
        versions = {name: importlib.metadata.version(name) for name in ("nni", "numpy", "scipy", "torch", "psutil")}
        content = {
            "injections": sum(row["injections"] for row in rows),
            "survived": sum(row["survived"] for row in rows),
            "seed": int(os.environ.get("TUUN_DA_FAULTS_SEED", 0)),
            "date": time.strftime("%Y-%m-%d"),
            "versions": {"python": platform.python_version(), **versions},
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "rows": rows,
        }
        path.write_text(json.dumps(content, indent=1) + "\n")

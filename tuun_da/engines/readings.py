"""The readings of a test split, on record before an image of it is looked at.

A test split tells the truth once. Whoever looks at its result, changes something and looks again has begun to fit it.
"""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuun_da.engines.kept_lines import KeptLines
from tuun_da.errors import JournalError
from tuun_da.training.settings import DataConfig

READINGS_NAME = "test_readings.jsonl"
FORMAT = "tuun_da test readings"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Readings:
    """How often the test split was read, this time included, and when first, in seconds since 1970."""

    count: int
    first: float

    @property
    def warning(self) -> str | None:
        """What to know about another reading than the first."""
        if self.count < 2:
            return None
        return (
            f"the test images were read before, first on {moment(self.first)}, and this is reading {self.count}. "
            "Each reading after which something is changed makes the test result flatter: believe the first one most"
        )


def record_reading(
    folder: Path | None, data: DataConfig, reading: str, about: Mapping[str, Any], *, read_now: bool
) -> Readings:
    """Note in ``folder`` that the test split of ``data`` is read, and how often it was; warn if this is not the first.

    ``reading`` tells one reading from another: one that an interruption cut in two is noted once. Without ``read_now``
    nothing is noted that is not there. ``about`` is what was read and why. None for ``folder`` keeps no record. Raises
    JournalError where the file is damaged, foreign or cannot be written.
    """
    if folder is None:
        return Readings(1, time.time())
    split = {"data": data.data, "test_size": data.test_size}
    with _opened(folder) as kept:
        same = [record for record in kept.records if record["split"] == split]
        found = [place for place, record in enumerate(same, 1) if record["reading"] == reading]
        if not found and read_now:
            record = {"reading": reading, "split": split, "time": time.time(), **about}
            kept.append(record)
            same.append(record)
            found = [len(same)]
        place = found[0] if found else max(len(same), 1)
        readings = Readings(place, float(same[0]["time"]) if same else time.time())
    if read_now and readings.warning is not None:
        _logger.warning("%s (%s)", readings.warning, folder / READINGS_NAME)
    return readings


def check_readings(folder: Path | None) -> None:
    """Raise now what ``record_reading`` would raise after hours of training for a file that is damaged or foreign."""
    if folder is not None and (folder / READINGS_NAME).exists():
        with _opened(folder):
            pass


def _opened(folder: Path) -> KeptLines:
    path = folder / READINGS_NAME
    kept = KeptLines(path, format=FORMAT, what="record of test readings", drop_stump=False)
    try:
        for number, record in enumerate(kept.records, 2):
            _check(record, number, path)
    except BaseException:
        kept.close()
        raise
    return kept


def moment(seconds: float) -> str:
    """A point in time, in UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _check(record: Mapping[str, Any], number: int, path: Path) -> None:
    wanted: Sequence[tuple[str, type | tuple[type, ...]]] = (("reading", str), ("split", dict), ("time", (int, float)))
    for name, kind in wanted:
        if not isinstance(record.get(name), kind):
            raise JournalError(
                f"record of test readings {path} is damaged: line {number} must say its {name}, got "
                f"{record.get(name)!r}; mend it, or move it away"
            )

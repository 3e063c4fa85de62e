"""What ``tuun-da confirm`` wrote, read for a report. The file is data: whoever sent it, it is checked."""

from __future__ import annotations

import dataclasses
import os
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tuun_da.data_files import parse_json, read_text, shown
from tuun_da.errors import ConfigError

VERSION = 2
"""Files of the first version, which had Student's t for intervals, are read as well."""


@dataclass(frozen=True)
class ConfirmedRow:
    """Test scores of one candidate, and its scores on validation images: shares in [0, 1], one for each seed.

    ``kind`` is "baseline", "other form" (of the policy) or "policy". Files of the first version have neither it nor
    validation scores.
    """

    label: str
    mean: float
    deviation: float
    scores: tuple[float, ...]
    validation: tuple[float, ...] = ()
    kind: str | None = None

    @property
    def validation_mean(self) -> float | None:
        """None where there are no validation scores."""
        return statistics.fmean(self.validation) if self.validation else None


@dataclass(frozen=True)
class ConfirmedDifference:
    """The found policy less another candidate; ``low`` and ``high`` are None where there is no interval."""

    against: str
    difference: float
    low: float | None
    high: float | None
    verdict: str


@dataclass(frozen=True)
class ConfirmationReport:
    """The rows of a confirmation file, the found policy's last, and how it compares with the others.

    ``sentence`` has the ``verdict`` against ``best_baseline``, the baseline that was best on ``n_validation`` images,
    ``choice`` how the policy was chosen among those ``tried``: (label, mean validation score, whether it is the one).
    ``n_readings`` counts the readings of the test split, the first at ``first_reading``. Files of the first version
    have none of these; theirs are None or empty.
    """

    metric: str
    n_test: int
    n_seeds: int
    rows: tuple[ConfirmedRow, ...]
    differences: tuple[ConfirmedDifference, ...]
    verdict: str | None = None
    sentence: str | None = None
    best_baseline: str | None = None
    n_validation: int | None = None
    choice: str | None = None
    tried: tuple[tuple[str, float, bool], ...] = ()
    n_readings: int | None = None
    first_reading: str | None = None


def read_confirmation(path: str | os.PathLike[str]) -> ConfirmationReport:
    """The confirmation in the file at ``path``; keys that are not known here are passed over. Raises ConfigError."""
    what = f"confirmation file {path}"
    try:
        content = parse_json(read_text(path, "confirmation file", ConfigError))
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{what} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{what} must hold a JSON object, got {type(content).__name__}")
    rows = tuple(
        ConfirmedRow(
            _text(row, "label", what),
            _number(row, "mean", what),
            _number(row, "deviation", what),
            _numbers(row, "accuracies", what),
            _numbers(row, "validation", what) if "validation" in row else (),
            _text(row, "kind", what) if "kind" in row else None,
        )
        for row in _objects(content, "rows", what)
    )
    if not rows:
        raise ConfigError(f"{what}: rows must not be empty")
    differences = tuple(
        ConfirmedDifference(
            _text(entry, "against", what),
            _number(entry, "difference", what),
            _number(entry, "low", what, optional=True),
            _number(entry, "high", what, optional=True),
            _text(entry, "verdict", what),
        )
        for entry in _objects(content, "comparisons", what)
    )
    seeds = content.get("seeds")
    metric = content.get("metric", "accuracy")
    n_test = _number(content, "n_test", what)
    if not isinstance(seeds, list) or not isinstance(metric, str):
        raise ConfigError(f"{what}: seeds must be a list and metric a text, got {shown(seeds)} and {shown(metric)}")
    version = content.get("version", 1)
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= VERSION:
        raise ConfigError(f"{what} has version {shown(version)}; this release reads up to {VERSION}: upgrade tuun_da")
    made = ConfirmationReport(metric, int(n_test), len(seeds), rows, differences)
    return made if version < VERSION else dataclasses.replace(made, **_later_parts(content, what))


def _later_parts(content: Mapping[str, Any], what: str) -> dict[str, Any]:
    """What a file of version 2 has besides."""
    found: dict[str, Any] = {name: _text(content, name, what) for name in ("verdict", "sentence")}
    if content.get("best_baseline") is not None:
        found["best_baseline"] = _text(content, "best_baseline", what)
    found["n_validation"] = int(_number(content, "n_validation", what))
    readings = _object(content, "readings", what)
    found["n_readings"] = int(_number(readings, "count", what))
    found["first_reading"] = _text(readings, "first", what)
    if content.get("choice") is not None:
        choice = _object(content, "choice", what)
        found["choice"] = _text(choice, "sentence", what)
        tried = []
        for entry in _objects(choice, "tried", what):
            scores = _numbers(entry, "validation", what)
            if not scores or not isinstance(entry.get("chosen"), bool):
                raise ConfigError(f"{what}: tried must say validation scores and what was chosen, got {shown(entry)}")
            tried.append((_text(entry, "label", what), statistics.fmean(scores), entry["chosen"]))
        found["tried"] = tuple(tried)
    return found


def _object(content: Mapping[str, Any], key: str, what: str) -> dict[str, Any]:
    value = content.get(key)
    if not isinstance(value, dict):
        raise ConfigError(f"{what}: {key} must be an object, got {shown(value)}")
    return value


def _objects(content: Mapping[str, Any], key: str, what: str) -> list[dict[str, Any]]:
    entries = content.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{what}: {key} must be a list of objects, got {shown(entries)}")
    return entries


def _text(entry: Mapping[str, Any], key: str, what: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str):
        raise ConfigError(f"{what}: {key} must be a text, got {shown(value)}")
    return value


def _number(entry: Mapping[str, Any], key: str, what: str, *, optional: bool = False) -> Any:
    value = entry.get(key)
    if optional and value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise ConfigError(f"{what}: {key} must be a number, got {shown(value)}")
    return float(value)


def _numbers(entry: Mapping[str, Any], key: str, what: str) -> tuple[float, ...]:
    values = entry.get(key)
    if not isinstance(values, list):
        raise ConfigError(f"{what}: {key} must be a list of numbers, got {shown(values)}")
    return tuple(_number({key: value}, key, what) for value in values)

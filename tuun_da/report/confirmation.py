"""What ``tuun-da confirm`` wrote, read for a report. The file is data: whoever sent it, it is checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tuun_da.data_files import parse_json, read_text, shown
from tuun_da.errors import ConfigError


@dataclass(frozen=True)
class ConfirmedRow:
    """Test scores of one candidate, a share in [0, 1] for each seed."""

    label: str
    mean: float
    deviation: float
    scores: tuple[float, ...]


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
    """The rows of a confirmation file, the found policy's last, and how it compares with the others."""

    metric: str
    n_test: int
    n_seeds: int
    rows: tuple[ConfirmedRow, ...]
    differences: tuple[ConfirmedDifference, ...]


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
    return ConfirmationReport(metric, int(n_test), len(seeds), rows, differences)


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

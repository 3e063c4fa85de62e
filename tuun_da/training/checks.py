"""Checks that settings make of themselves: the message says which setting, what was wanted and what came."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

from tuun_da.data_files import shown
from tuun_da.errors import ConfigError

T = TypeVar("T")


def checked_integer(name: str, value: object, *, low: int, high: int | None = None) -> int:
    """``value`` as int if it is a whole number in [low, high]; True is none. Raises ConfigError."""
    wanted = f"of at least {low}" if high is None else f"from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ConfigError(f"{name} must be a whole number {wanted}, got {shown(value)}")
    number = int(value)
    if number < low or (high is not None and number > high):
        raise ConfigError(f"{name} must be a whole number {wanted}, got {number}")
    return number


def checked_number(name: str, value: object, interval: str) -> float:
    """``value`` as float if it lies in ``interval``, written as "[0, 1)"; "inf" is a bound. Raises ConfigError."""
    low, high = (float(bound) for bound in interval[1:-1].split(","))
    wanted = f"a number in {interval}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ConfigError(f"{name} must be {wanted}, got {shown(value)}")
    number = float(value)
    above = number >= low if interval[0] == "[" else number > low
    below = number <= high if interval[-1] == "]" else number < high
    if not (math.isfinite(number) and above and below):
        raise ConfigError(f"{name} must be {wanted}, got {number!r}")
    return number


def checked_size(name: str, value: object) -> int | float:
    """A number of images (whole, at least 1) or a share of them (strictly between 0 and 1). Raises ConfigError."""
    if isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1:
        return int(value)
    if isinstance(value, Real) and 0 < float(value) < 1:
        return float(value)
    raise ConfigError(f"{name} must be a number of images (1, 2, ...) or a share between 0 and 1, got {shown(value)}")


def checked_path(name: str, value: str) -> Path:
    """``value`` as a path, with ~ resolved. Raises ConfigError for an unknown user, or a name that is too long."""
    try:
        path = Path(value).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{name} must be a path, got {shortened(value)}: {error.args[-1]}") from error
    return path


def shortened(text: str, length: int = 80) -> str:
    """``text`` in quotes, without its middle if it is long."""
    half = length // 2
    return repr(text if len(text) <= length else f"{text[:half]}...{text[-half:]}")


def checked_choice(name: str, value: object, choices: Collection[str]) -> str:
    """``value`` if it is one of ``choices``. Raises ConfigError."""
    if not isinstance(value, str) or value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}; got {shown(value)}")
    return value


def check_known(what: str, names: Iterable[object], known: Collection[str]) -> None:
    """Raise ConfigError for the first of ``names`` that is not ``known``."""
    for name in names:
        if name not in known:
            raise ConfigError(f"unknown {what} {shown(name)}; known are {', '.join(known)}")


def made_from_mapping(settings: type[T], mapping: Mapping[str, Any]) -> T:
    """The dataclass ``settings`` with the values of a JSON object. Raises ConfigError for an unknown name."""
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{settings.__name__} needs a mapping of names to values, got {shown(mapping)}")
    check_known(f"{settings.__name__} setting", mapping, [f.name for f in fields(settings)])  # type: ignore[arg-type]
    return settings(**mapping)


def check_device(requested: object) -> None:
    """Raise ConfigError if ``requested`` is no name of a device; whether it is there is seen when it is used."""
    if not isinstance(requested, str) or not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,4})?", requested):
        raise ConfigError(f"device must be auto, cpu, cuda or cuda:N; got {shown(requested)}")

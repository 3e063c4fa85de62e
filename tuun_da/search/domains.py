"""The values that one parameter can take, and how they lie in the unit interval.

Every domain maps its values to one number, its *code*, and back. Numbers are coded by the cumulative distribution of
their prior, so that a code drawn uniformly from [0, 1] decodes to a draw from the distribution that the NNI type
declares, and so that distances are in shares of the prior. Values on a grid are coded by the centre of their share of
the prior; options by their index.

Normal priors end at 6 standard deviations (they leave out 2e-9 of the mass): what lies beyond is coded as the end.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]

END_OF_NORMAL = 6.0
RELATIVE_TOLERANCE = 1e-9  # of a bound: exp(log(x)) and a trip through JSON may move the last digits
GRID_TOLERANCE = 1e-6  # of a step: round(x / q) * q gives 0.30000000000000004


@dataclass(frozen=True)
class Uniform:
    """Uniform in [low, high], or with ``log`` uniform in the logarithm."""

    low: float
    high: float
    log: bool = False

    @property
    def bounds(self) -> tuple[float, float]:
        return self.low, self.high

    def quantile(self, share: Floats | np.float64) -> Floats:
        if self.log:
            ends = math.log(self.low), math.log(self.high)
            return np.clip(np.exp(ends[0] + (ends[1] - ends[0]) * share), self.low, self.high)
        return np.clip(self.low + (self.high - self.low) * np.asarray(share), self.low, self.high)

    def share(self, value: Floats | np.float64) -> Floats:
        clipped = np.clip(value, self.low, self.high)
        if self.log:
            return np.asarray((np.log(clipped) - math.log(self.low)) / (math.log(self.high) - math.log(self.low)))
        return np.asarray((clipped - self.low) / (self.high - self.low))


@dataclass(frozen=True)
class Normal:
    """Normal with mean ``mu`` and standard deviation ``sigma``, or with ``log`` that of the logarithm."""

    mu: float
    sigma: float
    log: bool = False

    @property
    def bounds(self) -> tuple[float, float]:
        return (0.0, math.inf) if self.log else (-math.inf, math.inf)

    def quantile(self, share: Floats | np.float64) -> Floats:
        ends = ndtr(-END_OF_NORMAL), ndtr(END_OF_NORMAL)
        values = self.mu + self.sigma * ndtri(np.clip(share, *ends))
        return np.asarray(np.exp(values) if self.log else values)

    def share(self, value: Floats | np.float64) -> Floats:
        if self.log:
            with np.errstate(divide="ignore"):  # log(0) = -inf is the lower end
                value = np.log(np.maximum(value, 0.0))
        return np.asarray(ndtr(np.clip((value - self.mu) / self.sigma, -END_OF_NORMAL, END_OF_NORMAL)))


Prior = Uniform | Normal


@dataclass(frozen=True)
class Continuous:
    """Any number that the prior gives: uniform, loguniform, normal, lognormal."""

    prior: Prior

    @property
    def levels(self) -> int | None:
        return None

    @property
    def bounds(self) -> tuple[float, float]:
        return self.prior.bounds

    def from_uniform(self, uniform: Floats) -> Floats:
        """Codes (n,) that are distributed as the prior, from uniform draws (n,)."""
        return self.snap(uniform)

    def snap(self, codes: Floats) -> Floats:
        """The nearest codes that a value can have."""
        if isinstance(self.prior, Normal):
            return np.clip(codes, ndtr(-END_OF_NORMAL), ndtr(END_OF_NORMAL))
        return np.clip(codes, 0.0, 1.0)

    def decode(self, code: float) -> Any:
        return float(self.prior.quantile(np.float64(code)))

    def values(self, codes: Floats) -> Floats:
        """``decode`` of many codes, whatever their shape."""
        return self.prior.quantile(codes)

    def encode(self, value: Any) -> float:
        if isinstance(self.prior, Uniform) and not self.prior.log:  # as below, without arrays: thousands a journal
            low, high = self.prior.low, self.prior.high
            return min(max((min(max(float(value), low), high) - low) / (high - low), 0.0), 1.0)
        return float(self.snap(self.prior.share(np.float64(value))))

    def wanted(self, value: Any) -> str | None:
        """What was wanted instead, or None if ``value`` belongs to the domain."""
        number = finite_number(value)
        if isinstance(self.prior, Uniform):
            low, high = self.prior.bounds
            slack = [RELATIVE_TOLERANCE * end for end in (abs(low), abs(high))]
            if not self.prior.log:
                slack = [max(slack)] * 2  # near 0 the other end sets the scale of rounding
            if number is None or not low - slack[0] <= number <= high + slack[1]:
                return f"be a number in [{low:g}, {high:g}]"
        elif number is None or (self.prior.log and number <= 0.0):
            return "be a positive number" if self.prior.log else "be a finite number"
        return None


@dataclass(frozen=True)
class Quantized:
    """Numbers clip(round(x / step) * step) with x from the prior: quniform, qloguniform, qnormal, qlognormal.

    Values are counted in steps, from ``first`` to ``last``. As in NNI, round is to even, and a grid that does not meet
    low or high has its outermost value moved there. Values whose share of the prior is below 1e-15 may share a code.
    """

    prior: Prior
    step: float

    @cached_property
    def first(self) -> int:
        return int(np.rint(float(self.prior.quantile(np.float64(0.0))) / self.step))

    @cached_property
    def last(self) -> int:
        return int(np.rint(float(self.prior.quantile(np.float64(1.0))) / self.step))

    @property
    def levels(self) -> int | None:
        return self.last - self.first + 1

    @property
    def bounds(self) -> tuple[float, float]:
        return self.prior.bounds

    def from_uniform(self, uniform: Floats) -> Floats:
        return self.snap(uniform)

    def snap(self, codes: Floats) -> Floats:
        return self._codes_of_steps(np.rint(self.prior.quantile(np.clip(codes, 0.0, 1.0)) / self.step))

    def code_of_level(self, level: int) -> float:
        return float(self._codes_of_steps(np.float64(self.first + level)))

    def decode(self, code: float) -> Any:
        return self._value(float(np.rint(self.prior.quantile(np.float64(min(max(code, 0.0), 1.0))) / self.step)))

    def values(self, codes: Floats) -> Floats:
        """``decode`` of many codes, whatever their shape."""
        return np.clip(np.rint(self.prior.quantile(np.clip(codes, 0.0, 1.0)) / self.step) * self.step, *self.bounds)

    def encode(self, value: Any) -> float:
        return float(self._codes_of_steps(np.float64(np.rint(float(value) / self.step))))

    def wanted(self, value: Any) -> str | None:
        number = finite_number(value)
        low, high = self.prior.bounds
        if number is not None:
            nearest = self._value(float(np.rint(number / self.step)))
            if abs(nearest - number) <= GRID_TOLERANCE * self.step + RELATIVE_TOLERANCE * abs(number):
                return None
        within = "" if isinstance(self.prior, Normal) else f" clipped to [{low:g}, {high:g}]"
        return f"be a multiple of {self.step:g}{within}"

    def _value(self, steps: float) -> float:
        low, high = self.prior.bounds
        return min(max(steps * self.step, low), high)

    def _codes_of_steps(self, steps: Floats | np.float64) -> Floats:
        steps = np.clip(steps, self.first, self.last)
        below = np.where(steps <= self.first, 0.0, self.prior.share((steps - 0.5) * self.step))
        above = np.where(steps >= self.last, 1.0, self.prior.share((steps + 0.5) * self.step))
        return np.asarray((below + above) / 2)


@dataclass(frozen=True)
class Integers:
    """The integers from ``low`` to ``high``, without ``high``, as in NNI: randint."""

    low: int
    high: int

    @property
    def levels(self) -> int | None:
        return self.high - self.low

    @property
    def bounds(self) -> tuple[float, float]:
        return float(self.low), float(self.high - 1)

    def from_uniform(self, uniform: Floats) -> Floats:
        return self.snap(uniform)

    def snap(self, codes: Floats) -> Floats:
        count = self.high - self.low
        return np.asarray((np.clip(np.floor(codes * count), 0, count - 1) + 0.5) / count)

    def code_of_level(self, level: int) -> float:
        return (level + 0.5) / (self.high - self.low)

    def decode(self, code: float) -> Any:
        count = self.high - self.low
        return self.low + min(max(int(code * count), 0), count - 1)

    def values(self, codes: Floats) -> Floats:
        """``decode`` of many codes, whatever their shape."""
        count = self.high - self.low
        return self.low + np.clip(np.floor(codes * count), 0, count - 1)

    def encode(self, value: Any) -> float:
        return self.code_of_level(int(value) - self.low)

    def wanted(self, value: Any) -> str | None:
        number = finite_number(value)
        if number is None or number != int(number) or not self.low <= int(value) < self.high:
            return f"be an integer from {self.low} to {self.high - 1}"
        return None


@dataclass(frozen=True)
class Choice:
    """One of ``options``: any JSON values. With ``nested``, each is a ``_name`` that has parameters of its own.

    NNI gives every entry of a choice the same chance, so an entry that stands there twice is one option of twice the
    weight.
    """

    options: tuple[Any, ...]
    weights: tuple[float, ...]
    nested: bool = False

    @classmethod
    def of(cls, entries: list[Any], nested: bool = False) -> Choice:
        """The choice between ``entries``. Raises ValueError for an entry that JSON cannot hold."""
        counts: dict[str, int] = {}
        options = []
        for entry in entries:
            key = canonical(entry)
            if key not in counts:
                options.append(copy.deepcopy(entry))
            counts[key] = counts.get(key, 0) + 1
        return cls(tuple(options), tuple(count / len(entries) for count in counts.values()), nested)

    @property
    def levels(self) -> int | None:
        return len(self.options)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Smallest and largest option, None if not all are numbers."""
        numbers = [finite_number(option) for option in self.options]
        known = [number for number in numbers if number is not None]
        return (min(known), max(known)) if len(known) == len(numbers) else None

    def from_uniform(self, uniform: Floats) -> Floats:
        edges = np.cumsum(self.weights)[:-1]
        return np.searchsorted(edges, uniform, side="right").astype(np.float64)

    def snap(self, codes: Floats) -> Floats:
        return np.clip(np.rint(codes), 0, len(self.options) - 1)

    def code_of_level(self, level: int) -> float:
        return float(level)

    def values(self, codes: Floats) -> Floats:
        """``decode`` of many codes, whatever their shape. Raises ValueError unless all options are numbers."""
        numbers = [finite_number(option) for option in self.options]
        if None in numbers:
            raise ValueError("not all options are numbers")
        return np.array(numbers, dtype=np.float64)[self.snap(codes).astype(np.intp)]

    def decode(self, code: float) -> Any:
        return copy.deepcopy(self.options[min(max(round(code), 0), len(self.options) - 1)])

    def encode(self, value: Any) -> float:
        return float(self._places[canonical(value)])

    def wanted(self, value: Any) -> str | None:
        try:
            known = canonical(value) in self._places
        except ValueError:
            known = False
        return None if known else f"be one of {', '.join(map(repr, self.options))}"

    @cached_property
    def _places(self) -> dict[str, int]:
        """The places of the options, by their canonical forms."""
        return {canonical(option): place for place, option in enumerate(self.options)}


Domain = Continuous | Quantized | Integers | Choice


def finite_number(value: Any) -> float | None:
    """``value`` as a float; None if it is no number, a bool, not finite or too large for a float."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def canonical(value: Any) -> str:
    """A text that is the same for values that are the same after a trip through JSON (1 and 1.0, lists and tuples).

    NNI's manager is a Node.js program, which writes 1.0 as 1. Raises ValueError for what JSON cannot hold.
    """
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, Real):
        number = finite_number(value)
        if number is None:
            raise ValueError(f"{value!r} is not a JSON number")
        return int(number) if number == int(number) else number
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError(f"the keys of a JSON object must be strings, got {list(value)!r}")
        return {key: _plain(item) for key, item in value.items()}
    raise ValueError(f"{value!r} is not a JSON value")

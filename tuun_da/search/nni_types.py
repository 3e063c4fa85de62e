"""NNI's parameter types: from the ``_type`` and ``_value`` of one parameter to its domain.

The meaning is that of nni 3.0 (``nni/common/hpo_utils``): randint leaves out its upper bound, lognormal is the
exponential of a normal, q types are clip(round(x / q) * q), a nested choice is one whose entries are all dicts with a
``_name``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from tuun_da.data_files import shown
from tuun_da.errors import SearchSpaceError
from tuun_da.search.domains import (
    END_OF_NORMAL,
    Choice,
    Continuous,
    Domain,
    Integers,
    Normal,
    Prior,
    Quantized,
    Uniform,
    finite_number,
)

LARGEST_EXPONENT = 700.0  # exp of a little more than this overflows a float
MOST_LEVELS = 2**50  # beyond, neighbouring values have the same code


def domain_from_nni(name: str, kind: str, value: Any) -> Domain:
    """The domain of parameter ``name`` with ``_type`` kind and ``_value`` value. Raises SearchSpaceError."""
    if not isinstance(kind, str) or kind not in _TYPES:
        raise SearchSpaceError(f"_type of parameter {name} must be one of {', '.join(_TYPES)}; got {shown(kind)}")
    if not isinstance(value, list | tuple):
        raise SearchSpaceError(f"_value of parameter {name} must be a list, got {shown(value)}")
    return _TYPES[kind](f"{kind} {name}", list(value))


def is_nested_choice(kind: Any, value: Any) -> bool:
    """Whether the options of a choice have parameters of their own."""
    return (
        kind == "choice"
        and isinstance(value, list | tuple)
        and len(value) > 0
        and all(isinstance(entry, Mapping) and "_name" in entry for entry in value)
    )


def _choice(name: str, value: list[Any]) -> Domain:
    if not value:
        raise SearchSpaceError(f"{name} must have at least one option, got none")
    try:
        return Choice.of(value)
    except ValueError as error:
        raise SearchSpaceError(f"{name} must have JSON values as options: {error}") from None


def _randint(name: str, value: list[Any]) -> Domain:
    low, high = _numbers(name, value, ("low", "high"))
    for end, number in zip(("low", "high"), (low, high), strict=True):
        if number != int(number):
            raise SearchSpaceError(f"{end} of {name} must be an integer, got {shown(number)}")
    if low >= high:
        raise SearchSpaceError(f"{name} must have low < high, got {shown(value)}")
    return _with_few_enough_levels(name, Integers(int(value[0]), int(value[1])))


def _uniform_prior(name: str, value: list[Any], log: bool, quantized: bool) -> tuple[Prior, float]:
    low, high, *rest = _numbers(name, value, ("low", "high", "q") if quantized else ("low", "high"))
    if low >= high:
        raise SearchSpaceError(f"{name} must have low < high, got {shown(value)}")
    if log and low <= 0:
        raise SearchSpaceError(f"{name} must have low > 0, got {shown(value)}")
    if not math.isfinite(high - low):
        raise SearchSpaceError(f"{name} must have a range that a float can hold, got {shown(value)}")
    return Uniform(low, high, log), rest[0] if rest else 1.0


def _normal_prior(name: str, value: list[Any], log: bool, quantized: bool) -> tuple[Prior, float]:
    mu, sigma, *rest = _numbers(name, value, ("mu", "sigma", "q") if quantized else ("mu", "sigma"))
    if sigma <= 0:
        raise SearchSpaceError(f"{name} must have sigma > 0, got {shown(value)}")
    ends = mu - END_OF_NORMAL * sigma, mu + END_OF_NORMAL * sigma
    if not all(math.isfinite(end) for end in ends):
        raise SearchSpaceError(f"{name} must have a range that a float can hold, got {shown(value)}")
    if log and max(map(abs, ends)) > LARGEST_EXPONENT:
        raise SearchSpaceError(
            f"{name} must have mu and sigma whose exponentials a float can hold (they are those of the logarithm): "
            f"|mu| + {END_OF_NORMAL:g} sigma up to {LARGEST_EXPONENT:g}; got {shown(value)}"
        )
    return Normal(mu, sigma, log), rest[0] if rest else 1.0


def _number_type(
    prior_of: Callable[[str, list[Any], bool, bool], tuple[Prior, float]], log: bool, quantized: bool
) -> Callable[[str, list[Any]], Domain]:
    def make(name: str, value: list[Any]) -> Domain:
        prior, step = prior_of(name, value, log, quantized)
        if not quantized:
            return Continuous(prior)
        if step <= 0:
            raise SearchSpaceError(f"{name} must have q > 0, got {shown(value)}")
        return _with_few_enough_levels(name, Quantized(prior, step))

    return make


_TYPES: Mapping[str, Callable[[str, list[Any]], Domain]] = MappingProxyType(
    {
        "choice": _choice,
        "randint": _randint,
        "uniform": _number_type(_uniform_prior, log=False, quantized=False),
        "quniform": _number_type(_uniform_prior, log=False, quantized=True),
        "loguniform": _number_type(_uniform_prior, log=True, quantized=False),
        "qloguniform": _number_type(_uniform_prior, log=True, quantized=True),
        "normal": _number_type(_normal_prior, log=False, quantized=False),
        "qnormal": _number_type(_normal_prior, log=False, quantized=True),
        "lognormal": _number_type(_normal_prior, log=True, quantized=False),
        "qlognormal": _number_type(_normal_prior, log=True, quantized=True),
    }
)


def _numbers(name: str, value: list[Any], wanted: tuple[str, ...]) -> list[float]:
    if len(value) != len(wanted):
        raise SearchSpaceError(f"{name} must have the {len(wanted)} values [{', '.join(wanted)}], got {shown(value)}")
    numbers = []
    for part, entry in zip(wanted, value, strict=True):
        number = finite_number(entry)
        if number is None:
            raise SearchSpaceError(f"{part} of {name} must be a finite number, got {shown(entry)}")
        numbers.append(number)
    return numbers


def _with_few_enough_levels(name: str, domain: Integers | Quantized) -> Domain:
    """A grid finer than the codes could not be told apart. Raises SearchSpaceError."""
    if isinstance(domain, Quantized):
        low, high = (float(domain.prior.quantile(np.float64(share))) / domain.step for share in (0.0, 1.0))
        count = high - low
    else:
        count = float(domain.high - domain.low)
    if not count <= MOST_LEVELS:
        raise SearchSpaceError(
            f"{name} must have at most 2**50 values, got {count:.3g}; use a type without q, or fewer"
        )
    return domain

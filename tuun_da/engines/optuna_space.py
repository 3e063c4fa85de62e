"""Optuna's distributions as parameters of a search space of ours, and their values there and back.

Optuna counts steps from ``low`` and gives each the same share; NNI's q types count from 0 and give the outermost steps
half a share. So a stepped number becomes the number of its step, NNI's randint. Only of a policy, whose probabilities
and magnitudes must lie in [0, 1], it stays what it is. Texts and numbers are options as they are; other choices, which
JSON may not hold, go by their index.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from tuun_da.errors import ConfigError, SearchSpaceError
from tuun_da.policy_format import is_policy_parameter
from tuun_da.search.history import is_finite_number
from tuun_da.search.policy_space import find_policy
from tuun_da.search.space import SearchSpace

STEP_TOLERANCE = 1e-8  # of a step, as Optuna has it


@dataclass(frozen=True)
class OptunaSpace:
    """The part of Optuna's distributions, by name, that a SearchSpace can hold. Make one with ``of``."""

    distributions: Mapping[str, BaseDistribution]
    nni: Mapping[str, Any]
    """The same as NNI's JSON."""

    @classmethod
    def of(cls, distributions: Mapping[str, BaseDistribution]) -> OptunaSpace:
        """Without what has but one value, what is too large for a SearchSpace, and policies that do not line up."""
        nni: dict[str, Any] = {}
        for name, distribution in distributions.items():
            spec = None if distribution.single() else nni_of(name, distribution)
            if spec is not None and _can_be_used({name: spec}):
                nni[name] = spec
        if nni and not _lines_up(nni):
            nni = {name: spec for name, spec in nni.items() if not is_policy_parameter(name)}
        return cls({name: distributions[name] for name in nni}, nni)

    @cached_property
    def space(self) -> SearchSpace:
        """Raises SearchSpaceError where nothing is left."""
        return SearchSpace.from_nni(self.nni)

    def to_nni(self, params: Mapping[str, Any]) -> dict[str, Any] | None:
        """Optuna's values as NNI's; None where one is missing or out of range. Others are left out."""
        if not self.nni.keys() <= params.keys():
            return None
        try:
            found = {name: to_nni(name, self.distributions[name], params[name]) for name in self.nni}
            self.space.validate(found)
        except (SearchSpaceError, ValueError, TypeError, OverflowError):
            return None
        return found

    def from_nni(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """NNI's values as Optuna's."""
        return {name: from_nni(name, distribution, params[name]) for name, distribution in self.distributions.items()}


def nni_of(name: str, distribution: BaseDistribution) -> dict[str, Any] | None:
    """A parameter of NNI's JSON; None where there is none like it.

    >>> nni_of("x", IntDistribution(10, 30, step=10))
    {'_type': 'randint', '_value': [0, 3]}
    """
    if isinstance(distribution, CategoricalDistribution):
        options = list(distribution.choices)
        return {"_type": "choice", "_value": options if _are_plain(options) else list(range(len(options)))}
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        return None
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.log:
        whole = isinstance(distribution, IntDistribution)
        return {"_type": "qloguniform", "_value": [low, high, 1]} if whole else _spec("loguniform", low, high)
    if step is None:
        return _spec("uniform", low, high)
    if is_policy_parameter(name):
        on_grid = abs(low / step - round(low / step)) <= STEP_TOLERANCE
        return {"_type": "quniform", "_value": [low, high, step]} if on_grid else None
    return _spec("randint", 0, round((high - low) / step) + 1)


def to_nni(name: str, distribution: BaseDistribution, value: Any) -> Any:
    """One value of Optuna's as NNI's. Raises ValueError or TypeError for what is no value of the distribution."""
    if isinstance(distribution, CategoricalDistribution):
        index = int(distribution.to_internal_repr(value))
        return distribution.choices[index] if _are_plain(list(distribution.choices)) else index
    if _is_counted(name, distribution):
        return round((value - distribution.low) / distribution.step)
    return value


def from_nni(name: str, distribution: BaseDistribution, value: Any) -> Any:
    """One value of NNI's as Optuna's, an int or a float as the distribution is."""
    if isinstance(distribution, CategoricalDistribution):
        return value if _are_plain(list(distribution.choices)) else distribution.choices[value]
    low, high, step = distribution.low, distribution.high, distribution.step
    if _is_counted(name, distribution):
        value = low + value * step
    elif step is not None and not distribution.log:
        value = low + round((value - low) / step) * step
    clipped = min(max(value, low), high)
    return round(clipped) if isinstance(distribution, IntDistribution) else float(clipped)


def distribution_of(name: str, spec: Mapping[str, Any]) -> BaseDistribution:
    """The distribution of one parameter of NNI's JSON, which must be valid. Raises ConfigError where Optuna has none.

    >>> distribution_of("prob1_1", {"_type": "uniform", "_value": [0, 1]})
    FloatDistribution(high=1.0, log=False, low=0.0, step=None)
    """
    kind, value = spec["_type"], spec["_value"]
    if kind == "choice":
        return CategoricalDistribution(value)
    if kind == "randint":
        return IntDistribution(value[0], value[1] - 1)
    if kind in ("uniform", "loguniform"):
        return FloatDistribution(value[0], value[1], log=kind == "loguniform")
    if kind == "quniform":
        low, high, step = value
        if all(abs(end / step - round(end / step)) <= STEP_TOLERANCE for end in (low, high)):
            return FloatDistribution(low, high, step=step)
        raise ConfigError(f"quniform {name} must have multiples of q as ends for Optuna, got {value!r}")
    raise ConfigError(
        f"parameter {name} must be choice, randint, uniform, loguniform or quniform for Optuna; got {kind!r}"
    )


def _spec(kind: str, low: float, high: float) -> dict[str, Any]:
    return {"_type": kind, "_value": [low, high]}


def _is_counted(name: str, distribution: BaseDistribution) -> bool:
    """Whether NNI's value is the number of the step."""
    return distribution.step is not None and not distribution.log and not is_policy_parameter(name)


def _are_plain(options: list[Any]) -> bool:
    """Whether options can stand in JSON as they are, and be told apart there."""
    if not (all(isinstance(option, str) for option in options) or all(map(is_finite_number, options))):
        return False
    return len(set(options)) == len(options)


def _can_be_used(nni: Mapping[str, Any]) -> bool:
    try:
        SearchSpace.from_nni(nni)
    except SearchSpaceError:
        return False
    return True


def _lines_up(nni: Mapping[str, Any]) -> bool:
    try:
        find_policy(SearchSpace.from_nni(nni))
    except SearchSpaceError:
        return False
    return True

"""An NNI search space in the terms that general-purpose optimizers share: real, integer and categorical dimensions.

A *native* value is a float within [low, high], an int within [low, high] (both ends included) or the index of an
option. ``flatten`` and ``restore`` map NNI's parameters to native values by name and back, without those of options
that are not taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuun_da.search.domains import Choice, Continuous, Integers, Quantized, Uniform
from tuun_da.search.space import Column, SearchSpace


@dataclass(frozen=True)
class Dimension:
    """One parameter. ``kind`` is "real", "integer" or "category"; ``parent`` the (name, option) that it belongs to."""

    name: str
    kind: str
    low: float
    high: float
    log: bool = False
    parent: tuple[str, int] | None = None

    @property
    def options(self) -> int:
        return int(self.high) + 1


class NativeSpace:
    def __init__(self, nni_space: Mapping[str, Any]) -> None:
        self.space = SearchSpace.from_nni(nni_space)
        columns = self.space.columns
        self.dimensions = tuple(_dimension(column, columns) for column in columns)
        self.is_nested = any(dimension.parent is not None for dimension in self.dimensions)

    def flatten(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The native values of the active parameters, by name."""
        point = self.space.encode(params)
        active = self.space.active(point[None, :])[0]
        return {
            dimension.name: _native(column, dimension, float(code))
            for column, dimension, code, is_active in zip(
                self.space.columns, self.dimensions, point, active, strict=True
            )
            if is_active
        }

    def restore(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """NNI's parameters from native values by name; what is missing or belongs to no taken option is passed over."""
        point = np.array([column.inactive_code for column in self.space.columns])
        for i, (column, dimension) in enumerate(zip(self.space.columns, self.dimensions, strict=True)):
            if dimension.name in values:
                point[i] = _code(column, dimension, values[dimension.name])
        return self.space.decode(self.space.snap(point[None, :])[0])

    def fill(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """``values`` with a fixed one for every missing dimension: for rivals that know no conditions."""
        return {
            dimension.name: values[dimension.name]
            if dimension.name in values
            else (dimension.low + dimension.high) / 2
            if dimension.kind == "real"
            else round((dimension.low + dimension.high) / 2)
            for dimension in self.dimensions
        }


def _dimension(column: Column, columns: tuple[Column, ...]) -> Dimension:
    parent = None if column.parent is None else (columns[column.parent[0]].name, column.parent[1])
    domain = column.domain
    if isinstance(domain, Choice):
        return Dimension(column.name, "category", 0, len(domain.options) - 1, parent=parent)
    if isinstance(domain, Integers):
        return Dimension(column.name, "integer", domain.low, domain.high - 1, parent=parent)
    is_log = isinstance(domain.prior, Uniform) and domain.prior.log
    if isinstance(domain, Quantized):  # counted in steps
        return Dimension(column.name, "integer", domain.first, domain.last, is_log and domain.first > 0, parent)
    if isinstance(domain.prior, Uniform):
        return Dimension(column.name, "real", domain.prior.low, domain.prior.high, is_log, parent)
    return Dimension(column.name, "real", 0.0, 1.0, parent=parent)  # normal: the share of the prior below the value


def _native(column: Column, dimension: Dimension, code: float) -> Any:
    domain = column.domain
    if isinstance(domain, Continuous) and not isinstance(domain.prior, Uniform):
        return code
    value = domain.decode(code)
    if isinstance(domain, Choice):
        return round(code)
    if isinstance(domain, Quantized):
        return min(max(round(value / domain.step), domain.first), domain.last)
    return value if dimension.kind == "integer" else min(max(float(value), dimension.low), dimension.high)


def _code(column: Column, dimension: Dimension, native: Any) -> float:
    domain = column.domain
    if isinstance(domain, Continuous) and not isinstance(domain.prior, Uniform):
        return float(native)
    if isinstance(domain, Choice):
        return float(native)
    if isinstance(domain, Quantized):
        return domain.code_of_level(int(native) - domain.first)
    return domain.encode(int(native) if dimension.kind == "integer" else float(native))

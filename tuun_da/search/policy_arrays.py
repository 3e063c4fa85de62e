"""Policies of a search space as arrays: which operations stand where in a point, and what they are.

Only the types that the space offers count. Of the others nothing is learned and nothing is in the way, so a type that
is new in ``OPERATION_TYPES`` changes nothing about a space without it.

Notation: n policies of s sub-policies of o operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuun_da.operations import OPERATION_TYPES
from tuun_da.search.domains import Choice, Floats
from tuun_da.search.policy_space import PolicyLayout
from tuun_da.search.space import SearchSpace

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class PolicyArrays:
    """Policies as three arrays (n, s, o): types as their place in ``type_names``, probabilities, magnitudes.

    What changes nothing about the images cannot be told apart: the magnitude of a type that has none is 0, and so are
    type and magnitude of an operation of probability 0; the sub-policies stand in a fixed order, that of their numbers.
    """

    type_names: tuple[str, ...]
    types: Indices
    probabilities: Floats
    magnitudes: Floats


def have_magnitude(type_names: Sequence[str]) -> NDArray[np.bool_]:
    """Which of the types have a magnitude."""
    return np.array([OPERATION_TYPES[name].has_magnitude for name in type_names], dtype=np.bool_)


class PolicyColumns:
    """The columns of ``space`` that hold the policy of ``layout``: indices (s, o), or None for probabilities."""

    def __init__(self, space: SearchSpace, layout: PolicyLayout) -> None:
        place = {column.name: i for i, column in enumerate(space.columns) if column.parent is None}
        grid = [
            [(i, j) for j in range(1, layout.operations_per_sub_policy + 1)] for i in range(1, layout.sub_policies + 1)
        ]

        def indices(kind: str) -> Indices:
            return np.array([[place[f"{kind}{i}_{j}"] for i, j in row] for row in grid], dtype=np.intp)

        self._space = space
        self.type_names = layout.types
        self._have_magnitude = have_magnitude(layout.types)
        self.types = indices("operation")
        self.probabilities = indices("prob") if layout.has_prob else None
        self.magnitudes = indices("magnitude")
        policy = {*self.types.flat, *self.magnitudes.flat}
        if self.probabilities is not None:
            policy |= set(self.probabilities.flat)
        self.others = tuple(i for i in range(len(space.columns)) if i not in policy)
        # of each place, the number of each option among all types of the space
        self._codes = [[_codes_of_types(space.columns[i].domain, layout.types) for i in row] for row in self.types]

    def read(self, points: Floats) -> PolicyArrays:
        """The policies at points (n, d)."""
        n = len(points)
        sub_policies, operations = self.types.shape
        types = np.empty((n, sub_policies, operations), dtype=np.intp)
        for i in range(sub_policies):
            for j in range(operations):
                types[:, i, j] = self._codes[i][j][points[:, self.types[i, j]].astype(np.intp)]
        probabilities = np.ones(types.shape)
        if self.probabilities is not None:
            probabilities = self._values(points, self.probabilities)
        happens = probabilities > 0
        magnitudes = np.where(self._have_magnitude[types] & happens, self._values(points, self.magnitudes), 0.0)
        return _sorted(PolicyArrays(self.type_names, np.where(happens, types, 0), probabilities, magnitudes))

    def _values(self, points: Floats, columns: Indices) -> Floats:
        values = np.empty((len(points), *columns.shape))
        for place, column in np.ndenumerate(columns):
            values[:, *place] = self._space.columns[column].domain.values(points[:, column])
        return values


def _sorted(policies: PolicyArrays) -> PolicyArrays:
    """With the sub-policies of each policy in order. Sums of floats depend on it, in their last digits."""
    n, sub_policies, operations = policies.types.shape
    parts = (policies.types, policies.probabilities, policies.magnitudes)
    keys = np.concatenate([part.reshape(n * sub_policies, operations) for part in parts], axis=1)
    order = np.lexsort((*keys.T, np.repeat(np.arange(n), sub_policies))).reshape(n, sub_policies) % sub_policies
    return PolicyArrays(
        policies.type_names,
        np.take_along_axis(policies.types, order[:, :, None], axis=1),
        np.take_along_axis(policies.probabilities, order[:, :, None], axis=1),
        np.take_along_axis(policies.magnitudes, order[:, :, None], axis=1),
    )


def _codes_of_types(domain: object, type_names: tuple[str, ...]) -> Indices:
    if not isinstance(domain, Choice):
        raise TypeError(f"operation types are a choice, got {domain!r}")
    return np.array([type_names.index(str(option)) for option in domain.options], dtype=np.intp)

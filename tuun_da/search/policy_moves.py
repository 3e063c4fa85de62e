"""Changes of a policy that keep it one: what the maximizer of the acquisition tries.

A step in one column of thirty hardly ever changes what a policy does as a whole. Operations and sub-policies are
therefore moved as wholes: drawn anew, copied from another place, taken over from the other parent.
"""

from __future__ import annotations

import numpy as np

from tuun_da.search.domains import Floats
from tuun_da.search.maximize import cross, mutate
from tuun_da.search.policy_arrays import Indices, PolicyColumns
from tuun_da.search.space import SearchSpace

# What happens to a child, and how often. A step in the reals is the only move that is small.
MOVES = ("step", "type", "operation", "copy", "sub_policy")
SHARES = (0.35, 0.2, 0.25, 0.1, 0.1)


class PolicyMoves:
    """Mutation and crossover of points (n, d) of ``space``: the policy by its parts, columns beside it one by one."""

    def __init__(self, space: SearchSpace, columns: PolicyColumns) -> None:
        self._space, self._others = space, columns.others
        self._share_of_others = len(columns.others) / (len(columns.others) + columns.types.size)
        self._types = columns.types
        kinds = [columns.types, columns.magnitudes]
        if columns.probabilities is not None:
            kinds.append(columns.probabilities)
        self._reals = np.stack(kinds[1:], axis=-1)  # (s, o, 1 or 2)
        self._operations: Indices = np.stack(kinds, axis=-1)  # (s, o, 2 or 3): all columns of one operation
        # operations can only change places where all places have the same domains
        first = [space.columns[i].domain for i in self._operations[0, 0]]
        self._alike = all(
            [space.columns[i].domain for i in self._operations[place]] == first
            for place in np.ndindex(self._types.shape)
        )

    def mutate(self, points: Floats, scale: float, rng: np.random.Generator) -> Floats:
        """Each of the points (n, d) after one move; a step is normal with standard deviation ``scale``."""
        if self._others:
            elsewhere = rng.random(len(points)) < self._share_of_others
            moved = self._mutate_policies(points, scale, rng)
            moved[elsewhere] = mutate(points[elsewhere], scale, self._space, rng, self._others)
            return moved
        return self._mutate_policies(points, scale, rng)

    def _mutate_policies(self, points: Floats, scale: float, rng: np.random.Generator) -> Floats:
        points = points.copy()
        n, (sub_policies, operations) = len(points), self._types.shape
        fresh = self._space.columns_from_uniform(rng.random(points.shape))
        kinds = rng.choice(len(MOVES), size=n, p=SHARES)
        places = np.column_stack([rng.integers(sub_policies, size=n), rng.integers(operations, size=n)])
        others = np.column_stack([rng.integers(sub_policies, size=n), rng.integers(operations, size=n)])
        steps = rng.standard_normal((n, self._reals.shape[-1])) * scale
        for row, (kind, (i, j), (k, m)) in enumerate(zip(kinds, places, others, strict=True)):
            move = MOVES[kind]
            if move == "step":
                points[row, self._reals[i, j]] += steps[row]
            elif move == "type":
                points[row, self._types[i, j]] = fresh[row, self._types[i, j]]
            elif move == "copy" and self._alike:
                points[row, self._operations[i, j]] = points[row, self._operations[k, m]]
            elif move == "sub_policy":
                points[row, self._operations[i].ravel()] = fresh[row, self._operations[i].ravel()]
            else:
                points[row, self._operations[i, j]] = fresh[row, self._operations[i, j]]
        return self._space.snap(points)

    def cross(self, mothers: Floats, fathers: Floats, rng: np.random.Generator) -> Floats:
        """Mothers (n, d) with about half of their sub-policies replaced by ones of the fathers."""
        children = mothers.copy()
        n, sub_policies = len(mothers), len(self._types)
        from_father = rng.random((n, sub_policies)) < 0.5
        order = np.argsort(rng.random((n, sub_policies)), axis=1) if self._alike else None
        for i in range(sub_policies):
            rows = np.flatnonzero(from_father[:, i])
            sources = np.full(len(rows), i) if order is None else order[rows, i]
            taken = self._operations[sources].reshape(len(rows), -1)
            children[rows[:, None], self._operations[i].ravel()] = fathers[rows[:, None], taken]
        if self._others:
            crossed = cross(mothers, fathers, self._space, rng)
            children[:, self._others] = crossed[:, self._others]
        return self._space.snap(children)

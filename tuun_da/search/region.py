"""Where in a policy space suggestions may lie: not where no random policy has ever been.

At the corners of a policy space (one type in all places, everything at full strength) a surrogate has seen nothing, so
it is uncertain there, and an acquisition takes that for promise. Left alone, it spends trial after trial on policies
that ruin the images, one type after another. So suggestions keep within the region of random policies, and beyond it
go a step further than what has proved itself: a trust region that grows with success. It must grow: where few types do
good, the best policy (crop and flip, and little else) lies far outside of what is drawn at random.

A policy that was given, not found, came there in one leap, and what lies no farther out than it may be anything: crop
and flip is farther from random policies than one type everywhere. So it opens its own neighbourhood and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuun_da.search.domains import Floats
from tuun_da.search.knowledge import PolicyInputs

SHARE = 0.97  # of random policies lie in the region
STEP = 1.1  # times the distance of the most extreme of the policies that proved themselves
# Of the region's radius: how far the neighbourhood of a given policy reaches. Half of the random policies are 1.1 radii
# or more apart; of crop and flip with two of ten operations changed, 19 in 20 lie within.
NEAR = 0.8


@dataclass(frozen=True, eq=False)
class Bounds:
    """Where a suggestion may lie: within ``limit`` of the mean of random policies, or near one of the points ``open``.

    ``open`` (m, d), m >= 0.
    """

    limit: float
    open: Floats


class Region:
    """The region of a policy space: features, standardised over random policies, within a distance of their mean.

    ``given`` (g, d), g >= 0, are the policies that the search did not find itself.
    """

    def __init__(self, inputs: PolicyInputs, given: Floats) -> None:
        self._inputs = inputs
        self._given = given
        reference = self._features(inputs.reference)
        self._location, spread = reference.mean(axis=0), reference.std(axis=0)
        self._spread = np.where(spread > 1e-9, spread, 1.0)
        self._radius = float(np.quantile(self.distances(inputs.reference), SHARE))

    def distances(self, points: Floats) -> Floats:
        """How far (n,) the policies at points (n, d) are from the mean of random ones."""
        return np.asarray(np.sqrt(np.mean(self._standardised(points) ** 2, axis=1)))

    def bounds(self, proved: Floats) -> Bounds:
        """Where suggestions may lie when the points ``proved`` (m, d), m >= 0, are the best known."""
        near = self._is_near(proved, self._given)
        found = proved[~np.any(near, axis=1)]
        limit = max(self._radius, STEP * float(np.max(self.distances(found), initial=0.0)))
        return Bounds(limit, self._given[np.any(near, axis=0)])

    def contains(self, points: Floats, bounds: Bounds) -> NDArray[np.bool_]:
        """Which (n,) of points (n, d) are allowed."""
        within = self.distances(points) <= bounds.limit
        if len(bounds.open):
            within |= np.any(self._is_near(points, bounds.open), axis=1)
        return np.asarray(within)

    def _is_near(self, points: Floats, others: Floats) -> NDArray[np.bool_]:
        """Which of points (n, d) are in the neighbourhood of which of ``others`` (m, d): (n, m)."""
        if not len(points) or not len(others):
            return np.zeros((len(points), len(others)), dtype=np.bool_)
        squares = [np.mean((self._standardised(points) - other) ** 2, axis=1) for other in self._standardised(others)]
        return np.asarray(np.sqrt(np.stack(squares, axis=1)) <= NEAR * self._radius)

    def _standardised(self, points: Floats) -> Floats:
        return np.asarray((self._features(points) - self._location) / self._spread)

    def _features(self, points: Floats) -> Floats:
        blocks = self._inputs(points)
        return np.hstack([values for name, values in blocks.items() if name != "probe"])

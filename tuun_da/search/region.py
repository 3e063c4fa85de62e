"""Where in a policy space suggestions may lie: not where no random policy has ever been.

At the corners of a policy space (one type in all places, everything at full strength) a surrogate has seen nothing, so
it is uncertain there, and an acquisition takes that for promise. Left alone, it spends trial after trial on policies
that ruin the images, one type after another. So suggestions keep within the region of random policies, and beyond it
go a step further than what has proved itself: a trust region that grows with success. It must grow: where few types do
good, the best policy (crop and flip, and little else) lies far outside of what is drawn at random.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tuun_da.search.domains import Floats
from tuun_da.search.knowledge import PolicyInputs

SHARE = 0.97  # of random policies lie in the region
STEP = 1.1  # times the distance of the most extreme of the policies that proved themselves


class Region:
    """The region of a policy space: features, standardised over random policies, within a distance of their mean."""

    def __init__(self, inputs: PolicyInputs) -> None:
        self._inputs = inputs
        reference = self._features(inputs.reference)
        self._location, spread = reference.mean(axis=0), reference.std(axis=0)
        self._spread = np.where(spread > 1e-9, spread, 1.0)
        self._radius = float(np.quantile(self.distances(inputs.reference), SHARE))

    def distances(self, points: Floats) -> Floats:
        """How far (n,) the policies at points (n, d) are from the mean of random ones."""
        features = (self._features(points) - self._location) / self._spread
        return np.asarray(np.sqrt(np.mean(features**2, axis=1)))

    def limit(self, proved: Floats) -> float:
        """The largest distance allowed, when the points ``proved`` (m, d), m >= 0, are the best known."""
        return max(self._radius, STEP * float(np.max(self.distances(proved), initial=0.0)))

    def contains(self, points: Floats, limit: float) -> NDArray[np.bool_]:
        """Which (n,) of points (n, d) are allowed."""
        return np.asarray(self.distances(points) <= limit)

    def _features(self, points: Floats) -> Floats:
        blocks = self._inputs(points)
        return np.hstack([values for name, values in blocks.items() if name != "probe"])

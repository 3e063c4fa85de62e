"""A kernel with trends: functions that the objective may follow, each to an extent that the trials decide.

Notation: n, m points; j trends; h (n, j) their values; v_j variance of the coefficient of trend j.

    k = k_base + sum_j v_j h_j h_j'                                   Rasmussen and Williams 2006, section 2.7

The process is then that of the base kernel around sum_j b_j h_j, with b_j ~ N(0, v_j) integrated out. A trend that the
trials contradict gets a small v_j, and costs no more than one degree of freedom while they are few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuun_da.search.domains import Floats
from tuun_da.search.kernels import Kernel

# of log v. A coefficient of about 0.6: a trend has deviation 1, as the standardised values have.
PRIOR_MEAN = -1.0
PRIOR_STD = 1.5


@dataclass(frozen=True)
class TrendPoints:
    """The features of the base kernel, and the values (n, j) of the trends."""

    base: Any
    trends: Floats


class TrendKernel:
    """The kernel above. Its parameters theta (p,) are those of the base kernel, then log v_j."""

    def __init__(self, base: Kernel, trends: Sequence[Callable[[Floats], Floats]]) -> None:
        self.base, self._trends = base, tuple(trends)
        self.of_trainings = base.of_trainings
        self.prior_mean = np.concatenate([base.prior_mean, np.full(len(self._trends), PRIOR_MEAN)])
        self.prior_std = np.concatenate([base.prior_std, np.full(len(self._trends), PRIOR_STD)])

    def features(self, points: Floats) -> TrendPoints:
        """The features of points (n, d)."""
        return TrendPoints(self.base.features(points), np.column_stack([trend(points) for trend in self._trends]))

    def diagonal(self, theta: Floats, x: TrendPoints) -> Floats:
        """k (n,) of each of the points of x with itself."""
        base, v = self._split(theta)
        return np.asarray(self.base.diagonal(base, x.base) + x.trends**2 @ v)

    def matrix(self, theta: Floats, a: TrendPoints, b: TrendPoints) -> Floats:
        """k (n, m) between the points of a and of b."""
        base, v = self._split(theta)
        return np.asarray(self.base.matrix(base, a.base, b.base) + (a.trends * v) @ b.trends.T)

    def matrix_and_pullback(self, theta: Floats, x: TrendPoints) -> tuple[Floats, Callable[[Floats], Floats]]:
        """k (n, n) between the points of x, and the map from a symmetric w (n, n) to sum_ij w_ij dk_ij/dtheta (p,)."""
        base, v = self._split(theta)
        k, base_pullback = self.base.matrix_and_pullback(base, x.base)

        def pullback(w: Floats) -> Floats:
            return np.concatenate([base_pullback(w), v * np.sum(x.trends * (w @ x.trends), axis=0)])

        return k + (x.trends * v) @ x.trends.T, pullback

    def _split(self, theta: Floats) -> tuple[Floats, Floats]:
        count = len(theta) - len(self._trends)
        return theta[:count], np.asarray(np.exp(theta[count:]))

"""The kernel between points of a search space: how alike two parameter settings are.

Notation: n, m points; d columns, of them dr real and dc categorical; l length scale of a column.

    r^2    = sum over real columns of (x - x')^2 / l^2
    k_real = (1 + sqrt(5) r + 5/3 r^2) exp(-sqrt(5) r)                                   Matern 5/2, ARD
    h      = sum over categorical columns of [x != x'] / (6 l^2)
    k_cat  = exp(-h)                                                                     transformed overlap, ARD
    k      = (1 - t) (k_real + k_cat) / 2 + t k_real k_cat                               t in (0, 1)

The last line is the form of CoCaBO (Ru et al. 2020) scaled to k = 1 at distance 0. The product alone forgets everything
about a setting as soon as the categories differ, which in a space of ten categorical parameters is nearly always; the
sum alone knows no interactions; the data choose t. In k_cat a mismatch counts 1/6, the mean squared distance of two
uniform reals, so that one prior of length scales suits both kinds. The overlap kernel with the exponential is that of
Casmopolitan (Wan et al. 2021).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.special import expit

from tuun_da.search.domains import Floats
from tuun_da.search.space import Column

MISMATCH = 1 / 6


class Kernel(Protocol):
    """What a Gaussian process needs. Its parameters theta (p,) have a normal prior.

    Features are what a kernel makes of points once, to be used with many theta; only the kernel looks into them.
    """

    prior_mean: Floats
    prior_std: Floats

    @property
    def of_trainings(self) -> bool:
        """Whether what is modelled is the score of trainings, which is known to be noisy."""
        ...

    def features(self, points: Floats) -> Any:
        """The features of points (n, d) of the space."""
        ...

    def diagonal(self, theta: Floats, x: Any) -> Floats:
        """k (n,) of each of the points of x with itself."""
        ...

    def matrix(self, theta: Floats, a: Any, b: Any) -> Floats:
        """k (n, m) between the points of a and of b."""
        ...

    def matrix_and_pullback(self, theta: Floats, x: Any) -> tuple[Floats, Callable[[Floats], Floats]]:
        """k (n, n) between the points of x, and the map from a symmetric w (n, n) to sum_ij w_ij dk_ij/dtheta (p,)."""
        ...


@dataclass(frozen=True)
class Features:
    """Points as a kernel sees them: real columns (n, dr), centred; categorical ones as indicators (n, options)."""

    real: Floats
    indicators: Floats


class MixedKernel:
    """The kernel above. Its parameters theta (p,) are log l of the real, then of the categorical columns, then logit t.

    It sees the ``chosen`` ones of the columns, all by default. There is a t only where there are columns of both kinds.
    ``prior_mean`` and ``prior_std`` (p,) are those of a normal prior of theta. For the length scales it is the
    log-normal prior of Hvarfner et al. 2024, which grows with the root of the dimension: the density of
    LogNormal(m, sqrt(3)) at l, with m = sqrt(2) + log(d) / 2, is as a function of
    log l, up to a factor, that of a normal around m - 3.
    """

    of_trainings = False

    def __init__(self, columns: Sequence[Column], chosen: Sequence[int] | None = None) -> None:
        chosen = range(len(columns)) if chosen is None else chosen
        self._real = [i for i in chosen if not columns[i].is_categorical]
        self._categorical = [i for i in chosen if columns[i].is_categorical]
        # an inactive column has a category of its own, -1: two inactive ones are alike, and unlike every option
        self._categories = [
            range(0 if columns[i].parent is None else -1, columns[i].categories) for i in self._categorical
        ]
        self.owner = np.repeat(np.arange(len(self._categorical)), [len(each) for each in self._categories])
        self._is_mixed = bool(self._real and self._categorical)
        scales = len(self._real) + len(self._categorical)
        self.prior_mean = np.zeros(scales + self._is_mixed)
        self.prior_mean[:scales] = math.sqrt(2) + math.log(len(chosen)) / 2 - 3
        self.prior_std = np.ones(scales + self._is_mixed)
        self.prior_std[:scales] = math.sqrt(3)

    def features(self, points: Floats) -> Features:
        """The features of points (n, d)."""
        indicators = [
            (points[:, i, None] == np.array(categories)).astype(np.float64)
            for i, categories in zip(self._categorical, self._categories, strict=True)
        ]
        empty = np.empty((len(points), 0))
        return Features(points[:, self._real] - 0.5, np.hstack([empty, *indicators]))

    def diagonal(self, theta: Floats, x: Features) -> Floats:
        """k (n,) of each of the points of x with itself: 1."""
        return np.ones(len(x.real))

    def matrix(self, theta: Floats, a: Features, b: Features) -> Floats:
        """k (n, m) between the points of a and of b."""
        real, _ = _matern(self._squared_distances(theta, a, b)) if self._real else (None, None)
        categorical = np.exp(-self._mismatches(theta, a, b)) if self._categorical else None
        if real is None or categorical is None:
            return np.asarray(real if categorical is None else categorical)
        t = expit(theta[-1])
        return np.asarray((1 - t) / 2 * (real + categorical) + t * real * categorical)

    def matrix_and_pullback(self, theta: Floats, x: Features) -> tuple[Floats, Callable[[Floats], Floats]]:
        """k (n, n) between the points of x, and the map from a symmetric w (n, n) to sum_ij w_ij dk_ij/dtheta (p,).

        All columns together cost one matrix product, because sum_ij a_ij (x_i - x_j)^2 is, for a symmetric a,
        2 (sum_i (sum_j a_ij) x_i^2 - sum_ij x_i a_ij x_j).
        """
        ones = np.ones((len(x.real), len(x.real)))
        real, slope = _matern(self._squared_distances(theta, x, x)) if self._real else (ones, ones)
        categorical = np.exp(-self._mismatches(theta, x, x)) if self._categorical else ones
        t = float(expit(theta[-1])) if self._is_mixed else 1.0
        k = (1 - t) / 2 * (real + categorical) + t * real * categorical if self._is_mixed else real * categorical

        def pullback(w: Floats) -> Floats:
            parts = []
            if self._real:
                a = w * slope * ((1 - t) / 2 + t * categorical)
                scaled = x.real / self._real_scales(theta)
                squares = 2 * (a.sum(axis=1) @ scaled**2 - np.sum(scaled * (a @ scaled), axis=0))
                parts.append(-2 * squares)  # d r^2 / d log l = -2 r^2
            if self._categorical:
                b = w * -categorical * ((1 - t) / 2 + t * real)
                matches = np.bincount(self.owner, np.sum(x.indicators * (b @ x.indicators), axis=0))
                parts.append(-2 * self._weights(theta) * (b.sum() - matches))
            if self._is_mixed:
                parts.append(np.array([t * (1 - t) * np.sum(w * (real * categorical - (real + categorical) / 2))]))
            return np.concatenate(parts)

        return k, pullback

    def _real_scales(self, theta: Floats) -> Floats:
        return np.exp(theta[: len(self._real)])

    def _weights(self, theta: Floats) -> Floats:
        """What a mismatch in each categorical column adds to h (dc,)."""
        start = len(self._real)
        return MISMATCH * np.exp(-2 * theta[start : start + len(self._categorical)])

    def _squared_distances(self, theta: Floats, a: Features, b: Features) -> Floats:
        scales = self._real_scales(theta)
        left, right = a.real / scales, b.real / scales
        squares = np.sum(left**2, axis=1)[:, None] + np.sum(right**2, axis=1) - 2 * left @ right.T
        return np.asarray(np.maximum(squares, 0.0))

    def _mismatches(self, theta: Floats, a: Features, b: Features) -> Floats:
        weights = self._weights(theta)
        matches = (a.indicators * weights[self.owner]) @ b.indicators.T
        return np.asarray(np.maximum(np.sum(weights) - matches, 0.0))


def _matern(squared: Floats) -> tuple[Floats, Floats]:
    """Matern 5/2 at squared distances r^2, and its derivative with respect to r^2, which is finite at 0."""
    root = np.sqrt(5 * squared)
    decay = np.exp(-root)
    return (1 + root + root**2 / 3) * decay, -5 / 6 * (1 + root) * decay

"""flat_gp: a Gaussian process with the distance that Tuun uses, on the parameters as they come.

The squared distance of the reals plus the Hamming distance of the categories, in an RBF kernel; amplitude, length and
noise by maximum marginal likelihood (ML-II); expected improvement over the best posterior mean, maximized by random
draws and local search. What a policy is, it does not know.

Notation: n observations, m candidates, d columns; k = s^2 exp(-D / (2 l^2)), noise variance v, standardised values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.special import ndtr

from benchmarks.rivals import Params, Rival
from tuun_da.search.maximize import mutate

Floats = NDArray[np.float64]

RANDOM_CANDIDATES = 2000
STARTS = 10  # of the local search
ROUNDS, NEIGHBOURS = 30, 20
BOUNDS = np.log([[1e-2, 1e2], [1e-1, 1e2], [1e-4, 1e1]])  # of s^2, l, v


class FlatGP(Rival):
    def __init__(self, nni_space: Mapping[str, Any], seed: int, initial: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(nni_space, seed, initial)
        self._rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))
        self._categorical = np.array([column.is_categorical for column in self.space.columns])
        self._points: list[Floats] = []
        self._values: list[float] = []
        self._busy: dict[int, Floats] = {}
        self._asked = 0

    def _start(self, params: Params) -> Any:
        self._asked += 1
        self._busy[self._asked] = self.space.encode(params)
        return self._asked

    def _suggest(self) -> tuple[Params, Any]:
        point = self._best_candidate() if len(self._values) >= 2 else self.space.sample_points(1, self._rng)[0]
        params = self.space.decode(point)
        return params, self._start(params)

    def _learn(self, params: Params, value: float, handle: Any) -> None:
        self._points.append(self._busy.pop(handle))
        self._values.append(value)

    def _best_candidate(self) -> Floats:
        points, values = np.array(self._points), np.array(self._values)
        values = (values - values.mean()) / (values.std() or 1.0)
        theta = self._fit(points, values)
        if self._busy:  # running trials are believed to come out at their mean
            running = np.array(list(self._busy.values()))
            believed = self._predict(theta, points, values, running)[0]
            points, values = np.concatenate([points, running]), np.concatenate([values, believed])
        best = float(np.max(self._predict(theta, points, values, points)[0]))

        def score(candidates: Floats) -> Floats:
            mean, deviation = self._predict(theta, points, values, candidates)
            return _log_expected_improvement((mean - best) / deviation) + np.log(deviation)

        around = mutate(
            points[self._rng.integers(len(points), size=RANDOM_CANDIDATES // 4)], 0.2, self.space, self._rng
        )
        candidates = np.concatenate([self.space.sample_points(RANDOM_CANDIDATES, self._rng), around])
        taken = set(self.space.keys(points))
        fresh = np.array([key not in taken for key in self.space.keys(candidates)])
        candidates = candidates[fresh] if fresh.any() else candidates
        scores = score(candidates)
        order = np.argsort(-scores, kind="stable")[:STARTS]
        candidates, scores = candidates[order], scores[order]
        for round_ in range(ROUNDS):
            step = 0.2 * 0.02 ** (round_ / (ROUNDS - 1))
            steps = mutate(np.repeat(candidates, NEIGHBOURS, axis=0), step, self.space, self._rng)
            steps_scores = score(steps)
            steps_scores[[key in taken for key in self.space.keys(steps)]] = -np.inf
            steps_scores = steps_scores.reshape(len(candidates), NEIGHBOURS)
            found = np.argmax(steps_scores, axis=1)
            rows = np.arange(len(candidates))
            better = steps_scores[rows, found] > scores
            candidates[better] = steps.reshape(len(candidates), NEIGHBOURS, -1)[rows, found][better]
            scores = np.where(better, steps_scores[rows, found], scores)
        return np.asarray(candidates[np.argmax(scores)])

    def _distance(self, a: Floats, b: Floats) -> Floats:
        """D (n, m): the squared distance of the reals plus the number of categories that differ."""
        real = ~self._categorical
        x, y = a[:, real], b[:, real]
        squared = (x**2).sum(1)[:, None] + (y**2).sum(1)[None, :] - 2 * x @ y.T
        differ = np.zeros((len(a), len(b)))
        for i in np.flatnonzero(self._categorical):
            differ += a[:, i, None] != b[None, :, i]
        return np.maximum(squared, 0.0) + differ

    def _fit(self, points: Floats, values: Floats) -> Floats:
        """log (s^2, l, v) (3,) with the largest marginal likelihood of several starts."""
        distance = self._distance(points, points)

        def loss(theta: Floats) -> tuple[float, Floats]:
            amplitude, length, noise = np.exp(theta)
            kernel = amplitude * np.exp(-distance / (2 * length**2))
            factor = cholesky(kernel + (noise + 1e-8) * np.eye(len(values)), lower=True)
            weights = cho_solve((factor, True), values)
            inner = np.outer(weights, weights) - cho_solve((factor, True), np.eye(len(values)))
            gradient = -0.5 * np.array(
                [np.sum(inner * kernel), np.sum(inner * kernel * distance) / length**2, np.trace(inner) * noise]
            )
            return float(0.5 * values @ weights + np.sum(np.log(np.diag(factor)))), gradient

        starts = [np.log([1.0, length, noise]) for length in (0.7, 2.0, 6.0) for noise in (0.05, 0.5)]
        fits = [minimize(loss, start, jac=True, method="L-BFGS-B", bounds=BOUNDS) for start in starts]
        return np.asarray(min(fits, key=lambda fit: float(fit.fun)).x)

    def _predict(self, theta: Floats, points: Floats, values: Floats, candidates: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation (m,) without noise."""
        amplitude, length, noise = np.exp(theta)
        kernel = amplitude * np.exp(-self._distance(points, points) / (2 * length**2))
        factor = cholesky(kernel + (noise + 1e-8) * np.eye(len(values)), lower=True)
        cross = amplitude * np.exp(-self._distance(candidates, points) / (2 * length**2))
        mean = cross @ cho_solve((factor, True), values)
        explained = solve_triangular(factor, cross.T, lower=True)
        return mean, np.sqrt(np.maximum(amplitude - (explained**2).sum(0), 1e-12))


def _log_expected_improvement(z: Floats) -> Floats:
    """log(phi(z) + z Phi(z)); far below zero by its asymptote phi(z) / z^2."""
    log_density = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    near = np.log(np.maximum(np.exp(log_density) + z * ndtr(z), 1e-300))
    far = log_density - 2 * np.log(np.maximum(-z, 1.0)) if np.any(z < -6) else near
    return np.where(z < -6, far, near)

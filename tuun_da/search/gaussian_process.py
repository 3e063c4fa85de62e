"""The exact Gaussian process: y = f(x) + noise, f with any kernel, hyperparameters by MAP.

Notation: x the features of n points; y (n,) their values, standardised; k (n, n) the kernel;
s signal variance; v noise variance; hyperparameters (theta, log s, log v) (p + 2,). L is the lower Cholesky factor of
s k + v I, and alpha = (s k + v I)^-1 y (Rasmussen and Williams 2006, algorithm 2.1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize

from tuun_da.search.domains import Floats
from tuun_da.search.kernels import Kernel
from tuun_da.search.prediction import Prediction

# Of log s and log v. Signal variance around that of the standardised values. Noise variance around 1/55 of it, but
# wide: functions without noise must be possible. Of trainings it is 1/5 and more (benchmarks/results), which sixty of
# them cannot tell from a rugged objective.
PRIOR_MEAN, PRIOR_STD = (0.0, -4.0), (1.0, 2.0)
PRIOR_MEAN_OF_TRAININGS, PRIOR_STD_OF_TRAININGS = (0.0, -1.5), (1.0, 1.0)
BOUND_STDS = 4.0  # the optimizer stays within so many standard deviations of the prior
LARGEST_FIT = 300  # see GaussianProcess
ITERATIONS = 60  # of L-BFGS-B from each start
SMALL = 100  # observations up to which steps are cheap enough for a third start
JITTERS = (0.0, 1e-10, 1e-8, 1e-6, 1e-4)  # of the mean of the diagonal


class GaussianProcess:
    """Fits hyperparameters by maximum a posteriori with L-BFGS-B, from the prior's mode and from draws of the prior.

    The posterior is exact for any number of observations. But where there are more than 300, the hyperparameters come
    from 300 of them, drawn at random: they are known well by then, and each step of L-BFGS-B costs n^3.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        mean, std = PRIOR_MEAN, PRIOR_STD
        if kernel.of_trainings:
            mean, std = PRIOR_MEAN_OF_TRAININGS, PRIOR_STD_OF_TRAININGS
        self.prior_mean = np.concatenate([kernel.prior_mean, mean])
        self.prior_std = np.concatenate([kernel.prior_std, std])

    def fit(self, points: Floats, values: Floats, rng: np.random.Generator) -> GaussianProcessPosterior:
        """The posterior at the best hyperparameters found."""
        location, scale = location_and_scale(values)
        chosen = np.arange(len(values))
        if len(values) > LARGEST_FIT:
            chosen = np.sort(rng.choice(len(values), LARGEST_FIT, replace=False))
        x, y = self.kernel.features(points[chosen]), (values[chosen] - location) / scale
        starts = [self.prior_mean]
        for _ in range(2 if len(values) <= SMALL else 1):
            starts.append(self.prior_mean + 0.5 * self.prior_std * rng.standard_normal(len(self.prior_mean)))
        reach = BOUND_STDS * self.prior_std
        bounds = list(zip(self.prior_mean - reach, self.prior_mean + reach, strict=True))
        found = [
            minimize(
                self.negative_log_posterior,
                start,
                args=(x, y),
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": ITERATIONS},
            )
            for start in starts
        ]
        best = min(found, key=lambda result: float(result.fun))
        return self.posterior(points, values, [np.asarray(best.x)])

    def posterior(self, points: Floats, values: Floats, draws: list[Floats]) -> GaussianProcessPosterior:
        """The posterior for given hyperparameters: each of the draws (p + 2,) gives one row of its predictions."""
        location, scale = location_and_scale(values)
        return GaussianProcessPosterior(self.kernel, points, values, tuple(draws), location, scale)

    def negative_log_posterior(self, hyperparameters: Floats, x: Any, y: Floats) -> tuple[float, Floats]:
        """-log p(y | x, hyperparameters) - log p(hyperparameters), the latter up to a constant; and its gradient."""
        theta, signal, noise = _split(hyperparameters)
        k, pullback = self.kernel.matrix_and_pullback(theta, x)
        lower = cholesky(signal * k, noise)
        alpha = cho_solve((lower, True), y, check_finite=False)
        z = (hyperparameters - self.prior_mean) / self.prior_std
        value = y @ alpha / 2 + np.sum(np.log(np.diag(lower))) + len(y) / 2 * math.log(2 * math.pi) + z @ z / 2
        # d value / d (s k + v I), equation 5.9 of Rasmussen and Williams
        w = (cho_solve((lower, True), np.eye(len(y)), check_finite=False) - np.outer(alpha, alpha)) / 2
        gradient = np.concatenate([signal * pullback(w), [signal * np.sum(w * k), noise * np.trace(w)]])
        return float(value), gradient + z / self.prior_std


@dataclass(frozen=True)
class _Factor:
    """What a prediction needs for one draw of the hyperparameters."""

    theta: Floats
    signal: float
    lower: Floats
    alpha: Floats


class GaussianProcessPosterior:
    """The exact posterior for given hyperparameters: one row of its predictions for each of ``draws``."""

    def __init__(
        self,
        kernel: Kernel,
        points: Floats,
        values: Floats,
        draws: tuple[Floats, ...],
        location: float,
        scale: float,
    ) -> None:
        self.draws = draws
        self._kernel, self._points, self._values = kernel, points, values
        self._location, self._scale = location, scale
        self._x = kernel.features(points)
        self._factors = [self._factor(draw) for draw in draws]

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise of an observation, on the scale of the values."""
        return self._scale * math.sqrt(float(np.mean([_split(draw)[2] for draw in self.draws])))

    def predict(self, points: Floats) -> Prediction:
        x = self._kernel.features(points)
        means, variances = [], []
        for factor in self._factors:
            cross = factor.signal * self._kernel.matrix(factor.theta, self._x, x)
            means.append(cross.T @ factor.alpha)
            half = solve_triangular(factor.lower, cross, lower=True, check_finite=False)
            prior = factor.signal * self._kernel.diagonal(factor.theta, x)
            variances.append(prior - np.sum(half**2, axis=0))
        std = np.sqrt(np.maximum(variances, 0.0))  # rounding can leave -1e-16 at an observed point
        return Prediction(self._location + self._scale * np.array(means), self._scale * std)

    def condition(self, points: Floats, values: Floats) -> GaussianProcessPosterior:
        """Exact: the process with the same hyperparameters and the same standardisation that has seen both."""
        all_points = np.concatenate([self._points, points])
        all_values = np.concatenate([self._values, values])
        return GaussianProcessPosterior(self._kernel, all_points, all_values, self.draws, self._location, self._scale)

    def sample(self, points: Floats, rng: np.random.Generator) -> Floats:
        """Values (n,) of one draw of f at points (n, d), of one of the draws of hyperparameters."""
        factor = self._factors[rng.integers(len(self._factors))]
        x = self._kernel.features(points)
        cross = factor.signal * self._kernel.matrix(factor.theta, self._x, x)
        half = solve_triangular(factor.lower, cross, lower=True, check_finite=False)
        covariance = factor.signal * self._kernel.matrix(factor.theta, x, x) - half.T @ half
        # jitter of rounding's size decides whether the factor exists, and is far below what a trial can tell
        lower = cholesky((covariance + covariance.T) / 2, 1e-8 * factor.signal)
        values = cross.T @ factor.alpha + lower @ rng.standard_normal(len(points))
        return np.asarray(self._location + self._scale * values)

    def _factor(self, draw: Floats) -> _Factor:
        theta, signal, noise = _split(draw)
        lower = cholesky(signal * self._kernel.matrix(theta, self._x, self._x), noise)
        y = (self._values - self._location) / self._scale
        return _Factor(theta, signal, lower, cho_solve((lower, True), y, check_finite=False))


def location_and_scale(values: Floats) -> tuple[float, float]:
    """Mean and standard deviation of values (n,); 1 instead of a deviation that is nothing but rounding."""
    largest = float(np.max(np.abs(values))) or 1.0
    shares = values / largest  # so that values near the largest float do not overflow when squared
    mean, std = float(np.mean(shares)), float(np.std(shares))
    scale = std * largest
    return mean * largest, scale if std > 1e-12 and scale > np.finfo(np.float64).tiny else 1.0


def cholesky(k: Floats, noise: float) -> Floats:
    """Lower Cholesky factor of k + noise I, with as little jitter on the diagonal as it needs.

    Raises numpy.linalg.LinAlgError if the largest jitter, 1e-4 of the diagonal, does not do; with a kernel that is
    positive semi-definite up to rounding, the smallest does.
    """
    size = float(np.mean(np.diag(k)))
    for jitter in JITTERS:
        noisy = k.copy()
        noisy[np.diag_indices_from(noisy)] += noise + jitter * size
        try:
            return np.asarray(np.linalg.cholesky(noisy), dtype=np.float64)
        except np.linalg.LinAlgError:
            continue
    raise np.linalg.LinAlgError("the kernel matrix is not positive definite")


def _split(hyperparameters: Floats) -> tuple[Floats, float, float]:
    return hyperparameters[:-2], math.exp(hyperparameters[-2]), math.exp(hyperparameters[-1])

"""TrendKernel over every other kernel: a covariance with the gradient that it says, whose trends the data weigh."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nni_spaces import MIXED_JSON, UNIT
from policy_spaces import space_of
from scipy.optimize import check_grad

from tuun_da.search.gaussian_process import GaussianProcess, location_and_scale
from tuun_da.search.kernels import MixedKernel
from tuun_da.search.knowledge import NOTHING, Knowledge, make_kernel
from tuun_da.search.space import SearchSpace
from tuun_da.search.trend_kernel import TrendKernel

TRENDS = (lambda points: np.sin(3 * points[:, 0]), lambda points: 2 * points[:, -1] - 1)
OVER = ["30", "with others", "mixed"]
REALS = SearchSpace.from_nni(dict.fromkeys("abcd", UNIT))


@functools.cache
def space_named(name):
    return SearchSpace.from_nni(MIXED_JSON) if name == "mixed" else space_of(name)


@functools.cache
def kernels_of(name):
    """The kernel with the trends and the one without."""
    return make_kernel(space_named(name), Knowledge(None, TRENDS)), make_kernel(space_named(name), NOTHING)


def theta_of(kernel, rng):
    return kernel.prior_mean + 0.7 * kernel.prior_std * rng.standard_normal(len(kernel.prior_mean))


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(OVER), st.integers(0, 2**32 - 1))
def test_it_adds_what_the_trends_have_in_common(name, seed):
    (kernel, base), rng = kernels_of(name), np.random.default_rng(seed)
    points = space_named(name).sample_points(12, rng)
    theta, x = theta_of(kernel, rng), kernel.features(points)
    plain = base.matrix(theta[:-2], base.features(points), base.features(points))
    expected = plain + sum(
        np.exp(log_v) * np.outer(trend(points), trend(points)) for log_v, trend in zip(theta[-2:], TRENDS, strict=True)
    )
    matrix, _ = kernel.matrix_and_pullback(theta, x)
    np.testing.assert_allclose(kernel.matrix(theta, x, x), expected, atol=1e-9)
    np.testing.assert_allclose(matrix, expected, atol=1e-9)
    np.testing.assert_allclose(kernel.diagonal(theta, x), np.diag(expected), atol=1e-9)
    assert np.min(np.linalg.eigvalsh(matrix)) > -1e-7 * np.max(matrix)


@pytest.mark.parametrize("name", OVER)
def test_the_gradient_is_that_of_the_objective(name):
    process, rng = GaussianProcess(kernels_of(name)[0]), np.random.default_rng(2)
    x, y = process.kernel.features(space_named(name).sample_points(15, rng)), rng.standard_normal(15)
    for _ in range(2):
        at = process.prior_mean + 0.5 * process.prior_std * rng.standard_normal(len(process.prior_mean))
        gradient = process.negative_log_posterior(at, x, y)[1]
        assert np.all(np.abs(gradient[-4:-2]) > 1e-6)  # those of the trends
        error = check_grad(
            lambda h: process.negative_log_posterior(h, x, y)[0],
            lambda h: process.negative_log_posterior(h, x, y)[1],
            at,
        )
        assert error < 1e-4 * (1 + np.linalg.norm(gradient))


def test_deviations_are_those_of_the_matrix():
    """A trend's variance grows away from its middle, so the diagonal is not 1."""
    kernel, rng = TrendKernel(MixedKernel(REALS.columns), TRENDS), np.random.default_rng(0)
    process = GaussianProcess(kernel)
    points, new = REALS.sample_points(9, rng), REALS.sample_points(5, rng)
    values = rng.standard_normal(9)
    hyperparameters = np.concatenate([theta_of(kernel, rng), [0.3, -3.0]])
    theta, signal, noise = hyperparameters[:-2], np.exp(0.3), np.exp(-3.0)
    all_points = kernel.features(np.concatenate([points, new]))
    k = signal * kernel.matrix(theta, all_points, all_points)
    seen = k[:9, :9] + noise * np.eye(9)
    location, scale = location_and_scale(values)
    mean = location + k[9:, :9] @ np.linalg.solve(seen, values - location)
    variance = scale**2 * np.diag(k[9:, 9:] - k[9:, :9] @ np.linalg.solve(seen, k[:9, 9:]))
    prediction = process.posterior(points, values, [hyperparameters]).predict(new)
    np.testing.assert_allclose(prediction.mean[0], mean, atol=1e-8)
    np.testing.assert_allclose(prediction.std[0], np.sqrt(variance), atol=1e-8)


def fitted(trends, n=20, seed=0):
    """After n trials of a function of four reals that few trials cannot learn, and how far off it is elsewhere."""
    rng = np.random.default_rng(seed)
    points = REALS.sample_points(n + 200, rng)
    values = truth(points)
    process = GaussianProcess(TrendKernel(MixedKernel(REALS.columns), trends) if trends else MixedKernel(REALS.columns))
    posterior = process.fit(points[:n], values[:n] + 0.05 * rng.standard_normal(n), np.random.default_rng(1))
    error = np.sqrt(np.mean((posterior.predict(points[n:]).mean[0] - values[n:]) ** 2))
    return posterior.draws[0], error / np.std(values)


def truth(points):
    return np.sin(12 * points[:, 0]) + np.cos(11 * points[:, 1]) + np.sin(9 * points[:, 2] * points[:, 3])


def nonsense(points):
    return np.sin(1000 * points @ np.array([1.0, 2.0, 3.0, 5.0]))


def test_a_trend_that_holds_is_believed_and_one_that_does_not_is_not():
    shifted = lambda points: (truth(points) - 0.4) / 1.2  # noqa: E731
    for seed in range(3):
        draw, error = fitted((shifted, nonsense), seed=seed)
        _, without = fitted((), seed=seed)
        log_v = draw[-4:-2]
        assert log_v[0] > log_v[1] + 2
        assert error < 0.3 < 0.7 < without


def test_a_trend_that_misleads_costs_next_to_nothing():
    errors = np.array([[fitted(trends, n=40, seed=seed)[1] for trends in ((), (nonsense,))] for seed in range(4)])
    assert np.mean(errors[:, 1]) < np.mean(errors[:, 0]) + 0.05

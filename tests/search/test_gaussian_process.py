"""The exact Gaussian process against scikit-learn's, against finite differences and against itself."""

from __future__ import annotations

import numpy as np
import pytest
from nni_spaces import MIXED_JSON, UNIT, policy_json
from scipy.optimize import check_grad
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from tuun_da.search import gaussian_process
from tuun_da.search.gaussian_process import GaussianProcess, cholesky, location_and_scale
from tuun_da.search.kernels import MixedKernel
from tuun_da.search.knowledge import NOTHING, make_kernel
from tuun_da.search.space import SearchSpace

REALS = SearchSpace.from_nni({"x": UNIT, "y": UNIT, "z": UNIT})
MIXED = SearchSpace.from_nni(MIXED_JSON)


def process_of(space):
    return GaussianProcess(make_kernel(space, NOTHING))


def data(space, n, seed=0):
    rng = np.random.default_rng(seed)
    points = space.sample_points(n, rng)
    return points, 3 + 2 * np.sin(4 * points[:, 0]) + points[:, 1] ** 2 + 0.1 * rng.standard_normal(n)


@pytest.mark.parametrize("n", [1, 2, 40])
def test_with_the_same_hyperparameters_it_predicts_what_scikit_learn_predicts(n):
    points, values = data(REALS, n)
    lengths, signal, noise = np.array([0.3, 0.5, 1.2]), 1.7, 0.01
    posterior = process_of(REALS).posterior(points, values, [np.log([*lengths, signal, noise])])
    location, scale = location_and_scale(values)
    kernel = ConstantKernel(signal) * Matern(lengths, nu=2.5)
    oracle = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None).fit(points, (values - location) / scale)
    new = REALS.sample_points(50, np.random.default_rng(1))
    mean, std = oracle.predict(new, return_std=True)
    prediction = posterior.predict(new)
    np.testing.assert_allclose(prediction.mean, [location + scale * mean], atol=1e-6)
    np.testing.assert_allclose(prediction.std, [scale * std], atol=1e-6)


def test_the_likelihood_is_that_of_a_multivariate_normal():
    points, values = data(MIXED, 15)
    process = process_of(MIXED)
    x, y = process.kernel.features(points), (values - np.mean(values)) / np.std(values)
    hyperparameters = process.prior_mean + 0.3 * process.prior_std
    theta, (signal, noise) = hyperparameters[:-2], np.exp(hyperparameters[-2:])
    covariance = signal * process.kernel.matrix(theta, x, x) + noise * np.eye(15)
    prior = 0.3**2 * len(hyperparameters) / 2
    value, _ = process.negative_log_posterior(hyperparameters, x, y)
    assert value - prior == pytest.approx(-multivariate_normal.logpdf(y, np.zeros(15), covariance))


@pytest.mark.parametrize("space", [REALS, MIXED], ids=["reals", "mixed"])
def test_the_gradient_is_that_of_the_objective(space):
    points, values = data(space, 20)
    process = process_of(space)
    x, y = process.kernel.features(points), (values - np.mean(values)) / np.std(values)
    rng = np.random.default_rng(2)
    for _ in range(3):
        at = process.prior_mean + 0.5 * process.prior_std * rng.standard_normal(len(process.prior_mean))
        error = check_grad(
            lambda h: process.negative_log_posterior(h, x, y)[0],
            lambda h: process.negative_log_posterior(h, x, y)[1],
            at,
        )
        assert error < 1e-4 * (1 + np.linalg.norm(process.negative_log_posterior(at, x, y)[1]))


def test_fit_finds_a_better_posterior_than_the_modes_of_the_prior_and_a_stationary_point():
    points, values = data(MIXED, 40)
    process = process_of(MIXED)
    fitted = process.fit(points, values, np.random.default_rng(0)).draws[0]
    x, y = process.kernel.features(points), (values - np.mean(values)) / np.std(values)
    value, gradient = process.negative_log_posterior(fitted, x, y)
    assert value < process.negative_log_posterior(process.prior_mean, x, y)[0] - 1
    assert np.linalg.norm(gradient) < 0.1


def test_fit_tells_the_columns_that_matter_from_the_others():
    space = SearchSpace.from_nni({"x": UNIT, "y": UNIT, "a": MIXED_JSON["kind"], "b": MIXED_JSON["kind"]})
    points = space.sample_points(60, np.random.default_rng(0))
    values = np.sin(6 * points[:, 0]) + np.array([0, 1, -1, 2])[points[:, 2].astype(int)]
    x, y, a, b = process_of(space).fit(points, values, np.random.default_rng(0)).draws[0][:4]
    assert y > x + 1
    assert b > a + 1


def test_conditioning_is_the_same_as_having_seen_the_values_from_the_start():
    points, values = data(MIXED, 30)
    process = process_of(MIXED)
    first = process.fit(points, values, np.random.default_rng(0))
    more, more_values = data(MIXED, 5, seed=9)
    conditioned = first.condition(more[:2], more_values[:2]).condition(more[2:], more_values[2:])
    # the same standardisation, so that the hyperparameters mean the same
    location, scale = location_and_scale(values)
    everything = gaussian_process.GaussianProcessPosterior(
        process.kernel,
        np.concatenate([points, more]),
        np.concatenate([values, more_values]),
        first.draws,
        location,
        scale,
    )
    new = MIXED.sample_points(20, np.random.default_rng(3))
    np.testing.assert_allclose(conditioned.predict(new).mean, everything.predict(new).mean, atol=1e-9)
    np.testing.assert_allclose(conditioned.predict(new).std, everything.predict(new).std, atol=1e-9)


def test_believing_its_own_mean_leaves_the_mean_and_lowers_the_deviation():
    points, values = data(MIXED, 30)
    posterior = process_of(MIXED).fit(points, values, np.random.default_rng(0))
    pending = MIXED.sample_points(4, np.random.default_rng(5))
    believer = posterior.condition(pending, posterior.predict(pending).mean[0])
    new = np.concatenate([pending, MIXED.sample_points(20, np.random.default_rng(3))])
    np.testing.assert_allclose(believer.predict(new).mean, posterior.predict(new).mean, atol=1e-6)
    assert np.all(believer.predict(new).std <= posterior.predict(new).std + 1e-9)
    assert np.all(believer.predict(pending).std < 0.9 * posterior.predict(pending).std)


def test_each_draw_of_hyperparameters_gives_its_own_row():
    points, values = data(REALS, 20)
    process = process_of(REALS)
    draws = [process.prior_mean, process.prior_mean + 0.5]
    new = REALS.sample_points(5, np.random.default_rng(1))
    both = process.posterior(points, values, draws).predict(new)
    assert both.mean.shape == both.std.shape == (2, 5)
    for i, draw in enumerate(draws):
        alone = process.posterior(points, values, [draw]).predict(new)
        np.testing.assert_allclose(both.mean[i], alone.mean[0])
        np.testing.assert_allclose(both.std[i], alone.std[0])


def test_with_many_observations_hyperparameters_come_from_some_but_predictions_from_all(monkeypatch):
    monkeypatch.setattr(gaussian_process, "LARGEST_FIT", 20)
    points, values = data(REALS, 60)
    process = process_of(REALS)
    sizes = set()
    objective = process.negative_log_posterior
    process.negative_log_posterior = lambda theta, x, y: sizes.add(len(y)) or objective(theta, x, y)
    fitted = process.fit(points, values, np.random.default_rng(0))
    assert sizes == {20}
    new = REALS.sample_points(10, np.random.default_rng(1))
    exact = process.posterior(points, values, list(fitted.draws)).predict(new)
    np.testing.assert_allclose(fitted.predict(new).mean, exact.mean)
    np.testing.assert_allclose(fitted.predict(new).std, exact.std)
    unlimited = 3 + 2 * np.sin(4 * new[:, 0]) + new[:, 1] ** 2
    assert np.sqrt(np.mean((fitted.predict(new).mean[0] - unlimited) ** 2)) < 0.2


def test_jitter_makes_a_singular_matrix_factorable_and_no_jitter_is_added_to_a_good_one():
    good = np.array([[1.0, 0.5], [0.5, 1.0]])
    np.testing.assert_array_equal(cholesky(good, 0.1), np.linalg.cholesky(good + 0.1 * np.eye(2)))
    singular = np.ones((3, 3)) - 1e-12 * np.eye(3)
    lower = cholesky(singular, 0.0)
    np.testing.assert_allclose(lower @ lower.T, singular, atol=2e-4)
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        cholesky(np.array([[1.0, 2.0], [2.0, 1.0]]), 0.0)


def exact_posterior(process, points, values, hyperparameters, new):
    """Mean (m,) and covariance (m, m) of f at new points, by the textbook's formula."""
    theta, (signal, noise) = hyperparameters[:-2], np.exp(hyperparameters[-2:])
    location, scale = location_and_scale(values)
    x = process.kernel.features(np.concatenate([points, new]))
    k = signal * process.kernel.matrix(theta, x, x)
    n = len(points)
    gain = k[n:, :n] @ np.linalg.inv(k[:n, :n] + noise * np.eye(n))
    return location + gain @ (values - location), scale**2 * (k[n:, n:] - gain @ k[:n, n:])


@pytest.mark.parametrize("space", [MIXED, SearchSpace.from_nni(policy_json(2, 1))], ids=["mixed", "policy"])
def test_samples_have_the_mean_and_the_covariance_of_the_posterior(space):
    rng = np.random.default_rng(0)
    points, values = data(space, 8)
    new = np.concatenate([space.sample_points(4, rng), points[:1]])
    process = process_of(space)
    posterior = process.posterior(points, values, [process.prior_mean])
    samples = np.array([posterior.sample(new, rng) for _ in range(3000)])
    mean, covariance = exact_posterior(process, points, values, process.prior_mean, new)
    np.testing.assert_allclose(posterior.predict(new).mean[0], mean, atol=1e-8)
    largest = np.sqrt(np.max(np.diag(covariance)))
    np.testing.assert_allclose(samples.mean(axis=0), mean, atol=0.06 * largest)
    np.testing.assert_allclose(np.cov(samples.T), covariance, atol=0.08 * largest**2)
    assert np.max(np.abs(covariance - np.diag(np.diag(covariance)))) > 0.1 * largest**2  # they hang together


def test_a_sample_is_of_one_of_the_draws_of_hyperparameters():
    points, values = data(REALS, 12)
    process = process_of(REALS)
    sure, unsure = process.prior_mean.copy(), process.prior_mean.copy()
    sure[-2], unsure[-2] = -12.0, 2.0  # signal variance
    new = REALS.sample_points(3, np.random.default_rng(1))
    both = process.posterior(points, values, [sure, unsure])
    samples = np.array([both.sample(new, np.random.default_rng(seed)) for seed in range(300)])
    near_the_mean = np.all(np.abs(samples - np.mean(values)) < 0.03 * np.std(values), axis=1)
    assert 0.4 < np.mean(near_the_mean) < 0.6


def test_samples_at_equal_points_are_equal_and_the_generator_decides():
    points, values = data(MIXED, 10)
    posterior = process_of(MIXED).fit(points, values, np.random.default_rng(0))
    new = np.repeat(MIXED.sample_points(3, np.random.default_rng(1)), 200, axis=0)
    first, again, other = (posterior.sample(new, np.random.default_rng(seed)) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    spread = np.ptp(first.reshape(3, 200), axis=1)
    assert np.all(spread < 0.01 * np.std(values))


def geometric_strength(space, points):
    """A truth that is the same for every order of the sub-policies: more of mild geometry, less of inverting."""
    values = np.zeros(len(points))
    for row, point in enumerate(points):
        params = space.decode(point)
        for i, j in np.ndindex(5, 2):
            kind, prob, magnitude = (params[f"{name}{i + 1}_{j + 1}"] for name in ("operation", "prob", "magnitude"))
            if kind in ("rotate", "shearX", "translateX"):
                values[row] += prob * (1 - abs(magnitude - 0.3))
            elif kind in ("invert", "solarize"):
                values[row] -= prob
    return values


@pytest.mark.parametrize("seed", range(2))
def test_it_learns_in_the_policy_space_what_a_kernel_of_the_columns_cannot(seed):
    space = SearchSpace.from_nni(policy_json())
    rng = np.random.default_rng(seed)
    points = space.sample_points(200, rng)
    truth = geometric_strength(space, points)
    seen = truth[:60] + 0.1 * rng.standard_normal(60)

    def share_explained(process):
        means = process.fit(points[:60], seen, np.random.default_rng(0)).predict(points[60:]).mean[0]
        return 1 - np.mean((means - truth[60:]) ** 2) / np.var(truth[60:])

    assert share_explained(process_of(space)) > 0.5
    assert share_explained(GaussianProcess(MixedKernel(space.columns))) < 0.2

"""PolicyKernel: a covariance with the gradient that it says, for a policy alone and with parameters beside it."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_checks import check_pullback
from made_probes import made_probe
from policy_spaces import HOW, SPACES, points_of, rewritten, some_settings, space_of
from scipy.optimize import check_grad

from tuun_da.operations import OPERATION_TYPES
from tuun_da.search.gaussian_process import GaussianProcess
from tuun_da.search.knowledge import Knowledge, make_kernel
from tuun_da.search.policy_kernel import PolicyKernel

seeds = st.integers(0, 2**32 - 1)
names = st.sampled_from(sorted(SPACES))
PROBE = made_probe(types=tuple(OPERATION_TYPES))
SOME = ["30", "20", "1x1", "with others"]


@functools.cache
def kernel_of(name, probe=False):
    return make_kernel(space_of(name), Knowledge(PROBE if probe else None))


def theta_of(kernel, rng, spread=0.7):
    return kernel.prior_mean + spread * kernel.prior_std * rng.standard_normal(len(kernel.prior_mean))


@settings(max_examples=40, deadline=None)
@given(names, st.booleans(), seeds)
def test_every_matrix_is_a_covariance_matrix(name, probe, seed):
    space, rng, kernel = space_of(name), np.random.default_rng(seed), kernel_of(name, probe)
    points = points_of(space, some_settings(space, 12, rng))
    points = np.concatenate([points, points[:3]])  # duplicates
    theta = theta_of(kernel, rng, spread=2.0)
    x = kernel.features(points)
    matrix, _ = kernel.matrix_and_pullback(theta, x)
    size = np.max(matrix)
    np.testing.assert_allclose(matrix, kernel.matrix(theta, x, x), atol=1e-9 * size)
    np.testing.assert_allclose(kernel.diagonal(theta, x), np.diag(matrix), rtol=1e-9)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12 * size)
    assert np.min(np.linalg.eigvalsh(matrix)) > -1e-7 * size


@settings(max_examples=40, deadline=None)
@given(names, seeds, st.sampled_from(HOW))
def test_other_ways_to_write_a_policy_change_no_bit(name, seed, how):
    space, rng, kernel = space_of(name), np.random.default_rng(seed), kernel_of(name, True)
    params = some_settings(space, 6, rng)
    others = [rewritten(space, each, how, rng) for each in params]
    theta = theta_of(kernel, rng)
    x, y = kernel.features(points_of(space, params)), kernel.features(points_of(space, others))
    expected = kernel.matrix(theta, x, x)
    assert kernel.matrix(theta, y, y).tobytes() == expected.tobytes()
    assert kernel.matrix(theta, x, y).tobytes() == expected.tobytes()


@pytest.mark.parametrize("probe", [False, True])
@pytest.mark.parametrize("name", SOME)
def test_the_pullback_is_the_gradient(name, probe):
    kernel, rng = kernel_of(name, probe), np.random.default_rng(1)
    x = kernel.features(points_of(space_of(name), some_settings(space_of(name), 12, rng)))
    check_pullback(kernel, theta_of(kernel, rng), x, rng, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", SOME)
def test_the_gradient_of_the_posterior_is_that_of_the_objective(name):
    process, rng = GaussianProcess(kernel_of(name, True)), np.random.default_rng(2)
    x, y = process.kernel.features(space_of(name).sample_points(15, rng)), rng.standard_normal(15)
    for _ in range(2):
        at = process.prior_mean + 0.5 * process.prior_std * rng.standard_normal(len(process.prior_mean))
        gradient = process.negative_log_posterior(at, x, y)[1]
        error = check_grad(
            lambda h: process.negative_log_posterior(h, x, y)[0],
            lambda h: process.negative_log_posterior(h, x, y)[1],
            at,
        )
        assert error < 1e-4 * (1 + np.linalg.norm(gradient))


def correlations(kernel, x):
    """At the mode of the prior."""
    matrix = kernel.matrix(kernel.prior_mean, x, x)
    deviations = np.sqrt(kernel.diagonal(kernel.prior_mean, x))
    return matrix / np.outer(deviations, deviations)


@pytest.mark.parametrize("name", SOME)
def test_at_the_mode_of_the_prior_two_random_policies_are_neither_alike_nor_strangers(name):
    kernel = kernel_of(name)
    x = kernel.features(space_of(name).sample_points(60, np.random.default_rng(0)))
    similarity = correlations(kernel, x)
    assert 0.1 < np.median(similarity[np.triu_indices(60, 1)]) < 0.9


def test_an_operation_that_hardly_ever_happens_hardly_matters_and_more_of_it_matters_more():
    kernel, space = kernel_of("30"), space_of("30")
    params = space.sample(1, np.random.default_rng(0))[0] | {"operation1_1": "solarize", "magnitude1_1": 0.8}
    shares = (0.0, 0.001, 0.3, 1.0)
    x = kernel.features(points_of(space, [params | {"prob1_1": share} for share in shares]))
    similarity = correlations(kernel, x)[0]
    assert similarity[1] > 0.97
    assert list(similarity) == sorted(similarity, reverse=True)


def test_parameters_beside_the_policy_matter_and_those_of_options_not_taken_do_not():
    kernel, space = kernel_of("with others"), space_of("with others")
    assert isinstance(kernel, PolicyKernel)
    params = space.sample(1, np.random.default_rng(0))[0] | {"lr": 0.01, "optimizer": {"_name": "adam"}}
    rates = [params | {"lr": lr} for lr in (0.01, 0.02, 1.0)]
    options = [params | {"optimizer": option} for option in ({"_name": "sgd", "lr": 1e-4}, {"_name": "sgd", "lr": 1.0})]
    x = kernel.features(points_of(space, [*rates, *options]))
    similarity = correlations(kernel, x)
    assert 1 > similarity[0, 1] > similarity[0, 2] > 0
    assert similarity[0, 3] == pytest.approx(similarity[0, 4])
    assert similarity[3, 4] < 1


def test_a_space_in_which_a_policy_cannot_vary_still_has_a_kernel():
    from tuun_da.search.space import SearchSpace

    one = {"_type": "choice", "_value": [0.5]}
    space = SearchSpace.from_nni(
        {"operation1_1": {"_type": "choice", "_value": ["invert"]}, "prob1_1": one, "magnitude1_1": one, "lr": one}
    )
    kernel = make_kernel(space, Knowledge())
    x = kernel.features(space.sample_points(3, np.random.default_rng(0)))
    np.testing.assert_allclose(correlations(kernel, x), 1.0)

"""MixedKernel against its formula, written out, and against finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_checks import check_pullback
from nni_spaces import EVERY_TYPE_JSON, MIXED_JSON, UNIT, any_space

from tuun_da.search.kernels import MixedKernel
from tuun_da.search.space import SearchSpace

SPACES = {
    "reals": {"x": UNIT, "y": UNIT, "n": MIXED_JSON["n"]},
    "categories": {"a": MIXED_JSON["kind"], "b": MIXED_JSON["kind"]},
    "mixed": MIXED_JSON,
    "every type": EVERY_TYPE_JSON,
}


def by_formula(space, theta, p, q):
    """The kernel between two points as the module's docstring defines it, column by column."""
    reals = [i for i, column in enumerate(space.columns) if not column.is_categorical]
    categories = [i for i, column in enumerate(space.columns) if column.is_categorical]
    lengths = np.exp(theta)
    r = math.sqrt(sum(((p[i] - q[i]) / lengths[k]) ** 2 for k, i in enumerate(reals)))
    h = sum((p[i] != q[i]) / 6 / lengths[len(reals) + k] ** 2 for k, i in enumerate(categories))
    k_real = (1 + math.sqrt(5) * r + 5 / 3 * r**2) * math.exp(-math.sqrt(5) * r)
    k_cat = math.exp(-h)
    if not (reals and categories):
        return k_real * k_cat
    t = 1 / (1 + math.exp(-theta[-1]))
    return (1 - t) * (k_real + k_cat) / 2 + t * k_real * k_cat


@pytest.mark.parametrize("name", SPACES)
def test_the_matrix_is_that_of_the_formula(name):
    space, rng = SearchSpace.from_nni(SPACES[name]), np.random.default_rng(0)
    kernel, a, b = MixedKernel(space.columns), space.sample_points(9, rng), space.sample_points(6, rng)
    theta = rng.normal(-0.5, 0.5, len(kernel.prior_mean))
    expected = [[by_formula(space, theta, p, q) for q in b] for p in a]
    np.testing.assert_allclose(kernel.matrix(theta, kernel.features(a), kernel.features(b)), expected, atol=1e-12)
    square, _ = kernel.matrix_and_pullback(theta, kernel.features(a))
    expected = [[by_formula(space, theta, p, q) for q in a] for p in a]
    np.testing.assert_allclose(square, expected, atol=1e-12)


@pytest.mark.parametrize("name", SPACES)
def test_the_pullback_is_the_gradient(name):
    space, rng = SearchSpace.from_nni(SPACES[name]), np.random.default_rng(1)
    kernel = MixedKernel(space.columns)
    x = kernel.features(space.sample_points(12, rng))
    theta = rng.normal(-0.5, 0.5, len(kernel.prior_mean))
    check_pullback(kernel, theta, x, rng, rtol=1e-5, atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(any_space, st.integers(0, 1000))
def test_every_matrix_is_a_correlation_matrix(json, seed):
    space, rng = SearchSpace.from_nni(json), np.random.default_rng(seed)
    kernel = MixedKernel(space.columns)
    points = space.sample_points(15, rng)
    points = np.concatenate([points, points[:3]])  # duplicates
    theta = kernel.prior_mean + kernel.prior_std * rng.standard_normal(len(kernel.prior_mean))
    features = kernel.features(points)
    matrix = kernel.matrix(theta, features, features)
    np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-7)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-7)
    assert np.all(matrix >= 0)
    assert np.all(matrix <= 1 + 1e-7)
    assert np.min(np.linalg.eigvalsh(matrix)) > -1e-6


def test_settings_of_an_option_that_neither_takes_do_not_part_them():
    space = SearchSpace.from_nni({"x": UNIT, "optimizer": MIXED_JSON["optimizer"]})
    kernel = MixedKernel(space.columns)
    adam, sgd, sgd_too = (
        kernel.features(space.encode({"x": 0.5, "optimizer": option})[None, :])
        for option in ({"_name": "adam"}, {"_name": "sgd", "lr": 1e-4}, {"_name": "sgd", "lr": 1.0})
    )
    theta = kernel.prior_mean
    assert kernel.matrix(theta, adam, adam)[0, 0] == pytest.approx(1.0)
    assert kernel.matrix(theta, sgd, sgd_too)[0, 0] < 0.9
    assert kernel.matrix(theta, adam, sgd)[0, 0] == pytest.approx(kernel.matrix(theta, adam, sgd_too)[0, 0])


def test_a_kernel_of_some_columns_sees_only_those():
    space, rng = SearchSpace.from_nni(MIXED_JSON), np.random.default_rng(3)
    chosen = [0, 2]
    alone = SearchSpace.from_nni({space.columns[i].name: MIXED_JSON[space.columns[i].name] for i in chosen})
    kernel, expected = MixedKernel(space.columns, chosen), MixedKernel(alone.columns)
    points = space.sample_points(10, rng)
    np.testing.assert_array_equal(kernel.prior_mean, expected.prior_mean)
    theta = kernel.prior_mean + 0.3
    x, y = kernel.features(points), expected.features(points[:, chosen])
    np.testing.assert_allclose(kernel.matrix(theta, x, x), expected.matrix(theta, y, y))

"""What a stopped trial stands for: the mean of a truncated normal, and what the model makes of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nni_spaces import UNIT, policy_json
from scipy.integrate import quad
from scipy.stats import norm

from tuun_da.search.censored import condition_on_stopped, truncated_mean
from tuun_da.search.space import SearchSpace
from tuun_da.search.surrogate import make_surrogate

REALS = SearchSpace.from_nni({"x": UNIT, "y": UNIT})


def one(mean, std, low, high):
    arguments = (np.array([value], dtype=np.float64) for value in (mean, std, low, high))
    return float(truncated_mean(*arguments)[0])


@pytest.mark.parametrize(
    ("mean", "std", "low", "high"),
    [(0, 1, -1, 1), (0, 1, 0.5, 3), (2, 0.5, -1, 1), (-3, 1, 0, 0.2), (0.4, 0.01, 0, 1), (5, 2, -100, 4.9)],
)
def test_it_is_what_an_integral_says(mean, std, low, high):
    around = sorted({low, *np.clip([mean - 8 * std, mean, mean + 8 * std], low, high), high})
    mass, first = (
        sum(quad(integrand, a, b)[0] for a, b in itertools.pairwise(around))
        for integrand in (lambda x: norm.pdf(x, mean, std), lambda x: x * norm.pdf(x, mean, std))
    )
    assert one(mean, std, low, high) == pytest.approx(first / mass, rel=1e-6, abs=1e-9)


_values = st.floats(-1e6, 1e6)


@given(_values, st.floats(0, 1e6), _values, _values)
def test_it_lies_between_the_bounds(mean, std, a, b):
    low, high = min(a, b), max(a, b)
    assert low <= one(mean, std, low, high) <= high


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("mean", "std", "low", "high", "expected"),
    [
        (0.5, 0.0, 0, 1, 0.5),  # certain
        (7, 0.0, 0, 1, 1),
        (-7, 0.0, 0, 1, 0),
        (3, 1, 2, 2, 2),  # nothing between the bounds
        (1e6, 1, 0, 1, 1),  # no mass between the bounds that floats can tell
        (-1e6, 1, 0, 1, 0),
        (0, 1e-300, 1, 2, 1),
        (0, 1e12, -1, 1, 0),  # as good as uniform
        (1e150, 1e140, -1e150, 0, 0),
        (0.25, 1e-9, 0, 1, 0.25),
    ],
)
def test_extremes(mean, std, low, high, expected):
    assert one(mean, std, low, high) == pytest.approx(expected, rel=1e-6, abs=2e-6)


def test_many_at_once_are_each_as_alone():
    rng = np.random.default_rng(0)
    mean, std, low = rng.normal(0, 2, 20), rng.uniform(0, 1, 20), rng.normal(0, 2, 20)
    high = np.maximum(low, 0.5)
    alone = [one(*each) for each in zip(mean, std, low, high, strict=True)]
    np.testing.assert_allclose(truncated_mean(mean, std, low, high), alone)


# ---- what a model makes of it ----


@pytest.fixture(params=["gp", "forest"])
def surrogate(request):
    return request.param


def fitted(surrogate, space=REALS, n=30):
    """A slope from 0 to 1 over the first column."""
    points = space.sample_points(n, np.random.default_rng(0))
    values = points[:, 0] + 0.01 * np.random.default_rng(1).standard_normal(n)
    return make_surrogate(surrogate, space).fit(points, values, np.random.default_rng(2)), float(np.max(values))


def mean_at(posterior, points):
    return posterior.predict(points).mean.mean(axis=0)


def test_a_high_value_reached_raises_the_mean_there(surrogate):
    posterior, best = fitted(surrogate)
    low = np.array([[0.1, 0.5], [0.11, 0.51]])
    before = mean_at(posterior, low)
    after = mean_at(condition_on_stopped(posterior, low, np.array([0.8, 0.8]), best), low)
    assert np.all(after > before + 0.1)


def test_what_was_expected_above_the_best_is_pulled_below_it(surrogate):
    posterior, best = fitted(surrogate)
    high = np.array([[0.99, 0.5]])
    optimist = posterior.condition(np.repeat(high, 3, axis=0), np.full(3, best + 2))
    before = mean_at(optimist, high)[0]
    after = mean_at(condition_on_stopped(optimist, np.repeat(high, 5, axis=0), np.full(5, -1.0), best), high)[0]
    assert before > best
    assert after < before - 0.2


def test_a_stopped_trial_that_did_as_expected_changes_no_mean_but_makes_sure():
    posterior, best = fitted("gp")
    middle, far = np.array([[0.5, 0.5]]), np.array([[0.5, 1.0]])
    stopped = condition_on_stopped(posterior, middle, np.array([-5.0]), best + 5)  # bounds that say nothing
    for at in (middle, far):
        assert mean_at(stopped, at) == pytest.approx(mean_at(posterior, at), abs=1e-3)
    assert stopped.predict(middle).std < posterior.predict(middle).std


def test_a_value_above_the_best_counts_as_it_is():
    posterior, best = fitted("gp")
    at = np.array([[0.3, 0.3]])
    exact = posterior.condition(at, np.array([best + 1]))
    stopped = condition_on_stopped(posterior, at, np.array([best + 1]), best)
    np.testing.assert_allclose(mean_at(stopped, at), mean_at(exact, at))


def test_hyperparameters_know_nothing_of_stopped_trials():
    space = SearchSpace.from_nni(policy_json(2, 1))
    posterior, best = fitted("gp", space)
    stopped = condition_on_stopped(posterior, space.sample_points(3, np.random.default_rng(5)), np.zeros(3), best)
    assert stopped.draws == posterior.draws

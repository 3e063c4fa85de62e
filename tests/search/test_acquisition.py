"""Acquisitions against values of high precision, Monte Carlo and their own definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from tuun_da.errors import ConfigError
from tuun_da.search.acquisition import (
    ACQUISITIONS,
    LOGARITHMS,
    find_acquisition,
    log_ei,
    log_h,
    log_pi,
    upper_confidence_bound,
)
from tuun_da.search.prediction import Prediction

# log(phi(z) + z Phi(z)) from mpmath 1.3 with 80 digits
EXACT = [
    (40.0, 3.6888794541139363),
    (10.0, 2.3025850929940457),
    (3.0, 1.0987396653277078),
    (0.5, -0.35982768374506382),
    (0.0, -0.91893853320467274),
    (-0.5, -1.6205162643873199),
    (-0.999, -2.4832171154475854),
    (-1.0, -2.4851210257126413),
    (-1.001, -2.4870256579553892),
    (-3.0, -7.8696860596030285),
    (-10.0, -55.553122036122356),
    (-30.0, -457.724653760598),
    (-38.0, -730.19618340211374),
    (-50.0, -1258.7441828684609),
    (-99.9, -5000.1325784000638),
    (-100.1, -5020.1365772022327),
    (-300.0, -45012.326536814554),
    (-1000.0, -500014.73445209116),
    (-1000000.0, -500000000028.54996),  # by the asymptotic series
    (-1000000000.0, -5.0000000000000004e17),  # by the asymptotic series
]


@pytest.mark.parametrize(("z", "value"), EXACT)
def test_log_h_is_exact_in_both_tails(z, value):
    np.testing.assert_allclose(log_h(np.array([z])), [value], rtol=2e-14, atol=1e-14)


@given(st.floats(-1e150, 1e150), st.floats(-1e150, 1e150))
def test_log_h_is_finite_and_never_decreases(a, b):
    low, high = log_h(np.array([min(a, b), max(a, b)]))
    assert np.isfinite(low)
    assert low <= high + 1e-14 * abs(high)


def test_log_ei_is_the_logarithm_of_what_monte_carlo_finds():
    rng = np.random.default_rng(0)
    mean, std, best = np.array([[0.0, 1.0, -0.5]]), np.array([[1.0, 0.3, 2.0]]), 0.8
    draws = mean + std * rng.standard_normal((400_000, 3))
    estimate = np.mean(np.maximum(draws - best, 0), axis=0)
    np.testing.assert_allclose(np.exp(log_ei(Prediction(mean, std), best)), estimate, rtol=0.01)


def test_draws_of_hyperparameters_are_averaged_as_ei():
    mean, std = np.array([[0.0, -400.0], [1.0, 0.5]]), np.array([[1.0, 1.0], [0.5, 0.2]])
    rows = [log_ei(Prediction(mean[i : i + 1], std[i : i + 1]), 0.3) for i in range(2)]
    expected = np.logaddexp(rows[0], rows[1]) - np.log(2)
    np.testing.assert_allclose(log_ei(Prediction(mean, std), 0.3), expected, rtol=1e-14)


def test_a_certain_prediction_improves_by_its_gain_or_not_at_all():
    prediction = Prediction(np.array([[1.5, 1.0, 0.5]]), np.zeros((1, 3)))
    np.testing.assert_array_equal(log_ei(prediction, 1.0), [np.log(0.5), -np.inf, -np.inf])


def test_a_draw_that_is_certain_beside_one_that_is_not():
    prediction = Prediction(np.array([[0.0], [0.0]]), np.array([[0.0], [1.0]]))
    np.testing.assert_allclose(log_ei(prediction, 0.0), [-0.5 * np.log(2 * np.pi) - np.log(2)])


@given(st.floats(-50, 50), st.floats(0.01, 10), st.floats(0.01, 100), st.floats(-100, 100))
def test_log_ei_moves_with_the_scale_of_the_objective(gain, std, factor, shift):
    plain = log_ei(Prediction(np.array([[gain]]), np.array([[std]])), 0.0)
    moved = log_ei(Prediction(np.array([[factor * gain + shift]]), np.array([[factor * std]])), shift)
    np.testing.assert_allclose(moved, plain + np.log(factor), rtol=1e-6, atol=1e-6)


@pytest.mark.filterwarnings("error")
def test_values_at_both_ends_of_the_floats_are_told_apart():
    mean, std = np.array([[-1e308, 0.0, 1e308, 1e308]]), np.array([[1e308, 1e308, 1e308, 0.0]])
    values = log_ei(Prediction(mean, std), 1e308)
    np.testing.assert_allclose(values[:3], log_h(np.array([-2.0, -1.0, 0.0])) + np.log(1e308), rtol=1e-14)
    assert values[3] == -np.inf
    assert log_ei(Prediction(mean[:, 3:], std[:, 3:]), -1e308)[0] == pytest.approx(np.log(2) + np.log(1e308))


# ---- probability of improvement ----

# log Phi(z) from mpmath with 60 digits
EXACT_TAIL = [
    (-300.0, -45006.622732118663),
    (-40.0, -804.60844201375379),
    (-10.0, -53.231285150512471),
    (-3.0, -6.6077262215103495),
    (0.0, -0.69314718055994531),
    (1.0, -0.17275377902344989),
    (8.0, -6.2209605742717861e-16),
]


@pytest.mark.parametrize(("z", "value"), EXACT_TAIL)
def test_log_pi_is_exact_in_both_tails(z, value):
    prediction = Prediction(np.array([[5 + 2 * z]]), np.array([[2.0]]))
    np.testing.assert_allclose(log_pi(prediction, 5.0), [value], rtol=1e-12)


def test_pi_is_what_monte_carlo_finds():
    rng = np.random.default_rng(0)
    mean, std, best = np.array([[0.0, 1.0, -0.5], [0.4, 0.0, 1.0]]), np.array([[1.0, 0.3, 2.0], [0.1, 1.0, 0.5]]), 0.8
    draws = mean + std * rng.standard_normal((400_000, 2, 3))
    estimate = np.mean(draws > best, axis=(0, 1))
    np.testing.assert_allclose(np.exp(log_pi(Prediction(mean, std), best)), estimate, rtol=0.01)


@pytest.mark.filterwarnings("error")
def test_a_certain_prediction_is_above_or_it_is_not():
    prediction = Prediction(np.array([[1.5, 1.0, 0.5]]), np.zeros((1, 3)))
    np.testing.assert_array_equal(log_pi(prediction, 1.0), [0, -np.inf, -np.inf])
    both = Prediction(np.array([[1.5], [0.5]]), np.array([[0.0], [0.0]]))
    np.testing.assert_allclose(log_pi(both, 1.0), [np.log(0.5)])


@pytest.mark.filterwarnings("error")
def test_pi_of_values_at_both_ends_of_the_floats():
    mean, std = np.array([[-1e308, 0.0, 1e308, 1e308]]), np.array([[1e308, 1e308, 1e308, 0.0]])
    values = log_pi(Prediction(mean, std), 1e308)
    np.testing.assert_allclose(np.exp(values), ndtr([-2.0, -1.0, 0.0, -np.inf]), rtol=1e-12)
    assert log_pi(Prediction(mean[:, 3:], std[:, 3:]), -1e308)[0] == 0
    assert log_pi(Prediction(np.array([[1.0]]), np.array([[1e-320]])), 0.0)[0] == 0


@given(st.floats(-1e3, 1e3), st.floats(0.01, 10), st.floats(0.01, 100), st.floats(-100, 100))
def test_pi_does_not_know_the_scale_of_the_objective(gain, std, factor, shift):
    plain = log_pi(Prediction(np.array([[gain]]), np.array([[std]])), 0.0)
    moved = log_pi(Prediction(np.array([[factor * gain + shift]]), np.array([[factor * std]])), shift)
    np.testing.assert_allclose(moved, plain, rtol=1e-6, atol=1e-6)


# ---- upper confidence bound ----


def test_ucb_is_the_mean_and_so_many_deviations():
    mean, std = np.array([[0.0, 1.0, -2.0]]), np.array([[1.0, 0.5, 0.0]])
    prediction = Prediction(mean, std)
    for best in (-100.0, 100.0):  # it is none of its business
        np.testing.assert_array_equal(upper_confidence_bound(prediction, best), [2.0, 2.0, -2.0])
        np.testing.assert_array_equal(upper_confidence_bound(prediction, best, beta=0.0), mean[0])
        np.testing.assert_allclose(upper_confidence_bound(prediction, best, beta=3.5), [3.5, 2.75, -2.0])


def test_ucb_is_the_mean_of_those_of_the_draws():
    mean, std = np.array([[0.0, 1.0], [2.0, 5.0]]), np.array([[1.0, 1.0], [3.0, 0.0]])
    np.testing.assert_array_equal(upper_confidence_bound(Prediction(mean, std), 0.0), [5.0, 4.0])


@pytest.mark.filterwarnings("error")
def test_ucb_of_huge_and_of_tiny_values():
    mean = np.array([[1e300, -1e300, 1e-300]])
    np.testing.assert_allclose(upper_confidence_bound(Prediction(mean, np.zeros((1, 3))), 0.0), mean[0])
    np.testing.assert_allclose(
        upper_confidence_bound(Prediction(mean, np.array([[1e300, 1e300, 1e-300]])), 0.0), [3e300, 1e300, 3e-300]
    )


# ---- by name ----


def test_the_table_has_all_and_says_which_are_logarithms():
    assert dict(ACQUISITIONS) == {"logei": log_ei, "ucb": upper_confidence_bound, "pi": log_pi, "thompson": None}
    assert {"logei", "pi"} == LOGARITHMS
    assert all(find_acquisition(name) is function for name, function in ACQUISITIONS.items())


@pytest.mark.parametrize("beta", [0, 1.5, np.float32(3)])
def test_beta_is_that_of_ucb(beta):
    prediction = Prediction(np.array([[1.0]]), np.array([[2.0]]))
    assert find_acquisition("ucb", beta=beta)(prediction, 0.0) == [1 + 2 * float(beta)]


@pytest.mark.parametrize(
    ("name", "beta", "message"),
    [
        ("logei", 2.0, "beta belongs to acquisition ucb, which is logei here; got 2.0"),
        ("pi", 0, "beta belongs to acquisition ucb, which is pi here; got 0"),
        ("thompson", 1, "beta belongs to acquisition ucb, which is thompson here; got 1"),
        ("ucb", -0.5, "beta must be a number of at least 0, got -0.5"),
        ("ucb", "2", "beta must be a number of at least 0, got '2'"),
        ("ucb", True, "beta must be a number of at least 0, got True"),
        ("ucb", np.nan, "beta must be a number of at least 0, got nan"),
        ("ucb", np.inf, "beta must be a number of at least 0, got inf"),
        ("ei", 2.0, "acquisition must be one of logei, ucb, pi, thompson; got 'ei'"),
    ],
)
def test_a_wrong_beta_is_refused(name, beta, message):
    with pytest.raises(ConfigError, match=f"^{message}$"):
        find_acquisition(name, beta=beta)


def test_an_unknown_name_is_refused():
    assert find_acquisition("logei") is log_ei
    with pytest.raises(ConfigError, match="acquisition must be one of logei, ucb, pi, thompson; got 'ei'"):
        find_acquisition("ei")

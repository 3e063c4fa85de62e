"""The optimizer as one call: what it calls, what it gives back, and what it says of bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from nni_spaces import MIXED_JSON, UNIT

import tuun_da
from tuun_da.errors import ConfigError, SearchSpaceError, TuunDaError
from tuun_da.search.space import SearchSpace

LINE = {"x": {"_type": "uniform", "_value": [-5, 5]}}


def parabola(params):
    return (params["x"] - 2) ** 2 + 3


def test_it_finds_the_smallest_value_and_tells_it_with_its_own_sign():
    result = tuun_da.minimize(parabola, LINE, 20, n_initial=5, seed=0)
    assert result.best.params["x"] == pytest.approx(2, abs=0.1)
    assert result.best.value == parabola(result.best.params)
    assert result.recommended["x"] == pytest.approx(2, abs=0.2)


def test_maximize_is_minimize_of_the_negative():
    low = tuun_da.minimize(parabola, LINE, 12, n_initial=5, seed=1)
    high = tuun_da.maximize(lambda params: -parabola(params), LINE, 12, n_initial=5, seed=1)
    assert [trial.params for trial in low.trials] == [trial.params for trial in high.trials]
    assert [trial.value for trial in low.trials] == [-trial.value for trial in high.trials]
    assert low.best.params == high.best.params


def test_the_function_is_called_once_for_each_trial_with_settings_of_the_space():
    called, heard = [], []
    space = SearchSpace.from_nni(MIXED_JSON)

    def function(params):
        called.append(params)
        return params["x"]

    result = tuun_da.maximize(function, space, 8, on_trial=heard.append, n_initial=4, seed=0)
    assert len(called) == 8
    for params in called:
        space.validate(params)
    assert list(result.trials) == heard
    assert [trial.params for trial in result.trials] == called
    assert [trial.id for trial in result.trials] == list(range(8))


def test_what_the_function_does_to_its_parameters_changes_no_trial():
    result = tuun_da.minimize(lambda params: params.pop("x"), {"x": UNIT}, 4, n_initial=2, seed=0)
    assert [trial.params["x"] for trial in result.trials] == [trial.value for trial in result.trials]


def test_a_value_that_is_no_finite_number_is_a_failed_trial():
    result = tuun_da.minimize(
        lambda params: math.nan if params["x"] > 0 else parabola(params), LINE, 20, n_initial=8, seed=0
    )
    assert result.n_failed > 0
    assert len(result.trials) == 20 - result.n_failed
    assert all(trial.params["x"] <= 0 for trial in result.trials)
    with pytest.raises(TuunDaError, match="all 3 trials failed"):
        tuun_da.minimize(lambda params: math.inf, LINE, 3, seed=0)


@pytest.mark.parametrize("kind", [float, np.float64, np.float32, np.float16])
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_of_a_float_of_any_width_it_is_one(kind, number):
    values = iter([kind(1.5), kind(number), kind(0.5), kind(-number)])
    result = tuun_da.minimize(lambda params: next(values), LINE, 4, seed=0)
    assert [(trial.id, trial.value) for trial in result.trials] == [(0, 1.5), (2, 0.5)]
    assert result.n_failed == 2


@pytest.mark.parametrize("given", [True, np.bool_(False), None, 1j, np.array([0.5])], ids=repr)
def test_what_is_no_number_is_told(given):
    with pytest.raises(TuunDaError, match="the function must return a number, got "):
        tuun_da.minimize(lambda params: given, LINE, 3, seed=0)


def test_bad_input_is_told():
    for n in (0, 2.0, True):
        with pytest.raises(ConfigError, match="n_trials must be an integer of at least 1"):
            tuun_da.minimize(parabola, LINE, n)
    with pytest.raises(SearchSpaceError):
        tuun_da.minimize(parabola, {"x": 3}, 5)
    with pytest.raises(ConfigError, match="surrogate must be one of"):
        tuun_da.minimize(parabola, LINE, 5, surrogate="tpe")
    with pytest.raises(TypeError, match="surogate"):
        tuun_da.minimize(parabola, LINE, 5, surogate="gp")
    with pytest.raises(TuunDaError, match="must return a number, got 'low'"):
        tuun_da.minimize(lambda params: "low", LINE, 5, seed=0)
    with pytest.raises(ZeroDivisionError):
        tuun_da.minimize(lambda params: 1 / 0, LINE, 5, seed=0)

"""Failed trials: their neighbourhood is avoided, the rest is not, and they are never taken for a value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nni_spaces import MIXED_JSON, UNIT, any_space, policy_json

from tuun_da.search.failures import FailureModel
from tuun_da.search.knowledge import NOTHING, make_kernel
from tuun_da.search.optimizer import Optimizer
from tuun_da.search.space import SearchSpace

SQUARE = SearchSpace.from_nni({"x": UNIT, "y": UNIT})
FINITE = SearchSpace.from_nni({"n": {"_type": "randint", "_value": [0, 4]}, "kind": MIXED_JSON["kind"]})


def chance_of_success(space, succeeded, failed, at):
    width = len(space.columns)
    model = FailureModel(
        make_kernel(space, NOTHING),
        np.reshape(succeeded, (-1, width)),
        np.reshape(failed, (-1, width)),
    )
    return np.exp(model.log_success(np.reshape(at, (-1, width))))


# ---- the model ----


@settings(max_examples=25, deadline=None)
@given(any_space, st.integers(0, 8), st.integers(1, 8), st.integers(0, 1000))
def test_a_chance_is_a_chance(json, n_succeeded, n_failed, seed):
    space, rng = SearchSpace.from_nni(json), np.random.default_rng(seed)
    failed = space.sample_points(n_failed, rng)
    at = np.concatenate([failed, space.sample_points(5, rng)])
    chance = chance_of_success(space, space.sample_points(n_succeeded, rng), failed, at)
    assert np.all((chance > 0) & (chance < 1))


def test_where_trials_fail_again_and_again_the_next_will_too():
    rng = np.random.default_rng(0)
    left, right = rng.random((20, 2)) * [0.5, 1], rng.random((20, 2)) * [0.5, 1] + [0.5, 0]
    chance = chance_of_success(SQUARE, left, right, [[0.1, 0.5], [0.9, 0.5]])
    assert chance[0] > 0.75
    assert chance[1] < 0.25


def test_one_failure_among_many_successes_changes_little_elsewhere():
    rng = np.random.default_rng(1)
    succeeded = rng.random((60, 2)) * [0.6, 1]
    at = rng.random((50, 2)) * [0.5, 1]
    assert np.min(chance_of_success(SQUARE, succeeded, [[0.95, 0.5]], at)) > 0.9
    assert chance_of_success(SQUARE, succeeded, [[0.95, 0.5]], [[0.95, 0.5]])[0] < 0.6


def test_more_failures_make_another_likelier_and_more_successes_less_likely():
    at, far = [[0.5, 0.5]], np.array([[0.05, 0.05], [0.1, 0.9]])
    by_failures = [chance_of_success(SQUARE, far, [[0.5, 0.5]] * n, at)[0] for n in (1, 2, 5)]
    by_successes = [chance_of_success(SQUARE, [[0.5, 0.52]] * n, [[0.5, 0.5]], at)[0] for n in (0, 1, 2, 5)]
    assert by_failures == sorted(by_failures, reverse=True)
    assert by_successes == sorted(by_successes)


def test_what_is_the_same_policy_fails_alike():
    space = SearchSpace.from_nni(policy_json(2, 2))
    params = space.sample(1, np.random.default_rng(0))[0]
    turned = {name.translate({ord("1"): "2", ord("2"): "1"}) if name[-3] == "1" else name: 0 for name in params}
    turned = {f"{name[:-3]}{3 - int(name[-3])}{name[-2:]}": value for name, value in params.items()}
    assert turned != params
    other = space.sample(1, np.random.default_rng(1))[0]
    same, unlike = (
        chance_of_success(space, space.encode(other), space.encode(params), space.encode(at))[0]
        for at in (turned, other)
    )
    assert same < 0.5 < unlike


# ---- in the search ----


def search(tell_failed, best_x, *, n=24, seed=0, **settings_of):
    """x > 0.7 fails: the share of asks after the design that do. Without ``tell_failed`` failures are forgotten.

    All values are around -50: taken for a 0, a failure would be the best of all.
    """
    optimizer = Optimizer(SQUARE, n_initial=8, seed=seed, **settings_of)
    noise = 0.05 * np.random.default_rng(seed).standard_normal(n)
    failing = []
    for id in range(n):
        params = optimizer.ask(id)
        failing.append(params["x"] > 0.7)
        if not failing[-1]:
            optimizer.tell(id, -50 - (params["x"] - best_x) ** 2 - (params["y"] - 0.5) ** 2 + noise[id])
        elif tell_failed:
            optimizer.tell_failed(id)
        else:
            optimizer.forget(id)
    return np.mean(failing[8:])


@pytest.mark.parametrize(
    ("best_x", "most", "settings_of"),
    [
        (0.5, 0.35, {}),
        (0.9, 0.5, {}),  # inside of what fails: the values rise up to the border, which is worth exploring
        (0.5, 0.35, {"acquisition": "ucb"}),
        (0.75, 0.35, {"acquisition": "ucb"}),  # inside of what fails
        (0.5, 0.35, {"acquisition": "thompson"}),
    ],
)
def test_what_fails_is_avoided(best_x, most, settings_of):
    told, forgotten = (
        np.mean([search(tell_failed, best_x, seed=seed, **settings_of) for seed in range(3)])
        for tell_failed in (True, False)
    )
    assert told < most
    assert told < forgotten - 0.2


def told(events, *, shift=0.0, **settings_of):
    optimizer = Optimizer(SQUARE, n_initial=2, seed=0, **settings_of)
    for id, (x, y, value) in enumerate(events):
        params = {"x": x, "y": y}
        if value is None:
            optimizer.tell_failed(id, params)
        else:
            optimizer.tell(id, value + shift, params)
    return optimizer


EVENTS = [(x, y, -((x - 0.4) ** 2) - (y - 0.4) ** 2) for x in (0.1, 0.5, 0.9) for y in (0.2, 0.6, 0.95)]
FAILED = [(0.4, 0.35, None), (0.42, 0.4, None), (0.38, 0.42, None), (0.45, 0.38, None)]


@pytest.mark.parametrize("acquisition", ["logei", "ucb", "pi", "thompson"])
@pytest.mark.parametrize("shift", [64.0, -64.0])
def test_a_failure_has_no_value_whatever_the_values_of_the_others_are(acquisition, shift):
    """Were it a number, such as 0, it would mean something else among values around 64 and around -64."""
    plain, shifted = (told(EVENTS + FAILED, shift=by, acquisition=acquisition).ask("next") for by in (0.0, shift))
    assert [shifted["x"], shifted["y"]] == pytest.approx([plain["x"], plain["y"]], abs=0.02)


def test_a_failure_in_the_best_place_moves_the_search_on_and_does_not_bend_the_model():
    with_failures, without = told(EVENTS + FAILED), told(EVENTS)
    point, other = with_failures.ask("next"), without.ask("next")
    assert np.hypot(other["x"] - 0.4, other["y"] - 0.4) < 0.15
    assert np.hypot(point["x"] - 0.4, point["y"] - 0.4) > 0.1
    assert with_failures.recommend() == without.recommend()


def test_a_result_that_comes_after_all_replaces_the_failure():
    late, never = told(EVENTS), told(EVENTS)
    for optimizer in (late, never):
        optimizer.restore_running("t", {"x": 0.3, "y": 0.3})
    late.tell_failed("t")
    assert late.running == {}
    late.tell("t", -0.02, {"x": 0.3, "y": 0.3})
    never.tell("t", -0.02)
    assert late.observations == never.observations
    assert late.ask("next") == never.ask("next")


@pytest.mark.parametrize("surrogate", ["gp", "forest", "random"])
def test_failed_and_stopped_settings_are_not_proposed_again(surrogate):
    optimizer = Optimizer(FINITE, surrogate=surrogate, n_initial=3, seed=0)
    asked = []
    for id in range(16):
        params = optimizer.ask(id)
        asked.append(FINITE.key(params))
        if id % 3 == 0:
            optimizer.tell_failed(id)
        elif id % 3 == 1:
            optimizer.tell_stopped(id, 0.1 * id)
        else:
            optimizer.tell(id, 0.2 * id)
    assert len(set(asked)) == FINITE.size == 16
    FINITE.validate(optimizer.ask("one more"))


def test_where_everything_fails_the_search_goes_on_at_random():
    optimizer = Optimizer(SQUARE, n_initial=3, seed=0)
    asked = []
    for id in range(12):
        asked.append(tuple(optimizer.ask(id).values()))
        optimizer.tell_failed(id)
    assert len(set(asked)) == 12
    assert optimizer.observations == ()

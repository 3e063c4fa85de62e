"""What the search makes of initial settings, stopped trials and parameters beside a policy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from made_probes import made_probe
from nni_spaces import MIXED_JSON, UNIT, policy_json
from policy_spaces import space_of

from tuun_da.errors import SearchSpaceError, TuunDaError
from tuun_da.known_policies import KNOWN_POLICIES
from tuun_da.search.initial_policies import settings_of_policy
from tuun_da.search.optimizer import Optimizer
from tuun_da.search.space import SearchSpace

SQUARE = SearchSpace.from_nni({"x": UNIT, "y": UNIT})
FINITE = SearchSpace.from_nni({"n": {"_type": "randint", "_value": [0, 3]}, "kind": MIXED_JSON["kind"]})


@pytest.fixture(params=["gp", "forest", "random"])
def surrogate(request):
    return request.param


# ---- initial settings ----

FIRST = [{"x": 0.1, "y": 0.2}, {"x": 0.9, "y": 0.4}, {"x": 0.3, "y": 0.3}]


def test_initial_settings_come_first_whatever_the_surrogate(surrogate):
    optimizer = Optimizer(SQUARE, surrogate=surrogate, n_initial=2, seed=0, initial=FIRST)
    asked = []
    for id in range(5):
        asked.append(optimizer.ask(id))
        optimizer.tell(id, -asked[-1]["x"])
    assert asked[:3] == FIRST
    assert asked[3] not in FIRST
    assert asked[4] not in FIRST


def test_they_come_first_though_results_from_elsewhere_are_known(surrogate):
    optimizer = Optimizer(SQUARE, surrogate=surrogate, n_initial=3, seed=0, initial=FIRST)
    for x in np.linspace(0, 1, 6):
        optimizer.add({"x": x, "y": x}, x)
    optimizer.add(FIRST[1], 0.5)  # what is known need not be tried
    assert [optimizer.ask(0), optimizer.ask(1)] == [FIRST[0], FIRST[2]]
    assert optimizer.ask(2) not in FIRST


def test_one_that_failed_or_was_stopped_is_not_tried_again_and_one_that_was_forgotten_is(surrogate):
    optimizer = Optimizer(SQUARE, surrogate=surrogate, seed=0, initial=FIRST)
    assert [optimizer.ask(id) for id in range(3)] == FIRST
    optimizer.tell_failed(0)
    optimizer.tell_stopped(1, 0.3)
    optimizer.forget(2)
    assert optimizer.ask(3) == FIRST[2]
    assert optimizer.ask(4) not in FIRST


def test_in_a_finite_space_that_is_known_altogether_they_do_not_come_again(surrogate):
    first = {"n": 1, "kind": "b"}
    optimizer = Optimizer(FINITE, surrogate=surrogate, n_initial=2, seed=0, initial=[first, first])
    asked = []
    for id in range(16):
        asked.append(optimizer.ask(id))
        optimizer.tell(id, float(id))
    assert asked[0] == first
    assert asked[:12].count(first) == 1
    assert len({FINITE.key(params) for params in asked[:12]}) == FINITE.size == 12
    assert asked[12:].count(first) < 4


def test_an_initial_setting_that_is_none_of_the_space_is_refused():
    with pytest.raises(SearchSpaceError, match="parameter x"):
        Optimizer(SQUARE, initial=[{"x": 2.0, "y": 0.5}])


def test_the_policies_that_are_known_to_be_good_can_be_the_first():
    space = space_of("30")
    initial = [
        params
        for name in ("etp", "autoaugment-cifar10")
        for params in settings_of_policy(space, name, KNOWN_POLICIES[name])
    ]
    optimizer = Optimizer(space, seed=0, initial=initial)
    assert [optimizer.ask(id) for id in range(6)] == initial
    assert optimizer.ask(6) not in initial


# ---- stopped trials ----


def observed(**settings_of):
    """A slope towards x = 1, up to 0.6."""
    optimizer = Optimizer(SQUARE, n_initial=1, seed=0, **settings_of)
    for i, (x, y) in enumerate(np.random.default_rng(0).random((12, 2))):
        optimizer.tell(i, 0.6 * x, {"x": 0.6 * x, "y": y})
    return optimizer


def test_where_a_trial_was_stopped_low_the_search_does_not_stay():
    plain, stopped = observed(), observed()
    expected = plain.ask("next")
    assert expected["x"] > 0.7
    for i, y in enumerate((0.1, 0.3, 0.5, 0.7, 0.9)):
        for j, x in enumerate((0.8, 0.95)):
            stopped.tell_stopped(f"{i} {j}", -2.0, {"x": x, "y": y})
    found = stopped.ask("next")
    assert found["x"] < expected["x"] - 0.05


def test_a_stopped_trial_is_neither_recommended_nor_observed():
    optimizer = observed()
    before = optimizer.recommend()
    optimizer.tell_stopped("s", 100.0, {"x": 0.5, "y": 0.5})
    assert optimizer.recommend() == before
    assert len(optimizer.observations) == 12
    optimizer.tell("s", 0.1, {"x": 0.5, "y": 0.5})  # it ran to its end after all
    assert optimizer.observations[-1].value == 0.1


def test_a_trial_that_ended_one_way_can_still_end_the_other():
    """The last word counts, as after a restart that has only heard the last one."""
    first, second = observed(), observed()
    point = {"x": 0.4, "y": 0.4}
    first.tell_failed("t", point)
    first.tell_stopped("t", 0.2, point)
    second.tell_stopped("t", 0.2, point)
    assert first.ask("next") == second.ask("next")
    with pytest.raises(TuunDaError, match="trial 't' has ended already"):
        first.ask("t")
    with pytest.raises(TuunDaError, match="trial 't' has ended already"):
        first.restore_running("t", point)


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "0.5", True])
def test_a_reached_value_that_is_no_finite_number_is_refused_and_changes_nothing(value):
    optimizer = Optimizer(SQUARE, seed=0)
    params = optimizer.ask(0)
    with pytest.raises(TuunDaError, match="value that trial 0 had reached must be a finite number, got"):
        optimizer.tell_stopped(0, value)
    assert optimizer.running == {0: params}


@pytest.mark.parametrize("end", ["tell_failed", "tell_stopped"])
def test_an_end_needs_a_trial_that_runs_or_its_parameters(end):
    optimizer = Optimizer(SQUARE, seed=0)
    more = (0.5,) if end == "tell_stopped" else ()
    with pytest.raises(TuunDaError, match="trial 'x' is not running, so its end needs the parameters"):
        getattr(optimizer, end)("x", *more)
    with pytest.raises(SearchSpaceError, match="parameter y is missing"):
        getattr(optimizer, end)("x", *more, params={"x": 0.5})
    with pytest.raises(TuunDaError, match="must not be None"):
        getattr(optimizer, end)(None, *more)
    optimizer.tell("x", 1.0, FIRST[0])
    with pytest.raises(TuunDaError, match=r"trial 'x' has finished already, with value 1; it has not (failed|stopped)"):
        getattr(optimizer, end)("x", *more, params=FIRST[0])
    optimizer.ask(7)
    getattr(optimizer, end)(7, *more)
    assert optimizer.running == {}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("acquisition", ["logei", "ucb", "pi", "thompson"])
def test_extreme_values_of_stopped_trials_stop_nothing(acquisition):
    for value in (1e30, -1e308, 1e-308):
        optimizer = observed(acquisition=acquisition)
        optimizer.tell_stopped("s", value, {"x": 0.2, "y": 0.2})
        optimizer.tell_failed("f", {"x": 0.3, "y": 0.2})
        SQUARE.validate(optimizer.ask("next"))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("surrogate", ["gp", "forest"])
def test_one_value_of_ruin_among_ordinary_ones_spoils_no_suggestion(surrogate):
    """A training that diverged reports what it likes."""
    for ruin in (-1e10, -1e100, -1e308):
        optimizer = observed(surrogate=surrogate)
        optimizer.add({"x": 0.05, "y": 0.5}, ruin)
        SQUARE.validate(optimizer.ask("next"))
        assert optimizer.recommend() != {"x": 0.05, "y": 0.5}
        assert ruin < -1e10 or optimizer.recommend()["x"] > 0.3


# ---- all of it at once ----


def events(optimizer, n):
    """Trials of every end, two at a time; what was asked."""
    asked = []
    for id in range(n):
        asked.append(optimizer.ask(id))
        ended = id - 1
        if ended < 0:
            continue
        value = float(np.sin(sum(map(ord, str(sorted(asked[ended].items()))))))
        if ended % 4 == 1:
            optimizer.tell_stopped(ended, value)
        elif ended % 4 == 2:
            optimizer.tell_failed(ended)
        else:
            optimizer.tell(ended, value)
    return asked


@pytest.mark.parametrize("acquisition", ["logei", "thompson"])
def test_the_same_seed_and_events_give_the_same_suggestions(acquisition):
    space = SearchSpace.from_nni(policy_json(2, 2) | {"lr": UNIT})
    first, second, other = (
        events(Optimizer(space, seed=seed, n_initial=3, probe=made_probe(), acquisition=acquisition), 9)
        for seed in (0, 0, 1)
    )
    assert first == second
    assert first[5:] != other[5:]
    assert len({space.key(params) for params in first}) == 9


# ---- a policy and a learning rate ----


def joint_value(params):
    """The share of images that get rotated a little, less what the wrong learning rate costs: best at 0.01."""
    rotated = sum(
        params[f"prob{i}_{j}"] * (1 - abs(params[f"magnitude{i}_{j}"] - 0.4))
        for i in (1, 2)
        for j in (1, 2)
        if params[f"operation{i}_{j}"] in ("rotate", "shearX", "translateY")
    )
    return rotated / 4 - 0.15 * (math.log10(params["lr"]) + 2) ** 2


def test_a_policy_and_a_learning_rate_are_learned_together():
    space = SearchSpace.from_nni(policy_json(2, 2) | {"lr": {"_type": "loguniform", "_value": [1e-4, 1]}})
    random = space.sample(1000, np.random.default_rng(0))
    late, best = [], []  # of three searches: one alone may take long to turn to the learning rate
    for seed in range(3):
        optimizer = Optimizer(space, n_initial=10, seed=seed)
        noise = 0.02 * np.random.default_rng(seed).standard_normal(35)
        asked = []
        for id in range(35):
            asked.append(optimizer.ask(id))
            optimizer.tell(id, joint_value(asked[-1]) + noise[id])
        late += asked[20:]
        best.append(optimizer.recommend())

    def off(settings):
        return np.mean([abs(math.log10(params["lr"]) + 2) for params in settings])

    def rotated(settings):
        return np.mean([joint_value(params | {"lr": 0.01}) for params in settings])

    assert off(late) < 0.6 < 0.95 < off(random)
    assert rotated(late) > 2 * rotated(random)
    assert max(off([params]) for params in best) < 0.5
    assert min(joint_value(params) for params in best) > np.quantile([joint_value(params) for params in random], 0.98)

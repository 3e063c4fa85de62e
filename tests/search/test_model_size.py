"""Of thousands of trials the model sees the best, the latest, and the rest at even distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuun_da.search import optimizer as optimizer_module
from tuun_da.search.model_size import seen_by_model
from tuun_da.search.optimizer import Optimizer
from tuun_da.search.space import SearchSpace

_values = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=80).map(np.array)


@given(_values, st.integers(6, 60))
def test_no_place_comes_twice_and_never_more_than_the_most(values, most):
    seen = seen_by_model(values, most)
    assert len(seen) == min(len(values), most)
    assert np.all(np.diff(seen) > 0)


@given(_values, st.integers(6, 60))
def test_the_best_and_the_latest_are_there(values, most):
    seen = set(seen_by_model(values, most))
    share = min(most // 3, len(values))
    assert set(range(len(values) - share, len(values))) <= seen
    worst_of_the_best = np.sort(values)[::-1][share - 1]
    assert set(np.flatnonzero(values > worst_of_the_best)) <= seen


def test_the_others_cover_the_whole_range_of_values():
    values = np.concatenate([np.linspace(0, 1, 900)[::-1], np.full(100, 0.5)])  # the latest 100 all the same
    seen = values[seen_by_model(values, 300)]
    assert seen.min() == 0.0
    assert np.max(np.diff(np.sort(seen))) < 0.02


def few_seen(monkeypatch, most):
    monkeypatch.setattr(optimizer_module, "seen_by_model", lambda values, _=None: seen_by_model(values, most))


def told(n, seed=0):
    space = SearchSpace.from_nni({"x": {"_type": "uniform", "_value": [0, 1]}})
    optimizer = Optimizer(space, seed=seed)
    rng = np.random.default_rng(1)
    for number, x in enumerate(rng.random(n)):
        optimizer.tell(number, -((float(x) - 0.3) ** 2) + 0.001 * rng.standard_normal(), {"x": float(x)})
    return optimizer


def test_with_some_of_the_trials_it_still_finds_where_the_best_is(monkeypatch):
    few_seen(monkeypatch, 30)
    optimizer = told(200)
    assert optimizer.recommend()["x"] == pytest.approx(0.3, abs=0.05)
    suggested = [optimizer.ask(f"new {k}")["x"] for k in range(5)]
    assert np.median(np.abs(np.array(suggested) - 0.3)) < 0.1


def test_what_the_model_does_not_see_is_not_proposed_again_all_the_same(monkeypatch):
    few_seen(monkeypatch, 9)
    space = SearchSpace.from_nni({"x": {"_type": "randint", "_value": [0, 40]}})
    optimizer = Optimizer(space, seed=0)
    for number in range(36):
        optimizer.tell(number, float(-abs(number - 20)), {"x": number})
    assert {optimizer.ask(f"new {k}")["x"] for k in range(4)} == {36, 37, 38, 39}


def test_failed_and_stopped_trials_beyond_the_most_do_not_slow_a_suggestion(monkeypatch):
    seen = []
    suggest = optimizer_module.Suggester.suggest
    monkeypatch.setattr(
        optimizer_module.Suggester,
        "suggest",
        lambda self, trials, *rest, **more: seen.append(trials) or suggest(self, trials, *rest, **more),
    )
    monkeypatch.setattr(optimizer_module, "MOST_STOPPED", 6)
    monkeypatch.setattr(optimizer_module, "MOST_FAILED", 4)
    optimizer = told(20)
    for number in range(30):
        optimizer.tell_failed(f"failed {number}", {"x": number / 100})
        optimizer.tell_stopped(f"stopped {number}", number / 1000, {"x": number / 50})
    optimizer.ask("new")
    [trials] = seen
    assert (len(trials.points), len(trials.stopped), len(trials.failed)) == (20, 6, 4)
    assert trials.failed[-1, 0] == pytest.approx(0.29)
    assert trials.stopped_values.max() == pytest.approx(0.029)

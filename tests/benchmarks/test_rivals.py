"""One contract for every optimizer of the races. Rivals that are not installed are deselected (conftest.py)."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from benchmarks.rivals import RIVALS, make_rival
from tuun_da.search.space import SearchSpace

POLICY = json.loads((Path(__file__).parents[2] / "search_spaces" / "tuun.json").read_text())
MIXED = {
    "rate": {"_type": "loguniform", "_value": [1e-4, 1.0]},
    "layers": {"_type": "randint", "_value": [1, 9]},
    "width": {"_type": "quniform", "_value": [8, 64, 8]},
    "kind": {"_type": "choice", "_value": ["a", "b", 3]},
    "net": {
        "_type": "choice",
        "_value": [
            {"_name": "deep", "depth": {"_type": "randint", "_value": [2, 20]}},
            {
                "_name": "wide",
                "growth": {"_type": "uniform", "_value": [0, 1]},
                "act": {"_type": "choice", "_value": ["relu", "tanh"]},
            },
        ],
    },
}
LINE = {"x": {"_type": "uniform", "_value": [0, 1]}}
SLOW = ("smac_bb", "skopt_et")  # the one takes seconds to tens of them for a suggestion; both share an adapter
NAMES = [name for name in RIVALS if name not in ("ours", *SLOW)] + ["ours:gp", "ours:forest"]
every_rival = pytest.mark.parametrize("rival_name", NAMES)


def initial_settings(nni_space, n, seed=0):
    return SearchSpace.from_nni(nni_space).sample(n, np.random.default_rng(seed))


def run(name, nni_space, n, *, seed=1, n_initial=4, value=lambda params, i: float(i % 3)):
    rival = make_rival(name, nni_space, seed, initial_settings(nni_space, n_initial))
    asked = []
    for i in range(n):
        params = rival.ask()
        asked.append(params)
        rival.tell(params, value(params, i))
    return asked


@every_rival
@pytest.mark.parametrize("nni_space", [POLICY, MIXED], ids=["policy", "mixed"])
def test_every_setting_asked_for_is_valid_and_the_initial_ones_come_first(rival_name, nni_space):
    asked = run(rival_name, nni_space, 8)
    space = SearchSpace.from_nni(nni_space)
    for params in asked:
        space.validate(params)
    first = [space.key(params) for params in initial_settings(nni_space, 4)]
    assert [space.key(params) for params in asked[:4]] == first
    assert len({space.key(params) for params in asked}) > 5


@every_rival
def test_the_same_seed_gives_the_same_sequence_whatever_the_global_generators_are(rival_name):
    runs = []
    for state in (1, 2):
        random.seed(state)
        np.random.seed(state)
        runs.append(run(rival_name, MIXED, 9))
    assert runs[0] == runs[1]
    assert run(rival_name, MIXED, 9, seed=2)[4:] != runs[0][4:]


@every_rival
def test_several_trials_run_at_once_and_finish_in_any_order(rival_name):
    rival = make_rival(rival_name, POLICY, 1, initial_settings(POLICY, 4))
    running, seen = [], set()
    for i in range(12):
        if len(running) == 4:
            params = running.pop((i * 7) % 4)
            rival.tell(params, float(i % 5))
        running.append(rival.ask())
        seen.add(rival.space.key(running[-1]))
    assert rival.pending == 4
    assert len(seen) == 12


@pytest.mark.parametrize("rival_name", [name for name in NAMES if name not in ("random", "nni_evolution")])
def test_it_comes_closer_to_a_peak_than_random_search(rival_name):
    """But for NNI's Evolution, whose first 32 suggestions are random, and which mutates by drawing anew."""

    def value(params, i):
        return -abs(params["x"] - 0.377)

    asked = [run(rival_name, LINE, 30, seed=seed, n_initial=8, value=value)[20:] for seed in (1, 2)]
    assert np.mean([value(params, 0) for late in asked for params in late]) > -0.2  # of random search: -0.265


@every_rival
def test_a_value_of_parameters_that_do_not_run_is_refused(rival_name):
    rival = make_rival(rival_name, LINE, 1, [])
    with pytest.raises(ValueError, match="running"):
        rival.tell({"x": 0.5}, 1.0)


def test_an_unknown_name_and_a_bare_option_without_a_meaning_are_refused():
    with pytest.raises(ValueError, match="must be one of"):
        make_rival("nobody", LINE, 1, [])
    with pytest.raises(ValueError, match="name=value"):
        make_rival("random:fast", LINE, 1, [])

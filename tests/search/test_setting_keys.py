"""In spaces of few policies, the same policy has the same key however it is written, and no other policy has it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nni_spaces import MIXED_JSON, UNIT, policy_json
from policy_spaces import HOW, SPACES, layout_of, points_of, some_settings, space_of, written_twice

from tuun_da.operations import OPERATION_TYPES
from tuun_da.search.optimizer import Optimizer
from tuun_da.search.setting_keys import setting_keys
from tuun_da.search.space import SearchSpace

SMALL = ("1x1", "with others", "subsets", "levels")
seeds = st.integers(0, 2**32 - 1)


def meaning(space, params):
    """What a setting does to the images, read by its names; and the parameters beside the policy."""
    layout = layout_of(space)
    sub_policies = []
    for i in range(1, layout.sub_policies + 1):
        operations = []
        for j in range(1, layout.operations_per_sub_policy + 1):
            kind, prob = params[f"operation{i}_{j}"], params.get(f"prob{i}_{j}", 1.0)
            magnitude = params[f"magnitude{i}_{j}"] if OPERATION_TYPES[kind].has_magnitude else None
            operations.append((kind, prob, magnitude) if prob > 0 else None)
        sub_policies.append(operations)
    return sorted(map(repr, sub_policies)), {name: params[name] for name in layout.others}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SMALL), seeds, st.sampled_from(HOW))
def test_all_ways_to_write_a_policy_have_one_key(name, seed, how):
    space, params, others = written_twice(name, seed, how)
    keys = setting_keys(space)
    assert keys(points_of(space, params)) == keys(points_of(space, others))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SMALL), seeds)
def test_settings_share_a_key_only_if_they_mean_the_same(name, seed):
    space = space_of(name)
    params = some_settings(space, 12, np.random.default_rng(seed))
    keys = setting_keys(space)(points_of(space, params))
    for i in range(12):
        for j in range(i):
            assert (keys[i] == keys[j]) == (meaning(space, params[i]) == meaning(space, params[j]))


@pytest.mark.parametrize("name", ["30", "20", "3x4", "unlike"])
def test_large_spaces_tell_points_apart_as_they_are_written(name):
    space = space_of(name)
    assert setting_keys(space) == space.keys


def test_spaces_without_a_policy_do_so_too():
    space = SearchSpace.from_nni(MIXED_JSON)
    assert setting_keys(space) == space.keys


def test_no_points_have_no_keys():
    for name in SPACES:
        space = space_of(name)
        assert setting_keys(space)(np.empty((0, len(space.columns)))) == []


# ---- what the search makes of it ----


def few_policies(types, **changes):
    """Two sub-policies of one operation, without probabilities."""
    space = policy_json(2, 1, prob=False)
    return SearchSpace.from_nni(
        {name: {"_type": "choice", "_value": types} if name[0] == "o" else spec for name, spec in space.items()}
        | changes
    )


def search(space, n, *, at_once=1, **options):
    """The settings of n trials where `invert` is best, in the order in which they were asked for; and what ran then."""
    optimizer = Optimizer(space, seed=0, n_initial=5, **options)
    noise = np.random.default_rng(0)
    asked, running, beside = [], [], []
    for id in range(n):
        beside.append([asked[other] for other in running])
        asked.append(optimizer.ask(id))
        running.append(id)
        if len(running) == at_once:
            done = running.pop(0)
            score = sum(asked[done][f"operation{i}_1"] == "invert" for i in (1, 2))
            optimizer.tell(done, score + 0.05 * noise.standard_normal())
    return asked, beside


@pytest.mark.parametrize("at_once", [1, 4])
@pytest.mark.parametrize("options", [{}, {"acquisition": "thompson"}, {"surrogate": "random"}], ids=str)
def test_no_policy_is_tried_again_in_other_words(options, at_once):
    """Of the best one here the magnitude means nothing, and two sub-policies can change places."""
    space = few_policies(["invert", "equalize", "rotate", "shearX"])
    asked, _ = search(space, 20, at_once=at_once, **options)
    assert len({repr(meaning(space, params)) for params in asked}) == 20


@pytest.mark.parametrize("options", [{}, {"acquisition": "thompson"}, {"surrogate": "random"}], ids=str)
@pytest.mark.parametrize("magnitude", [UNIT, {"_type": "quniform", "_value": [0, 1, 0.1]}], ids=["endless", "finite"])
def test_where_all_policies_are_known_those_that_run_are_not_proposed(magnitude, options):
    """Invert and equalize make three policies, of more settings than there are trials."""
    space = few_policies(["invert", "equalize"], magnitude1_1=magnitude, magnitude2_1=magnitude)
    asked, beside = search(space, 12, at_once=2, **options)
    assert len({repr(meaning(space, params)) for params in asked[:3]}) == 3
    for params, running in zip(asked, beside, strict=True):
        assert meaning(space, params) not in [meaning(space, other) for other in running]


def test_where_all_policies_run_something_is_proposed_all_the_same():
    space = few_policies(["invert", "equalize"])
    for options in ({}, {"acquisition": "thompson"}, {"surrogate": "random"}):
        asked, _ = search(space, 9, at_once=4, **options)
        for params in asked:
            space.validate(params)


def test_an_initial_setting_that_is_known_in_other_words_is_not_tried_again():
    space = few_policies(["invert", "rotate"])
    first = {"operation1_1": "invert", "magnitude1_1": 0.2, "operation2_1": "rotate", "magnitude2_1": 0.5}
    again = {"operation2_1": "invert", "magnitude2_1": 0.9, "operation1_1": "rotate", "magnitude1_1": 0.5}
    optimizer = Optimizer(space, seed=0, initial=[first, again])
    assert optimizer.ask(0) == first
    assert meaning(space, optimizer.ask(1)) != meaning(space, first)

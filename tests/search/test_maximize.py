"""The maximizer finds the best point, only proposes valid and new ones, and draws only from its generator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nni_spaces import EVERY_TYPE_JSON, MIXED_JSON, UNIT, any_space, policy_json

from tuun_da.search.initial_design import latin_hypercube
from tuun_da.search.maximize import cross, draw_new_point, maximize, mutate
from tuun_da.search.space import SearchSpace

seeds = st.integers(0, 2**32 - 1)
FINITE = SearchSpace.from_nni({"n": MIXED_JSON["n"], "kind": MIXED_JSON["kind"]})


def none_observed(space):
    return np.empty((0, len(space.columns)))


@settings(max_examples=25, deadline=None)
@given(any_space, seeds)
def test_the_result_is_valid_and_new(json, seed):
    space, rng = SearchSpace.from_nni(json), np.random.default_rng(seed)
    parents = space.sample_points(3, rng)
    excluded = set(space.keys(parents))
    if space.size is not None and len(excluded) >= space.size:
        return
    weights = rng.standard_normal(len(space.columns))
    point = maximize(lambda x: x @ weights, space, rng, parents=parents, excluded=excluded)
    assert space.keys(point[None, :])[0] not in excluded
    np.testing.assert_array_equal(space.snap(point[None, :]), [point])
    space.validate(space.decode(point))


@settings(max_examples=60, deadline=None)
@given(any_space, seeds)
def test_children_are_valid_points(json, seed):
    space, rng = SearchSpace.from_nni(json), np.random.default_rng(seed)
    mothers, fathers = space.sample_points(8, rng), space.sample_points(8, rng)
    for children in (cross(mothers, fathers, space, rng), mutate(mothers, 0.2, space, rng)):
        np.testing.assert_array_equal(space.snap(children), children)
        assert np.all((children >= 0) | ~space.active(children))


def test_a_child_has_every_active_column_from_a_parent_that_has_it():
    space, rng = SearchSpace.from_nni(EVERY_TYPE_JSON), np.random.default_rng(0)
    mothers, fathers = space.sample_points(200, rng), space.sample_points(200, rng)
    children = cross(mothers, fathers, space, rng)
    active = space.active(children)
    from_mother = (children == mothers) & space.active(mothers)
    from_father = (children == fathers) & space.active(fathers)
    assert np.all((from_mother | from_father)[active])
    assert 0.3 < np.mean(from_mother[:, 2]) < 0.7


def test_mutation_reaches_what_is_inside_an_option_that_was_not_taken():
    space = SearchSpace.from_nni({"optimizer": MIXED_JSON["optimizer"], "kind": MIXED_JSON["kind"]})
    adam = np.repeat(space.encode({"optimizer": {"_name": "adam"}, "kind": "a"})[None, :], 500, axis=0)
    children = mutate(adam, 0.1, space, np.random.default_rng(0))
    rates = children[children[:, 0] == 0, 1]
    assert len(rates) > 50
    assert np.min(rates) < 0.1
    assert np.max(rates) > 0.9


def test_a_step_on_a_grid_reaches_another_level_however_small_the_scale():
    space = SearchSpace.from_nni(
        {"n": {"_type": "randint", "_value": [0, 50]}, "q": {"_type": "quniform", "_value": [0, 1, 0.05]}}
    )
    points = np.repeat(space.encode({"n": 25, "q": 0.5})[None, :], 200, axis=0)
    children = mutate(points, 1e-6, space, np.random.default_rng(0))
    assert np.all(np.any(children != points, axis=1))
    assert {space.decode(child)["n"] for child in children} == {24, 26}


def test_a_small_finite_space_is_searched_in_full():
    points = np.array(list(FINITE.grid()))
    value = dict(zip(FINITE.keys(points), np.random.default_rng(0).permutation(40), strict=True))

    def score(x):
        return np.array([float(value[key]) for key in FINITE.keys(x)])

    excluded: set[bytes] = set()
    found = []
    for _ in range(40):
        point = maximize(score, FINITE, np.random.default_rng(1), parents=points[:1], excluded=excluded)
        excluded |= set(FINITE.keys(point[None, :]))
        found.append(score(point[None, :])[0])
    assert found == sorted(range(40), reverse=True)


@pytest.mark.parametrize("seed", range(3))
def test_it_comes_close_to_the_maximum_of_a_smooth_mixed_function(seed):
    space = SearchSpace.from_nni(EVERY_TYPE_JSON)
    rng = np.random.default_rng(seed)
    target = space.sample_points(1, rng)[0]
    categorical = np.array([column.is_categorical for column in space.columns])

    def score(x):
        return -np.sum(np.where(categorical, x != target, (x - target) ** 2), axis=1)

    point = maximize(score, space, rng, parents=space.sample_points(5, rng), excluded=set())
    assert score(point[None, :])[0] > -0.01


def test_it_beats_as_many_draws_of_the_prior_in_the_policy_space():
    space = SearchSpace.from_nni(policy_json())
    rng = np.random.default_rng(0)
    target = space.sample_points(1, rng)[0]
    calls = []

    def score(x):
        calls.append(len(x))
        return -np.sum(np.minimum(np.abs(x - target), 1), axis=1)

    point = maximize(score, space, rng, parents=space.sample_points(5, rng), excluded=set())
    assert sum(calls) < 5000
    assert score(point[None, :])[0] > np.max(score(space.sample_points(5000, rng))) + 2


def test_where_all_scores_are_equal_the_choice_is_random():
    space = SearchSpace.from_nni({"x": UNIT})
    found = [
        maximize(
            lambda x: np.full(len(x), -np.inf),
            space,
            np.random.default_rng(seed),
            parents=np.array([[0.5]]),
            excluded=set(),
        )[0]
        for seed in range(20)
    ]
    assert len(set(found)) == 20


def test_the_same_generator_gives_the_same_point():
    space = SearchSpace.from_nni(MIXED_JSON)
    first, second = (
        maximize(lambda x: -x[:, 1], space, np.random.default_rng(5), parents=none_observed(space), excluded=set())
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_a_point_that_the_prior_never_draws_is_found_when_only_it_is_left():
    space = SearchSpace.from_nni({"q": {"_type": "qnormal", "_value": [0, 1, 5]}})
    points = np.array(list(space.grid()))
    assert [space.decode(point)["q"] for point in points] == [-5.0, 0.0, 5.0]
    for i in range(3):
        rest = set(space.keys(np.delete(points, i, axis=0)))
        found = draw_new_point(space, np.random.default_rng(0), rest, space.keys)
        np.testing.assert_array_equal(found, points[i])


@pytest.mark.parametrize("name", ["n", "x"])
def test_keys_decide_which_points_are_the_same_and_where_all_are_excluded_there_is_none(name):
    """In a finite space and in an endless one."""
    space = SearchSpace.from_nni({name: MIXED_JSON[name]})

    def halves(points):
        return [b"high" if point[0] > 0.5 else b"low" for point in points]

    def search(excluded):
        rng = np.random.default_rng(0)
        return (
            maximize(lambda x: x[:, 0], space, rng, parents=np.array([[0.9]]), excluded=excluded, keys=halves),
            draw_new_point(space, rng, excluded, halves),
        )

    for point in search({b"high"}):
        assert point[0] <= 0.5
    assert search({b"high", b"low"}) == (None, None)


@settings(max_examples=40, deadline=None)
@given(any_space, st.integers(1, 20), seeds)
def test_a_latin_hypercube_has_valid_points_and_balanced_columns(json, n, seed):
    space = SearchSpace.from_nni(json)
    points = latin_hypercube(space, n, np.random.default_rng(seed))
    np.testing.assert_array_equal(space.snap(points), points)
    for i, column in enumerate(space.columns):
        if column.parent is None and column.is_categorical:
            counts = np.bincount(points[:, i].astype(int), minlength=column.categories)
            assert np.all(np.abs(counts - n * np.array(column.domain.weights)) < 2)
        elif column.parent is None and column.domain.levels is None:
            np.testing.assert_array_equal(np.sort(np.minimum(points[:, i] * n, n - 1e-6) // 1), np.arange(n))

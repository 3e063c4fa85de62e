"""A policy is read from a point as it is written, and what is the same policy is the same to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_spaces import HOW, SPACES, TYPES, layout_of, points_of, rewritten, some_settings, space_of, written_twice

from tuun_da.operations import OPERATION_TYPES, PUBLISHED_TYPES
from tuun_da.search.policy_arrays import PolicyColumns, have_magnitude

seeds = st.integers(0, 2**32 - 1)
names = st.sampled_from(sorted(SPACES))


def columns_of(space):
    return PolicyColumns(space, layout_of(space))


def operations_of(space, params):
    """The sub-policies of a setting, read by their names, each a list of (type, probability, magnitude), in order."""
    layout = layout_of(space)
    found = []
    for i in range(1, layout.sub_policies + 1):
        sub_policy = []
        for j in range(1, layout.operations_per_sub_policy + 1):
            kind, prob = params[f"operation{i}_{j}"], params.get(f"prob{i}_{j}", 1.0)
            magnitude = params[f"magnitude{i}_{j}"] if OPERATION_TYPES[kind].has_magnitude else 0.0
            sub_policy.append((layout.types.index(kind), prob, magnitude) if prob > 0 else (0, 0.0, 0.0))
        found.append(sub_policy)
    return sorted(found)


@settings(max_examples=40, deadline=None)
@given(names, seeds)
def test_the_arrays_are_what_the_parameters_say(name, seed):
    space = space_of(name)
    params = some_settings(space, 5, np.random.default_rng(seed))
    found = columns_of(space).read(points_of(space, params))
    for row, expected in enumerate(params):
        arrays = (found.types[row], found.probabilities[row], found.magnitudes[row])
        operations = sorted([list(zip(*sub_policy, strict=True)) for sub_policy in zip(*arrays, strict=True)])
        np.testing.assert_allclose(operations, operations_of(space, expected), atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(names, seeds, st.sampled_from(HOW))
def test_other_ways_to_write_a_policy_change_no_bit(name, seed, how):
    space, params, others = written_twice(name, seed, how)
    read = columns_of(space).read
    first, second = vars(read(points_of(space, params))), vars(read(points_of(space, others)))
    assert first.pop("type_names") == second.pop("type_names") == layout_of(space).types
    assert len(first) == 3
    for part in first:
        assert first[part].tobytes() == second[part].tobytes()


@pytest.mark.parametrize("how", HOW)
def test_the_ways_to_write_a_policy_that_these_tests_try_are_others(how):
    for name in SPACES:
        space, rng = space_of(name), np.random.default_rng(0)
        params = some_settings(space, 40, rng)
        differing = sum(rewritten(space, each, how, rng) != each for each in params)
        possible = not (how == "order" and name == "1x1") and not (how == "never" and name == "20")
        assert (differing >= 5) == possible, name


@pytest.mark.parametrize("name", sorted(SPACES))
def test_every_column_is_the_policys_or_beside_it(name):
    space = space_of(name)
    columns = columns_of(space)
    layout = layout_of(space)
    assert columns.types.shape == (layout.sub_policies, layout.operations_per_sub_policy)
    parts = [columns.types, columns.magnitudes] + ([columns.probabilities] if layout.has_prob else [])
    assert (columns.probabilities is None) != layout.has_prob
    assert sorted([*np.ravel(parts), *columns.others]) == list(range(len(space.columns)))
    outermost = {space.columns[i].path[0] for i in columns.others}
    assert outermost == set(layout.others)


@pytest.mark.parametrize("name", sorted(SPACES))
def test_the_numbers_of_types_are_their_places_among_those_of_the_space_in_the_order_of_the_table(name):
    found = columns_of(space_of(name)).type_names
    offered = {kind for key, domain in SPACES[name].items() if key.startswith("operation") for kind in domain["_value"]}
    assert found == tuple(kind for kind in OPERATION_TYPES if kind in offered)
    assert len(found) == {"all types": 33, "few types": 4}.get(name, 16)
    assert have_magnitude(found).tolist() == [OPERATION_TYPES[kind].has_magnitude for kind in found]


def test_the_published_types_have_the_numbers_that_they_always_had():
    assert columns_of(space_of("30")).type_names == PUBLISHED_TYPES == tuple(TYPES)


def test_reading_changes_no_point_and_takes_none():
    space = space_of("unlike")
    points = space.sample_points(4, np.random.default_rng(0))
    before = points.copy()
    columns_of(space).read(points)
    np.testing.assert_array_equal(points, before)
    assert columns_of(space).read(points[:0]).types.shape == (0, 3, 2)

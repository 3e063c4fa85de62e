"""Moves of policies: valid, by whole operations and sub-policies, and the parameters beside them move too."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_spaces import SPACES, layout_of, space_of

from tuun_da.search.policy_arrays import PolicyColumns
from tuun_da.search.policy_moves import PolicyMoves

seeds = st.integers(0, 2**32 - 1)
names = st.sampled_from(sorted(SPACES))


@functools.cache
def columns_of(name):
    return PolicyColumns(space_of(name), layout_of(space_of(name)))


def moves_of(name):
    return PolicyMoves(space_of(name), columns_of(name))


def blocks_of(name):
    """The columns (s, k) of each sub-policy, in the same order for each."""
    columns = columns_of(name)
    kinds = [columns.types, columns.magnitudes] + ([] if columns.probabilities is None else [columns.probabilities])
    return np.concatenate(kinds, axis=1)


@settings(max_examples=40, deadline=None)
@given(names, seeds, st.sampled_from([1e-6, 0.05, 0.3]))
def test_children_are_valid_points(name, seed, scale):
    space, rng = space_of(name), np.random.default_rng(seed)
    mothers, fathers = space.sample_points(30, rng), space.sample_points(30, rng)
    before = mothers.copy(), fathers.copy()
    moves = moves_of(name)
    for children in (moves.mutate(mothers, scale, rng), moves.cross(mothers, fathers, rng)):
        assert children.shape == mothers.shape
        np.testing.assert_array_equal(space.snap(children), children)
        for child in children[:5]:
            space.validate(space.decode(child))
    np.testing.assert_array_equal((mothers, fathers), before)


@pytest.mark.parametrize("name", sorted(SPACES))
def test_every_column_moves(name):
    space, rng = space_of(name), np.random.default_rng(0)
    points = space.sample_points(2000, rng)
    changed = np.mean(moves_of(name).mutate(points, 0.2, rng) != points, axis=0)
    active = np.mean(space.active(points), axis=0)
    assert np.all(changed > 0.004 * active)
    assert np.mean(np.any(moves_of(name).mutate(points, 0.2, rng) != points, axis=1)) > 0.8


@pytest.mark.parametrize("name", sorted(SPACES))
def test_a_mutation_is_of_one_sub_policy_or_of_what_stands_beside_the_policy(name):
    space, rng = space_of(name), np.random.default_rng(1)
    points = space.sample_points(1000, rng)
    changed = moves_of(name).mutate(points, 0.2, rng) != points
    sub_policies = np.stack([np.any(changed[:, block], axis=1) for block in blocks_of(name)], axis=1)
    beside = np.any(changed[:, columns_of(name).others], axis=1)
    assert np.all(sub_policies.sum(axis=1) + beside <= 1)
    others, operations = len(columns_of(name).others), columns_of(name).types.size
    assert np.mean(beside) == pytest.approx(others / (others + operations), abs=0.06)


@pytest.mark.parametrize("name", ["30", "20", "with others"])
def test_some_steps_are_as_small_as_the_scale_and_some_are_of_whole_operations(name):
    space, rng = space_of(name), np.random.default_rng(2)
    points = space.sample_points(1000, rng)
    difference = np.abs(moves_of(name).mutate(points, 1e-4, rng) - points)
    largest = difference[:, np.ravel(blocks_of(name))].max(axis=1)
    assert np.mean((largest > 0) & (largest < 1e-3)) > 0.15
    assert np.mean(largest > 1e-2) > 0.3


@pytest.mark.parametrize("name", sorted(SPACES))
def test_a_child_takes_sub_policies_as_wholes(name):
    """From any place of the father where all places are alike, else from the same place."""
    space, rng, blocks = space_of(name), np.random.default_rng(3), blocks_of(name)
    mothers, fathers = space.sample_points(400, rng), space.sample_points(400, rng)
    children = moves_of(name).cross(mothers, fathers, rng)
    alike = name not in ("unlike", "subsets")
    taken, moved = [], []
    for i, block in enumerate(blocks):
        of_mother = np.all(children[:, block] == mothers[:, block], axis=1)
        of_father = [np.all(children[:, block] == fathers[:, other], axis=1) for other in blocks]
        sources = np.any(of_father, axis=0) if alike else of_father[i]
        assert np.all(of_mother | sources)
        taken.append(np.mean(sources & ~of_mother))
        moved.append(np.mean(sources & ~of_father[i]))
    assert 0.35 < np.mean(taken) < 0.65
    assert (np.mean(moved) > 0.1) == (alike and len(blocks) > 1)


def test_what_stands_beside_the_policy_comes_from_either_parent():
    space, rng = space_of("with others"), np.random.default_rng(4)
    mothers, fathers = space.sample_points(400, rng), space.sample_points(400, rng)
    children = moves_of("with others").cross(mothers, fathers, rng)
    for i in columns_of("with others").others:
        assert np.mean(children[:, i] == mothers[:, i]) > 0.3
        assert np.mean(children[:, i] == fathers[:, i]) > 0.3
    active = space.active(children)[:, columns_of("with others").others]
    parents = (children == mothers) | (children == fathers)
    assert np.all(parents[:, columns_of("with others").others][active])


def test_an_operation_is_copied_only_to_a_place_that_can_hold_it():
    """In a space whose second places have types of their own, no first place ever gets one of those."""
    space, rng = space_of("subsets"), np.random.default_rng(5)
    points = space.sample_points(300, rng)
    for _ in range(5):
        points = moves_of("subsets").mutate(points, 0.2, rng)
        points = moves_of("subsets").cross(points, points[rng.permutation(300)], rng)
    for point in points:
        params = space.decode(point)
        space.validate(params)
        assert 0.25 <= params["magnitude3_1"] <= 0.75
        assert params["operation3_2"] in ("equalize", "rotate")


def test_the_same_generator_gives_the_same_children():
    space = space_of("with others")
    points = space.sample_points(20, np.random.default_rng(0))
    first, second = (
        moves_of("with others").cross(moves_of("with others").mutate(points, 0.1, rng), points, rng)
        for rng in (np.random.default_rng(7), np.random.default_rng(7))
    )
    np.testing.assert_array_equal(first, second)

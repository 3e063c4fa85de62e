"""The features of policies: bounded, the same for the same policy to the last bit, and unlike for unlike ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_probes import made_probe
from policy_spaces import HOW, SPACES, TYPES, layout_of, points_of, rewritten, some_settings, space_of, written_twice

from tuun_da.operations import OPERATION_TYPES
from tuun_da.search.forest import RandomForest
from tuun_da.search.gaussian_process import GaussianProcess
from tuun_da.search.knowledge import Knowledge, make_kernel, policy_inputs
from tuun_da.search.policy_arrays import PolicyColumns
from tuun_da.search.policy_features import GROUPS, policy_features
from tuun_da.search.transfer import EarlierExperiment, trends_of

seeds = st.integers(0, 2**32 - 1)
names = st.sampled_from(sorted(SPACES))
INPUTS = {}
PROBE = made_probe()


def features_of(name, params):
    """All features (n, k) of settings."""
    space = space_of(name)
    columns = PolicyColumns(space, layout_of(space))
    return np.hstack(list(policy_features(columns.read(points_of(space, params))).values()))


@settings(max_examples=60, deadline=None)
@given(names, seeds, st.sampled_from(HOW))
def test_other_ways_to_write_a_policy_change_no_bit(name, seed, how):
    _, params, others = written_twice(name, seed, how)
    assert features_of(name, params).tobytes() == features_of(name, others).tobytes()


@settings(max_examples=40, deadline=None)
@given(names, seeds)
def test_they_lie_in_the_unit_interval(name, seed):
    found = features_of(name, some_settings(space_of(name), 10, np.random.default_rng(seed)))
    assert np.all((found >= 0) & (found <= 1))


@pytest.mark.parametrize("name", ["1x1", "30", "3x4", "20"])
def test_one_type_everywhere_at_full_strength_stays_in_the_unit_interval(name):
    space = space_of(name)
    for kind in TYPES:
        params = dict.fromkeys((column.name for column in space.columns), 1.0)
        params |= {key: kind for key in params if key.startswith("operation")}
        found = features_of(name, [params])
        assert np.all((found >= 0) & (found <= 1 + 1e-12))
        assert np.max(found) == pytest.approx(1.0)


def test_a_policy_has_the_same_features_alone_and_among_others():
    params = some_settings(space_of("3x4"), 20, np.random.default_rng(0))
    together = features_of("3x4", params)
    for row, each in zip(together, params, strict=True):
        np.testing.assert_array_equal(features_of("3x4", [each])[0], row)


def setting(*operations):
    """Of the space "1x1" or of "30", whose other operations never happen."""
    name = "1x1" if len(operations) == 1 else "30"
    params = space_of(name).sample(1, np.random.default_rng(0))[0]
    params |= {key: 0.0 for key in params if key.startswith("prob")}
    for (i, j), (kind, prob, magnitude) in zip(np.ndindex(5, 2), operations, strict=False):
        params |= {
            f"operation{i + 1}_{j + 1}": kind,
            f"prob{i + 1}_{j + 1}": prob,
            f"magnitude{i + 1}_{j + 1}": magnitude,
        }
    return name, [params]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("rotate", 0.5, 0.5), ("rotate", 0.6, 0.5)),
        (("rotate", 0.5, 0.5), ("rotate", 0.5, 0.6)),
        (("rotate", 0.5, 0.5), ("shearX", 0.5, 0.5)),
        (("invert", 0.5, 0.5), ("equalize", 0.5, 0.5)),
        (("rotate", 0.0, 0.5), ("rotate", 0.02, 0.5)),
    ],
)
def test_what_changes_the_images_changes_the_features(one, other):
    assert not np.array_equal(features_of(*setting(one)), features_of(*setting(other)))


def test_doing_half_twice_is_not_doing_it_once():
    """Two sub-policies with a type each are another policy than one sub-policy with both."""
    idle = ("invert", 0.0, 0.0)
    together = setting(("rotate", 1.0, 0.5), ("color", 1.0, 0.5), idle, idle)
    apart = setting(("rotate", 1.0, 0.5), idle, ("color", 1.0, 0.5), idle)
    assert not np.allclose(features_of(*together), features_of(*apart))


def test_groups_have_every_type_once():
    members = [name for types in GROUPS.values() for name in types]
    assert sorted(members) == sorted(OPERATION_TYPES)


# ---- through the surrogates ----


def knowledge_of(space, what, rng):
    if what == "nothing":
        return Knowledge()
    if what == "probe":
        return Knowledge(PROBE)
    params = some_settings(space, 12, rng)
    earlier = EarlierExperiment("earlier", params, list(rng.standard_normal(12)))
    return Knowledge(PROBE, trends_of(space, [earlier], PROBE, rng).trends)


@pytest.mark.parametrize("what", ["nothing", "probe", "trends"])
@pytest.mark.parametrize("name", ["30", "20", "with others", "subsets"])
@pytest.mark.parametrize("surrogate", ["gp", "forest"])
def test_no_way_to_write_a_policy_changes_a_prediction(surrogate, name, what):
    """Neither where it is asked for nor where it was tried."""
    space, rng = space_of(name), np.random.default_rng(3)
    knowledge = knowledge_of(space, what, rng)
    model = GaussianProcess(make_kernel(space, knowledge)) if surrogate == "gp" else RandomForest(space, knowledge)
    tried, asked = some_settings(space, 15, rng), some_settings(space, 8, rng)
    values = rng.standard_normal(15)

    def predict(tried, asked):
        seen, new = points_of(space, tried), points_of(space, asked)
        if surrogate == "gp":
            posterior = model.posterior(seen, values, [model.prior_mean])
        else:
            posterior = model.fit(seen, values, np.random.default_rng(1))
        prediction = posterior.predict(new)
        sample = posterior.sample(new, np.random.default_rng(2))
        return np.concatenate([prediction.mean[0], prediction.std[0], sample]).tobytes()

    other_tried, other_asked = tried, asked
    for how in HOW:
        other_tried = [rewritten(space, params, how, rng) for params in other_tried]
        other_asked = [rewritten(space, params, how, rng) for params in other_asked]
    assert other_tried != tried
    assert other_asked != asked
    assert predict(other_tried, other_asked) == predict(tried, asked)


def test_fitting_hyperparameters_cannot_tell_them_apart_either():
    space, rng = space_of("30"), np.random.default_rng(5)
    process = GaussianProcess(make_kernel(space, Knowledge(PROBE)))
    params = some_settings(space, 15, rng)
    others = [rewritten(space, rewritten(space, each, "order", rng), "never", rng) for each in params]
    first, second = (
        process.fit(points_of(space, each), np.arange(15.0), np.random.default_rng(0)).draws
        for each in (params, others)
    )
    np.testing.assert_array_equal(first, second)


def test_a_space_without_a_policy_has_no_such_features():
    from tuun_da.search.space import SearchSpace

    assert policy_inputs(SearchSpace.from_nni({"lr": SPACES["with others"]["lr"]})) is None
    assert set(policy_inputs(space_of("1x1"), PROBE)(space_of("1x1").sample_points(2, np.random.default_rng(0)))) > {
        "probe"
    }

"""SearchSpace: NNI's formats and distributions, with NNI itself as the oracle."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nni.algorithms.hpo.random_tuner import suggest
from nni.common.hpo_utils import deformat_parameters, format_search_space
from nni_spaces import (
    EVERY_TYPE_JSON,
    MIXED_JSON,
    after_node,
    any_space,
    close,
    finite_space,
    once_nested_space,
    policy_json,
)
from scipy.stats import ks_2samp

from tuun_da.errors import SearchSpaceError
from tuun_da.search.space import SearchSpace

seeds = st.integers(0, 2**32 - 1)


def samples_of_nni(json, n, seed=0):
    """What NNI's own random tuner would propose."""
    space, rng = format_search_space(json), np.random.default_rng(seed)
    return [deformat_parameters(suggest(rng, space), space) for _ in range(n)]


@settings(max_examples=150, deadline=None)
@given(any_space, seeds)
def test_a_sample_survives_encoding_and_the_way_through_nnis_manager(json, seed):
    space = SearchSpace.from_nni(json)
    for params in space.sample(4, np.random.default_rng(seed)):
        point = space.encode(params)
        decoded = space.decode(point)
        assert close(params, decoded)
        assert close(decoded, params)
        np.testing.assert_allclose(space.encode(after_node(params)), point, atol=1e-12)
        assert space.key(after_node(params)) == space.key(params)


@settings(max_examples=100, deadline=None)
@given(finite_space, seeds)
def test_settings_on_a_grid_survive_encoding_exactly(json, seed):
    space = SearchSpace.from_nni(json)
    for params in space.sample(4, np.random.default_rng(seed)):
        assert space.decode(space.encode(params)) == params


@settings(max_examples=100, deadline=None)
@given(any_space, seeds)
def test_points_of_samples_are_fixed_by_snap_and_lie_in_their_ranges(json, seed):
    space = SearchSpace.from_nni(json)
    points = space.sample_points(4, np.random.default_rng(seed))
    np.testing.assert_array_equal(space.snap(points), points)
    np.testing.assert_allclose([space.encode(space.decode(point)) for point in points], points, atol=1e-9)
    for i, column in enumerate(space.columns):
        if column.is_categorical:
            assert set(points[:, i]) <= set(range(-1, column.categories))
        else:
            assert np.all((points[:, i] >= 0) & (points[:, i] <= 1))


@settings(max_examples=100, deadline=None)
@given(any_space, st.data())
def test_any_numbers_snap_to_a_valid_setting(json, data):
    space = SearchSpace.from_nni(json)
    wild = data.draw(st.lists(st.floats(-2, 7), min_size=len(space.columns), max_size=len(space.columns)))
    snapped = space.snap(np.array([wild]))
    space.validate(space.decode(snapped[0]))
    np.testing.assert_allclose(space.snap(snapped), snapped, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(any_space, seeds)
def test_inactive_columns_change_nothing(json, seed):
    space, rng = SearchSpace.from_nni(json), np.random.default_rng(seed)
    points = space.sample_points(8, rng)
    inactive = ~space.active(points)
    other = np.where(inactive, rng.integers(0, 3, points.shape), points)
    np.testing.assert_array_equal(space.snap(other), points)
    assert [space.decode(point) for point in other] == [space.decode(point) for point in points]


@settings(max_examples=100, deadline=None)
@given(once_nested_space, seeds)  # nni 3.0 raises KeyError for a choice in an option that is not taken
def test_what_nni_proposes_is_valid_and_decodes_to_the_same(json, seed):
    space = SearchSpace.from_nni(json)
    for params in samples_of_nni(json, 4, seed):
        assert close(params, space.decode(space.encode(params)))


@pytest.mark.parametrize("name", [name for name in EVERY_TYPE_JSON if name not in ("choice", "layer")])
def test_samples_of_a_number_type_are_distributed_as_nnis(name):
    json = {name: EVERY_TYPE_JSON[name]}
    ours = [params[name] for params in SearchSpace.from_nni(json).sample(3000, np.random.default_rng(1))]
    theirs = [params[name] for params in samples_of_nni(json, 3000)]
    assert {type(value) for value in ours} == {type(value) for value in theirs}
    assert ks_2samp(ours, theirs).statistic < 0.05  # 0.042 is the 1 % point for continuous ones; the seeds are fixed


def test_samples_of_nested_choices_are_distributed_as_nnis():
    sizes = {"size": {"_type": "choice", "_value": [3, 5]}}
    json = {"layer": {"_type": "choice", "_value": [{"_name": "conv", **sizes}, {"_name": "pool"}, {"_name": "no"}]}}

    def shares(samples):
        names = [tuple(params["layer"].items()) for params in samples]
        return {name: names.count(name) / len(names) for name in set(names)}

    ours = shares(SearchSpace.from_nni(json).sample(3000, np.random.default_rng(1)))
    theirs = shares(samples_of_nni(json, 3000))
    assert ours.keys() == theirs.keys()
    assert all(abs(ours[name] - theirs[name]) < 0.04 for name in ours)


def test_an_entry_that_stands_twice_in_a_choice_has_twice_the_chance():
    space = SearchSpace.from_nni({"a": {"_type": "choice", "_value": [1, 1.0, True, "1"]}})
    values = [params["a"] for params in space.sample(2000, np.random.default_rng(0))]
    assert space.columns[0].categories == 3
    assert abs(sum(value == 1 and value is not True for value in values) / 2000 - 0.5) < 0.04
    assert abs(sum(value is True for value in values) / 2000 - 0.25) < 0.04


@pytest.mark.parametrize(
    ("kind", "value", "setting", "code"),
    [
        ("uniform", [2, 6], 3, 0.25),
        ("loguniform", [1e-4, 1], 1e-3, 0.25),
        ("normal", [5, 2], 7, 0.8413447460685429),
        ("lognormal", [0, 1], 1, 0.5),
        ("randint", [0, 4], 1, 0.375),
        ("quniform", [0, 4, 1], 0, 0.0625),
        ("quniform", [0, 4, 1], 1, 0.25),
        ("choice", ["a", "b", "c"], "c", 2),
    ],
)
def test_codes_are_shares_of_the_prior(kind, value, setting, code):
    space = SearchSpace.from_nni({"a": {"_type": kind, "_value": value}})
    np.testing.assert_allclose(space.encode({"a": setting}), [code], rtol=1e-12)


def test_values_far_out_in_a_normal_are_valid_and_coded_as_its_end():
    space = SearchSpace.from_nni(
        {"a": {"_type": "normal", "_value": [0, 1]}, "q": {"_type": "qnormal", "_value": [0, 1, 1]}}
    )
    far = space.decode(space.encode({"a": 40.0, "q": -30}))
    assert far["a"] == pytest.approx(6.0, abs=1e-6)
    assert far["q"] == -6.0


@settings(max_examples=60, deadline=None)
@given(finite_space, seeds)
def test_a_small_finite_space_lists_each_of_its_settings_once(json, seed):
    space = SearchSpace.from_nni(json)
    assert space.size is not None
    if space.size > 500:
        return
    points = np.array(list(space.grid()))
    keys = space.keys(points)
    assert len(keys) == len(set(keys)) == space.size
    np.testing.assert_array_equal(space.snap(points), points)
    assert len({repr(space.decode(point)) for point in points}) == space.size
    assert set(space.keys(space.sample_points(50, np.random.default_rng(seed)))) <= set(keys)


def test_sizes():
    assert SearchSpace.from_nni(policy_json()).size is None
    assert SearchSpace.from_nni({"layer": EVERY_TYPE_JSON["layer"]}).size is None
    assert SearchSpace.from_nni({"n": MIXED_JSON["n"], "kind": MIXED_JSON["kind"]}).size == 40
    nested = {
        "_type": "choice",
        "_value": [{"_name": "a", "k": {"_type": "randint", "_value": [0, 7]}}, {"_name": "b"}],
    }
    assert SearchSpace.from_nni({"nested": nested, "n": MIXED_JSON["n"]}).size == 80
    with pytest.raises(ValueError, match="cannot be listed"):
        next(SearchSpace.from_nni(policy_json()).grid())


def test_decoded_values_are_not_shared_with_the_space():
    json = {"a": {"_type": "choice", "_value": [[1, 2]]}}
    space = SearchSpace.from_nni(json)
    space.decode(np.zeros(1))["a"].append(3)
    json["a"]["_value"][0].append(4)
    assert space.decode(np.zeros(1)) == {"a": [1, 2]}


def test_columns_name_nested_parameters_from_outside_in():
    space = SearchSpace.from_nni({"layer": EVERY_TYPE_JSON["layer"]})
    assert [column.name for column in space.columns] == [
        "layer",
        "layer/size",
        "layer/inner",
        "layer/inner/share",
        "layer/size",
    ]
    assert [column.parent for column in space.columns] == [None, (0, 0), (0, 0), (2, 1), (0, 1)]
    assert [column.categories for column in space.columns] == [3, 2, 2, 0, 0]


@pytest.mark.parametrize(
    ("json", "message"),
    [
        ([], "search space must be a dict"),
        ({}, "at least one parameter"),
        ({1: {"_type": "uniform", "_value": [0, 1]}}, "must be strings"),
        ({"a": 3}, "parameter a must be a dict with _type and _value, got 3"),
        ({"a": {"_type": "uniform"}}, "parameter a must be a dict with _type and _value"),
        (
            {"a": {"_type": "unifrom", "_value": [0, 1]}},
            "_type of parameter a must be one of choice, .*; got 'unifrom'",
        ),
        ({"a": {"_type": ["uniform"], "_value": [0, 1]}}, "_type of parameter a"),
        ({"a": {"_type": "uniform", "_value": "01"}}, "_value of parameter a must be a list"),
        ({"a": {"_type": "uniform", "_value": [0]}}, r"uniform a must have the 2 values \[low, high\]"),
        ({"a": {"_type": "uniform", "_value": [0, 1, 2]}}, "2 values"),
        ({"a": {"_type": "quniform", "_value": [0, 1]}}, r"3 values \[low, high, q\]"),
        ({"a": {"_type": "uniform", "_value": [0, "1"]}}, "high of uniform a must be a finite number, got '1'"),
        ({"a": {"_type": "uniform", "_value": [False, True]}}, "low of uniform a must be a finite number"),
        ({"a": {"_type": "uniform", "_value": [0, math.nan]}}, "finite number, got nan"),
        ({"a": {"_type": "uniform", "_value": [0, 10**400]}}, "finite number"),
        ({"a": {"_type": "uniform", "_value": [-1.7e308, 1.7e308]}}, "a float can hold"),
        ({"a": {"_type": "uniform", "_value": [1, 1]}}, "low < high"),
        ({"a": {"_type": "quniform", "_value": [2, 1, 1]}}, "low < high"),
        ({"a": {"_type": "quniform", "_value": [0, 1, 0]}}, "q > 0"),
        ({"a": {"_type": "quniform", "_value": [0, 1, 1e-20]}}, "at most"),
        ({"a": {"_type": "loguniform", "_value": [0, 1]}}, "low > 0"),
        ({"a": {"_type": "qloguniform", "_value": [-1, 1, 1]}}, "low > 0"),
        ({"a": {"_type": "normal", "_value": [0, 0]}}, "sigma > 0"),
        ({"a": {"_type": "qnormal", "_value": [0, 1, -1]}}, "q > 0"),
        ({"a": {"_type": "lognormal", "_value": [0, 1000]}}, "exponentials a float can hold"),
        ({"a": {"_type": "randint", "_value": [3, 3]}}, "low < high"),
        ({"a": {"_type": "randint", "_value": [0, 2.5]}}, "high of randint a must be an integer, got 2.5"),
        ({"a": {"_type": "randint", "_value": [0, 2**60]}}, "at most"),
        ({"a": {"_type": "choice", "_value": []}}, "at least one option"),
        ({"a": {"_type": "choice", "_value": [math.inf]}}, "JSON values"),
        ({"a": {"_type": "choice", "_value": [object()]}}, "JSON values"),
        ({"a": {"_type": "choice", "_value": [{"_name": "x"}, {"_name": "x"}]}}, "different _names"),
        ({"a": {"_type": "choice", "_value": [{"_name": "x", "b": 3}]}}, "parameter a/b must be a dict with _type"),
        (
            {"a": {"_type": "choice", "_value": [{"_name": "x", "b": {"_type": "uniform", "_value": [1, 0]}}]}},
            "uniform a/b must have low < high",
        ),
    ],
)
def test_a_malformed_space_is_refused_with_what_was_wanted_and_what_came(json, message):
    with pytest.raises(SearchSpaceError, match=message):
        SearchSpace.from_nni(json)


GOOD = {
    "choice": "x",
    "randint": 4,
    "uniform": 0.5,
    "quniform": 2,
    "loguniform": 0.1,
    "qloguniform": 15,
    "normal": 100,
    "qnormal": 1.5,
    "lognormal": 0.1,
    "qlognormal": 0.25,
    "layer": {"_name": "conv", "size": 3, "inner": {"_name": "none"}},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"choice": "y"}, "parameter choice must be one of 1, 'x', None, .*; got 'y'"),
        ({"choice": 0}, "parameter choice"),
        ({"choice": math.nan}, "parameter choice"),
        ({"randint": 5}, "parameter randint must be an integer from -2 to 4; got 5"),
        ({"randint": 1.5}, "integer"),
        ({"randint": True}, "integer"),
        ({"uniform": 4.6}, r"parameter uniform must be a number in \[-3, 4.5\]; got 4.6"),
        ({"uniform": math.nan}, "got nan"),
        ({"uniform": "0.5"}, "got '0.5'"),
        ({"uniform": None}, "got None"),
        ({"uniform": False}, "got False"),
        ({"quniform": 2.5}, r"parameter quniform must be a multiple of 1 clipped to \[0.3, 5.7\]; got 2.5"),
        ({"quniform": 0.0}, "multiple"),
        ({"quniform": 6.0}, "multiple"),
        ({"loguniform": 0}, "parameter loguniform"),
        ({"qloguniform": 12}, "multiple of 5"),
        ({"normal": math.inf}, "finite number"),
        ({"qnormal": 0.3}, "multiple of 0.5"),
        ({"lognormal": 0.0}, "positive"),
        ({"lognormal": -1}, "positive"),
        ({"qlognormal": -0.25}, "multiple"),
        ({"other": 1}, "parameter other is not in the search space"),
        ({"layer": "conv"}, "parameter layer must be a dict with a _name"),
        ({"layer": {"_name": "conv2"}}, "_name of parameter layer must be one of 'conv', 'pool', 'identity'"),
        ({"layer": {"_name": "conv", "size": 3}}, "parameter layer/inner is missing"),
        ({"layer": {"_name": "pool", "size": 5}}, "parameter layer/size must be a multiple"),
        ({"layer": {"_name": "identity", "size": 3}}, "parameter layer/size is not in the search space"),
    ],
)
def test_a_wrong_setting_is_refused_with_the_name_of_the_parameter(change, message):
    space = SearchSpace.from_nni(EVERY_TYPE_JSON)
    space.validate(GOOD)
    with pytest.raises(SearchSpaceError, match=message):
        space.validate({**GOOD, **change})


def test_a_missing_parameter_is_refused():
    params = {name: value for name, value in GOOD.items() if name != "normal"}
    with pytest.raises(SearchSpaceError, match="parameter normal is missing"):
        SearchSpace.from_nni(EVERY_TYPE_JSON).validate(params)
    with pytest.raises(SearchSpaceError, match="parameters must be a dict"):
        SearchSpace.from_nni(EVERY_TYPE_JSON).validate([1, 2])

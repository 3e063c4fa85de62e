"""A trial's final metric says who it was and what it ran; what makes no sense is no echo."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nni.common.serializer import dump, load

from tuun_da.engines.echo import ECHO_KEY, Echo, final_metric, plain, read_metric
from tuun_da.search.history import Trial, TrialState

POINT = {"tuun_id": 4, "x": 0.25, "kind": "a", "nested": {"_name": "sgd", "lr": 0.1}}
GARBAGE = [None, 1, 0.5, "x", True, [], [1], {}, {"a": 1}, math.nan, math.inf, object(), {1, 2}]


def test_what_is_reported_is_read_after_the_way_through_nni():
    metric = final_metric(
        POINT, 0.75, curve=[0.5, math.nan, 0.75], state="stopped", seed=0, started=1.5, ended=2.5, error="no",
        stopped_at_epoch=3, settings={"data": {"data": "digits"}},
    )  # fmt: skip
    assert read_metric(load(dump(metric))) == Echo(
        id=4,
        parameters={"x": 0.25, "kind": "a", "nested": {"_name": "sgd", "lr": 0.1}},
        value=0.75,
        state=TrialState.STOPPED,
        curve=(0.5, None, 0.75),
        seed=0,
        started=1.5,
        ended=2.5,
        error="no",
        details={"stopped_at_epoch": 3, "settings": {"data": {"data": "digits"}}},
    )


def test_nni_finds_a_number_under_default():
    assert final_metric(POINT, 1)["default"] == 1.0
    assert math.isnan(final_metric(POINT, None)["default"])


def test_a_trial_outside_of_an_experiment_has_no_id():
    echo = read_metric(final_metric({"x": 0.5}, 0.5))
    assert (echo.id, echo.parameters) == (None, {"x": 0.5})


def test_an_unknown_state_is_refused_where_it_is_written():
    with pytest.raises(ValueError, match="won"):
        final_metric(POINT, 0.5, state="won")


@pytest.mark.parametrize("metric", [*GARBAGE, *({ECHO_KEY: entry} for entry in GARBAGE)])
def test_what_is_no_echo_reads_as_none(metric):
    assert read_metric(metric) is None


@pytest.mark.parametrize("key", ["id", "state", "curve", "seed", "started", "ended", "error", "details"])
@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda entry: "object" if type(entry) is object else repr(entry))
def test_garbage_in_any_place_harms_no_other(key, garbage):
    metric = final_metric(POINT, 0.5, curve=[0.5])
    metric[ECHO_KEY][key] = garbage
    echo = read_metric(metric)
    if key == "state":
        assert echo is None
        return
    assert (echo.parameters["x"], echo.value, echo.state) == (0.25, 0.5, TrialState.SUCCEEDED)
    made = Trial(
        id=1, parameters=echo.parameters, state=echo.state, value=echo.value, curve=echo.curve, seed=echo.seed,
        started=echo.started, ended=echo.ended, error=echo.error, details=echo.details,
    )  # fmt: skip
    assert Trial.from_record(json.loads(json.dumps(made.to_record(), allow_nan=False))) == made


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "0.5", True, [0.5]])
def test_a_value_that_is_no_finite_number_is_none(value):
    metric = final_metric(POINT, 0.5)
    metric["default"] = value
    assert read_metric(metric).value is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.integers() | st.text(), inner),
    max_leaves=8,
)


@given(anything)
def test_anything_becomes_plain_json_and_plain_json_stays_as_it_is(value):
    made = plain(value)
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert plain(made) == made


def test_what_has_no_end_becomes_plain_json():
    endless = {}
    endless["again"] = endless
    json.dumps(plain(endless), allow_nan=False)

"""find_policy: sub-policies line up, or the error says where they do not."""

from __future__ import annotations

import pytest
from nni_spaces import MIXED_JSON, UNIT, policy_json

from tuun_da.errors import SearchSpaceError
from tuun_da.operations import PUBLISHED_TYPES
from tuun_da.search.policy_space import PolicyLayout, find_policy
from tuun_da.search.space import SearchSpace


def found(json):
    return find_policy(SearchSpace.from_nni(json))


def test_the_published_space_is_five_sub_policies_of_two_operations():
    assert found(policy_json()) == PolicyLayout(5, 2, True, PUBLISHED_TYPES, ())


def test_a_space_without_prob_and_with_others():
    json = {"lr": UNIT, **policy_json(3, 1, prob=False), **MIXED_JSON}
    assert found(json) == PolicyLayout(3, 1, False, PUBLISHED_TYPES, ("lr", "kind", "x", "n", "optimizer"))


def test_a_space_without_policy_parameters_has_none():
    assert found({**MIXED_JSON, "operation": UNIT, "prob_1_1": UNIT, "magnitude0_1": UNIT}) is None


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("Operation3_1", "operation3_1"),
        ("magntude3_1", "magnitude3_1"),
        ("prob_3_1", "prob3_1"),
        ("PROB3_1", "prob3_1"),
        ("prob3-1", "prob3_1"),
        ("probability3_1", "prob3_1"),
        ("op3_1", "operation3_1"),
        ("magnitude03_1", "magnitude3_1"),
        ("prob3_1 ", "prob3_1"),
        ("magnitude7", "magnitude7_1"),
        ("operation0_1", "operation1_1"),
    ],
)
def test_a_name_that_is_nearly_a_policy_parameter_is_refused(wrong, right):
    message = f"parameter {wrong} is no policy parameter, .*; did you mean {right}\\?"
    renamed = {wrong if name == right else name: spec for name, spec in policy_json().items()}
    for json in ({**policy_json(), wrong: UNIT}, *([renamed] if right in policy_json() else [])):
        with pytest.raises(SearchSpaceError, match=message):
            found(json)


def test_names_of_other_things_are_not_taken_for_policy_parameters():
    names = ("lr", "dropout_prob1", "proj1_1", "block1_2", "momentum", "prob", "operation", "layer1_1", "optim_1")
    layout = found({**policy_json(), **dict.fromkeys(names, UNIT)})
    assert layout is not None
    assert layout.others == names


@pytest.mark.parametrize(
    "spec",
    [
        {"_type": "choice", "_value": [0, 0.5, 1]},
        {"_type": "quniform", "_value": [0, 1, 0.1]},
        {"_type": "uniform", "_value": [0.2, 0.7]},
        {"_type": "loguniform", "_value": [0.01, 1]},
        {"_type": "randint", "_value": [0, 2]},
    ],
)
def test_magnitudes_may_have_any_type_within_zero_and_one(spec):
    layout = found({**policy_json(), "magnitude2_1": spec})
    assert layout is not None
    assert layout.sub_policies == 5


def without(*names):
    return {name: spec for name, spec in policy_json().items() if name not in names}


@pytest.mark.parametrize(
    ("json", "message"),
    [
        (without("operation3_1", "prob3_1", "magnitude3_1"), "operation3_1 is missing"),
        (
            without(*[f"{k}2_{j}" for k in ("operation", "prob", "magnitude") for j in (1, 2)]),
            "operation2_1 is missing",
        ),
        (without("magnitude4_2"), "policy parameter magnitude4_2 is missing"),
        (without("operation4_2"), "policy parameter operation4_2 is missing"),
        (without("prob5_1"), "prob5_1 is missing .* for all operations or for none"),
        (without("operation5_2", "prob5_2", "magnitude5_2"), "sub-policy 1 has 2, sub-policy 5 has 1"),
        ({**policy_json(), "operation1_1": {"_type": "choice", "_value": ["rotate", "rotatte"]}}, "got 'rotatte'"),
        ({**policy_json(), "operation1_1": {"_type": "choice", "_value": ["rotate", 3]}}, "got 3"),
        ({**policy_json(), "operation1_1": UNIT}, "operation1_1 must be a choice of operation types, got a range"),
        (
            {**policy_json(), "operation1_1": {"_type": "choice", "_value": [{"_name": "rotate"}]}},
            "operation1_1 must be",
        ),
        ({**policy_json(), "prob1_2": {"_type": "uniform", "_value": [0, 2]}}, r"prob1_2 must lie in \[0, 1\]"),
        ({**policy_json(), "prob1_2": {"_type": "randint", "_value": [0, 3]}}, r"prob1_2 must lie in \[0, 1\]"),
        ({**policy_json(), "prob1_2": {"_type": "normal", "_value": [0.5, 0.01]}}, r"prob1_2 must lie in \[0, 1\]"),
        ({**policy_json(), "magnitude1_2": {"_type": "choice", "_value": ["low", "high"]}}, "magnitude1_2 must be num"),
        ({**policy_json(), "magnitude1_2": {"_type": "choice", "_value": [0.5, -0.5]}}, r"magnitude1_2 must lie in"),
        (
            {"use": {"_type": "choice", "_value": [{"_name": "yes", **policy_json(1, 1)}, {"_name": "no"}]}},
            "outermost level .*, got use/operation1_1 inside choice use",
        ),
    ],
)
def test_sub_policies_that_do_not_line_up_are_refused(json, message):
    with pytest.raises(SearchSpaceError, match=message):
        found(json)

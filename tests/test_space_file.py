"""Search spaces made of operation types, and the ones that are shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuun_da.errors import ConfigError
from tuun_da.operations import CATEGORIES, DEEPAUGMENT_TYPES, OPERATION_TYPES, PUBLISHED_TYPES
from tuun_da.search.policy_space import PolicyLayout, find_policy
from tuun_da.search.space import SearchSpace
from tuun_da.space_file import checked_types, policy_space, read_space, space_text, types_of_categories

SHIPPED = Path(__file__).parents[1] / "search_spaces"


def test_the_shipped_spaces_are_made_by_this() -> None:
    assert (SHIPPED / "tuun.json").read_text() == space_text(policy_space())
    assert (SHIPPED / "tuun.json").read_text() == space_text(policy_space(PUBLISHED_TYPES))
    deepaugment = policy_space(DEEPAUGMENT_TYPES, probabilities=False)
    assert (SHIPPED / "deepaugment.json").read_text() == space_text(deepaugment)
    assert len(deepaugment) == 20


@settings(deadline=None, max_examples=30)
@given(st.sets(st.sampled_from(list(OPERATION_TYPES)), min_size=1), st.integers(1, 6), st.integers(1, 3), st.booleans())
def test_the_search_finds_the_policy_that_was_asked_for(
    types: set[str], sub_policies: int, operations: int, probabilities: bool
) -> None:
    space = policy_space(sorted(types), sub_policies=sub_policies, operations=operations, probabilities=probabilities)
    again = json.loads(space_text(space))
    assert again == space
    assert list(again) == list(space)
    in_order = tuple(name for name in OPERATION_TYPES if name in types)
    layout = find_policy(SearchSpace.from_nni(again))
    assert layout == PolicyLayout(sub_policies, operations, probabilities, in_order, ())
    assert again["operation1_1"]["_value"] == sorted(types)  # as asked, not as the table has them


def test_categories_are_their_types() -> None:
    found = [types_of_categories([category]) for category in CATEGORIES]
    assert sorted(name for types in found for name in types) == sorted(OPERATION_TYPES)
    assert "cutout" in types_of_categories(["occlusion"])
    assert types_of_categories(["color", "geometric"]) == types_of_categories(["geometric", "color"])
    assert set(types_of_categories(["color", "geometric"])) > set(PUBLISHED_TYPES)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: types_of_categories(["geometry"]), "category must be one of geometric, color, .*; got 'geometry'"),
        (lambda: types_of_categories([]), "at least one category is needed, of geometric, color,"),
        (lambda: types_of_categories(["blur", "blur"]), "category 'blur' is named twice"),
        (lambda: checked_types(["rotat"]), "operation type must be one of shearX, .*; got 'rotat'"),
        (lambda: policy_space(["rotate", "fog"]), "operation type must be one of shearX, .*; got 'fog'"),
        (lambda: policy_space([]), "at least one operation type is needed, of shearX"),
        (lambda: policy_space(["rotate", "rotate"]), "operation type 'rotate' is named twice"),
        (lambda: policy_space(sub_policies=0), "sub_policies must be a whole number from 1 to 1000, got 0"),
        (lambda: policy_space(operations=101), "operations must be a whole number from 1 to 100, got 101"),
        (lambda: policy_space(operations=True), "operations must be a whole number from 1 to 100, got True"),
    ],
)
def test_what_is_unknown_is_named_with_the_choices(call: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()


@pytest.mark.parametrize(("text", "message"), [("{", "is not JSON"), ("[1]", "must hold a JSON object, got list")])
def test_a_file_that_is_no_space_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "space.json").write_text(text)
    with pytest.raises(ConfigError, match=rf"search space .*space.json {message}"):
        read_space(tmp_path / "space.json")
    with pytest.raises(ConfigError, match=r"search space .*none.json cannot be read: No such file"):
        read_space(tmp_path / "none.json")

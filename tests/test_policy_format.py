"""Flat parameters and policy files: everything comes back as it went in, and nothing but PolicyError comes out."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuun_da import data_files
from tuun_da.data_files import MAX_FILE_BYTES, write_atomically
from tuun_da.errors import PolicyError
from tuun_da.operations import OPERATION_TYPES, Operation, SubPolicy
from tuun_da.policy_format import (
    MAX_OPERATIONS,
    MAX_SUB_POLICIES,
    TRIAL_ID_KEY,
    PolicyRecord,
    describe,
    is_policy_parameter,
    parameters_from_sub_policies,
    split_parameters,
    sub_policies_from_parameters,
)

without_deadline = settings(deadline=None)  # a busy machine is no failure
unit = st.floats(0.0, 1.0)
operations = st.builds(Operation, st.sampled_from(list(OPERATION_TYPES)), unit, unit)
sub_policies = st.lists(
    st.builds(SubPolicy, st.lists(operations, min_size=1, max_size=4).map(tuple)), min_size=1, max_size=12
).map(tuple)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
records = st.builds(
    PolicyRecord,
    sub_policies,
    st.sampled_from(["batch", "image"]),
    unit,
    st.dictionaries(st.text(), json_values, max_size=3),
)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
triples = st.tuples(st.sampled_from([*OPERATION_TYPES, "x"]), unit | numbers, unit | numbers | json_values)
ONE = SubPolicy((Operation("rotate", 0.4, 0.7), Operation("invert", 0.1, 0.2)))
CONTENT: dict[str, Any] = {
    "version": 1,
    "sub_policies": [[["rotate", 0.4, 0.7], ["invert", 0.1, 0.2]]],
    "per": "batch",
    "unchanged_share": 0.0,
    "searched": {"dataset": "digits"},
}


# ---- flat parameters ----


@without_deadline
@given(sub_policies)
def test_parameters_round_trip(policy: tuple[SubPolicy, ...]) -> None:
    parameters = parameters_from_sub_policies(policy)
    assert len(parameters) == 3 * sum(len(sub_policy.operations) for sub_policy in policy)
    assert sub_policies_from_parameters(parameters) == policy
    shuffled = dict(sorted(parameters.items(), reverse=True))
    assert sub_policies_from_parameters(shuffled) == policy


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("operation1_1", True),
        ("prob5_2", True),
        ("magnitude12_3", True),
        ("operation0_1", False),
        ("operation01_1", False),
        ("operation1", False),
        ("Operation1_1", False),
        ("operation1_1 ", False),
        ("operation1_1\n", False),
        ("probability1_1", False),
        ("operation\u0661_1", False),
        ("learning_rate", False),
    ],
)
def test_parameter_names(name: str, is_one: bool) -> None:
    assert is_policy_parameter(name) is is_one


def test_split_takes_every_parameter_once() -> None:
    parameters = {**parameters_from_sub_policies((ONE,)), "learning_rate": 0.1, "prob": 1}
    policy, others = split_parameters(parameters)
    assert others == {"learning_rate": 0.1, "prob": 1}
    assert sub_policies_from_parameters(policy) == (ONE,)


@pytest.mark.parametrize("missing", sorted(parameters_from_sub_policies((ONE, ONE))))
def test_every_parameter_is_needed(missing: str) -> None:
    parameters = parameters_from_sub_policies((ONE, ONE))
    del parameters[missing]
    with pytest.raises(PolicyError, match=f"policy parameter {missing} is missing"):
        sub_policies_from_parameters(parameters)


@pytest.mark.parametrize("extra", ["learning_rate", "operation0_1", "prob", "magnitude1"])
def test_no_other_parameter_is_taken(extra: str) -> None:
    wanted = f"policy parameters must be named .*; got '{extra}'. split_parameters of tuun_da.policy_format separates"
    with pytest.raises(PolicyError, match=wanted):
        sub_policies_from_parameters({**parameters_from_sub_policies((ONE,)), extra: 1, TRIAL_ID_KEY: 3})


def test_the_id_that_the_tuner_adds_is_passed_over() -> None:
    given_parameters = {**parameters_from_sub_policies((ONE,)), "tuun_id": 17}
    assert sub_policies_from_parameters(given_parameters) == (ONE,)
    with pytest.raises(PolicyError, match="got 'tuun_da'"):
        sub_policies_from_parameters({**given_parameters, "tuun_da": 1})


def test_gaps_are_named() -> None:
    parameters = {"operation1_1": "invert", "magnitude1_1": 0.0, "operation3_1": "invert", "magnitude3_1": 0.0}
    with pytest.raises(PolicyError, match="operation2_1 is missing: sub-policies are numbered from 1"):
        sub_policies_from_parameters(parameters)
    parameters = {"operation1_2": "invert", "magnitude1_2": 0.0}
    with pytest.raises(PolicyError, match="operation1_1 is missing: operations are numbered from 1"):
        sub_policies_from_parameters(parameters)
    with pytest.raises(PolicyError, match="got none of them"):
        sub_policies_from_parameters({})


@without_deadline
@given(
    st.dictionaries(st.from_regex(r"(operation|prob|magnitude)[1-3]_[1-2]", fullmatch=True) | st.text(), json_values)
)
def test_any_parameters_raise_policy_errors_only(parameters: dict[str, Any]) -> None:
    try:
        made = sub_policies_from_parameters(parameters)
    except PolicyError:
        return
    again = parameters_from_sub_policies(made)
    assert {**dict.fromkeys((name for name in again if name.startswith("prob")), 1.0), **parameters} == again


# ---- policy files ----


@without_deadline
@given(records)
def test_json_round_trip(record: PolicyRecord) -> None:
    assert PolicyRecord.from_json(record.to_json()) == record


def test_file_is_the_documented_format(tmp_path: Path) -> None:
    PolicyRecord((ONE,), searched={"dataset": "digits"}).save(tmp_path / "policy.json")
    assert json.loads((tmp_path / "policy.json").read_text()) == CONTENT
    record = PolicyRecord.load(tmp_path / "policy.json")
    assert record == PolicyRecord((ONE,), "batch", 0.0, {"dataset": "digits"})


def test_defaults_of_a_short_file() -> None:
    short = json.dumps({"version": 1, "sub_policies": CONTENT["sub_policies"]})
    assert PolicyRecord.from_json(short) == PolicyRecord((ONE,), "batch", 0.0, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, r"has version 2; this release reads up to 1: upgrade tuun_da"),
        ({"version": 0}, "version must be 1, got 0"),
        ({"version": "1"}, "version must be 1, got '1'"),
        ({"version": True}, "version must be 1, got True"),
        ({"version": None}, "version must be 1, got None"),
        ({"comment": "x"}, "has the unknown key 'comment'"),
        ({"sub_policies": {}}, "sub_policies must be a list, got dict"),
        ({"sub_policies": []}, "must have at least one sub-policy"),
        ({"sub_policies": ["rotate"]}, "sub-policy 1 must be a list of operations, got 'rotate'"),
        ({"sub_policies": [[]]}, "sub-policy 1: a sub-policy must have at least one operation"),
        (
            {"sub_policies": [[["rotate", 0.4]]]},
            r"operation 1 of sub-policy 1 must be \[type, probability, magnitude\]",
        ),
        ({"sub_policies": [[["rotate", 0.4, 1.5]]]}, "operation 1 of sub-policy 1: magnitude of rotate must lie in"),
        ({"sub_policies": [[["blur", 0.4, 0.5]]]}, "operation 1 of sub-policy 1: operation type must be one of"),
        ({"per": "epoch"}, "per must be 'batch' or 'image', got 'epoch'"),
        ({"per": None}, "per must be 'batch' or 'image', got None"),
        ({"per": []}, "per must be 'batch' or 'image'"),
        ({"unchanged_share": 1.1}, r"unchanged_share must lie in \[0, 1\], got 1.1"),
        ({"unchanged_share": "0"}, r"unchanged_share must lie in \[0, 1\], got '0'"),
        ({"unchanged_share": False}, r"unchanged_share must lie in \[0, 1\], got False"),
        ({"searched": []}, "searched must be a mapping"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_files_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError, match=f"the file.*{message}"):
        PolicyRecord.from_json(json.dumps({**CONTENT, **change}), source="the file")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[]", "must hold a JSON object, got list"),
        ("null", "must hold a JSON object, got NoneType"),
        ("\ufeff{}", "is not JSON"),
        ('{"version": NaN}', "is not JSON: NaN is not a JSON number"),
        ('{"version": 1, "sub_policies": [], "unchanged_share": Infinity}', "Infinity is not a JSON number"),
        ("[" * 100_000, "nested too deeply"),
        ('{"version": ' + "9" * 5000 + "}", "is not JSON"),
        ('{"version": 1}', "key sub_policies is missing"),
    ],
    ids=lambda value: str(value)[:25],
)
def test_what_is_no_policy_is_refused(text: str, message: str) -> None:
    with pytest.raises(PolicyError, match=f"^policy.*{message}"):
        PolicyRecord.from_json(text)


def test_sizes_have_a_limit() -> None:
    row, largest = (
        ["invert", 0.5, 0.5],
        PolicyRecord((SubPolicy(ONE.operations[:1] * MAX_OPERATIONS),) * MAX_SUB_POLICIES),
    )
    assert (MAX_SUB_POLICIES, MAX_OPERATIONS) == (1_000, 100)
    assert len(largest.sub_policies) == MAX_SUB_POLICIES
    for lists, message in (
        ([[row]] * 10_000, "a policy must have at most 1000 sub-policies, got 10000"),
        ([[row], [row] * 101], "sub-policy 2: it must have at most 100 operations, got 101"),
    ):
        with pytest.raises(PolicyError, match=f"^the file: {message}"):
            PolicyRecord.from_json(json.dumps({**CONTENT, "sub_policies": lists}), source="the file")
    with pytest.raises(PolicyError, match="at most 1000 sub-policies, got 1001"):
        PolicyRecord((ONE,) * 1001)


def load_or_refuse(text: str) -> None:
    try:
        record = PolicyRecord.from_json(text)
    except PolicyError:
        return
    assert PolicyRecord.from_json(record.to_json()) == record


@without_deadline
@given(st.text())
def test_any_text_raises_policy_errors_only(text: str) -> None:
    load_or_refuse(text)


@without_deadline
@given(json_values)
def test_any_json_raises_policy_errors_only(value: Any) -> None:
    load_or_refuse(json.dumps(value))


@without_deadline
@given(st.dictionaries(st.sampled_from([*CONTENT, "x"]), json_values), st.sampled_from(sorted(CONTENT)))
def test_any_damage_to_a_policy_raises_policy_errors_only(damage: dict[str, Any], dropped: str) -> None:
    load_or_refuse(json.dumps({**CONTENT, **damage}))
    load_or_refuse(json.dumps({name: value for name, value in CONTENT.items() if name != dropped}))


@without_deadline
@given(st.lists(st.lists(triples, max_size=3), max_size=3))
def test_any_triples_raise_policy_errors_only(lists: list[Any]) -> None:
    load_or_refuse(json.dumps({**CONTENT, "sub_policies": lists}))


@without_deadline
@given(st.binary() | st.text().map(str.encode) | st.binary().map(lambda tail: json.dumps(CONTENT).encode() + tail))
def test_any_bytes_in_a_file_raise_policy_errors_only(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(raw)
    try:
        record = PolicyRecord.load(path)
    except PolicyError:
        return
    assert json.loads(raw) == CONTENT == json.loads(record.to_json())


@pytest.mark.parametrize("number", [10**400, -(10**400)], ids=["huge", "hugely negative"])
def test_whole_numbers_beyond_floats_are_refused(number: int) -> None:
    """JSON has them; they are finite to Python's json, and too large for float()."""
    for content in (
        {"sub_policies": [[["rotate", number, 0.5]]]},
        {"sub_policies": [[["rotate", 0.5, number]]]},
        {"unchanged_share": number},
    ):
        with pytest.raises(PolicyError, match="is too large"):
            PolicyRecord.from_json(json.dumps({**CONTENT, **content}))
    with pytest.raises(PolicyError, match="must lie in"):
        Operation("rotate", number, 0.5)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"policy file .*none.json cannot be read: No such file"):
        PolicyRecord.load(tmp_path / "none.json")
    with pytest.raises(PolicyError, match="cannot be read: Is a directory"):
        PolicyRecord.load(tmp_path)
    (tmp_path / "latin").write_bytes(b'{"version": "\xe9"}')
    with pytest.raises(PolicyError, match="is not JSON: it is not UTF-8 text"):
        PolicyRecord.load(tmp_path / "latin")
    with open(tmp_path / "large", "wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(PolicyError, match=f"is larger than {MAX_FILE_BYTES} bytes"):
        PolicyRecord.load(tmp_path / "large")


def test_searched_must_be_json(tmp_path: Path) -> None:
    for searched in ({"score": float("nan")}, {"path": tmp_path}, {("a", "b"): 1}):
        with pytest.raises(PolicyError, match="searched must hold JSON values"):
            PolicyRecord((ONE,), searched=searched).to_json()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sub_policies": ()}, "at least one sub-policy"),
        ({"sub_policies": ("rotate",)}, "must hold SubPolicies, got 'rotate'"),
        ({"per": "Batch"}, "per must be"),
        ({"unchanged_share": -0.1}, "unchanged_share must lie in"),
    ],
    ids=str,
)
def test_records_check_themselves(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        PolicyRecord(**{"sub_policies": (ONE,), **settings})


def test_the_share_may_be_a_number_of_numpy() -> None:
    share = PolicyRecord((ONE,), unchanged_share=np.float32(0.25)).unchanged_share  # type: ignore[arg-type]
    assert (share, type(share)) == (0.25, float)


# ---- writing ----


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "policy.json"
    PolicyRecord((ONE,)).save(path)
    old = path.read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(data_files.os, "fsync", fail)
    with pytest.raises(PolicyError, match=rf"policy file {path} cannot be written: No space left"):
        PolicyRecord((ONE, ONE)).save(path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path, why in (
        (tmp_path / "none" / "policy.json", "No such file or directory"),
        (tmp_path / "folder", "Is a directory"),
        (tmp_path / "a\0b", "null"),
    ):
        with pytest.raises(PolicyError) as caught:
            PolicyRecord((ONE,)).save(path)
        assert str(caught.value).startswith(f"policy file {path} cannot be written: ")
        assert why in str(caught.value)
    for path, kind in (
        (tmp_path / "none" / "result.json", FileNotFoundError),
        (tmp_path / "folder", IsADirectoryError),
    ):
        with pytest.raises(kind) as raised:
            write_atomically(path, "")
        assert (raised.value.filename, raised.value.filename2) == (str(path), None)
    assert list(tmp_path.rglob("*")) == [tmp_path / "folder"]


def test_what_is_nested_too_deeply_is_not_saved(tmp_path: Path) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    path = tmp_path / "policy.json"
    with pytest.raises(PolicyError, match=rf"policy file {path} cannot be written: searched is nested too deeply"):
        PolicyRecord((ONE,), searched={"deep": deep}).save(path)
    while deep:  # freed from outside in, since the interpreter would recurse
        deep = deep.pop()
    assert list(tmp_path.iterdir()) == []


def test_saved_files_have_the_usual_permissions(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    before = os.umask(0o027)
    try:
        PolicyRecord((ONE,)).save(path)
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


# ---- for people ----


def test_describe_gives_the_setting_in_its_unit() -> None:
    lines = describe((ONE, SubPolicy((Operation("posterize", 1.0, 0.5),)))).splitlines()
    assert len(lines) == 4
    assert lines[1].split() == ["1", "rotate", "0.40", "0.70", "+-21", "degrees"]
    assert lines[2].split() == ["invert", "0.10", "-", "-"]
    assert lines[3].split() == ["2", "posterize", "1.00", "0.50", "6", "bits"]

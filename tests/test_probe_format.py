"""Probe files: everything comes back as it went in, and nothing but ProbeError comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_probes import made_probe

from tuun_da import data_files
from tuun_da.data_files import MAX_FILE_BYTES
from tuun_da.errors import ProbeError, TuunDaError
from tuun_da.operations import OPERATION_TYPES, PUBLISHED_TYPES
from tuun_da.probe_format import MEASURES, ProbeRecord

without_deadline = settings(deadline=None)  # a busy machine is no failure
PROBE = made_probe(data="digits", seconds=1.5)
CONTENT: dict[str, Any] = json.loads(PROBE.to_json())
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def changed_effects(name: str, rows: Any) -> dict[str, Any]:
    return {"effects": {**CONTENT["effects"], name: rows}}


def test_it_comes_back_from_a_file_as_it_was(tmp_path: Path) -> None:
    PROBE.save(tmp_path / "probe.json")
    assert ProbeRecord.load(tmp_path / "probe.json") == PROBE
    made_probe((0.5,)).save(tmp_path / "probe.json")
    assert ProbeRecord.load(tmp_path / "probe.json") == made_probe((0.5,))


def test_the_file_is_the_documented_format() -> None:
    assert CONTENT["version"] == 1
    assert CONTENT["magnitudes"] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert CONTENT["measures"] == ["accuracy", "cross_entropy", "entropy", "pixel_distance"] == list(MEASURES)
    assert CONTENT["baseline"] == [0.5, 0.3, 0.2, 0.0]
    assert list(CONTENT["effects"]) == list(PUBLISHED_TYPES)
    rows = {name: len(effects) for name, effects in CONTENT["effects"].items()}
    assert {name for name, number in rows.items() if number == 1} == {"autocontrast", "equalize", "invert"}
    assert set(rows.values()) == {1, 5}
    assert CONTENT["about"] == {"data": "digits", "seconds": 1.5}


def test_a_measure_is_baseline_and_effect_together() -> None:
    left = PROBE.measured("accuracy")
    assert left["invert"] == (0.5 + PROBE.effects["invert"][0][0],)
    assert PROBE.measured("entropy")["rotate"][3] == 0.2 + PROBE.effects["rotate"][3][2]


ROWS = CONTENT["effects"]["rotate"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "has version 2; this release reads up to 1: upgrade tuun_da"),
        ({"version": "1"}, "version must be 1, got '1'"),
        ({"version": True}, "version must be 1, got True"),
        ({"comment": "x"}, "has the unknown key 'comment'"),
        ({"measures": ["accuracy"]}, "measures must be accuracy, cross_entropy, entropy, pixel_distance"),
        ({"magnitudes": []}, "magnitudes must be 1 to 100 rising numbers"),
        ({"magnitudes": [0.0, 0.5, 0.5, 0.75, 1.0]}, "magnitudes must be 1 to 100 rising numbers"),
        ({"magnitudes": [0.0, 0.25, 0.5, 0.75, 1.5]}, "magnitudes must be 1 to 100 rising numbers"),
        ({"magnitudes": [i / 1000 for i in range(101)]}, "magnitudes must be 1 to 100 rising numbers"),
        ({"magnitudes": 0.5}, "magnitudes must be a list of numbers, got 0.5"),
        ({"magnitudes": [0.0, 1.0]}, "effects of shearX must have 2 rows, one for each magnitude; got 5"),
        ({"baseline": [0.9, 0.3, 0.2]}, r"baseline must be 4 numbers \(accuracy, .*\), got 3"),
        ({"baseline": [0.9, 0.3, 0.2, "0"]}, "baseline must be numbers from .*, got '0'"),
        ({"baseline": [0.9, 0.3, True, 0.0]}, "baseline must be numbers from .*, got True"),
        ({"effects": []}, "effects must be a mapping of operation types, got list"),
        ({"effects": {}}, "effects must have at least one operation type, got none"),
        (changed_effects("blur", ROWS), "effects must be of the types shearX, .*; got 'blur'"),
        (changed_effects("rotate", ROWS[:4]), "effects of rotate must have 5 rows, one for each magnitude; got 4"),
        (changed_effects("invert", ROWS), "effects of invert must have 1 rows, .* type without magnitude; got 5"),
        (changed_effects("rotate", None), "effects of rotate must have 5 rows, .* got None"),
        (changed_effects("rotate", [*ROWS[:4], ROWS[0][:3]]), "effects of rotate must be 4 numbers .* got 3"),
        (changed_effects("rotate", [*ROWS[:4], "four"]), "effects of rotate must be a list of numbers, got 'four'"),
        (changed_effects("rotate", [*ROWS[:4], [10**400, 0, 0, 0]]), "the number 1000.* is too large"),
        (changed_effects("rotate", [*ROWS[:4], [1e300, 0, 0, 0]]), r"from -1e\+06 to 1e\+06, got 1e\+300"),
        ({"baseline": [-1, 0.3, 0.2, 0.0]}, r"accuracy of baseline must lie in \[0, 1\], got -1"),
        ({"baseline": [1.5, 0.3, 0.2, 0.0]}, r"accuracy of baseline must lie in \[0, 1\], got 1.5"),
        (changed_effects("invert", [[-0.75, 0, 0, 0]]), r"accuracy of baseline and effects of invert, .*got -0.25"),
        (
            changed_effects("rotate", [*ROWS[:4], [1, 0, 0, 0]]),
            r"accuracy of baseline and effects of rotate, .*got 1.5",
        ),
        ({"about": []}, r"about must be a mapping, got \[\]"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_files_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ProbeError, match=f"^the file.*{message}"):
        ProbeRecord.from_json(json.dumps({**CONTENT, **change}), source="the file")


def test_an_accuracy_may_miss_its_bounds_by_rounding() -> None:
    effects = {**PROBE.effects, "invert": ((0.1 - 0.7 - 1e-17, 0.0, 0.0, 0.0),), "equalize": ((0.4 + 1e-12, 0, 0, 0),)}
    probe = ProbeRecord(PROBE.magnitudes, (0.6, 0.3, 0.2, 0.0), {**effects, "rotate": ((0.0, 0.0, 0.0, 0.0),) * 5})
    assert probe.measured("accuracy")["invert"][0] == pytest.approx(0)
    assert probe.measured("accuracy")["equalize"][0] > 1


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_refused_in_files_and_in_records(number: float) -> None:
    with pytest.raises(ProbeError, match="is not a JSON number"):
        ProbeRecord.from_json(json.dumps({**CONTENT, "baseline": [number, 0, 0, 0]}))
    with pytest.raises(ProbeError, match="effects of invert must be numbers from"):
        ProbeRecord(PROBE.magnitudes, PROBE.baseline, {**PROBE.effects, "invert": ((0.0, number, 0.0, 0.0),)})


@pytest.mark.parametrize("key", ["magnitudes", "measures", "baseline", "effects", "about"])
def test_every_key_is_needed(key: str) -> None:
    with pytest.raises(ProbeError, match=f"probe: key {key} is missing"):
        ProbeRecord.from_json(json.dumps({name: value for name, value in CONTENT.items() if name != key}))


def test_any_types_can_be_measured_and_stand_in_the_order_of_the_table() -> None:
    every = made_probe(types=tuple(OPERATION_TYPES))
    for names in (["cutout"], ["invert", "rotate"], list(OPERATION_TYPES)[::-1]):
        record = ProbeRecord(every.magnitudes, every.baseline, {name: every.effects[name] for name in names})
        assert list(record.effects) == [name for name in OPERATION_TYPES if name in names]
        assert ProbeRecord.from_json(record.to_json()) == record


def test_a_file_of_the_release_before_is_read() -> None:
    """It had the 16 published types, always; some lie beside the benchmarks."""
    files = sorted((Path(__file__).parents[1] / "benchmarks" / "results").glob("probe_*.json"))
    assert files
    for path in files:
        record = ProbeRecord.load(path)
        assert tuple(record.effects) == PUBLISHED_TYPES
        assert json.loads(record.to_json()) == json.loads(path.read_text())


@without_deadline
@given(
    st.sampled_from([*CONTENT, "x"]) | st.sampled_from([("effects", name) for name in PUBLISHED_TYPES]),
    json_values,
)
def test_any_damage_raises_probe_errors_only(place: str | tuple[str, str], value: Any) -> None:
    change = {place: value} if isinstance(place, str) else changed_effects(place[1], value)
    try:
        record = ProbeRecord.from_json(json.dumps({**CONTENT, **change}))
    except ProbeError:
        return
    assert ProbeRecord.from_json(record.to_json()) == record


@without_deadline
@given(st.text() | json_values.map(json.dumps))
def test_any_text_raises_probe_errors_only(text: str) -> None:
    with pytest.raises(ProbeError):
        ProbeRecord.from_json(text)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match=r"probe file .*none.json cannot be read: No such file"):
        ProbeRecord.load(tmp_path / "none.json")
    (tmp_path / "latin").write_bytes(b'{"version": "\xe9"}')
    with pytest.raises(ProbeError, match="latin is not JSON: it is not UTF-8 text"):
        ProbeRecord.load(tmp_path / "latin")
    with open(tmp_path / "large", "wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ProbeError, match=f"large is larger than {MAX_FILE_BYTES} bytes"):
        ProbeRecord.load(tmp_path / "large")
    with pytest.raises(ProbeError, match="is nested too deeply: 64 levels"):
        ProbeRecord.from_json("[" * 100_000)
    assert issubclass(ProbeError, TuunDaError)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "probe.json"
    PROBE.save(path)

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(data_files.os, "fsync", fail)
    with pytest.raises(ProbeError, match=rf"probe file {path} cannot be written: No space left"):
        made_probe(seed=1).save(path)
    assert ProbeRecord.load(path) == PROBE
    assert list(tmp_path.iterdir()) == [path]


def test_about_must_be_json(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="cannot be written: about must hold JSON values"):
        made_probe(path=tmp_path).save(tmp_path / "probe.json")
    assert list(tmp_path.iterdir()) == []


def test_a_record_cannot_be_changed_through_what_it_was_made_of() -> None:
    effects = dict(PROBE.effects)
    record = ProbeRecord(PROBE.magnitudes, PROBE.baseline, effects)
    effects["invert"] = ()
    assert record.effects["invert"] == PROBE.effects["invert"]
    with pytest.raises(TypeError):
        record.effects["invert"] = ()  # type: ignore[index]

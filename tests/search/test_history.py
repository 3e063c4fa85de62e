"""The journal: what was acknowledged is there, whatever happens to the writer, the disk or the file."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuun_da.errors import JournalError
from tuun_da.search.history import Journal, Trial, TrialState, has_begun, is_finite_number, read_journal

SPACE = {"x": {"_type": "uniform", "_value": [0, 1]}}
SETTINGS = {"seed": 3, "optimize_mode": "maximize"}
HEADER = json.dumps(
    {"kind": "header", "format": "tuun_da journal", "version": 1, "space": SPACE, "settings": SETTINGS, "versions": {}}
)


def open_journal(path, *, space=SPACE, **options):
    return Journal.open(path, space=space, settings=SETTINGS, versions={"tuun_da": "0"}, **options)


def trial(number, **changes):
    made = Trial(id=number, parameters={"x": number / 8}, state=TrialState.SUCCEEDED, value=number / 4)
    return replace(made, **changes)


FULL = Trial(
    id=7,
    parameters={"x": 0.1, "name": "é\n\u2028"},
    state=TrialState.STOPPED,
    value=0.1 + 0.2,
    curve=(0.5, None, 1e-300),
    seed=0,
    started=1790000000.25,
    ended=1790000001.5,
    error="a\nb",
    imported=True,
    details={"stopped_at_epoch": 2, "nested": {"list": [1, "x", None]}},
)


@pytest.mark.parametrize("on_disk", [True, False])
def test_what_is_recorded_is_read_again(tmp_path, on_disk):
    path = tmp_path / "journal.jsonl" if on_disk else None
    journal = open_journal(path)
    journal.record_asked(1, {"x": 0.125})
    journal.record_asked(7, {"x": 0.2})
    journal.record_finished(FULL)
    contents = [journal.content, *([read_journal(path)] if on_disk else [])]
    journal.close()
    if on_disk:
        with open_journal(path) as again:
            contents.append(again.content)
    for content in contents:
        assert content.trials == (FULL,)
        assert content.running == {1: {"x": 0.125}}
        assert (content.n_asked, content.next_id) == (2, 8)
        assert (content.space, content.settings) == (SPACE, SETTINGS)
        assert [event.id for event in content.events] == [1, 7, 7]


def test_a_later_record_of_a_trial_replaces_the_earlier_one(tmp_path):
    with open_journal(tmp_path / "j") as journal:
        journal.record_finished(trial(1, state=TrialState.FAILED, value=None))
        journal.record_finished(trial(1))
    assert read_journal(tmp_path / "j").trials == (trial(1),)


def test_cut_at_every_byte_of_the_last_record_keeps_all_earlier_ones_and_goes_on(tmp_path):
    path = tmp_path / "j"
    with open_journal(path) as journal:
        journal.record_asked(1, {"x": 0.5})
        journal.record_finished(trial(1))
        complete = path.stat().st_size
        journal.record_finished(FULL)
    raw = path.read_bytes()
    for length in range(complete, len(raw)):
        path.write_bytes(raw[:length])
        assert read_journal(path).trials == (trial(1),)
        with open_journal(path) as journal:
            assert path.stat().st_size == complete
            journal.record_finished(trial(2))
        assert read_journal(path).trials == (trial(1), trial(2))


def test_cut_at_every_byte_of_the_header_begins_anew(tmp_path):
    path = tmp_path / "j"
    open_journal(path).close()
    raw = path.read_bytes()
    for length in range(len(raw)):
        path.write_bytes(raw[:length])
        with pytest.raises(JournalError, match="empty"):
            read_journal(path)
        with open_journal(path) as journal:
            journal.record_finished(trial(1))
        assert read_journal(path).trials == (trial(1),)


@pytest.mark.parametrize(
    "content", [b"precious", b"precious\n", b'{"a": 1}\nprecious', b"\x89PNG\r\n\x1a\n\0\0", b'{"kind": "hello'],
)  # fmt: skip
def test_a_file_that_is_no_journal_is_refused_and_stays_as_it_is(tmp_path, content):
    path = tmp_path / "j"
    path.write_bytes(content)
    with pytest.raises(JournalError, match=r"not a JSON record|not a journal"):
        open_journal(path)
    assert path.read_bytes() == content


def short_write(descriptor, data, _write=os.write):
    return _write(descriptor, data[: len(data) // 2])


def no_space(descriptor, data, _write=os.write):
    _write(descriptor, data[:10])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def failing(*_):
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("write", [short_write, no_space])
def test_a_full_disk_leaves_no_part_of_a_line(tmp_path, monkeypatch, write):
    path = tmp_path / "j"
    with open_journal(path) as journal:
        journal.record_finished(trial(1))
        before = path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", write)
            with pytest.raises(JournalError, match=r"cannot be written: No space left"):
                journal.record_finished(trial(2))
        assert path.read_bytes() == before
        assert journal.content.trials == (trial(1),)
        journal.record_finished(trial(3))
    assert read_journal(path).trials == (trial(1), trial(3))


def test_what_could_not_be_synced_was_not_acknowledged(tmp_path, monkeypatch):
    path = tmp_path / "j"
    with open_journal(path) as journal:
        monkeypatch.setattr(os, "fsync", failing)
        with pytest.raises(JournalError, match="Input/output error"):
            journal.record_finished(trial(1))
    assert read_journal(path).trials == ()


def test_a_part_of_a_line_that_could_not_be_dropped_is_dropped_by_the_next_call(tmp_path, monkeypatch):
    path = tmp_path / "j"
    with open_journal(path) as journal:
        truncate, calls = os.ftruncate, []

        def fails_once_written(descriptor, length):
            calls.append(length)
            if len(calls) > 1:
                failing()
            truncate(descriptor, length)

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", short_write)
            patch.setattr(os, "ftruncate", fails_once_written)
            with pytest.raises(JournalError, match="No space left"):
                journal.record_finished(trial(1))
        assert not path.read_bytes().endswith(b"\n")
        journal.record_finished(trial(2))
    assert read_journal(path).trials == (trial(2),)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "is not a JSON record"),
        ("", "is not a JSON record"),
        ("[]", "must be a JSON object, got list"),
        ('{"kind": "guessed", "id": 1}', "kind must be asked, finished or space, got 'guessed'"),
        ('{"kind": "asked", "id": "1", "parameters": {}}', "whole number as id"),
        ('{"kind": "asked", "id": 1}', "object as parameters"),
        ('{"kind": "finished", "id": 1, "parameters": {}, "state": "won"}', "succeeded, stopped, failed; got 'won'"),
        ('{"kind": "finished", "id": 1, "parameters": {}, "state": "succeeded"}', "must have a value"),
        ('{"kind": "finished", "id": 1, "parameters": {}, "state": "succeeded", "value": NaN}', "not a JSON record"),
        (
            '{"kind": "finished", "id": 1, "parameters": {}, "state": "succeeded", "value": 1e999}',
            "1e999... is too large",
        ),
        ('{"kind": "finished", "id": true, "parameters": {}, "state": "failed"}', "must be a whole number"),
        ('{"kind": "finished", "id": 1, "parameters": [], "state": "failed"}', "must be a mapping"),
        ('{"kind": "finished", "id": 1, "parameters": {}, "state": "failed", "curve": 3}', "curve must be a list"),
        ('{"kind": "space", "space": 3}', "space must be an object"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, problem):
    path = tmp_path / "j"
    good = json.dumps(trial(1).to_record())
    path.write_text("\n".join([HEADER, good, line, good, ""]))
    with pytest.raises(JournalError, match="line 3") as caught:
        read_journal(path)
    assert str(path) in str(caught.value)
    assert problem in str(caught.value)
    with pytest.raises(JournalError, match="line 3"):
        open_journal(path)


def test_a_bit_that_turned_is_noticed_at_every_place_and_its_line_named(tmp_path):
    path = tmp_path / "j"
    with open_journal(path) as journal:
        journal.record_asked(1, {"x": 0.125})
        journal.record_finished(trial(1))
    raw, whole = path.read_bytes(), read_journal(path)
    in_crc_name = {raw.rindex(b'"crc"', 0, end) + n for end in line_ends(raw) for n in (1, 2, 3)}
    for place in range(raw.index(b"\n"), len(raw)):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        number = raw[:place].count(b"\n") + 1
        if place in in_crc_name:  # the line is then one without a crc
            assert read_journal(path) == whole
        else:
            with pytest.raises(JournalError, match=f"line {number} "):
                read_journal(path)


def line_ends(raw):
    return [place for place, byte in enumerate(raw) if byte == 10]


def test_lines_without_a_crc_are_read_and_an_edit_says_what_to_do(tmp_path):
    path = tmp_path / "j"
    path.write_text(HEADER + "\n" + json.dumps(trial(1).to_record()) + "\n")
    assert read_journal(path).trials == (trial(1),)
    with open_journal(path) as journal:
        journal.record_finished(trial(2))
    assert read_journal(path).trials == (trial(1), trial(2))
    path.write_text(path.read_text().replace('"value": 0.5', '"value": 0.7'))
    with pytest.raises(JournalError, match=r"line 3 is not what was written.* take the crc out"):
        read_journal(path)


def test_a_journal_has_begun_when_its_first_line_is_whole(tmp_path):
    path = tmp_path / "j"
    assert not has_begun(path)
    open_journal(path).close()
    raw = path.read_bytes()
    assert has_begun(path)
    path.write_bytes(raw[:-1])
    assert not has_begun(path)
    with pytest.raises(JournalError, match="Is a directory"):
        has_begun(tmp_path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"version": 2}, "has version 2; this release reads version 1"),
        ({"format": "another"}, "is not a journal of tuun_da"),
        ({"kind": "asked"}, "is not a journal of tuun_da"),
        ({"space": []}, "line 1: space must be an object"),
        ({"settings": None}, "line 1: settings must be an object"),
        ({"settings": {"optimize_mode": "max"}}, "line 1: optimize_mode must be one of maximize, minimize; got 'max'"),
        ({"settings": {"optimize_mode": ["minimize"]}}, "optimize_mode must be one of maximize, minimize; got ['mini"),
        ({"settings": {"optimize_mode": None}}, "optimize_mode must be one of maximize, minimize; got None"),
    ],
)
def test_another_header_is_refused(tmp_path, change, problem):
    path = tmp_path / "j"
    path.write_text(json.dumps(json.loads(HEADER) | change) + "\n")
    for read in (read_journal, open_journal):
        with pytest.raises(JournalError) as caught:
            read(path)
        assert problem in str(caught.value)


def test_a_journal_of_another_space_is_refused(tmp_path):
    open_journal(tmp_path / "j").close()
    with pytest.raises(JournalError, match="another search space"):
        open_journal(tmp_path / "j", space={"y": SPACE["x"]})


def test_a_space_that_was_changed_is_the_one_to_go_on_with(tmp_path):
    path, other = tmp_path / "j", {"y": SPACE["x"]}
    with open_journal(path) as journal:
        journal.record_finished(trial(1))
        journal.record_space(other)
        assert journal.content.space == other
    assert read_journal(path).space == other
    with pytest.raises(JournalError, match="another search space"):
        open_journal(path)
    with open_journal(path, space=other) as journal:
        assert journal.content.trials == (trial(1),)


@pytest.mark.parametrize("path", ["missing", "", "missing/folder/j", "\0"])
def test_a_file_that_cannot_be_read(tmp_path, path):
    with pytest.raises(JournalError, match="cannot be read"):
        read_journal(tmp_path / path)


def test_a_file_that_cannot_be_opened(tmp_path):
    for path in (tmp_path, tmp_path / "missing" / "j"):
        with pytest.raises(JournalError, match="cannot be opened"):
            open_journal(path)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "0.5", 10**400])
def test_a_value_that_is_no_finite_number_is_refused(value):
    with pytest.raises(JournalError, match="must be a finite number"):
        Trial(id=1, parameters={}, state=TrialState.FAILED, value=value)


@pytest.mark.parametrize("bad", [math.nan, {1, 2}, object()])
def test_what_json_cannot_hold_is_refused_before_it_reaches_the_file(tmp_path, bad):
    with pytest.raises(JournalError, match="JSON values"):
        trial(1, details={"what": bad})
    with open_journal(tmp_path / "j") as journal:
        with pytest.raises(JournalError, match="JSON values"):
            journal.record_asked(1, {"x": bad})
        assert journal.content.running == {}
    assert read_journal(tmp_path / "j").running == {}


def test_numbers_of_a_curve_that_are_none_become_gaps():
    assert trial(1, curve=(0.5, math.nan, math.inf, "x", True, 1)).curve == (0.5, None, None, None, None, 1)


@given(st.one_of(st.floats(), st.integers(), st.text(), st.none(), st.booleans()))
def test_finite_numbers_are_those_that_json_and_comparison_can_take(value):
    is_number = type(value) in (int, float)
    assert is_finite_number(value) == (is_number and value == value and abs(value) != math.inf)


def test_a_closed_journal_takes_nothing_more(tmp_path):
    journal = open_journal(tmp_path / "j")
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="is closed"):
        journal.record_finished(trial(1))


WRITER = """
import sys
from pathlib import Path
from tuun_da.search.history import Journal, Trial, TrialState
journal = Journal.open(Path(sys.argv[1]), space={"x": {"_type": "uniform", "_value": [0, 1]}}, settings={}, versions={})
print("open", flush=True)
if len(sys.argv) > 2:
    sys.stdin.read()
number = journal.content.next_id
while True:
    trial = Trial(id=number, parameters={"x": 0.5, "long": "y" * 5000}, state=TrialState.SUCCEEDED, value=float(number))
    journal.record_finished(trial)
    print(number, flush=True)
    number += 1
"""


def start_writer(path: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_one_process_at_a_time_writes(tmp_path):
    path = tmp_path / "j"
    with start_writer(path, "wait") as writer:
        assert writer.stdout.readline() == "open\n"
        try:
            with pytest.raises(JournalError, match="written by another process"):
                Journal.open(path, space=SPACE, settings={}, versions={}, patience_seconds=0.2)
            assert read_journal(path).trials == ()  # reading is free
        finally:
            writer.kill()
    open_journal(path).close()  # the lock ends with its process


def test_kill_9_of_the_writer_loses_nothing_that_it_acknowledged(tmp_path):
    path = tmp_path / "j"
    acknowledged = 0
    for lines in (1, 2, 5, 9):
        with start_writer(path) as writer:
            assert writer.stdout.readline() == "open\n"
            for _ in range(lines):
                acknowledged = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            rest = [int(line) for line in writer.stdout.read().splitlines()]
            acknowledged = rest[-1] if rest else acknowledged
        trials = read_journal(path).trials
        assert [trial.id for trial in trials] == list(range(1, len(trials) + 1))
        assert acknowledged <= len(trials) <= acknowledged + 1  # one may be on disk and not yet told
        assert all(trial.value == trial.id for trial in trials)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
records = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["asked", "finished", "space", "header"]) | json_values,
        "id": st.integers(-3, 9) | json_values,
        "parameters": st.dictionaries(st.text(max_size=3), json_values, max_size=2) | json_values,
        "state": st.sampled_from(["succeeded", "stopped", "failed"]) | json_values,
        "value": st.floats() | json_values,
        "curve": json_values,
        "details": json_values,
        "space": json_values,
        "time": json_values,
    },
)
garbage = st.one_of(
    st.binary(max_size=80),
    st.lists(records | json_values, max_size=4).map(
        lambda lines: "\n".join([HEADER, *map(json.dumps, lines), ""]).encode()
    ),
)


@settings(max_examples=300, deadline=None)
@given(garbage)
def test_arbitrary_bytes_raise_a_journal_error_or_can_be_used(tmp_path_factory, raw):
    path = tmp_path_factory.getbasetemp() / "arbitrary"
    path.write_bytes(raw)
    try:
        content = read_journal(path)
    except JournalError:
        return
    assert set(content.running).isdisjoint(trial.id for trial in content.trials)
    assert all(trial.value is None or math.isfinite(trial.value) for trial in content.trials)
    assert content.next_id > max((event.id for event in content.events), default=0)


def test_a_very_deep_record_is_a_journal_error(tmp_path):
    (tmp_path / "j").write_text(HEADER + "\n" + "[" * 100_000 + "\n")
    with pytest.raises(JournalError, match="line 2"):
        read_journal(tmp_path / "j")

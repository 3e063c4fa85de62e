"""A file of records: what was appended is there after a crash, and a file that is another's is left alone."""

from __future__ import annotations

import json

import pytest

from tuun_da.engines.kept_lines import KeptLines
from tuun_da.errors import JournalError


def opened(path, *, drop_stump=True, format="kept"):
    return KeptLines(path, format=format, what="record", header={"run": "a"}, drop_stump=drop_stump)


def test_records_are_read_back_in_order(tmp_path):
    with opened(tmp_path / "f") as file:
        file.append({"n": 1})
        file.append({"n": 0.1 + 0.2})
    with opened(tmp_path / "f") as file:
        assert file.records == [{"n": 1}, {"n": 0.1 + 0.2}]
        assert file.header == {"format": "kept", "version": 1, "run": "a"}
        file.append({"n": 3})
        file.begin_anew({"run": "b"})
        file.append({"n": 4})
    assert [json.loads(line) for line in (tmp_path / "f").read_text().splitlines()] == [
        {"format": "kept", "version": 1, "run": "b"}, {"n": 4},
    ]  # fmt: skip


@pytest.mark.parametrize("cut", [1, 5, 8, 9, 10, 30, 52, 60])
def test_a_crash_at_any_byte_costs_no_more_than_the_last_line(tmp_path, cut):
    path = tmp_path / "f"
    with opened(path) as file:
        file.append({"n": 1})
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with opened(path) as file:
        assert file.records == []
        file.append({"n": 2})
    assert json.loads(path.read_text().splitlines()[-1]) == {"n": 2}


@pytest.mark.parametrize("drop_stump", [True, False])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "another kind of file"),
        ('{"format": "other", "version": 1}\n', "another kind of file"),
        ('{"format": "kept", "version": 2}\n', "has version 2"),
        ('{"format": "kept", "version": 1}\n[1]\n', "line 2 is no JSON object"),
        ('{"format": "kept", "version": 1}\n\n', "line 2 is no JSON object"),
    ],
)
def test_what_cannot_be_used_is_named_and_left_as_it_is(tmp_path, text, message, drop_stump):
    (tmp_path / "f").write_text(text)
    with pytest.raises(JournalError, match=f"record .*f .*{message}"):
        opened(tmp_path / "f", drop_stump=drop_stump)
    assert (tmp_path / "f").read_text() == text


def test_one_process_at_a_time_and_only_where_there_is_a_folder(tmp_path):
    with opened(tmp_path / "f"), pytest.raises(JournalError, match="in use by another process"):
        opened(tmp_path / "f")
    with pytest.raises(JournalError, match="cannot be written: No such file or directory"):
        opened(tmp_path / "missing" / "f")

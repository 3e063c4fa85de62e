"""A journal written as a whole reads as the one that was written line by line."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from tuun_da.errors import JournalError
from tuun_da.search.history import Journal, Trial, TrialState, read_journal
from tuun_da.search.journal_copy import write_journal

SPACE = {"x": {"_type": "uniform", "_value": [0, 1]}}


@pytest.fixture
def content(tmp_path):
    with Journal.open(
        tmp_path / "lines.jsonl", space=SPACE, settings={"seed": 1}, versions={"tuun_da": "0"}
    ) as journal:
        journal.record_asked(1, {"x": 0.25})
        journal.record_asked(2, {"x": 0.5})
        journal.record_finished(
            Trial(id=1, parameters={"x": 0.25}, state=TrialState.STOPPED, value=0.1, curve=(None, 0.1), error="é")
        )
    return read_journal(tmp_path / "lines.jsonl")


def test_what_is_written_is_what_is_read(content, tmp_path):
    write_journal(tmp_path / "copy.jsonl", content)
    assert read_journal(tmp_path / "copy.jsonl") == content


def test_a_journal_that_goes_on_is_a_copy_and_what_came_since(content, tmp_path):
    path = tmp_path / "copy.jsonl"
    write_journal(path, content)
    with Journal.open(path, space=SPACE, settings={}, versions={}) as journal:
        journal.record_finished(Trial(id=2, parameters={"x": 0.5}, state=TrialState.SUCCEEDED, value=1.0))
    assert [trial.id for trial in read_journal(path).trials] == [1, 2]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(content, tmp_path, monkeypatch):
    path = tmp_path / "copy.jsonl"
    write_journal(path, content)
    old, files = path.read_bytes(), sorted(os.listdir(tmp_path))
    with pytest.raises(JournalError, match="JSON values"):
        write_journal(path, replace(content, settings={"seed": float("nan")}))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(JournalError, match=r"copy.jsonl cannot be written: No space left"):
        write_journal(path, replace(content, settings={"seed": 2}))
    assert (path.read_bytes(), sorted(os.listdir(tmp_path))) == (old, files)
    with pytest.raises(JournalError, match="cannot be written"):
        write_journal(tmp_path / "no" / "folder.jsonl", content)

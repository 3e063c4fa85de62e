"""The bar on a terminal, and the lines elsewhere."""

from __future__ import annotations

import io

import pytest

from tuun_da.engines import progress_bar
from tuun_da.engines.progress_bar import ProgressBar, time_for_people


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "91")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """The time, which passes by hand."""
    now = [100.0]
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: now[0])
    return now


def test_on_a_terminal_one_line_is_rewritten_and_ends_with_its_stage(clock):
    stream = Terminal()
    bar = ProgressBar(stream)
    for done in range(5):
        bar.show("Training", done, 4, "epochs")
        clock[0] += 2
    shown = stream.getvalue().split("\r")
    assert shown[2].rstrip() == "Training [######..................] 1 of 4 epochs, about 6 s left"
    assert shown[5].rstrip(" ") == shown[5] == f"{'Training [' + 24 * '#' + '] 4 of 4 epochs':<90}\n"
    assert stream.getvalue().count("\n") == 1
    bar.close()
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("columns", "shown"), [(100, "Searching ["), (60, "Searching 1 of 4"), (30, "Searching 1 of 4")]
)
def test_no_line_is_wider_than_the_terminal(columns, shown, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = Terminal()
    bar = ProgressBar(stream)
    for done in (0, 1):
        bar.show("Searching", done, 4, "trials, best score 0.9876, 3 failed")
    lines = stream.getvalue().split("\r")[1:]
    assert min(columns - 1, 90) <= min(map(len, lines)) <= max(map(len, lines)) <= columns - 1
    assert lines[1].startswith(shown)


def test_a_shorter_line_leaves_nothing_of_a_longer_one(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    stream = Terminal()
    bar = ProgressBar(stream)
    for words in ("w" * 100, "w"):
        bar.show("Searching", 1, 4, words)
    long, short = stream.getvalue().split("\r")[1:]
    assert len(long) == len(short) > 90


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (89, "89 s"), (100, "2 min"), (5340, "89 min"), (7380, "2 h 03 min")]
)
def test_times_are_in_units_for_people(seconds, words):
    assert time_for_people(seconds) == words


def test_in_a_notebook_too_one_line_is_rewritten():
    stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    bar = ProgressBar(stream)
    for done in range(11):
        bar.show("Training", done, 10, "epochs")
    assert stream.getvalue().count("\r") == 11
    assert stream.getvalue().count("\n") == 1


def test_work_that_goes_on_is_estimated_from_what_was_done_since(clock):
    stream = Terminal()
    bar = ProgressBar(stream)
    bar.show("Searching", 50, 60, "trials")
    clock[0] += 3
    bar.show("Searching", 51, 60, "trials")
    first, second = stream.getvalue().split("\r")[1:]
    assert "left" not in first
    assert second.rstrip().endswith("51 of 60 trials, about 27 s left")


def test_a_line_that_is_cut_short_is_ended_once():
    stream = Terminal()
    bar = ProgressBar(stream)
    bar.show("Training", 1, 4, "epochs")
    bar.show("Measuring", 1, 4, "settings")
    bar.close()
    assert [line.strip().split()[0] for line in stream.getvalue().splitlines() if line] == ["Training", "Measuring"]
    assert stream.getvalue().endswith("\n")


def test_each_stage_has_its_own_estimate(clock):
    stream = io.StringIO()
    bar = ProgressBar(stream)
    bar.show("Training", 0, 2, "epochs")
    clock[0] += 1000
    bar.show("Measuring", 0, 2, "settings")
    clock[0] += 3
    bar.show("Measuring", 1, 2, "settings")
    assert stream.getvalue().splitlines()[-1] == "Measuring: 1 of 2 settings, about 3 s left"


@pytest.mark.parametrize("total", [1, 3, 5, 68, 1000])
def test_elsewhere_a_few_lines_come_the_first_and_the_last_among_them(total):
    stream = io.StringIO()
    bar = ProgressBar(stream)
    for done in range(total + 1):
        bar.show("Measuring", done, total, "settings")
    lines = stream.getvalue().splitlines()
    assert lines[0] == f"Measuring: 0 of {total} settings"
    assert lines[-1] == f"Measuring: {total} of {total} settings"
    assert len(lines) == min(total, 5) + 1
    assert "\r" not in stream.getvalue()

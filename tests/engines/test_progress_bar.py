"""The bar on a terminal, and the lines elsewhere."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import termios

import pytest

from tuun_da.engines import progress_bar
from tuun_da.engines.progress_bar import LINE_LETTERS, ProgressBar


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


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_a_line_fits_the_terminal_so_that_it_can_be_written_over(columns):
    reading, writing = pty.openpty()
    fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with open(writing, "w") as stream:
        bar = ProgressBar(stream)
        for done in range(3):
            bar.show("Looking at files", 20_000 + done, 60_000, "files")
        bar.close()
        shown = os.read(reading, 4096).decode()
    os.close(reading)
    first, *lines = shown.removesuffix("\r\n").split("\r")  # the terminal makes \n of \r\n
    assert (first, len(lines)) == ("", 3)
    assert {len(line) for line in lines} == {min(columns - 1, LINE_LETTERS)}
    assert all(line.startswith("Looking at files"[: columns - 1]) for line in lines)

"""The progress of work whose length is known: a bar on a terminal and in a notebook, a few lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

WIDTH = 24  # of the bar, in characters
LINES = 5  # where there is no terminal: one at the start, and one for each fifth


class ProgressBar:
    """Shows how much is done, and an estimate of the time left. One stage of the work comes after the other."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        in_notebook = type(self._stream).__module__.partition(".")[0] == "ipykernel"  # which is no terminal
        self._rewrites = self._stream.isatty() or in_notebook
        # a line that is wider than the terminal would not be rewritten, but pushed up
        self._columns = max(shutil.get_terminal_size((91, 24)).columns - 1, 20) if self._stream.isatty() else 120
        self._stage: str | None = None
        self._began = 0.0
        self._start = 0
        self._n_lines = 0
        self._line_open = False
        self._written = 0  # characters of the open line

    def show(self, stage: str, done: int, total: int, unit: str) -> None:
        """``done`` of ``total`` ``unit`` of the ``stage``, the first time with the ``done`` that it starts from."""
        if stage != self._stage:
            self.close()
            self._stage, self._began, self._start, self._n_lines = stage, time.monotonic(), done, 0
        text = f"{done} of {total} {unit}"
        if self._start < done < total:
            each = (time.monotonic() - self._began) / (done - self._start)
            text += f", about {time_for_people(each * (total - done))} left"
        if self._rewrites:
            filled = WIDTH * done // total
            bar = f"[{'#' * filled}{'.' * (WIDTH - filled)}]"
            line = (
                f"{stage} {bar} {text}" if len(stage) + len(bar) + len(text) + 2 <= self._columns else f"{stage} {text}"
            )
            line = f"{line[: self._columns]:<{min(self._columns, 90)}}"
            print(f"\r{line:<{self._written}}", end="", file=self._stream, flush=True)
            self._written = len(line)
            self._line_open = True
            if done == total:
                self.close()
        elif done * LINES // total + 1 > self._n_lines:
            print(f"{stage}: {text}", file=self._stream, flush=True)
            self._n_lines = done * LINES // total + 1

    def close(self) -> None:
        """End the line, so that what follows starts on one of its own."""
        if self._line_open:
            print(file=self._stream, flush=True)
            self._line_open, self._written = False, 0


def time_for_people(seconds: float) -> str:
    """Seconds, or minutes, or hours and minutes."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"

"""The progress of work whose length is known: a bar on a terminal and in a notebook, a few lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from typing import TextIO

WIDTH = 24  # of the bar, in characters
LINE_LETTERS = 90
LINES = 5  # where there is no terminal: one at the start, and one for each fifth


class ProgressBar:
    """Shows how much is done, and an estimate of the time left. One stage of the work comes after the other."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        in_notebook = type(self._stream).__module__.partition(".")[0] == "ipykernel"  # which is no terminal
        self._rewrites = self._stream.isatty() or in_notebook
        self._stage: str | None = None
        self._began = 0.0
        self._start = 0
        self._n_lines = 0
        self._line_open = False

    def show(self, stage: str, done: int, total: int, unit: str) -> None:
        """``done`` of ``total`` ``unit`` of the ``stage``, the first time with the ``done`` that it starts from."""
        if stage != self._stage:
            self.close()
            self._stage, self._began, self._start, self._n_lines = stage, time.monotonic(), done, 0
        text = f"{done} of {total} {unit}"
        if self._start < done < total:
            each = (time.monotonic() - self._began) / (done - self._start)
            text += f", about {each * (total - done):.0f} s left"
        if self._rewrites:
            filled = WIDTH * done // total
            bar = f"[{'#' * filled}{'.' * (WIDTH - filled)}]"
            line, room = f"{stage} {bar} {text}", self._room()
            if len(line) > room:
                line = f"{stage}: {text}"[:room]
            print(f"\r{line:<{room}}", end="", file=self._stream, flush=True)
            self._line_open = True
            if done == total:
                self.close()
        elif done * LINES // total + 1 > self._n_lines:
            print(f"{stage}: {text}", file=self._stream, flush=True)
            self._n_lines = done * LINES // total + 1

    def _room(self) -> int:
        """Letters that a line may have: one that the terminal breaks could not be written over."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):  # a notebook
            columns = 0
        return min(columns - 1, LINE_LETTERS) if columns > 1 else LINE_LETTERS

    def close(self) -> None:
        """End the line, so that what follows starts on one of its own."""
        if self._line_open:
            print(file=self._stream, flush=True)
            self._line_open = False

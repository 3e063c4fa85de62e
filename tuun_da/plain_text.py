"""Text from outside, without the characters that a terminal, a page or a reader's eye would obey."""

from __future__ import annotations

import logging
import re

MAX_PRINTED = 20_000  # letters of a message; an error may quote what it was given
COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and newline, with which escape codes begin; those that turn the direction of writing, so
that a name reads as another one; halves of characters, which no file can hold."""


def printable(text: str, *, limit: int | None = MAX_PRINTED) -> str:
    """``text`` for a terminal: ``COMMANDS`` as they are written in Python, and no more than ``limit`` letters."""
    if limit is not None and len(text) > limit:
        text = f"{text[:limit]}... ({len(text)} letters)"
    return COMMANDS.sub(_written, text)


class PrintableFormatter(logging.Formatter):
    """Formats log records as ``printable`` does."""

    def format(self, record: logging.LogRecord) -> str:
        """The text of ``record``."""
        return printable(super().format(record))


def _written(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"

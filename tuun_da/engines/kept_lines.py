"""A file of JSON lines that one process at a time appends to, each line on disk before the call returns.

{"format": "...", "version": 1, ...}      the header, then a line for each record
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tuun_da.errors import JournalError

VERSION = 1


class KeptLines:
    """The open file at ``path``, begun with ``header`` unless it is there; ``what`` names it in errors.

    A line that a crash cut off is dropped if ``drop_stump``, and else an error, as a damaged line is and a file of
    another ``format``. Raises JournalError, and changes nothing then.
    """

    def __init__(
        self, path: Path, *, format: str, what: str, header: Mapping[str, Any] | None = None, drop_stump: bool
    ) -> None:
        self.path, self._what = path, what
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
            raise JournalError(f"{what} {path} cannot be written: {getattr(error, 'strerror', error)}") from None
        try:
            self._lock()
            raw = path.read_bytes()
            length = raw.rfind(b"\n") + 1
            begin = _line({"format": format})[:-2]
            if length == 0 and (not raw or (drop_stump and begin.startswith(raw[: len(begin)]))):
                os.ftruncate(self._descriptor, 0)
                self.header: dict[str, Any] = {"format": format, "version": VERSION, **(header or {})}
                self.records: list[dict[str, Any]] = []
                self._length = 0
                self._write(_line(self.header))
                _sync_folder(path.parent)
                return
            lines = raw[:length].split(b"\n")[:-1]
            if not lines or not lines[0].startswith(begin):
                raise JournalError(f"{what} {path} is another kind of file: it does not begin with {begin.decode()}")
            if length < len(raw) and not drop_stump:
                raise JournalError(f"{what} {path} is damaged: its last line is cut off; mend it, or move it away")
            parsed = [self._parsed(line, number) for number, line in enumerate(lines, 1)]
            self.header, self.records = parsed[0], parsed[1:]
            if self.header.get("version") != VERSION:
                found = self.header.get("version")
                raise JournalError(f"{what} {path} has version {found!r}; this release reads version {VERSION}")
            os.ftruncate(self._descriptor, length)
            self._length = length
        except BaseException:
            os.close(self._descriptor)
            raise

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record; when this returns it is on disk. Raises JournalError."""
        self._write(_line(record))
        self.records.append(dict(record))

    def begin_anew(self, header: Mapping[str, Any]) -> None:
        """Drop all records. Raises JournalError."""
        os.ftruncate(self._descriptor, 0)
        self._length, self.records = 0, []
        self.header = {"format": self.header["format"], "version": VERSION, **header}
        self._write(_line(self.header))

    def close(self) -> None:
        """Let another process have the file."""
        os.close(self._descriptor)

    def __enter__(self) -> KeptLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise JournalError(f"{self._what} {self.path} is in use by another process") from None

    def _parsed(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise JournalError(
                f"{self._what} {self.path} is damaged: line {number} is no JSON object; mend it, or move it away"
            )
        return record

    def _write(self, line: bytes) -> None:
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._descriptor)
            self._length += len(line)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._length)  # no part of the line stays
            raise JournalError(f"{self._what} {self.path} cannot be written: {error.strerror}") from None


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, allow_nan=False).encode() + b"\n"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

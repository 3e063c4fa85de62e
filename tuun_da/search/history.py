"""The journal: what was asked and what came back, on disk before it is acknowledged.

One file for an experiment, the same for every engine. It holds JSON lines: first a header, then a record for each
trial that was asked for and one for each trial that ended. Every line is written with one call and synced, so a crash
can cut off no more than the last line, and such a stump is dropped when the file is opened again.

    {"kind": "header", "format": "tuun_da journal", "version": 1, "space": {...}, "settings": {...}, "versions": {...}}
    {"kind": "asked", "id": 1, "parameters": {...}, "time": 1790000000.0}
    {"kind": "finished", "id": 1, "parameters": {... as run ...}, "value": 0.93, "state": "succeeded", "curve": [...]}
    {"kind": "space", "space": {...}}    from here on, where the search space was changed while the experiment ran

The value is in the user's own direction: the settings say whether more or less of it is better. An asked record has
"fallback" where the surrogate failed, with the reason: its point is a random one.

Every line ends with ``"crc": "..."``, the CRC-32 of the line without that entry, so that a digit that changed on the
disk is noticed. Lines without it (of older versions, or written by hand) are read unchecked.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import fcntl
import json
import math
import os
import re
import time
import zlib
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from tuun_da.data_files import parse_json, read_bytes, shown
from tuun_da.errors import JournalError

FORMAT = "tuun_da journal"
VERSION = 1
MAX_BYTES = 2**29  # of a journal; 100,000 trials with curves of 50 epochs have a quarter of it
MAX_VALUES = 20_000_000  # in it; each may take 100 bytes of memory
MAX_LINE_BYTES = 2**25  # the header holds the trials of warm_start
LATEST = 1e11  # seconds since 1970, the year 5138
LARGEST_ID = 2**53  # NNI's manager, a Node.js program, tells whole numbers apart up to it
OPTIMIZE_MODES = ("maximize", "minimize")
_HEADER_BEGIN = b'{"kind": "header"'
_CRC = re.compile(rb', "crc": "([0-9a-f]{8})"\}\Z')


class TrialState(enum.Enum):
    """How a trial ended. Only a succeeded one has a value that compares with others."""

    SUCCEEDED = "succeeded"
    STOPPED = "stopped"  # ended early, by an assessor or a person: its value is that of a shorter training
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial that has ended.

    ``parameters`` are those that the trial ran, which need not be those that were asked. ``value`` is None where there
    is none; ``curve`` is the value after each epoch; ``started`` and ``ended`` are in seconds since 1970; ``details``
    is whatever else the trial said (settings of the training, stopped_at_epoch, ...). Raises JournalError. A seed or a
    time that is no number, and a number of the curve that is none, count as not known: no result is lost for them.
    ``from_journal`` is for a trial that was just read, which a journal can surely hold.
    """

    id: int
    parameters: Mapping[str, Any]
    state: TrialState
    value: float | None = None
    curve: tuple[float | None, ...] = ()
    seed: int | None = None
    started: float | None = None
    ended: float | None = None
    error: str | None = None
    imported: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)
    from_journal: InitVar[bool] = False

    def __post_init__(self, from_journal: bool) -> None:
        _check_id("id of a trial", self.id)
        if not isinstance(self.parameters, Mapping):
            raise JournalError(f"parameters of trial {self.id} must be a mapping, got {shown(self.parameters)}")
        if self.value is not None and not is_finite_number(self.value):
            raise JournalError(f"value of trial {self.id} must be a finite number, got {shown(self.value)}")
        if self.state is TrialState.SUCCEEDED and self.value is None:
            raise JournalError(f"trial {self.id} succeeded, so it must have a value; got None")
        object.__setattr__(self, "curve", tuple(v if is_finite_number(v) else None for v in self.curve))
        if not isinstance(self.seed, int) or not is_finite_number(self.seed):
            object.__setattr__(self, "seed", None)
        for name in ("started", "ended"):
            object.__setattr__(self, name, _time(getattr(self, name)))
        if self.error is not None:
            object.__setattr__(self, "error", str(self.error))
        if not from_journal:
            _line(self.to_record())  # what a journal cannot hold must not wait in line before what it can

    def to_record(self) -> dict[str, Any]:
        """The trial as a journal record, without what is absent."""
        record: dict[str, Any] = {
            "kind": "finished",
            "id": self.id,
            "parameters": dict(self.parameters),
            "value": self.value,
            "state": self.state.value,
        }
        optional = {
            "curve": list(self.curve) or None,
            "seed": self.seed,
            "started": self.started,
            "ended": self.ended,
            "error": self.error,
            "imported": self.imported or None,
            "details": dict(self.details) or None,
        }
        return record | {key: value for key, value in optional.items() if value is not None}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Trial:
        """The trial of a journal record. Raises JournalError."""
        try:
            state = TrialState(record.get("state"))
        except ValueError:
            wanted = ", ".join(state.value for state in TrialState)
            raise JournalError(f"state of a trial must be one of {wanted}; got {shown(record.get('state'))}") from None
        curve = record.get("curve", [])
        details = record.get("details", {})
        if not isinstance(curve, list) or not isinstance(details, dict):
            raise JournalError(f"trial {shown(record.get('id'))}: curve must be a list and details an object")
        return cls(
            id=record.get("id"),  # type: ignore[arg-type]  # __post_init__ checks it
            parameters=record.get("parameters"),  # type: ignore[arg-type]
            state=state,
            value=record.get("value"),
            curve=tuple(curve),
            seed=record.get("seed"),
            started=record.get("started"),
            ended=record.get("ended"),
            error=record.get("error"),
            imported=bool(record.get("imported", False)),
            details=details,
            from_journal=True,
        )


@dataclass(frozen=True)
class Event:
    """One thing that happened, in the order of the file: a point was asked (``trial`` is None) or a trial ended.

    ``fallback`` is why the point is a random one, where the surrogate failed.
    """

    id: int
    parameters: Mapping[str, Any]
    trial: Trial | None
    time: float | None = None
    fallback: str | None = None


@dataclass(frozen=True)
class JournalContent:
    """A journal as read: the header's parts and every event in order. ``space`` is the one that was in use last."""

    space: Mapping[str, Any]
    settings: Mapping[str, Any]
    versions: Mapping[str, Any]
    events: tuple[Event, ...]
    started: float | None = None

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Trials that ended, in the order in which they did; a later record of the same id replaces an earlier one."""
        ended = {event.id: event.trial for event in self.events if event.trial is not None}
        return tuple(ended.values())

    @property
    def running(self) -> dict[int, Mapping[str, Any]]:
        """Parameters of the trials that were asked for and have not ended, by id."""
        ended = {event.id for event in self.events if event.trial is not None}
        return {e.id: e.parameters for e in self.events if e.trial is None and e.id not in ended}

    @property
    def n_asked(self) -> int:
        """How many trials were asked for."""
        return sum(event.trial is None for event in self.events)

    @property
    def next_id(self) -> int:
        """The first id that nothing has used."""
        return max((event.id for event in self.events), default=0) + 1

    @property
    def maximize(self) -> bool:
        """Whether more of the value is better."""
        return bool(self.settings.get("optimize_mode", "maximize") != "minimize")


def read_journal(path: str | os.PathLike[str]) -> JournalContent:
    """The content of the journal at ``path``, which may be open elsewhere. Raises JournalError."""
    raw = read_bytes(path, "journal", JournalError, limit=MAX_BYTES)
    length = _complete_length(raw, path)
    if raw and not length:
        if not raw.startswith(_HEADER_BEGIN[: len(raw)]):
            raise JournalError(f"{path} is not a journal of tuun_da")
        raise JournalError(f"journal {path} is empty: no line of it is whole yet")
    return _parse(raw[:length], path)


def has_begun(path: Path) -> bool:
    """Whether there is a journal at ``path``, and not just the stump of its first line. Raises JournalError."""
    if not path.exists():
        return False
    return b"\n" in read_bytes(path, "journal", JournalError, limit=MAX_BYTES)


class Journal:
    """An open journal, to which one process at a time appends. Without a path it is kept in memory only."""

    def __init__(self, content: JournalContent, path: Path | None, descriptor: int | None) -> None:
        self._content = content
        self.path = path
        self._descriptor = descriptor
        self._length = 0 if descriptor is None else os.fstat(descriptor).st_size  # bytes that are whole lines

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | None,
        *,
        space: Mapping[str, Any],
        settings: Mapping[str, Any],
        versions: Mapping[str, Any],
        patience_seconds: float = 10.0,
    ) -> Journal:
        """Go on with the journal at ``path``, or begin it there.

        Raises JournalError where the file cannot be read or written, is of another search space, or is still being
        written by another process after ``patience_seconds`` (a killed manager's tuner takes a moment to end).
        """
        header: dict[str, Any] = {
            "kind": "header",
            "format": FORMAT,
            "version": VERSION,
            "space": dict(space),
            "settings": dict(settings),
            "versions": dict(versions),
            "time": time.time(),
        }
        if path is None:
            return cls(_parse(_line(header), "in memory"), None, None)
        path = Path(path)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o666)
        except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
            raise JournalError(f"journal {path} cannot be opened: {getattr(error, 'strerror', error)}") from None
        try:
            _lock(descriptor, path, patience_seconds)
            raw = read_bytes(path, "journal", JournalError, limit=MAX_BYTES)
            length = _complete_length(raw, path)
            if length == 0:
                if not raw.startswith(_HEADER_BEGIN[: len(raw)]):
                    raise JournalError(f"{path} is not a journal of tuun_da")
                _write(descriptor, _line(header), path, 0)
                _sync_folder(path.parent)
                return cls(_parse(_line(header), path), path, descriptor)
            content = _parse(raw[:length], path)
            if _normalised(content.space) != _normalised(space):
                raise JournalError(f"journal {path} belongs to another search space; give this experiment its own file")
            os.ftruncate(descriptor, length)  # without the stump of a record whose writer crashed: never acknowledged
            return cls(content, path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    @property
    def content(self) -> JournalContent:
        """All that is known so far."""
        return self._content

    def record_asked(
        self,
        trial_id: int,
        parameters: Mapping[str, Any],
        *,
        asked_at: float | None = None,
        fallback: str | None = None,
    ) -> None:
        """Note that ``parameters`` were handed out, ``asked_at`` (None: now); ``fallback`` as ``Event`` has it."""
        event = Event(trial_id, dict(parameters), None, time.time() if asked_at is None else asked_at, fallback)
        record = {"kind": "asked", "id": trial_id, "parameters": dict(parameters), "time": event.time}
        self._write_record(record if fallback is None else {**record, "fallback": fallback})
        self._note(event)

    def record_finished(self, trial: Trial) -> None:
        """Note that a trial ended; when this returns, it is on disk."""
        self._write_record(trial.to_record())
        self._note(Event(trial.id, trial.parameters, trial, trial.ended))

    def record_space(self, space: Mapping[str, Any]) -> None:
        """Note that the experiment goes on in another search space."""
        self._write_record({"kind": "space", "space": dict(space), "time": time.time()})
        self._content = replace(self._content, space=_normalised(space))

    def close(self) -> None:
        """Let another process have the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write_record(self, record: Mapping[str, Any]) -> None:
        line = _line(record)
        if self.path is None:
            return
        if self._descriptor is None:
            raise JournalError(f"journal {self.path} is closed")
        self._length = _write(self._descriptor, line, self.path, self._length)

    def _note(self, event: Event) -> None:
        self._content = replace(self._content, events=(*self._content.events, event))


def is_finite_number(value: object) -> bool:
    """Whether ``value`` is a number that can be compared: no bool, no NaN, no infinity."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of more than 308 digits
        return False


def _line(record: Mapping[str, Any]) -> bytes:
    """The line of ``record``. Raises JournalError for what could not be read again."""
    try:
        text = json.dumps(record, allow_nan=False).encode()
        parse_json(text)
        line = text[:-1] + f', "crc": "{zlib.crc32(text):08x}"}}\n'.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise JournalError(f"a journal record must hold JSON values without NaN or infinity: {error}") from None
    if len(line) > MAX_LINE_BYTES:
        raise JournalError(f"a journal record must have at most {MAX_LINE_BYTES} bytes, got {len(line)}")
    return line


def _write(descriptor: int, line: bytes, path: Path, length: int) -> int:
    """Write one whole line behind the first ``length`` bytes, sync it, and return the new length.

    After a failure (a full disk) no part of the line stays: should it not go now, the next call drops it.
    """
    if length + len(line) > MAX_BYTES:
        raise JournalError(f"journal {path} is full: it would have more than {MAX_BYTES} bytes")
    try:
        os.ftruncate(descriptor, length)
        written = os.write(descriptor, line)
        if written != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
        return length + len(line)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, length)
        raise JournalError(f"journal {path} cannot be written: {error.strerror}") from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path, patience_seconds: float) -> None:
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise JournalError(f"journal {path} is being written by another process") from None
            time.sleep(0.1)


def _complete_length(raw: bytes, path: object) -> int:
    """Bytes up to the end of the last whole line.

    Raises JournalError where what follows is no stump, but a whole record whose end of line was damaged.
    """
    length = raw.rfind(b"\n") + 1
    if _CRC.search(raw[length:-1]):
        number = raw.count(b"\n") + 1
        raise JournalError(f"journal {path}, line {number} has lost its line break; the file is damaged")
    return length


def _normalised(space: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(space))


def _parse(raw: bytes, path: object) -> JournalContent:
    if sum(raw.count(mark) for mark in (b",", b"[", b"{")) > MAX_VALUES:
        raise JournalError(f"journal {path} has more than {MAX_VALUES} values")
    lines = raw.split(b"\n")[:-1]
    if not lines:
        raise JournalError(f"journal {path} is empty")
    header = _parse_line(lines[0], 1, path)
    if header.get("kind") != "header" or header.get("format") != FORMAT:
        raise JournalError(f"{path} is not a journal of tuun_da")
    version = header.get("version")
    if version != VERSION:
        upgrade = ": upgrade tuun_da (unless line 1 is damaged)" if _is_later(version) else ", line 1 says another one"
        raise JournalError(
            f"journal {path} has version {shown(version)}; this release reads version {VERSION}{upgrade}"
        )
    parts: dict[str, dict[str, Any]] = {}
    for key in ("space", "settings", "versions"):
        part = header.get(key)
        if not isinstance(part, dict):
            raise JournalError(f"journal {path}, line 1: {key} must be an object, got {shown(part)}")
        parts[key] = part
    mode = parts["settings"].get("optimize_mode", OPTIMIZE_MODES[0])
    if mode not in OPTIMIZE_MODES:
        raise JournalError(
            f"journal {path}, line 1: optimize_mode must be one of {', '.join(OPTIMIZE_MODES)}; got {shown(mode)}"
        )
    events = []
    for number, line in enumerate(lines[1:], 2):
        record = _parse_line(line, number, path)
        try:
            if record.get("kind") == "space":
                parts["space"] = _changed_space(record)
            else:
                events.append(_event(record))
        except JournalError as error:
            raise JournalError(f"journal {path}, line {number}: {error}") from None
    return JournalContent(
        parts["space"], parts["settings"], parts["versions"], tuple(events), _time(header.get("time"))
    )


def _is_later(version: object) -> bool:
    return isinstance(version, int) and not isinstance(version, bool) and version > VERSION


def _event(record: Mapping[str, Any]) -> Event:
    if record.get("kind") == "finished":
        trial = Trial.from_record(record)
        return Event(trial.id, trial.parameters, trial, trial.ended)
    if record.get("kind") == "asked":
        trial_id, parameters = record.get("id"), record.get("parameters")
        if isinstance(trial_id, bool) or not isinstance(trial_id, int) or not isinstance(parameters, dict):
            raise JournalError("an asked record needs a whole number as id and an object as parameters")
        _check_id("id of an asked record", trial_id)
        fallback = record.get("fallback")
        shown_fallback = None if fallback is None else str(fallback)
        return Event(trial_id, parameters, None, _time(record.get("time")), shown_fallback)
    raise JournalError(f"kind must be asked, finished or space, got {shown(record.get('kind'))}")


def _changed_space(record: Mapping[str, Any]) -> dict[str, Any]:
    space = record.get("space")
    if not isinstance(space, dict):
        raise JournalError(f"space must be an object, got {shown(space)}")
    return space


def _check_id(what: str, number: object) -> None:
    if isinstance(number, bool) or not isinstance(number, int):
        raise JournalError(f"{what} must be a whole number, got {shown(number)}")
    if abs(number) > LARGEST_ID:
        raise JournalError(f"{what} must be at most 2**53 in size, got {shown(number)}")


def _time(value: object) -> float | None:
    """``value`` as it is if it can be seconds since 1970, else None."""
    return value if is_finite_number(value) and abs(value) < LATEST else None  # type: ignore[return-value,arg-type]


def _parse_line(line: bytes, number: int, path: object) -> dict[str, Any]:
    if len(line) > MAX_LINE_BYTES:
        raise JournalError(f"journal {path}, line {number} is longer than {MAX_LINE_BYTES} bytes")
    crc = _CRC.search(line)
    try:
        record = parse_json(line.decode())
    except ValueError as error:
        raise JournalError(
            f"journal {path}, line {number} is not a JSON record; the file is damaged ({error})"
        ) from None
    if not isinstance(record, dict):
        raise JournalError(f"journal {path}, line {number} must be a JSON object, got {type(record).__name__}")
    if number == 1 and _is_later(record.get("version")):
        return record  # what a crc is there, only that version knows
    if "crc" in record and (crc is None or zlib.crc32(line[: crc.start()] + b"}") != int(crc[1], 16)):
        raise JournalError(
            f"journal {path}, line {number} is not what was written, by its crc; the file is damaged "
            "(after an edit by hand, take the crc out)"
        )
    return record

"""Small JSON files that hold data, safe to open whoever sent them; written in one step.

Every reader of data goes through here: a file must be a regular one and no larger than its limit, its JSON no deeper
than ``MAX_DEPTH``, without NaN, infinity, numbers that no float can hold, or a key that comes twice.
"""

from __future__ import annotations

import json
import math
import os
import stat
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tuun_da.errors import TuunDaError

MAX_FILE_BYTES = 10_000_000
MAX_DEPTH = 64  # of lists and objects in each other; the deepest that is written here has 8
MAX_SHOWN = 200  # letters of a value in an error


def read_bytes(path: str | os.PathLike[str], what: str, error_type: type[TuunDaError], *, limit: int) -> bytes:
    """The content of the file at ``path``; ``what`` names the kind of file. Raises ``error_type``.

    A pipe or a device, which might never end, is refused, as is a file of more than ``limit`` bytes.
    """
    try:
        # O_NONBLOCK, because opening a pipe waits for its writer; it changes nothing for files
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):  # open() says that it is one
                raise error_type(f"{what} {path} cannot be read: it is no regular file")
            raw = b""
            if status.st_size <= limit:
                with open(descriptor, "rb", closefd=False) as file:
                    raw = file.read(limit + 1)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        if isinstance(error, error_type):
            raise
        raise error_type(f"{what} {path} cannot be read: {getattr(error, 'strerror', error)}") from None
    if max(status.st_size, len(raw)) > limit:
        raise error_type(f"{what} {path} is larger than {limit} bytes")
    return raw


def read_text(path: str | os.PathLike[str], what: str, error_type: type[TuunDaError]) -> str:
    """The text of the file at ``path``; ``what`` names the kind of file. Raises ``error_type``."""
    raw = read_bytes(path, what, error_type, limit=MAX_FILE_BYTES)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise error_type(f"{what} {path} is not JSON: it is not UTF-8 text") from None


def parse_json(text: str | bytes) -> Any:
    """The JSON value in ``text``. Raises ValueError, which says what is wrong with it.

    NaN, infinity and numbers beyond the largest float are refused, and so are an object with a key twice, of which each
    reader would take another one, and what is nested deeper than ``MAX_DEPTH``.
    """
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_int=_whole_number,
            parse_float=_real_number,
            object_pairs_hook=_object_of,
        )
    except RecursionError:
        raise ValueError(f"it is nested too deeply: {MAX_DEPTH} levels are allowed") from None
    begins = text.count("{") + text.count("[") if isinstance(text, str) else text.count(b"{") + text.count(b"[")
    if begins > MAX_DEPTH and _is_too_deep(value):
        raise ValueError(f"it is nested too deeply: {MAX_DEPTH} levels are allowed")
    return value


def shown(value: object) -> str:
    """``value`` for an error: its repr, cut short."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}... ({len(text)} letters)"


def parse_object(
    text: str, source: str, *, version: int, keys: Collection[str], error_type: type[TuunDaError]
) -> dict[str, Any]:
    """The JSON object in ``text`` without its version; ``source`` names it in errors. Raises ``error_type``.

    It must have a version from 1 to ``version``, and no other keys than ``keys``. NaN and infinity are no JSON.
    """
    try:
        content = parse_json(text)
    except ValueError as error:
        raise error_type(f"{source} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise error_type(f"{source} must hold a JSON object, got {type(content).__name__}")
    found = content.pop("version", None)
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise error_type(f"{source}: version must be {version}, got {shown(found)}")
    if found > version:
        raise error_type(f"{source} has version {shown(found)}; this release reads up to {version}: upgrade tuun_da")
    unknown = sorted(set(content) - set(keys))
    if unknown:
        raise error_type(f"{source} has the unknown key {shown(unknown[0])}")
    return content


def object_text(content: Mapping[str, Any], free: str, kind: str, error_type: type[TuunDaError]) -> str:
    """``content`` as the text of a file. Raises ``error_type``, and blames the key ``free``, whose values are free.

    What could not be read again is not written.
    """
    try:
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        parse_json(text)
        if len(text) > MAX_FILE_BYTES:
            raise ValueError(f"the file would have {len(text)} bytes, and {MAX_FILE_BYTES} are allowed")
        return text
    except RecursionError:
        raise error_type(f"{free} is nested too deeply for a {kind} file") from None
    except (TypeError, ValueError) as error:
        raise error_type(f"{free} must hold JSON values without NaN or infinity: {error}") from None


def write_text(path: str | os.PathLike[str], text: str, what: str, error_type: type[TuunDaError]) -> None:
    """Replace the file at ``path`` by ``text`` in one step. Raises ``error_type``."""
    try:
        write_atomically(Path(path), text)
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise error_type(f"{what} {path} cannot be written: {getattr(error, 'strerror', error)}") from None


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace the file at ``path`` by ``content``; a crash leaves the old file or the new one, never half of one.

    Raises OSError, which names ``path``.
    """
    raw = content.encode() if isinstance(content, str) else content
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes it 0600, which surprises in a shared folder
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:  # it names the temporary file, which nobody knows
        raise OSError(error.errno, error.strerror, str(path)) from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _whole_number(digits: str) -> int:
    if len(digits) > 300:  # more than a float holds, or more than Python turns into a number
        _real_number(digits)
    return int(digits)


def _real_number(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"the number {digits[:20]}... is too large")
    return number


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {shown(twice)} comes twice")
    return found


def _is_too_deep(value: Any) -> bool:
    """Whether lists and objects are nested deeper than ``MAX_DEPTH``, found level by level."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True

"""Small JSON files that hold data, safe to open whoever sent them; written in one step."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tuun_da.errors import TuunDaError

MAX_FILE_BYTES = 10_000_000


def read_text(path: str | os.PathLike[str], what: str, error_type: type[TuunDaError]) -> str:
    """The text of the file at ``path``; ``what`` names the kind of file. Raises ``error_type``."""
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise error_type(f"{what} {path} cannot be read: {getattr(error, 'strerror', error)}") from None
    if len(raw) > MAX_FILE_BYTES:
        raise error_type(f"{what} {path} is larger than {MAX_FILE_BYTES} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise error_type(f"{what} {path} is not JSON: it is not UTF-8 text") from None


def parse_object(
    text: str, source: str, kind: str, *, version: int, keys: Collection[str], error_type: type[TuunDaError]
) -> dict[str, Any]:
    """The JSON object in ``text`` without its version; ``source`` names it in errors. Raises ``error_type``.

    It must have a version from 1 to ``version``, and no other keys than ``keys``. NaN and infinity are no JSON.
    """
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise error_type(f"{source} is nested too deeply for a {kind} file") from None
    except ValueError as error:
        raise error_type(f"{source} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise error_type(f"{source} must hold a JSON object, got {type(content).__name__}")
    found = content.pop("version", None)
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise error_type(f"{source}: version must be {version}, got {found!r}")
    if found > version:
        raise error_type(f"{source} has version {found}; this release reads up to {version}: upgrade tuun_da")
    unknown = sorted(set(content) - set(keys))
    if unknown:
        raise error_type(f"{source} has the unknown key {unknown[0]!r}")
    return content


def object_text(content: Mapping[str, Any], free: str, kind: str, error_type: type[TuunDaError]) -> str:
    """``content`` as the text of a file. Raises ``error_type``, and blames the key ``free``, whose values are free."""
    try:
        return json.dumps(content, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise error_type(f"{free} must hold JSON values without NaN or infinity: {error}") from None
    except RecursionError:
        raise error_type(f"{free} is nested too deeply for a {kind} file") from None


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

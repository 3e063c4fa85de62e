"""A journal written as a whole: for engines that keep their trials in memory and save them now and then."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from tuun_da.errors import JournalError
from tuun_da.search.history import FORMAT, VERSION, Event, JournalContent


def write_journal(path: str | os.PathLike[str], content: JournalContent) -> None:
    """Write what ``read_journal`` reads as ``content`` to ``path``, whole or not at all. Raises JournalError."""
    path = Path(path)
    header = {
        "kind": "header",
        "format": FORMAT,
        "version": VERSION,
        "space": dict(content.space),
        "settings": dict(content.settings),
        "versions": dict(content.versions),
        "time": content.started,
    }
    records = [header, *(_record(event) for event in content.events)]
    try:
        text = "".join(f"{json.dumps(record, allow_nan=False)}\n" for record in records)
    except (TypeError, ValueError, RecursionError) as error:
        raise JournalError(f"journal {path} must hold JSON values without NaN or infinity: {error}") from None
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise JournalError(f"journal {path} cannot be written: {error.strerror}") from None


def _record(event: Event) -> dict[str, Any]:
    if event.trial is not None:
        return event.trial.to_record()
    return {"kind": "asked", "id": event.id, "parameters": dict(event.parameters), "time": event.time}

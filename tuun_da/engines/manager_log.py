"""What NNI's manager says in its log of why it gave up.

Its entries have one line or several:

    [2026-11-23 07:28:47] ERROR (TrainingServiceCompat) Training srevice initialize failed: Error: All configured ...
        at doNextAuth (...)
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_ENTRY = re.compile(r"\[[0-9-]+ [0-9:]+\] ([A-Z]+) \(")
_STACK = re.compile(r"    at |\}|  (level|errno|code|syscall|address|port): ")
MOST_ERRORS, MOST_LINES = 3, 12
MOST_BYTES = 200_000  # from the end


def last_errors(path: Path) -> str:
    """The last errors in the log, without the places in NNI's code where they arose; "" without any."""
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - MOST_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    errors: list[list[str]] = []
    is_error = False
    for line in lines:
        entry = _ENTRY.match(line)
        if entry is not None:
            is_error = entry[1] in ("ERROR", "FATAL", "CRITICAL")
            if is_error:
                errors.append([])
        if is_error and len(errors[-1]) < MOST_LINES and not _STACK.match(line):
            errors[-1].append(line)
    return "\n".join(line for error in errors[-MOST_ERRORS:] for line in error)

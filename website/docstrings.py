"""Docstrings as Markdown: where they list names beside explanations, the site shows a list of definitions."""

from __future__ import annotations

import re
from typing import Any

import griffe

# ``name``   what it is; lines that go on with it are indented
ENTRY = re.compile(r"^(``[^`]+``(?:(?:,| and) ``[^`]+``)*) {2,}(\S.*)$")


class NamesAsDefinitions(griffe.Extension):  # type: ignore[misc]
    """Rewrites each docstring when its object has been read."""

    def on_object(self, *, obj: griffe.Object, **arguments: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_definitions(obj.docstring.value)


def as_definitions(text: str) -> str:
    """``text`` with its lists of names as Markdown's definition lists.

    >>> print(as_definitions("``seed``    of the trainings,\\n            a whole number.\\n\\nRaises ConfigError."))
    ``seed``
    :   of the trainings,
        a whole number.
    <BLANKLINE>
    Raises ConfigError.
    """
    lines: list[str] = []
    inside = False
    for line in text.split("\n"):
        entry = ENTRY.match(line)
        if entry:
            if lines and lines[-1] and not inside:
                lines.append("")
            lines += ([""] if inside else []) + [entry[1], f":   {entry[2]}"]
            inside = True
        elif inside and line.startswith("  "):
            lines.append(f"    {line.strip()}")
        else:
            if inside and line and lines[-1]:
                lines.append("")
            inside = False if line.strip() else inside
            lines.append(line)
    return "\n".join(lines)

"""Home folders out of a report: who reads it need not learn the user's name, or how the machine is laid out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HOMES = re.compile(r"(?:/home|/Users|[A-Za-z]:[\\/]Users)[\\/][^\\/\s\"'<>:;,|)\]}]+|/root(?![\w.-])")
"""Home folders of any user, as a journal that was made elsewhere may name them."""


def home_hider(home: Path | None = None) -> Callable[[Any], Any]:
    """A function that writes ~ for the home folder (None: the user's own) and for those of others.

    It takes any JSON value, and looks at the texts in it, the keys included.
    """
    names = {str(folder) for folder in (home or Path.home(), (home or Path.home()).resolve())}
    own = [name for name in names if len(Path(name).parts) > 1]  # a home that is / is everywhere
    pattern = re.compile(
        "|".join([*(rf"{re.escape(name)}(?![\w.-])" for name in sorted(own, key=len, reverse=True)), HOMES.pattern])
    )

    def hide(value: Any) -> Any:
        if isinstance(value, str):
            return pattern.sub("~", value)
        if isinstance(value, Mapping):
            return {hide(key): hide(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [hide(entry) for entry in value]
        return value

    return hide

"""Paths and secrets out of a report: who reads it need not learn the user's name, or how the machine is laid out."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuun_da.report.hidden_secrets import in_texts, without_secrets

END = r"\\/\s\"'<>:;,|)\]}%"  # of a name in a path
HOMES = (
    rf"/{{1,3}}home[\\/]{{1,4}}[^{END}]+"
    rf"|(?:/{{1,3}}Users|[A-Za-z]:[\\/]{{1,4}}Users)[\\/]{{1,4}}(?:[^{END}]+(?:[ ][^{END}]+){{0,3}}(?=[\\/])|[^{END}]+)"
    rf"|%2F(?:home|Users)%2F[^{END}]+"
    r"|/root(?![\w.-])"
)
"""Home folders of any user, as a journal that was made elsewhere may name them."""
ABSOLUTE = re.compile(rf"(?<![\w/\\.~…*-])(?:/(?!/)(?:[^{END}]+/+)+|[A-Za-z]:[\\/]+(?:[^{END}]+[\\/]+)+)(?=[^{END}])")
"""The folders of an absolute path, up to its last name."""


def home_hider(home: Path | None = None) -> Callable[[Any], Any]:
    """A function that writes ~ for the home folder (None: the user's own) and for those of others, … for the folders of
    other absolute paths, and *** for secrets.

    It takes any JSON value, and looks at the texts in it, the keys included.
    """
    names = {str(folder) for folder in (home or Path.home(), (home or Path.home()).resolve())}
    own = [name for name in names if len(Path(name).parts) > 1]  # a home that is / is everywhere
    pattern = re.compile(
        "|".join([*(rf"{re.escape(name)}(?![\w.-])" for name in sorted(own, key=len, reverse=True)), HOMES])
    )

    @functools.lru_cache(maxsize=4096)  # the same words stand in every trial
    def hidden(text: str) -> str:
        return ABSOLUTE.sub("…/", pattern.sub("~", without_secrets(text)))

    return in_texts(hidden)

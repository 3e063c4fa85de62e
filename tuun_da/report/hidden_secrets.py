"""Passwords, keys and tokens out of a report, by the names before them and by the forms of well-known ones.

No list is complete: it catches what errors, command lines and settings usually quote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

HIDDEN = "***"
NAMES = (
    r"(?:api[-_ ]?key|access[-_ ]?key|private[-_ ]?key|secret|token|passw(?:or)?d|passphrase|pwd|credential|"
    r"authorization|auth)s?(?![A-Za-z])"
)
KEY = re.compile(rf"(?:^|[^A-Za-z]|(?<=[a-z])(?=[A-Z])){NAMES}", re.IGNORECASE)
VALUE = r"""(?:"[^"\n]*"|'[^'\n]*'|(?:(?:Bearer|Basic|Token)[ ]+)?[^\s"',;&)\]}]+)"""
NAMED = re.compile(rf"""({NAMES}[\w-]{{0,40}}["']?[ ]{{0,4}}[=:][ ]{{0,4}})({VALUE})""", re.IGNORECASE)
OPTION = re.compile(rf"(--[a-z-]{{0,40}}?{NAMES}[ ]{{1,4}})({VALUE})", re.IGNORECASE)
FORMS = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{16,}|sk-[\w-]{16,}"
    r"|xox[abeprs]-[\w-]{10,}|A[KS]IA[0-9A-Z]{16}|AIza[\w-]{30,}|npm_[A-Za-z0-9]{16,}|pypi-[\w-]{16,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
    r"|-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:(?!-----END)[\s\S])*(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?"
)
IN_ADDRESS = re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://)[^\s/@]{1,500}@", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """``text`` with ``***`` for what looks like a secret."""
    text = IN_ADDRESS.sub(rf"\1{HIDDEN}@", text)
    return OPTION.sub(rf"\1{HIDDEN}", NAMED.sub(rf"\1{HIDDEN}", FORMS.sub(HIDDEN, text)))


def in_texts(change: Callable[[str], str]) -> Callable[[Any], Any]:
    """A function that puts ``change`` to work on the texts of any JSON value, the keys included.

    The value of a key that names a secret is hidden whatever it is.
    """

    def hide(value: Any) -> Any:
        if isinstance(value, str):
            return change(value)
        if isinstance(value, Mapping):
            return {hide(key): HIDDEN if _is_secret(key, entry) else hide(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [hide(entry) for entry in value]
        return value

    return hide


def _is_secret(key: object, entry: object) -> bool:
    return isinstance(key, str) and isinstance(entry, str) and entry != "" and KEY.search(key) is not None

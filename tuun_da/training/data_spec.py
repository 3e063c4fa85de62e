"""Data as a user names them, a path perhaps, as the settings name them. Loads no torch."""

from __future__ import annotations

import os

from tuun_da.errors import ConfigError
from tuun_da.training.checks import checked_path
from tuun_da.training.settings import NAMED_DATA_SETS, PATH_KINDS, check_spec


def data_spec(data: object) -> str:
    """``data`` as DataConfig names it: a data set, folder:PATH, npz:PATH, or the path of a folder or npz file.

    Paths become absolute, because a policy file keeps them. Raises ConfigError.
    """
    if not isinstance(data, str | os.PathLike):
        raise ConfigError(
            "data must be a folder of images, the name of a data set, or a pair of arrays (images, labels); "
            f"got {type(data).__name__}"
        )
    text = os.fspath(data)
    if not isinstance(text, str):
        raise ConfigError(f"data must be text, got {text!r}")
    kind, colon, path = text.partition(":")
    if not (colon and kind in PATH_KINDS):
        path = text
        if isinstance(data, str) and text in NAMED_DATA_SETS:  # a folder of that name is ./digits
            return text
        kind = kind_of_path(path)
    check_spec(f"{kind}:{path}")
    try:
        return f"{kind}:{checked_path('data', path).resolve()}"
    except RuntimeError:  # before Python 3.13, of links in a circle
        raise ConfigError(f"data must be a path, got {path!r}, a link that leads in a circle") from None


def kind_of_path(path: str) -> str:
    """Whether a folder or an npz file lies at ``path``. Raises ConfigError where neither does."""
    place = checked_path("data", path)
    if place.is_dir():
        return "folder"
    if path.endswith(".npz"):
        return "npz"
    found = "which is a file" if place.exists() else "and there is no such folder"
    raise ConfigError(
        f"data must be a folder of images, an .npz file, one of {', '.join(NAMED_DATA_SETS)}, folder:PATH or npz:PATH; "
        f"got {path!r}, {found}"
    )

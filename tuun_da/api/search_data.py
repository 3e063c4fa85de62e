"""What a user hands over in Python, as the settings that a search has: images, a network, keywords."""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Collection, Iterable

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
        if isinstance(data, str) and text in NAMED_DATA_SETS:  # a folder of that name is ./digits
            return text
        kind, path = ("folder" if checked_path("data", text).is_dir() else "npz" if text.endswith(".npz") else ""), text
        if not kind:
            if not isinstance(data, str) or os.sep in text or text.startswith("~"):
                there = "is a file, but no npz file" if checked_path("data", text).exists() else "is not there"
                raise ConfigError(
                    f"data must be one of {', '.join(NAMED_DATA_SETS)}, or the path of a folder of images or of an npz "
                    f"file; {text!r} {there}"
                )
            check_spec(text)
    return f"{kind}:{checked_path('data', path).resolve()}"


def model_name(model: object) -> str:
    """``model`` as TrainConfig names it: a name, or of a function or class in a module its module:function.

    Raises ConfigError for one that another process could not find by its name.
    """
    if isinstance(model, str):
        return model
    module, name = getattr(model, "__module__", None), getattr(model, "__qualname__", None)
    if not callable(model) or not isinstance(module, str) or not isinstance(name, str):
        raise ConfigError(
            "model must be a name, or a function or class that makes a new network for each trial; "
            f"got {type(model).__name__}"
        )
    if module == "__main__" or getattr(importlib.import_module(module), name, None) is not model:
        raise ConfigError(
            f"model {name} must be found by its name in every trial and later, so it has to stand at the outermost "
            f"level of a file of its own, such as my_model.py in the working folder; it stands in {module}"
        )
    return f"{module}:{name}"


def refuse_unknown(what: str, names: Iterable[object], known: Collection[str]) -> None:
    """Raise ConfigError for the first of ``names`` that is not ``known``, with the one that was probably meant."""
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            raise ConfigError(f"there is no {what} {name!r}{hint} There are {', '.join(known)}")

"""What a user hands over in Python, as the settings that a search has: a network, keywords."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Collection, Iterable

from tuun_da.errors import ConfigError


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

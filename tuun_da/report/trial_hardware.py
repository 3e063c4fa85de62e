"""What the trials of an experiment ran on, as they said themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tuun_da.search.history import Trial


def hardware_of(trials: Sequence[Trial]) -> dict[str, Any]:
    """A row for each part of the machine; where there were several machines, one for each; none where none was said."""
    kinds: dict[str, tuple[Any, int]] = {}
    for trial in trials:
        said = trial.details.get("hardware")
        if said is not None:
            key = json.dumps(said, sort_keys=True)
            kinds[key] = (said, kinds.get(key, (said, 0))[1] + 1)
    if len(kinds) == 1:
        [(said, _)] = kinds.values()
        return dict(said) if isinstance(said, Mapping) else {"of the trials": said}
    rows = {}
    for number, (said, count) in enumerate(kinds.values(), 1):
        name = f"machine {number}, {count} {'trial' if count == 1 else 'trials'}"
        rows[name] = ", ".join(f"{key} {part}" for key, part in said.items()) if isinstance(said, Mapping) else said
    return rows

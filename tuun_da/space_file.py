"""Search spaces for policies, made of operation types, as NNI's JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tuun_da.data_files import parse_json, read_text
from tuun_da.errors import ConfigError
from tuun_da.operations import CATEGORIES, OPERATION_TYPES, PUBLISHED_TYPES
from tuun_da.policy_format import MAX_OPERATIONS, MAX_SUB_POLICIES

UNIT = {"_type": "uniform", "_value": [0, 1]}


def types_of_categories(categories: Iterable[str]) -> tuple[str, ...]:
    """The types of these categories, in the order of ``OPERATION_TYPES``. Raises ConfigError."""
    wanted = _known("category", categories, CATEGORIES)
    return tuple(name for name, row in OPERATION_TYPES.items() if row.category in wanted)


def checked_types(types: Iterable[str]) -> tuple[str, ...]:
    """``types``, if each is an operation type and none comes twice. Raises ConfigError."""
    return _known("operation type", types, OPERATION_TYPES)


def policy_space(
    types: Sequence[str] = PUBLISHED_TYPES,
    *,
    sub_policies: int = 5,
    operations: int = 2,
    probabilities: bool = True,
) -> dict[str, Any]:
    """The search space of all policies of so many sub-policies of so many operations of these types.

    Without ``probabilities`` every operation is always applied. Raises ConfigError.
    """
    _check_number("sub_policies", sub_policies, MAX_SUB_POLICIES)
    _check_number("operations", operations, MAX_OPERATIONS)
    choice = {"_type": "choice", "_value": list(checked_types(types))}
    domains = {"operation": choice, "prob": UNIT, "magnitude": UNIT}
    if not probabilities:
        del domains["prob"]
    return {
        f"{kind}{i}_{j}": domain
        for i in range(1, sub_policies + 1)
        for j in range(1, operations + 1)
        for kind, domain in domains.items()
    }


def space_text(space: Mapping[str, Any]) -> str:
    """The content of a search space's file, a parameter in each line."""
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(domain)}" for name, domain in space.items())
    return f"{{\n{lines}\n}}\n"


def read_space(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The search space in the JSON file at ``path``, not checked further. Raises ConfigError."""
    text = read_text(path, "search space", ConfigError)
    try:
        space = parse_json(text)
    except ValueError as error:
        raise ConfigError(f"search space {path} is not JSON: {error}") from None
    if not isinstance(space, dict):
        raise ConfigError(f"search space {path} must hold a JSON object, got {type(space).__name__}")
    return space


def is_space_file(path: str | os.PathLike[str]) -> bool:
    """Whether the file at ``path`` holds a search space: domains by name, as NNI writes them."""
    try:
        space = read_space(path)
    except ConfigError:
        return False
    return all(isinstance(domain, dict) and {"_type", "_value"} <= domain.keys() for domain in space.values())


def _known(what: str, names: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """``names`` as they are. Raises ConfigError for one that is not ``known``, for one that comes twice, for none."""
    names, choices = tuple(names), tuple(known)
    for place, name in enumerate(names):
        if name not in choices:
            raise ConfigError(f"{what} must be one of {', '.join(choices)}; got {name!r}")
        if name in names[:place]:
            raise ConfigError(f"{what} {name!r} is named twice")
    if not names:
        raise ConfigError(f"at least one {what} is needed, of {', '.join(choices)}")
    return names


def _check_number(name: str, number: object, largest: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= largest:
        raise ConfigError(f"{name} must be a whole number from 1 to {largest}, got {number!r}")

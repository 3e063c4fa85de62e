"""Finds the policy inside a search space, and checks that its sub-policies line up.

A policy is a set of sub-policies that all have the same places: ``operation{i}_{j}``, ``magnitude{i}_{j}`` and, for all
operations or for none, ``prob{i}_{j}``. What uses the structure of a policy can rely on a PolicyLayout.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from tuun_da.errors import PolicyError, SearchSpaceError
from tuun_da.operations import OPERATION_TYPES
from tuun_da.policy_format import is_policy_parameter, policy_places
from tuun_da.search.domains import Choice
from tuun_da.search.space import Column, SearchSpace

LOOKS_LIKE_ONE = re.compile(r"\s*([a-z]+)[\s_.-]*([0-9]+)(?:[\s_.-]+([0-9]+))?\s*", re.IGNORECASE)
SPELLINGS = {
    "operation": "operation",
    "op": "operation",
    "prob": "prob",
    "probability": "prob",
    "magnitude": "magnitude",
    "mag": "magnitude",
}


@dataclass(frozen=True)
class PolicyLayout:
    """Where the policy is in a space.

    ``types`` are the operation types that it offers, at one place or another, in the order of ``OPERATION_TYPES``.
    ``others`` are the names of the parameters of the outermost level that are no part of the policy.
    """

    sub_policies: int
    operations_per_sub_policy: int
    has_prob: bool
    types: tuple[str, ...]
    others: tuple[str, ...]


def find_policy(space: SearchSpace) -> PolicyLayout | None:
    """The layout of the policy in ``space``, None if no parameter belongs to one. Raises SearchSpaceError."""
    for column in space.columns:
        if column.parent is not None and is_policy_parameter(column.path[-1]):
            raise SearchSpaceError(
                f"policy parameters must stand at the outermost level of the search space, got {column.name} "
                f"inside choice {space.columns[column.parent[0]].name}"
            )
    outermost = {column.name: column for column in space.columns if column.parent is None}
    policy = {name: column for name, column in outermost.items() if is_policy_parameter(name)}
    if not policy:
        return None
    for name in outermost:
        meant = None if name in policy else _meant(name)
        if meant is not None:
            raise SearchSpaceError(
                f"search space: parameter {name} is no policy parameter, which are named operation{{i}}_{{j}}, "
                f"prob{{i}}_{{j}} or magnitude{{i}}_{{j}} with i and j from 1 on; did you mean {meant}?"
            )
    try:
        places = policy_places(policy)
    except PolicyError as error:
        raise SearchSpaceError(f"search space: {error}") from None
    has_prob = any(name.startswith("prob") for name in policy)
    for operations in places:
        for i, j in operations:
            for kind in ("operation", "prob", "magnitude") if has_prob else ("operation", "magnitude"):
                _check_place(policy, kind, i, j)
        if len(operations) != len(places[0]):
            raise SearchSpaceError(
                f"all sub-policies must have the same number of operations; sub-policy 1 has {len(places[0])}, "
                f"sub-policy {operations[0][0]} has {len(operations)}"
            )
    offered: set[object] = set()
    for name, column in policy.items():
        if name.startswith("operation") and isinstance(column.domain, Choice):
            offered.update(column.domain.options)
    types = tuple(name for name in OPERATION_TYPES if name in offered)
    others = tuple(name for name in outermost if name not in policy)
    return PolicyLayout(len(places), len(places[0]), has_prob, types, others)


def _meant(name: str) -> str | None:
    """The policy parameter that ``name`` probably stands for, None if it does not look like one."""
    match = LOOKS_LIKE_ONE.fullmatch(name)
    close = match and difflib.get_close_matches(match[1].lower(), SPELLINGS, n=1, cutoff=0.8)
    if not match or not close:
        return None
    i, j = int(match[2]), int(match[3] or 1)
    return f"{SPELLINGS[close[0]]}{max(i, 1)}_{max(j, 1)}"


def _check_place(policy: dict[str, Column], kind: str, i: int, j: int) -> None:
    """Raises SearchSpaceError if ``{kind}{i}_{j}`` is missing or has a domain that a policy cannot have."""
    name = f"{kind}{i}_{j}"
    if name not in policy:
        why = "; probabilities must be given for all operations or for none" if kind == "prob" else ""
        raise SearchSpaceError(f"policy parameter {name} is missing from the search space{why}")
    domain = policy[name].domain
    if kind != "operation":
        if domain.bounds is None:
            raise SearchSpaceError(f"{name} must be numbers in [0, 1], got {_described(domain)}")
        low, high = domain.bounds
        if not 0.0 <= low <= high <= 1.0:
            raise SearchSpaceError(f"{name} must lie in [0, 1], got a range of [{low:g}, {high:g}]")
        return
    if not isinstance(domain, Choice) or domain.nested:
        raise SearchSpaceError(f"{name} must be a choice of operation types, got {_described(domain)}")
    for option in domain.options:
        if not isinstance(option, str) or option not in OPERATION_TYPES:
            raise SearchSpaceError(
                f"{name} must be a choice of operation types ({', '.join(OPERATION_TYPES)}); got {option!r}"
            )


def _described(domain: object) -> str:
    if isinstance(domain, Choice):
        return f"a choice of {', '.join(map(repr, domain.options))}"
    return f"a range of numbers ({type(domain).__name__.lower()})"

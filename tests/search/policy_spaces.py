"""Search spaces with a policy in them, and other ways to write the same policy."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from nni_spaces import MIXED_JSON, UNIT, policy_json

from tuun_da.errors import SearchSpaceError
from tuun_da.operations import OPERATION_TYPES, PUBLISHED_TYPES
from tuun_da.search.domains import Floats
from tuun_da.search.policy_space import PolicyLayout, find_policy
from tuun_da.search.space import SearchSpace

TYPES = list(PUBLISHED_TYPES)
FEW_TYPES = ("channelPermutation", "rotate", "cutout", "invert")  # not in the order of the table
BESIDE: dict[str, Any] = {"lr": {"_type": "loguniform", "_value": [1e-4, 1]}, "optimizer": MIXED_JSON["optimizer"]}


def unlike_json() -> dict[str, Any]:
    """Every place lists the types in an order of its own."""
    space = policy_json(3, 2)
    for shift, name in enumerate(name for name in list(space) if name.startswith("operation")):
        space[name] = {"_type": "choice", "_value": TYPES[2 * shift :] + TYPES[: 2 * shift]}
    return space


def subsets_json() -> dict[str, Any]:
    """Geometry comes first and color second, except in the last sub-policy, which has ranges of its own, too."""
    space = policy_json(3, 2)
    for i in (1, 2, 3):
        first, second = ([*TYPES[:5], "invert"], TYPES[5:]) if i < 3 else (TYPES[8:], ["equalize", "rotate"])
        space |= {f"operation{i}_{j}": {"_type": "choice", "_value": types} for j, types in ((1, first), (2, second))}
    space["magnitude3_1"] = {"_type": "uniform", "_value": [0.25, 0.75]}
    space["prob3_2"] = {"_type": "quniform", "_value": [0, 1, 0.25]}
    return space


def levels_json() -> dict[str, Any]:
    """Probabilities on a grid, magnitudes as a choice of numbers."""
    space = policy_json(3, 2)
    for name in space:
        if name.startswith("prob"):
            space[name] = {"_type": "quniform", "_value": [0, 1, 0.25]}
        if name.startswith("magnitude"):
            space[name] = {"_type": "choice", "_value": [0.9, 0.1, 0.5, 1]}
    return space


SPACES: dict[str, dict[str, Any]] = {
    "30": policy_json(),
    "20": policy_json(prob=False),
    "1x1": policy_json(1, 1),
    "3x4": policy_json(3, 4),
    "with others": {"n": MIXED_JSON["n"]} | policy_json(2, 2) | BESIDE,
    "unlike": unlike_json(),
    "subsets": subsets_json(),
    "levels": levels_json(),
    "all types": policy_json(3, 2, types=tuple(OPERATION_TYPES)),
    "few types": policy_json(2, 2, types=FEW_TYPES),
}


@functools.cache
def space_of(name: str) -> SearchSpace:
    return SearchSpace.from_nni(SPACES[name])


def layout_of(space: SearchSpace) -> PolicyLayout:
    layout = find_policy(space)
    assert layout is not None
    return layout


def some_settings(space: SearchSpace, n: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Settings of which about a third of the operations never happens, as far as the space has that."""
    settings = space.sample(n, rng)
    for params in settings:
        for name in params:
            if name.startswith("prob") and rng.random() < 0.3:
                params[name] = 0.0
    return settings


def points_of(space: SearchSpace, settings: list[dict[str, Any]]) -> Floats:
    return np.array([space.encode(params) for params in settings])


def rewritten(space: SearchSpace, params: dict[str, Any], how: str, rng: np.random.Generator) -> dict[str, Any]:
    """Another setting that is the same policy; the same setting where the space does not have the other."""
    other, fresh, layout = dict(params), space.sample(1, rng)[0], layout_of(space)
    places = [(i, j) for i in range(1, layout.sub_policies + 1) for j in range(1, layout.operations_per_sub_policy + 1)]
    if how == "order":
        order = rng.permutation(layout.sub_policies) + 1
        for i, j in places:
            for kind in ("operation", "prob", "magnitude")[:: 1 if layout.has_prob else 2]:
                other[f"{kind}{i}_{j}"] = params[f"{kind}{order[i - 1]}_{j}"]
    for i, j in places:
        operation = f"operation{i}_{j}"
        never = layout.has_prob and params[f"prob{i}_{j}"] == 0
        if (how == "magnitude" and not OPERATION_TYPES[params[operation]].has_magnitude) or (how == "never" and never):
            other[f"magnitude{i}_{j}"] = fresh[f"magnitude{i}_{j}"]
        if how == "never" and never:
            other[operation] = fresh[operation]
    try:
        space.validate(other)
    except SearchSpaceError:
        return params
    return other


def written_twice(name: str, seed: int, how: str) -> tuple[SearchSpace, list[dict[str, Any]], list[dict[str, Any]]]:
    """The space of that name, six settings of it, and the same policies written otherwise."""
    space, rng = space_of(name), np.random.default_rng(seed)
    params = some_settings(space, 6, rng)
    return space, params, [rewritten(space, each, how, rng) for each in params]


HOW = ("order", "magnitude", "never")
__all__ = [
    "BESIDE",
    "FEW_TYPES",
    "HOW",
    "SPACES",
    "TYPES",
    "UNIT",
    "layout_of",
    "points_of",
    "rewritten",
    "some_settings",
    "space_of",
    "written_twice",
]

"""Search spaces for the tests of this folder, and hypothesis strategies that make them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from tuun_da.operations import PUBLISHED_TYPES

UNIT = {"_type": "uniform", "_value": [0, 1]}


def policy_json(
    sub_policies: int = 5, operations: int = 2, prob: bool = True, types: Sequence[str] = PUBLISHED_TYPES
) -> dict[str, Any]:
    """The policy space in NNI's JSON: 30 parameters and the 16 published types by default."""
    space: dict[str, Any] = {}
    for i in range(1, sub_policies + 1):
        for j in range(1, operations + 1):
            space[f"operation{i}_{j}"] = {"_type": "choice", "_value": list(types)}
            if prob:
                space[f"prob{i}_{j}"] = dict(UNIT)
            space[f"magnitude{i}_{j}"] = dict(UNIT)
    return space


MIXED_JSON: dict[str, Any] = {
    "kind": {"_type": "choice", "_value": ["a", "b", "c", "d"]},
    "x": UNIT,
    "n": {"_type": "randint", "_value": [0, 10]},
    "optimizer": {
        "_type": "choice",
        "_value": [{"_name": "sgd", "lr": {"_type": "loguniform", "_value": [1e-4, 1]}}, {"_name": "adam"}],
    },
}

EVERY_TYPE_JSON: dict[str, Any] = {
    "choice": {"_type": "choice", "_value": [1, "x", None, True, [1, 2.5], {"a": 1}]},
    "randint": {"_type": "randint", "_value": [-2, 5]},
    "uniform": {"_type": "uniform", "_value": [-3, 4.5]},
    "quniform": {"_type": "quniform", "_value": [0.3, 5.7, 1]},
    "loguniform": {"_type": "loguniform", "_value": [1e-5, 10]},
    "qloguniform": {"_type": "qloguniform", "_value": [1, 100, 5]},
    "normal": {"_type": "normal", "_value": [3, 2]},
    "qnormal": {"_type": "qnormal", "_value": [1, 4, 0.5]},
    "lognormal": {"_type": "lognormal", "_value": [-1, 0.7]},
    "qlognormal": {"_type": "qlognormal", "_value": [1, 0.5, 0.25]},
    "layer": {
        "_type": "choice",
        "_value": [
            {
                "_name": "conv",
                "size": {"_type": "choice", "_value": [3, 5]},
                "inner": {"_type": "choice", "_value": [{"_name": "none"}, {"_name": "some", "share": UNIT}]},
            },
            {"_name": "pool", "size": {"_type": "quniform", "_value": [2, 4, 1]}},
            {"_name": "identity"},
        ],
    },
}


def after_node(params: Any) -> Any:
    """Parameters as they come back from NNI's manager: through JSON, with 1.0 written as 1."""

    def shorten(value: Any) -> Any:
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
            return int(value)
        if isinstance(value, list | tuple):
            return [shorten(item) for item in value]
        if isinstance(value, dict):
            return {key: shorten(item) for key, item in value.items()}
        return value

    return json.loads(json.dumps(shorten(params)))


_moderate = st.floats(-100, 100).map(lambda x: round(x, 3))
_width = st.floats(0.01, 100).map(lambda x: round(x, 3))
_positive = st.floats(0.01, 10).map(lambda x: round(x, 3))
_step = st.sampled_from([0.01, 0.1, 0.25, 1 / 3, 1.0, 2.0, 7.5])
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | _moderate | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=4,
)


def _spec(kind: str, *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda value: {"_type": kind, "_value": list(value)})


def _range(low: st.SearchStrategy[float], *rest: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.tuples(low, _width, *rest).map(lambda drawn: [drawn[0], round(drawn[0] + drawn[1], 6), *drawn[2:]])


finite_specs = st.one_of(
    st.lists(_values, min_size=1, max_size=5).map(lambda value: {"_type": "choice", "_value": value}),
    st.tuples(st.integers(-50, 50), st.integers(1, 30)).map(
        lambda drawn: {"_type": "randint", "_value": [drawn[0], drawn[0] + drawn[1]]}
    ),
    _range(_moderate, _step).map(lambda value: {"_type": "quniform", "_value": value}),
    _range(_positive, _step).map(lambda value: {"_type": "qloguniform", "_value": value}),
    _spec("qnormal", _moderate, _positive, _step),
    _spec("qlognormal", st.floats(-2, 2), st.floats(0.1, 1), _step),
)
infinite_specs = st.one_of(
    _range(_moderate).map(lambda value: {"_type": "uniform", "_value": value}),
    _range(_positive).map(lambda value: {"_type": "loguniform", "_value": value}),
    _spec("normal", _moderate, _positive),
    _spec("lognormal", st.floats(-2, 2), st.floats(0.1, 2)),
)
_names = st.sampled_from(["a", "b", "c", "lr", "size"])


def spaces(specs: st.SearchStrategy[dict[str, Any]], depth: int = 2) -> st.SearchStrategy[dict[str, Any]]:
    """Search spaces in NNI's JSON, with choices nested up to ``depth`` levels."""
    if depth == 0:
        return st.dictionaries(_names, specs, min_size=1, max_size=3)
    option = st.just({}) | spaces(specs, depth - 1)
    nested = st.lists(option, min_size=1, max_size=3).map(
        lambda options: {
            "_type": "choice",
            "_value": [{"_name": f"option{i}", **option} for i, option in enumerate(options)],
        }
    )
    return st.dictionaries(_names, specs | nested, min_size=1, max_size=3)


any_space = spaces(finite_specs | infinite_specs)
once_nested_space = spaces(finite_specs | infinite_specs, depth=1)
finite_space = spaces(finite_specs, depth=1)


def close(a: Any, b: Any) -> bool:
    """Whether two settings are the same, floats to within rounding."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(close(a[key], b[key]) for key in a)
    if isinstance(a, float) and isinstance(b, int | float) and not isinstance(b, bool):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-6)
    return bool(a == b and isinstance(a, bool) == isinstance(b, bool))

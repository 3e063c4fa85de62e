"""YAML without its surprises: plain values only, no key twice, nothing that is small in the file and huge in memory.

Configurations are trusted, for they hold the commands that will be run. These limits are for mistakes, and for search
spaces, which are data.
"""

from __future__ import annotations

import math
from typing import Any

import yaml

from tuun_da.data_files import MAX_DEPTH, shown

MAX_BYTES = 500_000  # PyYAML takes 10 s for them
MAX_VALUES = 200_000  # what aliases stand for is counted each time


class _Loader(yaml.SafeLoader):
    """Refuses a mapping with a key twice, of which YAML readers take the first, the last or none."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [(key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(names)) < len(names):
            seen: set[tuple[str, str]] = set()
            twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {shown(twice[1])} comes twice", node.start_mark
            )
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


def parse_yaml(text: str) -> Any:
    """The value in ``text``. Raises ValueError, which says in a line what is wrong with it."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES} bytes")
    try:
        value = yaml.load(text, _Loader)  # a SafeLoader: no objects
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (
        yaml.YAMLError,
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        IndexError,
    ) as error:  # PyYAML's own, of odd tags
        raise ValueError(" ".join(str(error).split())) from None
    _measured(value, {}, 0)
    return value


def _measured(value: Any, known: dict[int, tuple[int, int]], depth: int) -> tuple[int, int]:
    """How many values there are in ``value``, and how deeply they are nested. Raises ValueError where it is too much.

    ``known`` has what was measured before, by the object's id: an alias is the object that it names.
    """
    if isinstance(value, int) and abs(value) > 10**308:
        raise ValueError("a whole number is too large")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no number that can be used")
    if not isinstance(value, dict | list | tuple | set):
        return 1, 0
    if id(value) in known:
        return known[id(value)]
    if depth > MAX_DEPTH:
        raise ValueError(f"it is nested too deeply: {MAX_DEPTH} levels are allowed")
    inner = [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)
    measured = [_measured(entry, known, depth + 1) for entry in inner]
    count, height = 1 + sum(n for n, _ in measured), 1 + max((h for _, h in measured), default=0)
    if count > MAX_VALUES:
        raise ValueError(f"it has more than {MAX_VALUES} values")
    if height > MAX_DEPTH:
        raise ValueError(f"it is nested too deeply: {MAX_DEPTH} levels are allowed")
    known[id(value)] = count, height
    return count, height

"""A YAML file of keys and values, read without surprises: no key twice, no tabs, no file that unfolds into millions.

The one place that imports yaml. Only plain data is made (``SafeLoader``), never an object of a class. Configurations
are trusted, for they hold commands; the limits are for mistakes, and for search spaces, which are data.
"""

from __future__ import annotations

import math
import os
from typing import Any

import yaml

from tuun_da.data_files import MAX_DEPTH, read_bytes
from tuun_da.errors import ConfigError

MAX_BYTES = 500_000  # PyYAML takes 10 s for them
MAX_VALUES = 100_000
"""Values in a file once its aliases are written out: ten lines of aliases of aliases can stand for a billion."""


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The keys and values in the file at ``path``. Raises ConfigError, which names file and line."""
    raw = read_bytes(path, "configuration", ConfigError, limit=MAX_BYTES)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not YAML: it is not UTF-8 text") from None
    content = parse_yaml(text, str(path))
    if not isinstance(content, dict):
        got = "an empty file" if content is None else type(content).__name__
        raise ConfigError(f"{path}: must hold keys and values, got {got}")
    return content


def parse_yaml(text: str, source: str) -> Any:
    """The value that ``text`` describes; ``source`` names it in errors. Raises ConfigError."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise ConfigError(f"{source}: is larger than {MAX_BYTES} bytes")
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _size(node, source, {}, set())
            value = loader.construct_document(node)
            _check_values(value, source, set(), 0)
            return value
        finally:
            loader.dispose()
    except ConfigError:  # which is a ValueError, too
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark is not None and "'\\t'" in str(error.problem):
            raise ConfigError(f"{source}, line {mark.line + 1}: a tab indents it; YAML wants spaces") from None
        raise ConfigError(f"{source}: is not YAML: {_one_line(error)}") from None
    except RecursionError:
        raise ConfigError(f"{source}: is not YAML: it is nested too deeply") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError) as error:  # PyYAML's own, of odd tags
        raise ConfigError(f"{source}: is not YAML: {_one_line(error)}") from None


def yaml_scalar(value: object) -> str:
    """``value``, a text, number, truth value or None, as YAML writes it: what is read back is the same."""
    written: str = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return written.removesuffix("\n").removesuffix("...").removesuffix("\n")


def _size(node: yaml.Node, source: str, known: dict[int, int], above: set[int]) -> int:
    """How many values ``node`` stands for, its aliases written out. Raises ConfigError for too many, or a key twice."""
    if id(node) in known:
        return known[id(node)]
    if id(node) in above:
        raise ConfigError(f"{source}, line {node.start_mark.line + 1}: an alias stands inside of what it stands for")
    above.add(id(node))
    total = 1
    if isinstance(node, yaml.ScalarNode):
        _refuse_surprise(node, source)
    if isinstance(node, yaml.MappingNode):
        lines: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                if (key.tag, key.value) in lines:
                    first = lines[key.tag, key.value]
                    raise ConfigError(f"{source}, line {line}: {key.value}: is there twice, first in line {first}")
                lines[key.tag, key.value] = line
            total += _size(key, source, known, above) + _size(value, source, known, above)
    elif isinstance(node, yaml.SequenceNode):
        total += sum(_size(item, source, known, above) for item in node.value)
    above.discard(id(node))
    if total > MAX_VALUES:
        raise ConfigError(
            f"{source}, line {node.start_mark.line + 1}: stands for more than {MAX_VALUES} values, once its aliases "
            "are written out"
        )
    known[id(node)] = total
    return total


def _check_values(value: Any, source: str, seen: set[int], depth: int) -> None:
    """Raise ConfigError for a number that cannot be used, and for what is nested too deeply."""
    if isinstance(value, int) and abs(value) > 10**308:
        raise ConfigError(f"{source}: a whole number is too large")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{source}: {value} is no number that can be used")
    if not isinstance(value, dict | list | tuple | set) or id(value) in seen:
        return
    seen.add(id(value))
    if depth >= MAX_DEPTH:
        raise ConfigError(f"{source}: is nested too deeply: {MAX_DEPTH} levels are allowed")
    for entry in [*value.keys(), *value.values()] if isinstance(value, dict) else value:
        _check_values(entry, source, seen, depth + 1)


def _refuse_surprise(node: yaml.ScalarNode, source: str) -> None:
    """Raise ConfigError for a number of base 8 or 60, which YAML 1.1 has: 0100 would be 64, and 1:30 be 90."""
    digits = node.value.lstrip("+-").replace("_", "")
    if node.style is not None or not node.tag.endswith((":int", ":float")):
        return
    is_octal = digits.isdigit() and digits[0] == "0" and int(digits, 8) != int(digits)
    if is_octal or ":" in digits:
        raise ConfigError(
            f"{source}, line {node.start_mark.line + 1}: YAML takes {node.value} for a number of base "
            f"{8 if is_octal else 60}; write it without zeros in front and colons, or in quotes if it is text"
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).replace('in "<unicode string>", ', "in ").split())

"""Hostile variants of real files: a value in their JSON replaced, a key renamed, bytes flipped, an end cut off."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

HOSTILE_TEXTS = (
    "", "\0", "../../etc/passwd", "/dev/zero", "a\nb", "\x1b[31m", "\u202egpj.exe", "\ud800", "x" * 5000, "<script>",
    "=cmd()", "${HOME}", "__class__", "1e999", "NaN", "none", "module:function", "\u2028", "'\"`;--", "%s%n", "🤯",
)  # fmt: skip
HOSTILE_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, -(2**64), 10**300, 1e308, -1e308, 5e-324, -0.0, 0.5, 1e-300,
    [], {}, [[]], [{}], {"": None}, [None] * 50, [1, 2], [0.0, 1.0], [1, 0], ["a"], [["a", 0.5, 0.5]], {"_name": "a"},
    {"_type": "choice", "_value": []}, {"_type": "randint", "_value": [0, 2**50]},
    {"_type": "uniform", "_value": [0, 0]},
    {"_type": "qnormal", "_value": [0, 1e300, 1e-300]}, {"_type": "choice", "_value": [{"_name": "a"}, {"_name": []}]},
    {"data": "folder:/"}, {"settings": 3}, {"train": []}, *HOSTILE_TEXTS,
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in ``value``."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from places(inner, (*path, place))


def damaged(value: Any, rng: random.Random) -> Any:
    """``value`` with one change somewhere in it."""
    value = copy.deepcopy(value)
    path = rng.choice(list(places(value))[1:] or [()])
    if not path:
        return rng.choice(HOSTILE_VALUES)
    holder = value
    for step in path[:-1]:
        holder = holder[step]
    last, kind = path[-1], rng.randrange(10)
    if kind == 0:
        del holder[last]
    elif kind == 1 and isinstance(holder, dict):
        holder[rng.choice(HOSTILE_TEXTS)] = holder.pop(last)
    elif kind == 2 and isinstance(holder, list):
        holder.extend([holder[last]] * rng.choice((1, 3, 200)))
    else:
        holder[last] = copy.deepcopy(rng.choice(HOSTILE_VALUES))
    return value


def damaged_lines(raw: bytes, rng: random.Random) -> bytes:
    """Lines of JSON with one or two changes in their values, or with lines doubled, left out or changed in order."""
    lines = [json.loads(line) for line in raw.splitlines()]
    for _ in range(rng.randint(1, 2)):
        if rng.random() < 0.15:
            lines.insert(rng.randrange(len(lines)), copy.deepcopy(rng.choice(lines)))
        place = rng.randrange(len(lines))
        lines[place] = damaged(lines[place], rng)
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def flipped(raw: bytes, rng: random.Random) -> bytes:
    """Up to four bytes changed, put in or taken out."""
    changed = bytearray(raw)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(changed) + 1)
        kind = rng.randrange(3)
        if kind == 0 and place < len(changed):
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[place:place] = rng.choice(
                (b"[", b"{", b'"', b"\\", b"9" * 400, b"\xff", b"\0", b"-", b"e9", b",", b"\n")
            )
        else:
            del changed[place : place + rng.randint(1, 20)]
    return bytes(changed)

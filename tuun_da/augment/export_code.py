"""A file of code, put together from fixed pieces: the functions that a policy needs, and the table of the policy.

Whatever a policy file says reaches the code as the name of a known type or as a finite number.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tuun_da import __version__
from tuun_da.errors import PolicyError
from tuun_da.operations import OPERATION_TYPES
from tuun_da.policy_format import PolicyRecord

FIRST_LINE = "# Written by `tuun-da export"
"""How every written file begins."""

LINE_LENGTH = 120


@dataclass(frozen=True)
class Piece:
    """A function of the written file: its name and text, the helpers that it calls, the lines of import it needs."""

    name: str
    code: str
    calls: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Target:
    """All that files for one library consist of.

    ``head`` is the rest of the file's docstring, ``standard`` and ``imports`` what every file imports from the standard
    library and from elsewhere, ``operations`` has a function ``(image, value, chance) -> image`` for each type, and
    ``tail`` draws and applies.
    """

    name: str
    head: str
    standard: tuple[str, ...]
    imports: str
    helpers: Mapping[str, Piece]
    operations: Mapping[str, Piece]
    tail: str


def written_code(record: PolicyRecord, target: Target) -> str:
    """The file for ``target`` that does what ``record`` says. Raises PolicyError for a type that it has no code for."""
    types = used_types(record, target)
    operations = [target.operations[name] for name in types]
    helpers = called_helpers(operations, target.helpers)
    lines = {*target.standard, *(line for piece in (*operations, *helpers) for line in piece.imports)}
    signed = [name for name in types if OPERATION_TYPES[name].signed]
    parts = [
        f"{FIRST_LINE} --to {target.name}`, tuun_da {__version__}.\n",
        f'"""{about(record)}\n{target.head}"""\n',
        "\nfrom __future__ import annotations\n",
        "\n" + "\n".join(sorted(lines, key=lambda line: (line.startswith("from"), line))) + "\n",
        target.imports,
        f"\nUNCHANGED_SHARE = {number(record.unchanged_share)}  # of the images\n",
        policy_table(record),
        *("\n" + piece.code for piece in (*helpers, *operations)),
        "\n\nFUNCTIONS = {\n" + "".join(f'    "{name}": {target.operations[name].name},\n' for name in types) + "}\n",
        f"SIGNED = {{{', '.join(map(quoted, signed))}}}\n" if signed else "SIGNED: set[str] = set()\n",
        "\n" + target.tail,
    ]
    return "".join(parts)


def about(record: PolicyRecord) -> str:
    """The first paragraphs of the file's docstring."""
    n = len(record.sub_policies)
    sentences = [
        f"For each image, one of {n} sub-policies is drawn, all equally likely, and each of its operations is applied "
        "with its own probability, one after the other. Where an operation has a sign, that is drawn anew each time."
    ]
    if record.unchanged_share > 0.0:
        sentences.append(f"A share of {number(record.unchanged_share)} of the images stays as it is.")
    if record.per == "batch":
        sentences.append(
            "The policy was made to be applied per batch (one sub-policy for a whole mini-batch); here it is applied "
            "per image."
        )
    return "An augmentation policy.\n\n" + textwrap.fill(" ".join(sentences), LINE_LENGTH)


def used_types(record: PolicyRecord, target: Target) -> list[str]:
    """The types in ``record``, in the order of ``target``. Raises PolicyError for one that ``target`` lacks."""
    used = set()
    for i, sub_policy in enumerate(record.sub_policies, 1):
        for j, operation in enumerate(sub_policy.operations, 1):
            if operation.type not in target.operations:
                raise PolicyError(
                    f"operation {j} of sub-policy {i}: {operation.type} cannot be exported to {target.name}; "
                    f"what can is {', '.join(target.operations)}"
                )
            used.add(operation.type)
    return [name for name in target.operations if name in used]


def called_helpers(pieces: Iterable[Piece], helpers: Mapping[str, Piece]) -> list[Piece]:
    """The helpers that ``pieces`` call, and those that these call, in the order of ``helpers``."""
    called: set[str] = set()
    waiting = [name for piece in pieces for name in piece.calls]
    while waiting:
        name = waiting.pop()
        if name not in called:
            called.add(name)
            waiting.extend(helpers[name].calls)
    return [piece for name, piece in helpers.items() if name in called]


def policy_table(record: PolicyRecord) -> str:
    """The sub-policies as a tuple of tuples of (type, probability, value)."""
    lines = ["SUB_POLICIES = (  # type, probability, value"]
    for sub_policy in record.sub_policies:
        lines.append("    (")
        for operation in sub_policy.operations:
            row = OPERATION_TYPES[operation.type]
            unit = f"  # {'+- ' if row.signed else ''}{row.unit}" if row.has_magnitude else ""
            numbers = f"{number(operation.probability)}, {number(operation.value)}"
            lines.append(f"        ({quoted(operation.type)}, {numbers}),{unit}")
        lines.append("    ),")
    return "\n".join([*lines, ")\n"])


def number(value: float) -> str:
    """``value`` as code that gives the same number again."""
    if not math.isfinite(value):
        raise PolicyError(f"a number of a policy must be finite, got {value!r}")
    return repr(float(value))


def quoted(name: str) -> str:
    """The name of a type as code."""
    if name not in OPERATION_TYPES or not name.isidentifier():
        raise PolicyError(f"operation type must be one of {', '.join(OPERATION_TYPES)}; got {name!r}")
    return f'"{name}"'

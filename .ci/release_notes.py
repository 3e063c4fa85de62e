"""Prints what CHANGELOG.md says of a tag's version; ends with 1 where tag, version, changelog or citation disagree.

    python .ci/release_notes.py v0.1.0 > notes.md

Runs without the package's dependencies.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def release_notes(tag: str, repository: Path = REPOSITORY) -> str:
    """The entry of the changelog for ``tag``, such as v0.1.0. Raises ValueError for what is not ready."""
    version = version_of(repository)
    if tag != f"v{version}":
        raise ValueError(f"the tag must be v{version}, as tuun_da/__init__.py says; got {tag}")
    cited = re.search(r"^version: *(\S+)$", (repository / "CITATION.cff").read_text(), re.MULTILINE)
    if cited is None or cited[1].strip("\"'") != version:
        raise ValueError(f"CITATION.cff must have version: {version}, got {cited and cited[1]}")
    entry = re.search(
        rf"^## {re.escape(version)}(.*)\n((?:(?!## ).*\n?)*)", (repository / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    if entry is None or not entry[2].strip():
        raise ValueError(f"CHANGELOG.md has no entry ## {version}")
    if not re.fullmatch(r", \d{4}-\d\d-\d\d", entry[1]):
        raise ValueError(f"the entry in CHANGELOG.md must be ## {version}, YEAR-MONTH-DAY; got ## {version}{entry[1]}")
    return entry[2].strip() + "\n"


def version_of(repository: Path) -> str:
    """``__version__`` of the package, read without importing it."""
    for statement in ast.parse((repository / "tuun_da" / "__init__.py").read_text()).body:
        if isinstance(statement, ast.Assign) and [ast.unparse(name) for name in statement.targets] == ["__version__"]:
            return str(ast.literal_eval(statement.value))
    raise ValueError("tuun_da/__init__.py has no __version__")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python .ci/release_notes.py TAG")
    try:
        print(release_notes(sys.argv[1]), end="")
    except ValueError as error:
        sys.exit(f"release: {error}")

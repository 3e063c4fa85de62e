"""What ``tuun-da init`` writes: the project's own configurations, search spaces and trial script.

In a checkout the three folders beside this file are links to those at the top; a wheel has copies.
"""

from __future__ import annotations

from pathlib import Path

PATTERNS = ("nni_configs/*.yml", "nni_configs/register/*.yml", "search_spaces/*.json", "trials/*.py")


def starter_files() -> dict[str, Path]:
    """The files by the path that they get, such as ``nni_configs/digits.yml``."""
    home = Path(__file__).parent
    return {str(path.relative_to(home)): path for pattern in PATTERNS for path in sorted(home.glob(pattern))}

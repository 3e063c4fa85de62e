"""What several commands do with their options."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from tuun_da.errors import ConfigError

EXIT_INTERRUPTED = 130


def check_output(output: str, option: str = "--output") -> None:
    """A search of hours must not fail at its last step."""
    path = Path(output).resolve()
    usable = not path.exists() or path.is_file()
    if not usable or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise ConfigError(f"{option} must be a file in a folder that can be written, got {output!r}")


def names_in(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def baselines_of(options: argparse.Namespace) -> list[str]:
    return names_in(options.baselines)


def confirmation_path(policy: str) -> str:
    return str(Path(policy).with_suffix(".confirmation.json"))

"""``tuun-da init``: the files that an experiment starts from."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tuun_da.commands.options import add_command
from tuun_da.errors import ConfigError

if TYPE_CHECKING:
    from tuun_da.commands.options import Subparsers


def add_parser(commands: Subparsers) -> None:
    """Add this command to the command line."""
    parser = add_command(
        commands,
        "init",
        init,
        "write configurations, search spaces and the trial script into a folder",
        "tuun-da init my_search",
    )
    parser.add_argument("folder", nargs="?", default=".", help="(default: this folder)")


def init(options: argparse.Namespace) -> int:
    """Copy the files that an experiment starts from; the exit code."""
    from tuun_da.starter import starter_files

    folder = Path(options.folder)
    files = starter_files()
    taken = [name for name in files if (folder / name).exists()]
    if taken:
        raise ConfigError(f"{folder / taken[0]} is there already; nothing was written")
    for name, source in files.items():
        target = folder / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        except OSError as error:
            raise ConfigError(f"{target} cannot be written: {error.strerror}") from None
        print(target)
    print("Start with: tuun-da search --config nni_configs/digits.yml --confirm")
    return 0

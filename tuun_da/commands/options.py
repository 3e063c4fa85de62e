"""Options that several commands have, and what several do with them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tuun_da.errors import ConfigError, TuunDaError

if TYPE_CHECKING:
    Subparsers: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

EXIT_INTERRUPTED = 130
EXPERIMENT_HELP = "an NNI experiment's id or folder, or a journal file"


def add_command(
    commands: Subparsers, name: str, run: Callable[[argparse.Namespace], int], text: str, example: str
) -> argparse.ArgumentParser:
    """Add a command; ``text`` says what it does, and goes on "tuun-da NAME: ..."."""
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"example:  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,  # an example is copied from one line
    )
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    command.set_defaults(run=run)
    return command


def add_confirm_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a confirmation to ``parser``."""
    group = parser.add_argument_group("confirmation on the test images")
    group.add_argument(
        "--seeds",
        type=int,
        default=5,
        metavar="N",
        help="trainings each; fewer than 5 decide nothing (default: %(default)s)",
    )
    group.add_argument(
        "--baselines",
        default="none,etp,trivialaugment,etp+policy",
        metavar="NAMES",
        help="some of none, etp (crop + flip), etp+cutout, autoaugment-cifar10, autoaugment-svhn, "
        "autoaugment-imagenet, randaugment, trivialaugment, trivialaugment-narrow, and etp+policy, the policy on "
        "top of crop + flip (default: %(default)s)",
    )
    group.add_argument(
        "--candidates",
        type=int,
        metavar="K",
        help="recommended policies among which fresh validation images choose (default: 3)",
    )
    group.add_argument("--workers", type=int, metavar="N", help="trainings side by side (default: one a core or GPU)")
    group.add_argument("--device", default="auto", help="as for train.py (default: %(default)s)")
    group.add_argument(
        "--model", metavar="NAME", help="another model than the search's; module:function must be named here"
    )
    group.add_argument("--data-dir", metavar="FOLDER", help="where downloaded data sets are, if not where they were")


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """Let a file hold the options of ``parser``; ``settings_file`` reads it before the command is run."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="YAML file with options by their names, such as epochs: 30; what stands here on the command line wins, "
        "and paths in it are seen from the folder in which the command runs",
    )


def check_replaceable(output: str, is_own: Callable[[Path], bool], option: str = "--output") -> None:
    """Raise ConfigError where ``output`` is a file that is not empty and not what the command writes itself."""
    path = Path(output).resolve()
    if path.exists() and path.stat().st_size and not is_own(path):
        raise ConfigError(f"{option} is there already, and this command did not write it: {output!r}")


def is_policy_file(path: Path) -> bool:
    """Whether the file at ``path`` holds a policy."""
    from tuun_da.policy_format import PolicyRecord

    return _loads(PolicyRecord.load, path)


def is_probe_file(path: Path) -> bool:
    """Whether the file at ``path`` holds a probe."""
    from tuun_da.probe_format import ProbeRecord

    return _loads(ProbeRecord.load, path)


def _loads(load: Callable[[Path], object], path: Path) -> bool:
    try:
        load(path)
    except TuunDaError:
        return False
    return True


def check_output(output: str, option: str = "--output") -> None:
    """A search of hours must not fail at its last step."""
    try:
        path = Path(output).resolve()
        circular = path.is_symlink()
    except RuntimeError:  # so before Python 3.13
        circular = True
    if circular:
        raise ConfigError(f"{option} must be a file, got {output!r}, a link that leads in a circle")
    usable = not path.exists() or path.is_file()
    if not usable or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise ConfigError(f"{option} must be a file in a folder that can be written, got {output!r}")


def names_in(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def baselines_of(options: argparse.Namespace) -> list[str]:
    return names_in(options.baselines)


def format_of(asked: str | None, output: Path | None, suffixes: dict[str, str], otherwise: str) -> str:
    """The format that was asked for, or that the file's ending tells."""
    if asked is not None:
        return asked
    return otherwise if output is None else suffixes.get(output.suffix.lower(), otherwise)


def beginning_of(path: Path) -> str:
    """The first 4 KiB of a file, as text."""
    with open(path, "rb") as file:
        return file.read(4096).decode("utf-8", errors="replace")

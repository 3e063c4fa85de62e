"""``tuun-da trials``: an experiment's trials, to read and to compute with."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tuun_da.commands.options import (
    EXPERIMENT_HELP,
    add_command,
    beginning_of,
    check_output,
    check_replaceable,
    format_of,
)
from tuun_da.plain_text import printable

if TYPE_CHECKING:
    from tuun_da.commands.options import Subparsers

SUFFIXES = {".csv": "csv", ".json": "json"}


def add_parser(commands: Subparsers) -> None:
    """Add this command to the command line."""
    parser = add_command(
        commands,
        "trials",
        trials,
        "print or write the trials of an experiment, running, stopped or ended",
        "tuun-da trials a1b2c3d4 --format csv -o trials.csv",
    )
    parser.add_argument("experiment", metavar="EXPERIMENT", help=EXPERIMENT_HELP)
    parser.add_argument(
        "--format", choices=("table", "csv", "json"), help="(default: what OUTPUT ends in, or else table)"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="(default: the terminal)")


def trials(options: argparse.Namespace) -> int:
    """Print or write the trials of an experiment; the exit code."""
    from tuun_da.data_files import write_atomically
    from tuun_da.engines.experiment_files import find_journal
    from tuun_da.report.trials_table import is_trials_file, trials_csv, trials_json, trials_table
    from tuun_da.search.history import read_journal

    output = None
    if options.output is not None:
        check_output(options.output)
        check_replaceable(options.output, lambda path: is_trials_file(beginning_of(path)))
        output = Path(options.output).resolve()
    form = format_of(options.format, output, SUFFIXES, "table")
    content = read_journal(find_journal(options.experiment))
    text = {"table": trials_table, "csv": trials_csv, "json": trials_json}[form](content)
    if output is None:
        sys.stdout.write(printable(text, limit=None) if sys.stdout.isatty() else text)
        return 0
    write_atomically(output, text)
    print(f"Written to {output}")
    return 0

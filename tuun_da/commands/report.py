"""``tuun-da report``: what an experiment came to, as a page to read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tuun_da.commands.options import EXPERIMENT_HELP, add_command, check_output, format_of
from tuun_da.errors import ConfigError
from tuun_da.plain_text import printable

if TYPE_CHECKING:
    from tuun_da.commands.options import Subparsers


def add_parser(commands: Subparsers) -> None:
    """Add this command to the command line."""
    parser = add_command(
        commands,
        "report",
        report,
        "write what an experiment came to, running or ended, as one HTML page, Markdown or JSON",
        "tuun-da report a1b2c3d4 -o report.html",
    )
    parser.add_argument("experiment", metavar="EXPERIMENT", help=EXPERIMENT_HELP)
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="(default: report.html, or report.md, report.json by --format)"
    )
    parser.add_argument(
        "--format", choices=("html", "md", "json"), help="(default: what OUTPUT ends in; html where it ends otherwise)"
    )
    parser.add_argument(
        "--confirmation",
        metavar="FILE",
        help="what tuun-da confirm wrote (default: best_policy.confirmation.json beside the experiment's policy file)",
    )
    parser.add_argument(
        "--images",
        metavar="PATH",
        help="pictures of the policy on these: a folder, an image file, a data set as digits, or none (default: the "
        "trials' data, if they are here)",
    )
    parser.add_argument("--data-dir", metavar="FOLDER", help="where downloaded data sets are, if not where they were")
    parser.add_argument("--cost-per-hour", type=float, metavar="PRICE", help="of the machine, to tell what it all cost")
    parser.add_argument(
        "--paths",
        action="store_true",
        help="show whole paths (default: ~ stands for home folders, … for the folders of others)",
    )


def report(options: argparse.Namespace) -> int:
    """Write the report of a running, stopped or ended experiment; the exit code."""
    from tuun_da.api.experiment_report import SUFFIXES, experiment_report, is_report, write_report
    from tuun_da.engines.experiment_files import find_journal

    named = f"report.{options.format or 'html'}" if options.output is None else options.output
    check_output(named)
    output = Path(named).resolve()
    form = format_of(options.format, output, SUFFIXES, "html")
    if output.exists() and not is_report(output):
        raise ConfigError(f"--output is there already, and this command did not write it: {named!r}")
    made = experiment_report(
        find_journal(options.experiment),
        named=options.experiment,
        confirmation=options.confirmation,
        images=options.images,
        data_dir=options.data_dir,
        cost_per_hour=options.cost_per_hour,
        paths=options.paths,
        beside=(output.parent,),
        with_pictures=form == "html",
    )
    write_report(made, output, form)
    if form == "html" and made.record is not None and not made.pictures.rows:
        print(printable(made.pictures.why_none))
    print(f"Written to {output}")
    return 0

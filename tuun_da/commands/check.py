"""``tuun-da check``: what there is to know of a data set before a search."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tuun_da.commands.options import add_command, add_config_option, beginning_of, check_output, format_of
from tuun_da.errors import ConfigError
from tuun_da.training.options import DATA_NAMES, add_data_options

if TYPE_CHECKING:
    from tuun_da.commands.options import Subparsers

EXIT_UNFIT = 1
SUFFIXES = {".json": "json", ".txt": "text"}
QUIET_SECONDS = 2.0


def add_parser(commands: Subparsers) -> None:
    """Add this command to the command line."""
    parser = add_command(
        commands,
        "check",
        check,
        "look at a data set before a search: counts, imbalance, sizes, broken files, duplicates",
        "tuun-da check --data ./images --picture images.png",
    )
    parser.add_argument("--format", choices=("text", "json"), help="(default: what OUTPUT ends in, or else text)")
    parser.add_argument("-o", "--output", metavar="FILE", help="(default: the terminal)")
    parser.add_argument(
        "--picture", metavar="FILE", help="draw some images of each class, and the counts, into this .png file"
    )
    parser.add_argument(
        "--columns", type=int, default=8, metavar="N", help="images of each class in the picture (default: %(default)s)"
    )
    add_data_options(parser, required=True)
    add_config_option(parser)


def check(options: argparse.Namespace) -> int:
    """Say what a data set is like; the exit code, 1 where a search would fail."""
    from tuun_da.training.checks import checked_integer
    from tuun_da.training.data_spec import data_spec
    from tuun_da.training.settings import DataConfig

    settings = {name: getattr(options, name) for name in DATA_NAMES}
    config = DataConfig(**{**settings, "data": data_spec(options.data)})
    checked_integer("columns", options.columns, low=1, high=100)
    output = _writable(options.output, "--output")
    picture = _writable(options.picture, "--picture")
    if picture is not None and picture == output:
        raise ConfigError(f"--picture must be another file than --output, got {options.picture!r}")

    # Only now what takes seconds to import.
    from tuun_da.data_files import write_atomically
    from tuun_da.engines.progress_bar import ProgressBar
    from tuun_da.report.data_picture import check_data_picture_path, is_data_picture, save_data_picture
    from tuun_da.report.data_text import data_json, data_text, is_data_check
    from tuun_da.training.data_check import facts_of_look
    from tuun_da.training.data_look import look_at
    from tuun_da.training.data_samples import samples_of

    if output is not None and output.exists() and not is_data_check(beginning_of(output)):
        raise ConfigError(f"--output is there already, and this command did not write it: {options.output!r}")
    if picture is not None:
        check_data_picture_path(picture)
        if picture.exists() and not is_data_picture(picture):  # one of the images, it may be
            raise ConfigError(f"--picture is there already, and this command did not write it: {options.picture!r}")

    began = time.monotonic()
    with contextlib.closing(ProgressBar(sys.stderr)) as bar:

        def show(stage: str, done: int, total: int) -> None:
            if time.monotonic() - began > QUIET_SECONDS:
                bar.show(stage.capitalize(), done, total, "files")

        look = look_at(config, show)
        facts = facts_of_look(look, config)

    form = format_of(options.format, output, SUFFIXES, "text")
    text = data_json(facts) if form == "json" else data_text(facts)
    if output is None:
        sys.stdout.write(text)
    else:
        write_atomically(output, text)
        print(facts.summary())
    if picture is not None:
        save_data_picture(facts, samples_of(look, options.columns), picture)
    for path in (output, picture):
        if path is not None:  # beside JSON on the terminal it would be no JSON
            print(f"Written to {path}", file=sys.stderr if output is None and form == "json" else sys.stdout)
    return 0 if facts.can_search else EXIT_UNFIT


def _writable(path: str | None, option: str) -> Path | None:
    if path is None:
        return None
    check_output(path, option)
    return Path(path).resolve()

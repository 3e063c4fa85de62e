"""The command line: ``tuun-da search | best | confirm | ...``. A user's mistake ends with a line, not a traceback."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence

from tuun_da import __version__
from tuun_da.commands import best, confirm, export, init, node_options, probe, report, search, show, space, trials
from tuun_da.commands.options import EXIT_INTERRUPTED
from tuun_da.errors import ExperimentError, TuunDaError
from tuun_da.plain_text import PrintableFormatter, printable

EXIT_MISTAKE = 2
EXIT_FAILED = 1

COMMANDS = (search, best, report, trials, confirm, probe, space, export, show, init, node_options)
"""Their modules, in the order of the help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0 done, 1 an experiment failed, 2 a mistake, 130 Ctrl-C."""
    options = _parser().parse_args(arguments)
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(PrintableFormatter())  # warnings quote names of files
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):  # a closed terminal, too, ends what was started
            signal.signal(number, _interrupt)
    try:
        code: int = options.run(options)
        return code
    except TuunDaError as error:
        if options.debug:
            raise
        print(printable(f"tuun-da {options.command}: {error}"), file=sys.stderr)
        return EXIT_FAILED if isinstance(error, ExperimentError) else EXIT_MISTAKE
    except OSError as error:  # a full disk, a folder that may not be written
        if options.debug:
            raise
        print(printable(f"tuun-da {options.command}: {error}"), file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        if options.debug:
            raise
        print(f"tuun-da {options.command}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tuun-da", description="Searches an augmentation policy for your images.")
    parser.add_argument("--version", action="version", version=f"tuun_da {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())

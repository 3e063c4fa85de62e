"""The command line: ``tuun-da search | best | confirm | ...``. A user's mistake ends with a line, not a traceback."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence

from tuun_da import __version__
from tuun_da.commands import (
    best,
    check,
    confirm,
    export,
    init,
    node_options,
    probe,
    report,
    search,
    show,
    space,
    train,
    trials,
)
from tuun_da.commands.command_parser import CommandParser
from tuun_da.commands.options import EXIT_INTERRUPTED
from tuun_da.commands.settings_file import read_options
from tuun_da.errors import ExperimentError, TrainingError, TuunDaError
from tuun_da.plain_text import PrintableFormatter, printable

EXIT_MISTAKE = 2
EXIT_FAILED = 1

COMMANDS = (search, train, confirm, report, best, trials, export, show, probe, space, check, init, node_options)
"""Their modules, in the order of the help."""

EXIT_CODES = """exit codes:
  0    done
  1    it failed: no trial came to a score, a training broke off, the disk is full
  2    a mistake: an unknown option, a file that is not there or not what it should be
  130  interrupted by Ctrl-C; what has finished is kept

A mistake is told in a line; --debug shows where in the program it was found."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0 done, 1 it failed, 2 a mistake, 130 Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    _open_what_is_closed()
    _show_what_the_terminal_can()
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(PrintableFormatter())  # warnings quote names of files
    name, debug = "tuun-da", "--debug" in arguments
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):  # a closed terminal, too, ends what was started
            if signal.getsignal(number) is not signal.SIG_IGN:  # but not under nohup
                signal.signal(number, _interrupt)
    try:
        name = f"tuun-da {next((a for a in arguments if not a.startswith('-')), '')}".rstrip()
        options = read_options(_parser, arguments)
        debug = options.debug
        code: int = options.run(options)
        sys.stdout.flush()  # here, where a reader that has gone can be dealt with
        return code
    except SystemExit:  # argparse: a help that was printed, or a mistake
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            _discard_output()
        raise
    except TuunDaError as error:
        if debug:
            raise
        print(printable(f"{name}: {error}"), file=sys.stderr)
        return EXIT_FAILED if isinstance(error, ExperimentError | TrainingError) else EXIT_MISTAKE
    except BrokenPipeError:  # `tuun-da trials x | head`: nobody reads on, which is no mistake to talk about
        _discard_output()
        return EXIT_FAILED
    except OSError as error:  # a full disk, a folder that may not be written
        if debug:
            raise
        print(printable(f"{name}: {error}"), file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        if debug:
            raise
        print(f"{name}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _open_what_is_closed() -> None:
    """Where the shell closed an output (``>&-``), Python has None in its place; what is written there goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))  # until the program ends


def _show_what_the_terminal_can() -> None:
    """A letter that the terminal's encoding does not have is written as its number, and ends nothing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Python flushes what is left when it ends, and would complain of the closed pipe once more."""
    with contextlib.suppress(OSError, ValueError):  # a standard output of a test has no number
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _parser() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    parser = CommandParser(
        prog="tuun-da",
        description="Searches an augmentation policy for your images.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tuun_da {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_parser(commands)
    return parser, commands.choices


if __name__ == "__main__":
    sys.exit(main())

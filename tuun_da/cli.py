"""The command line: ``tuun-da search | best | confirm | ...``. A user's mistake ends with a line, not a traceback."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

from tuun_da import __version__
from tuun_da.commands import experiments, files, reports
from tuun_da.commands.common import EXIT_INTERRUPTED
from tuun_da.errors import ExperimentError, TuunDaError
from tuun_da.operations import CATEGORIES
from tuun_da.training.options import PROBE_DEFAULTS, add_training_options

EXIT_MISTAKE = 2
EXIT_FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0 done, 1 an experiment failed, 2 a mistake, 130 Ctrl-C."""
    options = _parser().parse_args(arguments)
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):  # a closed terminal, too, ends what was started
            signal.signal(number, _interrupt)
    try:
        code: int = options.run(options)
        return code
    except TuunDaError as error:
        if options.debug:
            raise
        print(f"tuun-da {options.command}: {error}", file=sys.stderr)
        return EXIT_FAILED if isinstance(error, ExperimentError) else EXIT_MISTAKE
    except OSError as error:  # a full disk, a folder that may not be written
        if options.debug:
            raise
        print(f"tuun-da {options.command}: {error}", file=sys.stderr)
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

    search = _command(
        commands,
        "search",
        experiments.search,
        "run an NNI experiment to its end, and export the best policy",
        "tuun-da search --config nni_configs/digits.yml --confirm",
    )
    search.add_argument("--config", required=True, metavar="FILE", help="an NNI experiment, as for nnictl create")
    search.add_argument("--port", type=int, help="port of NNI's web page (default: the first free one from 8080 on)")
    search.add_argument(
        "--listen-all",
        action="store_true",
        help="open NNI's web page, which has no login, to the network (default: this machine only)",
    )
    search.add_argument(
        "-o", "--output", default="best_policy.json", metavar="FILE", help="policy file (default: %(default)s)"
    )
    search.add_argument("--confirm", action="store_true", help="at the end, do what tuun-da confirm does")
    _confirm_options(search)

    best = _command(
        commands,
        "best",
        experiments.best,
        "print and write the policy that an experiment recommends, running or ended",
        "tuun-da best a1b2c3d4 -o best_policy.json",
    )
    best.add_argument("experiment", metavar="EXPERIMENT", help="an NNI experiment's id or folder, or a journal file")
    best.add_argument(
        "-o", "--output", default="best_policy.json", metavar="FILE", help="policy file (default: %(default)s)"
    )

    report = _command(
        commands,
        "report",
        reports.report,
        "write what an experiment came to, running or ended, as one HTML page, Markdown or JSON",
        "tuun-da report a1b2c3d4 -o report.html",
    )
    report.add_argument("experiment", metavar="EXPERIMENT", help="an NNI experiment's id or folder, or a journal file")
    report.add_argument("-o", "--output", default="report.html", metavar="FILE", help="(default: %(default)s)")
    report.add_argument(
        "--format", choices=("html", "md", "json"), help="(default: what OUTPUT ends in; html where it ends otherwise)"
    )
    report.add_argument(
        "--confirmation",
        metavar="FILE",
        help="what tuun-da confirm wrote (default: best_policy.confirmation.json beside the experiment's policy file)",
    )
    report.add_argument(
        "--images",
        metavar="PATH",
        help="pictures of the policy on these: a folder, an image file, a data set as digits, or none (default: the "
        "trials' data, if they are here)",
    )
    report.add_argument("--data-dir", metavar="FOLDER", help="where downloaded data sets are, if not where they were")
    report.add_argument("--cost-per-hour", type=float, metavar="PRICE", help="of the machine, to tell what it all cost")
    report.add_argument("--paths", action="store_true", help="show home folders (default: ~ stands for them)")

    trials = _command(
        commands,
        "trials",
        reports.trials,
        "print or write the trials of an experiment, running, stopped or ended",
        "tuun-da trials a1b2c3d4 --format csv -o trials.csv",
    )
    trials.add_argument("experiment", metavar="EXPERIMENT", help="an NNI experiment's id or folder, or a journal file")
    trials.add_argument(
        "--format", choices=("table", "csv", "json"), help="(default: what OUTPUT ends in, or else table)"
    )
    trials.add_argument("-o", "--output", metavar="FILE", help="(default: the terminal)")

    confirm = _command(
        commands,
        "confirm",
        experiments.confirm,
        "compare a policy with baselines on the test images, by fresh trainings",
        "tuun-da confirm best_policy.json --seeds 10 --baselines none,etp,trivialaugment",
    )
    confirm.add_argument("policy", metavar="POLICY", help="a policy file that a search wrote")
    confirm.add_argument(
        "-o", "--output", metavar="FILE", help="result as JSON (default: POLICY with the ending .confirmation.json)"
    )
    _confirm_options(confirm)

    probe = _command(
        commands,
        "probe",
        files.probe,
        "measure what each operation does to your images: one training, a JSON file, a picture",
        "tuun-da probe --data digits -o probe.json",
    )
    probe.add_argument("-o", "--output", default="probe.json", metavar="FILE", help="probe file (default: %(default)s)")
    probe.add_argument(
        "--picture", metavar="FILE", help="heat map as .png, .svg or .pdf (default: OUTPUT with the ending .png)"
    )
    measured = probe.add_mutually_exclusive_group()
    measured.add_argument("--space", metavar="FILE", help="measure the operation types of this search space (JSON)")
    measured.add_argument(
        "--types", metavar="NAMES", help="measure these operation types (default: the 16 of the published search space)"
    )
    add_training_options(probe, PROBE_DEFAULTS)

    space = _command(
        commands,
        "space",
        files.space,
        "write a search space for policies of the operation types that you choose",
        "tuun-da space --categories geometric,color --sub-policies 5 -o space.json",
    )
    chosen = space.add_mutually_exclusive_group()
    chosen.add_argument("--categories", metavar="NAMES", help=f"some of {', '.join(CATEGORIES)}: all types of these")
    chosen.add_argument(
        "--types", metavar="NAMES", help="exactly these types (default: the 16 of the published search space)"
    )
    space.add_argument("--sub-policies", type=int, default=5, metavar="N", help="(default: %(default)s)")
    space.add_argument("--operations", type=int, default=2, metavar="N", help="of a sub-policy (default: %(default)s)")
    space.add_argument(
        "--no-probabilities", action="store_true", help="always apply every operation, as DeepAugment does"
    )
    space.add_argument(
        "-o", "--output", default="space.json", metavar="FILE", help="search space file (default: %(default)s)"
    )

    export = _command(
        commands,
        "export",
        files.export,
        "write a policy as a Python file for torchvision or albumentations that runs without tuun_da",
        "tuun-da export best_policy.json --to torchvision -o augmentation.py",
    )
    export.add_argument("policy", metavar="POLICY", help="a policy file")
    export.add_argument("--to", required=True, choices=("torchvision", "albumentations"), help="the library it is for")
    export.add_argument(
        "-o", "--output", default="augmentation.py", metavar="FILE", help="Python file (default: %(default)s)"
    )

    show = _command(
        commands,
        "show",
        files.show,
        "draw a contact sheet: images as they are, and under each sub-policy of a policy",
        "tuun-da show best_policy.json --images digits -o sheet.png",
    )
    show.add_argument("policy", metavar="POLICY", help="a policy file")
    show.add_argument(
        "--images", required=True, metavar="PATH", help="a folder of images, an image file, or a data set, as digits"
    )
    show.add_argument("--data-dir", metavar="FOLDER", help="where downloaded data sets are kept")
    show.add_argument("-o", "--output", default="sheet.png", metavar="FILE", help=".png file (default: %(default)s)")
    show.add_argument("--rows", type=int, metavar="N", help="sub-policies at most (default: all)")
    show.add_argument("--columns", type=int, default=8, metavar="N", help="images at most (default: %(default)s)")
    show.add_argument("--seed", type=int, default=0, metavar="N", help="draws the operations (default: %(default)s)")

    init = _command(
        commands,
        "init",
        files.init,
        "write configurations, search spaces and the trial script into a folder",
        "tuun-da init my_search",
    )
    init.add_argument("folder", nargs="?", default=".", help="(default: this folder)")

    _command(
        commands,
        "node-options",
        experiments.node_options,
        "print the NODE_OPTIONS with which nnictl keeps NNI's web page on this machine",
        'export NODE_OPTIONS="$(tuun-da node-options)"',
    )
    return parser


def _command(commands: Any, name: str, run: Any, text: str, example: str) -> argparse.ArgumentParser:
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


def _confirm_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("confirmation on the test images")
    group.add_argument("--seeds", type=int, default=5, metavar="N", help="trainings each (default: %(default)s)")
    group.add_argument(
        "--baselines",
        default="none,trivialaugment",
        metavar="NAMES",
        help="some of none, etp, etp+cutout, autoaugment-cifar10, autoaugment-svhn, autoaugment-imagenet, randaugment, "
        "trivialaugment, trivialaugment-narrow (default: %(default)s)",
    )
    group.add_argument("--workers", type=int, metavar="N", help="trainings side by side (default: one a core or GPU)")
    group.add_argument("--device", default="auto", help="as for train.py (default: %(default)s)")
    group.add_argument(
        "--model", metavar="NAME", help="another model than the search's; module:function must be named here"
    )
    group.add_argument("--data-dir", metavar="FOLDER", help="where downloaded data sets are, if not where they were")


if __name__ == "__main__":
    sys.exit(main())

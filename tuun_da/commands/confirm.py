"""``tuun-da confirm``: a policy against what costs no search, on the test images."""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tuun_da.commands.options import add_command, add_confirm_options, baselines_of, check_output
from tuun_da.engines.experiment_files import confirmation_path
from tuun_da.errors import ConfigError

if TYPE_CHECKING:
    from tuun_da.commands.options import Subparsers


def add_parser(commands: Subparsers) -> None:
    """Add this command to the command line."""
    parser = add_command(
        commands,
        "confirm",
        confirm,
        "compare a policy with baselines on the test images, by fresh trainings",
        "tuun-da confirm best_policy.json --seeds 10 --baselines none,etp,trivialaugment",
    )
    parser.add_argument("policy", metavar="POLICY", help="a policy file that a search wrote")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="result as JSON (default: POLICY with the ending .confirmation.json)"
    )
    add_confirm_options(parser)


def confirm(options: argparse.Namespace) -> int:
    """Compare a policy with baselines on the test images; the exit code."""
    from tuun_da.data_files import write_atomically
    from tuun_da.engines.confirm import confirm
    from tuun_da.engines.progress_bar import ProgressBar
    from tuun_da.policy_format import PolicyRecord

    record = PolicyRecord.load(options.policy)
    output = options.output or confirmation_path(options.policy)
    check_output(output)
    if Path(output).resolve() == Path(options.policy).resolve():
        raise ConfigError(f"--output must be another file than the policy, got {output!r}")
    with contextlib.closing(ProgressBar()) as bar:
        result = confirm(
            record,
            baselines=baselines_of(options),
            n_seeds=options.seeds,
            workers=options.workers,
            device=options.device,
            overrides={
                name: getattr(options, name) for name in ("model", "data_dir") if getattr(options, name) is not None
            },
            on_progress=lambda done, total: bar.show("Confirming on the test images", done, total, "trainings"),
        )
    print(result.to_text())
    write_atomically(Path(output).resolve(), json.dumps(result.to_dict(), indent=2) + "\n")
    print(f"Written to {Path(output).resolve()}")
    return 0

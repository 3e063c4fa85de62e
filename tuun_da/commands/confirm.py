"""``tuun-da confirm``: the policy of an experiment against what costs no search, on the test images."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuun_da.commands.options import (
    EXPERIMENT_HELP,
    add_command,
    add_config_option,
    add_confirm_options,
    baselines_of,
    beginning_of,
    check_output,
)
from tuun_da.engines.experiment_files import confirmation_path
from tuun_da.errors import ConfigError, PolicyError

if TYPE_CHECKING:
    from tuun_da.commands.options import Subparsers
    from tuun_da.engines.confirmation import Confirmation
    from tuun_da.search.history import JournalContent

ENDING = ".confirmation.json"
JOURNAL_BEGIN = '{"kind": "header"'


def add_parser(commands: Subparsers) -> None:
    """Add this command to the command line."""
    parser = add_command(
        commands,
        "confirm",
        confirm,
        "choose the policy of an experiment on fresh images, and compare it with baselines on the test images",
        "tuun-da confirm a1b2c3d4 --seeds 10 --baselines none,etp,trivialaugment",
    )
    parser.add_argument("experiment", metavar="EXPERIMENT", help=f"{EXPERIMENT_HELP}, or a policy file")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="result as JSON (default: beside the policy or the journal, with the ending .confirmation.json); the "
        "policy that was chosen is written beside it",
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="another length of the trainings than the search's")
    parser.add_argument(
        "--fresh", action="store_true", help="begin anew, instead of going on with the trainings that are done"
    )
    add_confirm_options(parser)
    add_config_option(parser)


def confirm(options: argparse.Namespace) -> int:
    """Confirm the policy of an experiment, or that of a file; the exit code."""
    from tuun_da.engines.experiment_files import find_journal
    from tuun_da.search.history import read_journal

    names = ("model", "data_dir", "epochs")
    overrides = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if _is_policy(options.experiment):
        _confirm_file(options, overrides)
        return 0
    path = find_journal(options.experiment)
    in_folder = path.name == "journal.jsonl"
    usual = path.with_name(f"best_policy{ENDING}") if in_folder else path.with_suffix(ENDING)
    output = options.output or str(usual)
    confirm_journal(
        read_journal(path),
        path.parent,
        options,
        overrides,
        output=output,
        policy_output=policy_path(output),
        experiment=path.parent.parent.name if path.parent.name == "checkpoint" else None,
        fresh=options.fresh,
    )
    return 0


def confirm_journal(
    content: JournalContent,
    folder: Path,
    options: argparse.Namespace,
    overrides: dict[str, Any],
    *,
    output: str,
    policy_output: str,
    experiment: str | None,
    fresh: bool = False,
) -> Confirmation:
    """Confirm what a journal recommends; print the result, and write it to ``output`` and the policy beside it.

    ``folder`` is the journal's; ``options`` are those of ``add_confirm_options``.
    """
    from tuun_da.engines.confirm import N_CANDIDATES, confirm_experiment
    from tuun_da.engines.progress_bar import ProgressBar
    from tuun_da.policy_format import describe

    check_output(output)
    _check_policy_output(policy_output, output)
    with _kept_on_ctrl_c(), contextlib.closing(ProgressBar()) as bar:
        result = confirm_experiment(
            content,
            folder,
            experiment=experiment,
            n_candidates=N_CANDIDATES if options.candidates is None else options.candidates,
            baselines=baselines_of(options),
            n_seeds=options.seeds,
            workers=options.workers,
            device=options.device,
            overrides=overrides,
            fresh=fresh,
            on_progress=lambda stage, done, total: bar.show(stage, done, total, "trainings"),
        )
    if result.record is not None:
        result.record.save(Path(policy_output).resolve())
        print(f"The policy of trial {result.record.searched.get('trial')}: {Path(policy_output).resolve()}")
        print(describe(result.record.sub_policies))
    _write(result, output)
    return result


def policy_path(output: str) -> str:
    """Where the confirmed policy goes, beside a confirmation."""
    path = Path(output)
    if path.name.endswith(ENDING):
        return str(path.with_name(path.name.removesuffix(ENDING) + ".json"))
    return str(path.with_suffix(".policy.json"))


def _confirm_file(options: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from tuun_da.engines.confirm import confirm
    from tuun_da.engines.progress_bar import ProgressBar
    from tuun_da.policy_format import PolicyRecord

    record = PolicyRecord.load(options.experiment)
    if options.candidates is not None:
        raise ConfigError(f"--candidates is for experiments; {options.experiment} is one policy")
    output = options.output or confirmation_path(options.experiment)
    check_output(output)
    if Path(output).resolve() == Path(options.experiment).resolve():
        raise ConfigError(f"--output must be another file than the policy, got {output!r}")
    with _kept_on_ctrl_c(), contextlib.closing(ProgressBar()) as bar:
        result = confirm(
            record,
            folder=Path(options.experiment).resolve().parent,
            baselines=baselines_of(options),
            n_seeds=options.seeds,
            workers=options.workers,
            device=options.device,
            overrides=overrides,
            fresh=options.fresh,
            on_progress=lambda stage, done, total: bar.show(stage, done, total, "trainings"),
        )
    _write(result, output)


def _write(result: Confirmation, output: str) -> None:
    from tuun_da.data_files import write_atomically

    print(f"\n{result.to_text()}\n")
    write_atomically(Path(output).resolve(), json.dumps(result.to_dict(), indent=2) + "\n")
    print(f"Written to {Path(output).resolve()}")


def _is_policy(name: str) -> bool:
    """Whether it is a file and no journal; also a file that is not there but should be a policy by its name."""
    path = Path(name)
    if path.is_file():
        return not beginning_of(path).startswith(JOURNAL_BEGIN) and path.suffix != ".jsonl"
    return path.suffix == ".json"


def _check_policy_output(policy_output: str, output: str) -> None:
    """Only a policy may be overwritten by a policy."""
    from tuun_da.policy_format import PolicyRecord

    path = Path(policy_output)
    check_output(policy_output)
    if path.resolve() == Path(output).resolve():
        raise ConfigError(f"--output must be another file than the policy, got {output!r}")
    if path.exists():
        try:
            PolicyRecord.load(path)
        except PolicyError as error:
            raise ConfigError(f"the confirmed policy would go to {policy_output}, which is none: {error}") from None


@contextlib.contextmanager
def _kept_on_ctrl_c() -> Any:
    """Say what becomes of the work that is done."""
    try:
        yield
    except KeyboardInterrupt:
        print("\nThe trainings that are done are kept; the same command goes on with them.", file=sys.stderr)
        raise

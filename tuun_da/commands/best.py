"""``tuun-da best``: the policy that an experiment recommends."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tuun_da.commands.options import EXPERIMENT_HELP, add_command, check_output, check_replaceable, is_policy_file
from tuun_da.engines.experiment_files import POLICY_NAME
from tuun_da.plain_text import printable

if TYPE_CHECKING:
    from tuun_da.commands.options import Subparsers
    from tuun_da.engines.export import Recommendation
    from tuun_da.search.history import JournalContent


def add_parser(commands: Subparsers) -> None:
    """Add this command to the command line."""
    parser = add_command(
        commands,
        "best",
        best,
        "print and write the policy that an experiment recommends, running or ended",
        "tuun-da best a1b2c3d4 -o best_policy.json",
    )
    parser.add_argument("experiment", metavar="EXPERIMENT", help=EXPERIMENT_HELP)
    parser.add_argument(
        "-o", "--output", default=POLICY_NAME, metavar="FILE", help="policy file (default: %(default)s)"
    )


def best(options: argparse.Namespace) -> int:
    """Write the policy that a stopped, running or finished experiment recommends; the exit code."""
    from tuun_da.engines.experiment_files import find_journal
    from tuun_da.search.history import read_journal

    path = find_journal(options.experiment)
    check_output(options.output)
    check_replaceable(options.output, is_policy_file)
    experiment = path.parent.parent.name if path.parent.name == "checkpoint" else None
    content = read_journal(path)
    from tuun_da.api.confirmed_policy import chosen_recommendation

    _write(content, chosen_recommendation(content, path, experiment=experiment), options.output)
    return 0


def write_recommended(journal: JournalContent, experiment_id: str | None, output: str) -> bool:
    """Print what the journal recommends and write the policy file; False where the search space holds no policy."""
    from tuun_da.engines.export import recommend

    return _write(journal, recommend(journal, experiment=experiment_id), output)


def _write(journal: JournalContent, recommendation: Recommendation, output: str) -> bool:
    from tuun_da.policy_format import describe

    trial, record = recommendation.trial, recommendation.record
    n_scores = sum(t.value is not None and t.state.value == "succeeded" for t in journal.trials)
    print(f"\nRecommended after {n_scores} complete trials: trial {trial.id}, which scored {trial.value:.4f}")
    if record is None:
        print(json.dumps(dict(recommendation.parameters), indent=2))
        return False
    print(describe(record.sub_policies))
    for name, value in record.searched["other_parameters"].items():
        print(printable(f"{name}: {value}"))
    record.save(Path(output).resolve())  # through a link, not in its place
    print(f"Written to {Path(output).resolve()}")
    return True

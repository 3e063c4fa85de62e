"""``tuun-da export``: a policy as code of another library."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tuun_da.commands.options import add_command, check_output, check_replaceable

if TYPE_CHECKING:
    from tuun_da.commands.options import Subparsers


def add_parser(commands: Subparsers) -> None:
    """Add this command to the command line."""
    parser = add_command(
        commands,
        "export",
        export,
        "write a policy as a Python file for torchvision or albumentations that runs without tuun_da",
        "tuun-da export best_policy.json --to torchvision -o augmentation.py",
    )
    parser.add_argument("policy", metavar="POLICY", help="a policy file")
    parser.add_argument("--to", required=True, choices=("torchvision", "albumentations"), help="the library it is for")
    parser.add_argument(
        "-o", "--output", default="augmentation.py", metavar="FILE", help="Python file (default: %(default)s)"
    )


def export(options: argparse.Namespace) -> int:
    """Write a policy as a Python file for another library; the exit code."""
    from tuun_da.augment.export import is_exported_file, policy_code
    from tuun_da.data_files import write_atomically
    from tuun_da.policy_format import PolicyRecord

    record = PolicyRecord.load(options.policy)
    check_output(options.output)
    check_replaceable(options.output, is_exported_file)
    output = Path(options.output).resolve()
    write_atomically(output, policy_code(record, options.to))
    if record.per == "batch":
        print("This policy draws one sub-policy for each mini-batch; the file draws one for each image.")
    if record.on_top_of_etp:
        print("It was searched on top of crop + flip, which the file leaves to you: do these first, then the policy.")
    print(f"Written to {output}")
    return 0

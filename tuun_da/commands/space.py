"""``tuun-da space``: a search space of operation types."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tuun_da.commands.options import add_command, check_output, check_replaceable, names_in
from tuun_da.operations import CATEGORIES, PUBLISHED_TYPES

if TYPE_CHECKING:
    from tuun_da.commands.options import Subparsers


def add_parser(commands: Subparsers) -> None:
    """Add this command to the command line."""
    parser = add_command(
        commands,
        "space",
        space,
        "write a search space for policies of the operation types that you choose",
        "tuun-da space --categories geometric,color --sub-policies 5 -o space.json",
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--categories", metavar="NAMES", help=f"some of {', '.join(CATEGORIES)}: all types of these")
    chosen.add_argument(
        "--types", metavar="NAMES", help="exactly these types (default: the 16 of the published search space)"
    )
    parser.add_argument("--sub-policies", type=int, default=5, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--operations", type=int, default=2, metavar="N", help="of a sub-policy (default: %(default)s)")
    parser.add_argument(
        "--no-probabilities", action="store_true", help="always apply every operation, as DeepAugment does"
    )
    parser.add_argument(
        "-o", "--output", default="space.json", metavar="FILE", help="search space file (default: %(default)s)"
    )


def space(options: argparse.Namespace) -> int:
    """Write a search space of operation types; the exit code."""
    from tuun_da.data_files import write_atomically
    from tuun_da.space_file import checked_types, is_space_file, policy_space, space_text, types_of_categories

    types = PUBLISHED_TYPES
    if options.categories is not None:
        types = types_of_categories(names_in(options.categories))
    elif options.types is not None:
        types = checked_types(names_in(options.types))
    space = policy_space(
        types,
        sub_policies=options.sub_policies,
        operations=options.operations,
        probabilities=not options.no_probabilities,
    )
    check_output(options.output)
    check_replaceable(options.output, is_space_file)
    output = Path(options.output).resolve()
    write_atomically(output, space_text(space))
    print(f"{len(space)} parameters, {len(types)} operation types: {', '.join(types)}")
    print(f"Written to {output}")
    return 0

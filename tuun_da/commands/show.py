"""``tuun-da show``: a contact sheet."""

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
        "show",
        show,
        "draw a contact sheet: images as they are, and under each sub-policy of a policy",
        "tuun-da show best_policy.json --images digits -o sheet.png",
    )
    parser.add_argument("policy", metavar="POLICY", help="a policy file")
    parser.add_argument(
        "--images",
        required=True,
        metavar="PATH",
        help="a folder of images, an image file, an .npz file, or a data set, as digits",
    )
    parser.add_argument("--data-dir", metavar="FOLDER", help="where downloaded data sets are kept")
    parser.add_argument("-o", "--output", default="sheet.png", metavar="FILE", help=".png file (default: %(default)s)")
    parser.add_argument("--rows", type=int, metavar="N", help="sub-policies at most (default: all)")
    parser.add_argument("--columns", type=int, default=8, metavar="N", help="images at most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="draws the operations (default: %(default)s)")


def show(options: argparse.Namespace) -> int:
    """Draw a contact sheet of a policy; the exit code."""
    from tuun_da.policy_format import PolicyRecord

    record = PolicyRecord.load(options.policy)
    check_output(options.output)

    # Only now what takes seconds to import.
    from tuun_da.report.contact_sheet import check_sheet_path, is_contact_sheet, save_contact_sheet, searched_size
    from tuun_da.training.shown_images import read_shown_images

    check_sheet_path(options.output)
    check_replaceable(options.output, is_contact_sheet)  # one of the images, it may be
    output = Path(options.output).resolve()
    size = searched_size(record)
    images = read_shown_images(options.images, options.columns, image_size=size, data_dir=options.data_dir)
    save_contact_sheet(record, images, output, rows=options.rows, seed=options.seed, title=Path(options.policy).name)
    print(f"Written to {output}")
    return 0

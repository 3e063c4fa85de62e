"""``tuun-da node-options``: NNI's web page stays on this machine."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from tuun_da.commands.options import add_command

if TYPE_CHECKING:
    from tuun_da.commands.options import Subparsers


def add_parser(commands: Subparsers) -> None:
    """Add this command to the command line."""
    add_command(
        commands,
        "node-options",
        node_options,
        "print the NODE_OPTIONS with which nnictl keeps NNI's web page on this machine",
        'export NODE_OPTIONS="$(tuun-da node-options)"',
    )


def node_options(options: argparse.Namespace) -> int:
    """Print what keeps NNI's web page on this machine; the exit code."""
    from tuun_da.engines.loopback import loopback_node_options

    print(loopback_node_options(os.environ.get("NODE_OPTIONS", "")))
    return 0

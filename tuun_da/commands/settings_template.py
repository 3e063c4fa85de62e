"""The file that ``--config`` reads, made from a command's own parser: every option, what it does, what it is else.

A line of prose begins with "# ", an option that is not set with "#" and its name, so that taking away that one sign
sets the option to what it is anyway.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Collection, Mapping
from typing import Any

from tuun_da.commands.settings_file import settable
from tuun_da.engines.yaml_file import yaml_scalar
from tuun_da.errors import ConfigError
from tuun_da.training.data_facts import printable

WIDTH = 100
LEFT_OUT = ("debug",)
"""Options that are for one run, and not for a file."""


def settings_text(
    parser: argparse.ArgumentParser,
    head: str,
    values: Mapping[str, Any],
    notes: Mapping[str, str],
    *,
    without: Collection[str] = (),
) -> str:
    """The text of a file for the command of ``parser``, from ``head``, a paragraph a line.

    ``values`` are set, by the names that options have in a namespace; ``notes`` are said in addition to an option's
    help, as far as the command has that option. Those ``without`` are not in the file. Raises ConfigError for a value
    of an option that it does not have.
    """
    names = {action.dest: name for name, action in reversed(settable(parser).items())}  # the first of several
    unknown = set(values) - set(names)
    if unknown:
        raise ConfigError(f"{parser.prog} has no option for {', '.join(sorted(unknown))}")
    blocks = ["\n".join(_prose(line) for line in head.splitlines())]
    blocks.append("\n".join(f"{names[dest]}: {yaml_scalar(value)}" for dest, value in values.items()))
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if _is_shown(action, names) and action.dest not in without]
        if actions:
            blocks.append(f"# ---- {group.title} ----")
        blocks += [_block(parser, action, names, action.dest in values, notes) for action in actions]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _is_shown(action: argparse.Action, names: Mapping[str, str]) -> bool:
    return action.dest in names and action.dest not in LEFT_OUT and action.help is not argparse.SUPPRESS


def _block(
    parser: argparse.ArgumentParser,
    action: argparse.Action,
    names: Mapping[str, str],
    is_set: bool,
    notes: Mapping[str, str],
) -> str:
    said = (action.help or "") % {**vars(action), "prog": parser.prog}
    if action.choices is not None:
        said = f"{said}; one of {', '.join(map(str, action.choices))}"
    others = [
        names[other.dest]
        for group in parser._mutually_exclusive_groups
        if action in group._group_actions
        for other in group._group_actions
        if other is not action and other.dest in names
    ]
    if others:
        said = f"{said}; not together with {', '.join(others)}"
    lines = [_prose(said)] if said else []
    if action.dest in notes:
        lines.append(_prose(notes[action.dest]))
    name = names[action.dest]
    lines.append(f"# ({name} is set above)" if is_set else f"#{name}: {_default(action)}")
    return "\n".join(lines)


def _default(action: argparse.Action) -> str:
    if action.nargs == 0 and not isinstance(action, argparse._CountAction):
        return "true" if action.default is True and isinstance(action, argparse.BooleanOptionalAction) else "false"
    if isinstance(action.default, list | tuple):
        return f"[{', '.join(map(yaml_scalar, action.default))}]"
    return yaml_scalar(None if action.default is argparse.SUPPRESS else action.default)


def _prose(text: str) -> str:
    text = printable(text.replace("\n", " "))  # names of folders may hold what ends a line of YAML, or is refused in it
    return textwrap.fill(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False) or "#"

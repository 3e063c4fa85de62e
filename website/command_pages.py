"""The commands of ``tuun-da`` as Markdown, made of the parsers that read the options."""

from __future__ import annotations

import argparse
import re

from tuun_da import cli


def commands_as_markdown() -> str:
    """A section for each command: what it does, its example, and tables of what it takes."""
    [commands] = [a for a in cli._parser()[0]._actions if isinstance(a, argparse._SubParsersAction)]
    return "\n\n".join(_section(name, parser) for name, parser in commands.choices.items())


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    parts = [f"## tuun-da {name}", parser.description or ""]
    if parser.epilog:
        parts.append("```sh\n" + re.sub(r"^examples?: *", "", parser.epilog.strip()) + "\n```")
    usual = (parser._positionals, parser._optionals)  # together in one table; a group of its own has its title
    groups = [("options", [action for group in usual for action in group._group_actions])]
    groups += [(group.title or "", group._group_actions) for group in parser._action_groups if group not in usual]
    for title, actions in groups:
        rows = [row for action in actions if (row := _row(action, parser))]
        if rows:
            parts.append("\n".join([f"| {title} | |", "|---|---|", *rows]))
    return "\n\n".join(parts)


def _row(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """A row of the table: the option as it is written, and its help. Empty for --help and --debug, which all have."""
    if action.help == argparse.SUPPRESS or {"--help", "--debug"} & set(action.option_strings):
        return ""
    formatter = parser._get_formatter()
    if not action.option_strings:
        written = formatter._format_args(action, formatter._get_default_metavar_for_positional(action))
    else:
        written = ", ".join(action.option_strings)
        if action.nargs != 0:
            written += " " + formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
    return f"| `{written}` | {_cell(formatter._expand_help(action) if action.help else '')} |"


def _cell(text: str) -> str:
    """Text that a table's cell shows as it is."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")

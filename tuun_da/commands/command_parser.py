"""The parser of the command line: an unknown word ends with the nearest known one."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Collection, Sequence
from typing import Any


class CommandParser(argparse.ArgumentParser):
    """A parser whose options are written out: an abbreviation would mean something else once there is a new option."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False} | keywords)

    def parse_known_args(  # type: ignore[override]  # of the overloads, only what argparse itself calls
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse's, but what is unknown is an error of this parser, a command's own, and ends the program."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(self._about_unknown(unknown[0]))
        return found, unknown

    def _about_unknown(self, word: str) -> str:
        if not word.startswith("-"):
            return f"unexpected argument {word!r}"
        name = word.partition("=")[0]
        return f"unknown option {name}{nearest(name, options_of(self))}; --help lists all"


def options_of(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """The actions of a parser by each of their option strings, such as --output and -o."""
    return {option: action for action in parser._actions for option in action.option_strings}


def nearest(word: str, known: Collection[str]) -> str:
    """ "; did you mean X?" or nothing, to go on a message with."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""

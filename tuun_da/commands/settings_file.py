"""Options from a file: ``--config FILE`` holds them by their names, and what the command line says wins.

It works on a command's parser alone, so every option that a command has can stand in its file, with the same type.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tuun_da.commands.command_parser import nearest, options_of
from tuun_da.errors import ConfigError

NOT_IN_A_FILE = ("help", "version", "config")
NNI_COMMAND = "search"
"""The command whose --config may be an NNI experiment as well."""

MakeParser = Callable[[], tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]]
"""Makes the parser anew: the whole one, and those of its commands by name."""


def read_options(make_parser: MakeParser, arguments: Sequence[str]) -> argparse.Namespace:
    """The options of ``arguments``, and of the file that their ``--config`` names. Raises ConfigError.

    ``given`` holds the names of the options that the user gave, here or there, so that a command can tell them from
    defaults. ``config`` is None once the file is read; it stays where it is an NNI experiment. A mistake on the command
    line ends the program as argparse does it.
    """
    parser, commands = make_parser()
    first = arguments[0] if arguments else ""
    if first.startswith("-") and first not in options_of(parser) and set(arguments) & set(commands):
        parser.error(f"{first} stands before the command; options come after it, as in tuun-da check --debug")
    word = next((argument for argument in arguments if not argument.startswith("-")), None)
    if word is None or word not in commands:
        if word is not None:
            parser.error(f"unknown command {word!r}{nearest(word, commands)}; there are {', '.join(commands)}")
        return parser.parse_args(arguments)
    command = commands[word]
    has_file = "--config" in options_of(command) and any(a.partition("=")[0] == "--config" for a in arguments)
    if not has_file or {"-h", "--help"} & set(arguments):
        options = parser.parse_args(arguments)
        options.given = frozenset(_given(make_parser, arguments, word))
        return options
    given = _given(make_parser, arguments, word)
    path = given["config"]
    from tuun_da.engines.yaml_file import read_yaml

    content = read_yaml(path)
    is_nni = word == NNI_COMMAND and is_nni_experiment(content, command, path)
    values = {} if is_nni else settings_in(content, command, path)
    for group in command._mutually_exclusive_groups:
        members = {action.dest for action in group._group_actions}
        if members & set(given):
            values = {name: value for name, value in values.items() if name not in members}
        elif members & set(values):
            group.required = False
    values = {name: value for name, value in values.items() if name not in given}
    command.set_defaults(**values)
    for action in command._actions:
        action.required = action.required and action.dest not in values
    options = parser.parse_args(arguments)
    options.given = frozenset(given) | frozenset(values)
    if not is_nni:
        options.config, options.given = None, options.given - {"config"}
    return options


def settings_in(content: Mapping[Any, Any], parser: argparse.ArgumentParser, source: object) -> dict[str, Any]:
    """The options that the keys and values of a file stand for, by the names they have in a namespace.

    ``source`` names the file in errors. Raises ConfigError, with a line for each mistake. None (nothing behind the
    colon) and, of an option without a value, false stand for an option that is not given.
    """
    known = settable(parser)
    values: dict[str, Any] = {}
    keys: dict[str, str] = {}
    problems = []
    for key, value in content.items():
        name = str(key).replace("_", "-")
        if not isinstance(key, str) or name not in known:
            problems.append(f"{source}: {key}: {_about_unknown(key, parser)}")
            continue
        action = known[name]
        if action.dest in keys:
            problems.append(f"{source}: {key}: is there already, as {keys[action.dest]}")
            continue
        keys[action.dest] = key
        try:
            if not _is_absent(action, value):
                values[action.dest] = _checked(action, value)
        except ConfigError as error:
            problems.append(f"{source}: {key}: {error}")
    for group in parser._mutually_exclusive_groups:
        both = [keys[action.dest] for action in group._group_actions if action.dest in values]
        if len(both) > 1:
            problems.append(f"{source}: {both[1]}: cannot be given together with {both[0]}")
    if problems:
        raise ConfigError("\n".join(problems))
    return values


def settable(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """The actions of the options that a file may hold, by their names without dashes in front."""
    return {
        option[2:]: action
        for option, action in options_of(parser).items()
        if option.startswith("--")
        and action.dest not in NOT_IN_A_FILE
        and not (isinstance(action, argparse.BooleanOptionalAction) and option.startswith("--no-"))
    }


def is_nni_experiment(content: Mapping[Any, Any], parser: argparse.ArgumentParser, source: object) -> bool:
    """Whether a file is an NNI experiment; False for one of options. Raises ConfigError for a mixture, or neither."""
    from tuun_da.engines.nni_config import KEYS

    nni_keys = {key.lower(): key for key in KEYS}
    options = settable(parser)
    of_nni: list[str] = []
    of_ours: list[str] = []
    for key in map(str, content):
        in_nni, in_ours = key.replace("_", "").lower() in nni_keys, key.replace("_", "-") in options
        if in_nni != in_ours:  # debug is of both
            (of_nni if in_nni else of_ours).append(key)
    kinds = (
        "an NNI experiment (keys such as trialCommand, tuner, searchSpaceFile)",
        f"settings of {parser.prog} (its options without the dashes, such as output)",
    )
    if of_nni and of_ours:
        raise ConfigError(
            f"{source}: {of_nni[0]} belongs to {kinds[0]}, and {of_ours[0]} to {kinds[1]}: a file is one or the other"
        )
    if not of_nni and not of_ours and any(key != "debug" for key in content):
        key = next(key for key in content if key != "debug")
        hint = nearest(str(key), [*KEYS, *options])
        raise ConfigError(f"{source}: {key}: is a key neither of {kinds[0]} nor of {kinds[1]}{hint}")
    return bool(of_nni)


def _given(make_parser: MakeParser, arguments: Sequence[str], word: str) -> dict[str, Any]:
    """The options that ``arguments`` have, by name: those of a parser without defaults, which requires none."""
    parser, commands = make_parser()
    command = commands[word]
    command._defaults.clear()
    for action in command._actions:
        if action.option_strings:
            action.default, action.required = argparse.SUPPRESS, False
    for group in command._mutually_exclusive_groups:
        group.required = False
    names = {action.dest for action in options_of(command).values()}
    return {name: value for name, value in vars(parser.parse_args(arguments)).items() if name in names}


def _about_unknown(key: object, parser: argparse.ArgumentParser) -> str:
    if not isinstance(key, str):
        return f"must be the name of an option, got {key!r}; YAML reads yes, no, on and off as true and false"
    name = key.replace("_", "-")
    if name in NOT_IN_A_FILE:
        return "cannot stand in a file; it is for the command line"
    if any(not action.option_strings and key in (action.dest, action.metavar) for action in parser._actions):
        return "stands on the command line, and is no option"
    known = settable(parser)
    return f"{parser.prog} has no such option{nearest(name, known)}"


def _is_absent(action: argparse.Action, value: object) -> bool:
    if value is None:
        return action.default is None or action.default is argparse.SUPPRESS
    return value is False and _is_switch(action) and not isinstance(action, argparse.BooleanOptionalAction)


def _is_switch(action: argparse.Action) -> bool:
    """Whether it is an option without a value, such as --debug."""
    return action.nargs == 0 and not isinstance(action, argparse._CountAction)


def _checked(action: argparse.Action, value: object) -> Any:
    """``value`` as the option would have it from the command line. Raises ConfigError, without the key."""
    if _is_switch(action):
        if not isinstance(value, bool):
            raise ConfigError(f"must be true or false; got {value!r}")
        return value if isinstance(action, argparse.BooleanOptionalAction) else action.const
    many = action.nargs in ("+", "*") or (isinstance(action.nargs, int) and action.nargs > 0)
    if many or isinstance(action, argparse._AppendAction):
        if not isinstance(value, list) or (isinstance(action.nargs, int) and len(value) != action.nargs):
            length = f" of {action.nargs}" if isinstance(action.nargs, int) else ""
            raise ConfigError(f"must be a list{length}, such as [a, b]; got {value!r}")
        return [_one(action, item) for item in value]
    if action.metavar == "NAMES" and isinstance(value, list) and value:  # for a,b,c
        return ",".join(_one(action, item) for item in value)
    return _one(action, value)


def _one(action: argparse.Action, value: object) -> Any:
    wanted, result = _converted_for(action, value)
    if result is None or (action.choices is not None and result not in action.choices):
        if action.choices is not None:
            wanted = f"one of {', '.join(map(str, action.choices))}"
        quotes = "; put it into quotes" if wanted == "text" and isinstance(value, int | float) else ""
        raise ConfigError(f"must be {wanted}; got {value!r}{quotes}")
    return result


def _converted_for(action: argparse.Action, value: object) -> tuple[str, Any]:
    """What the option's type wants, in words, and what it makes of ``value``: None if it is nothing of the kind."""
    plain = None if isinstance(value, bool) else value
    if isinstance(action, argparse._CountAction) or action.type is int:
        return "a whole number", plain if isinstance(plain, int) else None
    if action.type is None or action.type is str:
        return "text", plain if isinstance(plain, str) else None
    if action.type is float:
        return "a number", _converted(float, plain)  # of text too: to YAML 1e-3, which has no point, is text
    return f"what {action.option_strings[-1]} takes", _converted(action.type, plain)  # type: ignore[arg-type]


def _converted(kind: Callable[[str], Any], value: object) -> Any:
    if not isinstance(value, str | int | float):
        return None
    try:
        return kind(str(value))
    except (ValueError, TypeError, argparse.ArgumentTypeError):
        return None

"""What an experiment knows before its first trial, read from files once and kept in its journal from then on.

So an experiment that is resumed, or looked at elsewhere, needs no file but its journal.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tuun_da.data_files import shown
from tuun_da.errors import ConfigError, TuunDaError
from tuun_da.known_policies import KNOWN_POLICIES
from tuun_da.operations import Operation, SubPolicy
from tuun_da.policy_format import PolicyRecord
from tuun_da.probe_format import ProbeRecord
from tuun_da.search.history import TrialState, is_finite_number, read_journal
from tuun_da.search.initial_policies import settings_of_policy
from tuun_da.search.policy_space import find_policy
from tuun_da.search.probe_features import check_types
from tuun_da.search.space import SearchSpace
from tuun_da.search.transfer import FEWEST, EarlierExperiment, fitting_trials

KNOWN = "known"
"""The key of the journal's settings under which it is kept."""
JOURNAL_PLACES = ("journal.jsonl", "checkpoint/journal.jsonl")  # in the folder of an experiment


T = TypeVar("T")


def read_known(
    probe: str | None, initial: Sequence[str], warm_start: Sequence[str], *, folders: Sequence[Path] = (Path(),)
) -> dict[str, Any]:
    """What these files hold, as JSON; relative names are looked for in ``folders``, one after the other.

    Without any folder, relative names are refused. Raises ConfigError that names the argument and the file.
    """
    known: dict[str, Any] = {}
    if probe is not None:
        known["probe"] = _read("probe", probe, folders, _probe_text)
    if initial:
        known["initial"] = [[name, _read("initial", name, folders, _sub_policies)] for name in initial]
    if warm_start:
        known["warm_start"] = [[name, _read("warm_start", name, folders, _finished)] for name in warm_start]
    return known


def optimizer_arguments(known: Mapping[str, Any], space: SearchSpace) -> dict[str, Any]:
    """What ``read_known`` gave as arguments of Optimizer.

    Raises SearchSpaceError for policies that do not fit ``space``, ProbeError for a probe that lacks a type of it,
    ConfigError for what ``read_known`` never gave: a journal may come from anyone.
    """
    check_shape(known)
    arguments: dict[str, Any] = {}
    if "probe" in known:
        arguments["probe"] = ProbeRecord.from_json(known["probe"])
        layout = find_policy(space)
        if layout is not None:
            check_types(arguments["probe"], layout.types)
    initial: list[dict[str, Any]] = []
    for name, lists in known.get("initial", ()):
        sub_policies = [SubPolicy(tuple(Operation(*operation) for operation in operations)) for operations in lists]
        initial += settings_of_policy(space, name, sub_policies)
    earlier = [
        EarlierExperiment(name, [params for params, _ in trials], [value for _, value in trials])
        for name, trials in known.get("warm_start", ())
    ]
    return arguments | {"initial": initial, "earlier": earlier}


def check_shape(known: object) -> None:
    """Raises ConfigError if ``known`` is not of the form that ``read_known`` gives."""
    if not isinstance(known, Mapping):
        raise ConfigError(f"{KNOWN} must be an object, got {shown(known)}")
    if not isinstance(known.get("probe", ""), str):
        raise ConfigError(f"{KNOWN}: probe must be the text of a probe file, got {shown(known['probe'])}")
    for key, is_one in (("initial", _is_policy), ("warm_start", _is_scored)):
        entries = known.get(key, [])
        if not isinstance(entries, list | tuple):
            raise ConfigError(f"{KNOWN}: {key} must be a list, got {shown(entries)}")
        for entry in entries:
            is_named = isinstance(entry, list | tuple) and len(entry) == 2 and isinstance(entry[0], str)
            if not is_named or not isinstance(entry[1], list | tuple) or not all(map(is_one, entry[1])):
                raise ConfigError(f"{KNOWN}: an entry of {key} must be a name and what is in it, got {shown(entry)}")


def _is_policy(operations: object) -> bool:
    """Whether it is a sub-policy as lists; what is in them the operations check."""
    return isinstance(operations, list | tuple) and all(
        isinstance(triple, list | tuple) and len(triple) == 3 for triple in operations
    )


def _is_scored(entry: object) -> bool:
    return (
        isinstance(entry, list | tuple)
        and len(entry) == 2
        and isinstance(entry[0], Mapping)
        and is_finite_number(entry[1])
    )


def check_known(known: Mapping[str, Any], space: SearchSpace) -> None:
    """Raises ConfigError for what would have no effect in ``space``, SearchSpaceError for policies that do not fit.

    An experiment that goes on is not asked this: its space may have changed.
    """
    arguments = optimizer_arguments(known, space)
    if "probe" in arguments and find_policy(space) is None:
        raise ConfigError("probe: the search space has no policy, so a probe says nothing of it")
    for experiment in arguments["earlier"]:
        fitting = len(fitting_trials(space, experiment)[0])
        if fitting < FEWEST:
            raise ConfigError(
                f"warm_start: {experiment.name!r} has {len(experiment.params)} finished trials, of which {fitting} fit "
                f"this search space; at least {FEWEST} are wanted"
            )


def _read(argument: str, name: str, folders: Sequence[Path], read: Callable[[str], T]) -> T:
    places = [str(folder / name) for folder in folders]
    try:
        if argument == "initial" and name in KNOWN_POLICIES:
            return read(name)
        if not places and not os.path.isabs(name):
            raise ConfigError("there is no folder for relative names here, so the whole path is needed")
        return read(next((place for place in places if os.path.exists(place)), places[0] if places else name))
    except TuunDaError as error:
        raise ConfigError(f"{argument}: {name!r} cannot be used: {error}") from None


def _probe_text(name: str) -> str:
    return ProbeRecord.load(name).to_json()


def _sub_policies(name: str) -> list[list[list[Any]]]:
    """A policy by its name or file, as lists."""
    if name in KNOWN_POLICIES:
        sub_policies = KNOWN_POLICIES[name]
    elif os.path.exists(name):
        sub_policies = PolicyRecord.load(name).sub_policies
    else:
        raise ConfigError(f"it is none of {', '.join(KNOWN_POLICIES)}, and there is no such file")
    return [[[o.type, o.probability, o.magnitude] for o in sub_policy.operations] for sub_policy in sub_policies]


def _finished(name: str) -> list[list[Any]]:
    """Parameters and values of the finished trials of a journal, or of the experiment in a folder; larger is better."""
    path = Path(name)
    if path.is_dir():
        places = [path / place for place in JOURNAL_PLACES]
        path = next((place for place in places if place.is_file()), places[0])
    content = read_journal(path)
    sign = 1.0 if content.maximize else -1.0
    return [
        [dict(trial.parameters), sign * trial.value]
        for trial in content.trials
        if trial.state is TrialState.SUCCEEDED and trial.value is not None
    ]

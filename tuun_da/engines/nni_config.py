"""An NNI configuration, checked before anything starts: file, key, what was wanted, what came. Needs no nni.

NNI itself finds some mistakes by a bare AssertionError, some only when the experiment has started and hangs, and some
never. All that are found here are told at once.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuun_da.data_files import MAX_FILE_BYTES, parse_json, read_bytes, shown
from tuun_da.engines.known import check_known, read_known
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.engines.yaml_file import MAX_BYTES, parse_yaml, read_yaml
from tuun_da.errors import ConfigError, ProbeError, SearchSpaceError
from tuun_da.policy_format import TRIAL_ID_KEY
from tuun_da.search.policy_space import find_policy
from tuun_da.search.space import SearchSpace

TUNER_CLASS = "tuun_da.engines.nni_tuner.TuunTuner"
TUNER_NAME = "Tuun"

KEYS = (
    "experimentName",
    "experimentType",
    "searchSpaceFile",
    "searchSpace",
    "trialCommand",
    "trialCodeDirectory",
    "trialConcurrency",
    "trialGpuNumber",
    "maxExperimentDuration",
    "maxTrialNumber",
    "maxTrialDuration",
    "nniManagerIp",
    "useAnnotation",
    "debug",
    "logLevel",
    "experimentWorkingDirectory",
    "tunerGpuIndices",
    "tuner",
    "assessor",
    "advisor",
    "trainingService",
    "sharedStorage",
)
TUNER_KEYS = ("name", "className", "codeDirectory", "classArgs")
PLATFORMS = ("local", "remote", "openpai", "aml", "dlc", "kubeflow", "frameworkcontroller")
ASSESSORS = ("Medianstop", "Curvefitting")
DURATION = re.compile(r"[0-9]+(\.[0-9]+)?[smhd]?")
LOG_LEVELS = ("fatal", "error", "warning", "info", "debug", "trace")


@dataclass(frozen=True)
class NniConfig:
    """A configuration that passed the checks. ``content`` is the file's, ``space`` NNI's JSON."""

    path: Path
    content: Mapping[str, Any]
    space: Mapping[str, Any]
    settings: TunerSettings

    @property
    def max_trials(self) -> int | None:
        """How many trials the experiment runs; None without a limit."""
        return self.content.get("maxTrialNumber")

    @property
    def concurrency(self) -> int:
        """How many trials run side by side."""
        return int(self.content["trialConcurrency"])

    @property
    def manager_address(self) -> str | None:
        """The address that trials on other machines are given; None where there are no other machines."""
        is_remote = self.content["trainingService"].get("platform") == "remote"
        return str(self.content["nniManagerIp"]) if is_remote else None

    @property
    def working_directory(self) -> Path:
        """The folder in which NNI makes one for each experiment."""
        return _resolve(self.path, self.content.get("experimentWorkingDirectory", "~/nni-experiments"))


def read_config(path: str | os.PathLike[str]) -> NniConfig:
    """Read and check the configuration at ``path``. Raises ConfigError with a line for each mistake."""
    path = Path(path)
    content = read_yaml(path)
    problems = list(_problems(path, content))
    space: Mapping[str, Any] = {}
    settings = TunerSettings()
    try:
        space = _read_space(path, content)
    except ConfigError as error:
        problems.append(str(error))
    try:
        settings = _read_tuner(path, content, space)
    except ConfigError as error:
        problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return NniConfig(path, content, space, settings)


def _resolve(config: Path, value: object) -> Path:
    """A path in a configuration is relative to the file. Raises ConfigError for what can be none."""
    try:
        path = (config.parent / Path(str(value)).expanduser()).resolve()
        path.exists()  # refuses a name that is too long
        return path
    except (OSError, RuntimeError, ValueError) as error:  # an unknown user, links in a circle, a NUL character
        raise ConfigError(f"{config}: {shown(value)} cannot be a path: {error.args[-1]}") from None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_duration(value: object) -> bool:
    return _is_count(value) or (isinstance(value, str) and DURATION.fullmatch(value) is not None)


@dataclass(frozen=True)
class _Rule:
    key: str
    required: bool
    accepts: Callable[[Any], bool]
    wanted: str


_RULES = (
    _Rule("trialCommand", True, _is_text, "the command of a trial, such as 'python3 train.py'"),
    _Rule("trialConcurrency", True, _is_count, "a whole number from 1 on"),
    _Rule("maxTrialNumber", False, _is_count, "a whole number from 1 on"),
    _Rule("tuner", True, lambda value: isinstance(value, dict), f"keys such as className: {TUNER_CLASS}"),
    _Rule("trainingService", True, lambda value: isinstance(value, dict), "keys such as platform: local"),
    _Rule("maxExperimentDuration", False, _is_duration, "a time such as 90m, 3h or 2d"),
    _Rule("maxTrialDuration", False, _is_duration, "a time such as 90m, 3h or 2d"),
    _Rule("debug", False, lambda value: isinstance(value, bool), "true or false"),
    _Rule("nniManagerIp", False, _is_text, "an address such as 10.0.0.1"),
    _Rule("assessor", False, lambda value: isinstance(value, dict), "keys such as name: Medianstop"),
    _Rule("logLevel", False, lambda value: value in LOG_LEVELS, f"one of {', '.join(LOG_LEVELS)}"),
)


def _problems(path: Path, content: Mapping[str, Any]) -> Iterator[str]:
    known = {key.lower(): key for key in KEYS}
    for key in content:
        folded = str(key).replace("_", "").lower()
        if folded not in known:
            close = difflib.get_close_matches(folded, known, n=1)
            hint = f"; did you mean {known[close[0]]}?" if close else ""
            yield f"{path}: {key}: NNI knows no such key{hint}"
        elif str(key) != known[folded]:
            yield f"{path}: {key}: write it as {known[folded]}"
    for rule in _RULES:
        if rule.key not in content:
            if rule.required:
                yield f"{path}: {rule.key}: is missing; wanted {rule.wanted}"
        elif not rule.accepts(content[rule.key]):
            yield f"{path}: {rule.key}: must be {rule.wanted}; got {shown(content[rule.key])}"
    if "maxTrialNumber" not in content and "maxExperimentDuration" not in content:
        yield f"{path}: maxTrialNumber: is missing, and so is maxExperimentDuration: the experiment would never end"
    service = content.get("trainingService")
    if isinstance(service, dict) and service.get("platform") not in PLATFORMS:
        wanted = ", ".join(PLATFORMS)
        yield f"{path}: trainingService.platform: must be one of {wanted}; got {service.get('platform')!r}"
    if isinstance(service, dict) and service.get("platform") == "remote":
        yield from _problems_of_remote(path, content, service)
    keys = {*content, *(service if isinstance(service, dict) else ())}
    if any(str(key).replace("_", "").lower() == "trialgpunumber" for key in keys):
        yield (
            f"{path}: trialGpuNumber: leave it out; with it NNI 3.0 starts processes without end where GPUs are "
            "fewer than trials. Each trial picks a free GPU by itself (train.py --device auto)"
        )
    assessor = content.get("assessor")
    if isinstance(assessor, dict) and "className" not in assessor and assessor.get("name") not in ASSESSORS:
        wanted = ", ".join(ASSESSORS)
        yield f"{path}: assessor.name: must be one of {wanted}, or give className; got {assessor.get('name')!r}"
    data = re.search(r"--data[ =]folder:(/\S*)", str(content.get("trialCommand")))
    is_local = isinstance(service, dict) and service.get("platform") == "local"
    if data and is_local and not os.path.isdir(data[1]):
        yield f"{path}: trialCommand: --data folder:PATH must be a folder of images; there is no {data[1]}"
    directory = _resolve(path, content.get("trialCodeDirectory", "."))
    if not directory.is_dir():
        yield f"{path}: trialCodeDirectory: must be a folder, relative to this file; there is no {directory}"
    elif _is_text(content.get("trialCommand")):
        for word in str(content["trialCommand"]).split():
            if word.endswith(".py"):
                if not os.path.isfile(directory / word):
                    yield f"{path}: trialCommand: there is no {word} in {directory}"
                break
    if _is_text(content.get("trialCommand")) and any(mark in str(content["trialCommand"]) for mark in (";", "&", "|")):
        yield (
            f"{path}: trialCommand: must be one simple command: of several, NNI would stop only the shell and leave "
            "the training running"
        )


def _problems_of_remote(path: Path, content: Mapping[str, Any], service: Mapping[str, Any]) -> Iterator[str]:
    """What NNI would find only when the machines are asked, or never."""
    machines = service.get("machineList")
    if not isinstance(machines, list) or not machines:
        yield f"{path}: trainingService.machineList: must list at least one machine (host, user); got {machines!r}"
        machines = []
    for machine in machines:
        if not isinstance(machine, dict) or not all(_is_text(machine.get(key)) for key in ("host", "user")):
            yield f"{path}: trainingService.machineList: each machine needs host and user, got {machine!r}"
        elif machine.get("password") is None:
            key = machine.get("sshKeyFile", "~/.ssh/id_rsa")
            if not _resolve(path, key).is_file():
                yield f"{path}: trainingService.machineList: {machine['host']}: there is no file {key} for sshKeyFile"
    if "nniManagerIp" not in content:
        yield (
            f"{path}: nniManagerIp: is missing: the address under which the machines reach this one; 127.0.0.1 if they "
            "have an SSH tunnel"
        )
    command = str(content.get("trialCommand", "")).split()
    if command and not command[0].startswith("/"):
        yield (
            f"{path}: trialCommand: must begin with the whole path of a Python on the machines, such as "
            f"/home/me/venv/bin/python; got {command[0]!r}"
        )


def _read_space(path: Path, content: Mapping[str, Any]) -> Mapping[str, Any]:
    has_file, has_space = "searchSpaceFile" in content, "searchSpace" in content
    if has_file == has_space:
        what = "both are given" if has_file else "neither is there"
        raise ConfigError(f"{path}: searchSpaceFile: give it or searchSpace; {what}")
    if has_space:
        source, space = f"{path}: searchSpace", content["searchSpace"]
    else:
        file = _resolve(path, content["searchSpaceFile"])
        source = str(file)
        try:
            is_json = file.suffix == ".json"
            limit = MAX_FILE_BYTES if is_json else MAX_BYTES
            text = read_bytes(file, "search space", ConfigError, limit=limit).decode("utf-8")
        except ConfigError as error:
            raise ConfigError(f"{path}: searchSpaceFile: {error}") from None
        except ValueError as error:
            raise ConfigError(f"{source}: is not {file.suffix[1:] or 'YAML'}: {error}") from None
        try:
            space = parse_json(text) if is_json else parse_yaml(text, source)
        except ConfigError:  # of parse_yaml
            raise
        except ValueError as error:
            raise ConfigError(f"{source}: is not json: {error}") from None
    if isinstance(space, dict) and TRIAL_ID_KEY in space:
        raise ConfigError(f"{source}: {TRIAL_ID_KEY}: is the name under which trials get their id; take another one")
    try:
        find_policy(SearchSpace.from_nni(space))
    except SearchSpaceError as error:
        raise ConfigError(f"{source}: {error}") from None
    return dict(space)


def _read_tuner(path: Path, content: Mapping[str, Any], space: Mapping[str, Any]) -> TunerSettings:
    """``space`` is empty where it could not be read; nothing is asked of the tuner's files to fit it then."""
    tuner = content.get("tuner")
    if not isinstance(tuner, dict):
        return TunerSettings()  # told already
    for key in tuner:
        if key not in TUNER_KEYS:
            raise ConfigError(f"{path}: tuner.{key}: NNI knows no such key; it takes {', '.join(TUNER_KEYS)}")
    name, class_name = tuner.get("name"), tuner.get("className")
    if (name, class_name) not in ((TUNER_NAME, None), (None, TUNER_CLASS)):
        raise ConfigError(
            f"{path}: tuner: this command runs className: {TUNER_CLASS} (or name: {TUNER_NAME}, once registered); "
            f"got {name or class_name!r}. Other tuners run with nnictl create"
        )
    if class_name is None and "codeDirectory" in tuner:
        raise ConfigError(f"{path}: tuner.codeDirectory: goes with className only, not with name")
    folders = []  # a registered tuner gets none that a user could know
    if class_name is not None:
        if "codeDirectory" not in tuner:
            raise ConfigError(f"{path}: tuner.codeDirectory: is missing; NNI wants one, any folder does: '.'")
        directory = _resolve(path, tuner["codeDirectory"])
        folders = [directory]
        if not directory.is_dir():
            raise ConfigError(f"{path}: tuner.codeDirectory: must be a folder; there is no {directory}")
    arguments = tuner.get("classArgs") or {}
    if not isinstance(arguments, dict):
        raise ConfigError(f"{path}: tuner.classArgs: must be keys and values; got {arguments!r}")
    try:
        settings = TunerSettings.from_arguments(arguments)
        known = read_known(settings.probe, settings.initial, settings.warm_start, folders=folders)
        if space:
            check_known(known, SearchSpace.from_nni(space))
        return settings
    except (ConfigError, SearchSpaceError, ProbeError) as error:
        raise ConfigError(f"{path}: tuner.classArgs: {error}") from None

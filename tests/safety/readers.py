"""Every parser of what comes from outside, each as a function of bytes: it takes them as a file, and what it makes of
them is used as the commands use it. It returns, or raises a TuunDaError; anything else is a finding."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from tuun_da.api.experiment_report import experiment_report, report_text
from tuun_da.data_files import parse_json
from tuun_da.engines.nni_config import read_config
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.errors import ConfigError, TuunDaError
from tuun_da.policy_format import PolicyRecord, describe
from tuun_da.probe_format import ProbeRecord
from tuun_da.report.confirmation import read_confirmation
from tuun_da.report.trials_table import trials_csv, trials_json, trials_table
from tuun_da.search.history import read_journal
from tuun_da.search.policy_space import find_policy
from tuun_da.search.space import SearchSpace
from tuun_da.space_file import is_space_file, read_space
from tuun_da.training.checks import made_from_mapping
from tuun_da.training.npz_file import read_arrays
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig, TrialConfig

FOLDER = Path(tempfile.mkdtemp(prefix="tuun_da_readers_", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
OWNER = os.getpid()
REPOSITORY = Path(__file__).parents[2]


@atexit.register
def _tidy() -> None:
    """Not at the end of a process that was forked off."""
    if os.getpid() == OWNER:
        shutil.rmtree(FOLDER, ignore_errors=True)


@contextlib.contextmanager
def as_file(raw: bytes, name: str) -> Iterator[Path]:
    """``raw`` as a file, for a moment."""
    path = FOLDER / name
    path.write_bytes(raw)
    try:
        yield path
    finally:
        path.unlink()


def policy(raw: bytes) -> None:
    with as_file(raw, "policy.json") as path:
        record = PolicyRecord.load(path)
    assert PolicyRecord.from_json(record.to_json()) == record
    describe(record.sub_policies)


def probe(raw: bytes) -> None:
    with as_file(raw, "probe.json") as path:
        record = ProbeRecord.load(path)
    assert ProbeRecord.from_json(record.to_json()) == record


def space(raw: bytes) -> None:
    with as_file(raw, "space.json") as path:
        is_space_file(path)
        use_space(read_space(path))


def use_space(content: object) -> None:
    made = SearchSpace.from_nni(content)  # type: ignore[arg-type]
    find_policy(made)
    for params in made.sample(3, np.random.default_rng(0)):
        made.validate(json.loads(json.dumps(params)))
        made.validate(made.decode(made.encode(params)))


def journal(raw: bytes) -> None:
    with as_file(raw, "journal.jsonl") as path:
        content = read_journal(path)
    for text in (trials_csv, trials_json, trials_table):
        text(content).encode()
    parse_json(trials_json(content))


def report(raw: bytes) -> None:
    """A journal, in which the optimizer is rebuilt and the recommendation is made, as three kinds of report."""
    with as_file(raw, "journal.jsonl") as path:
        made = experiment_report(path, images="none")
        for form in ("html", "md", "json"):
            report_text(made, form).encode()


def confirmation(raw: bytes) -> None:
    with as_file(raw, "confirmation.json") as path:
        read_confirmation(path)


def config(raw: bytes) -> None:
    for folder, file in (("trials", "train.py"), ("search_spaces", "tuun.json")):
        if not (FOLDER / folder).exists():
            (FOLDER / folder).mkdir()
            (FOLDER / folder / file).write_bytes((REPOSITORY / folder / file).read_bytes())
    (FOLDER / "nni_configs").mkdir(exist_ok=True)
    with as_file(raw, "nni_configs/config.yml") as path:
        read_config(path)


def settings(raw: bytes) -> None:
    """Settings of a training, its data and its tuner, as a journal and a policy file carry them."""
    try:
        content = parse_json(raw.decode())
    except ValueError as error:
        raise ConfigError(f"settings are not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError("settings must be an object")
    kinds = {"train": TrainConfig, "data": DataConfig, "trial": TrialConfig, "tuner": TunerSettings}
    for name, value in content.items():
        if name not in kinds:
            raise ConfigError("settings are of train, data, trial or tuner")
        made_from_mapping(kinds[name], value)  # type: ignore[type-var]


def npz(raw: bytes) -> None:
    with as_file(raw, "data.npz") as path:
        read_arrays(path)


READERS: Mapping[str, Callable[[bytes], None]] = MappingProxyType(
    {reader.__name__: reader for reader in (policy, probe, space, journal, report, confirmation, config, settings, npz)}
)


def is_refused(reader: str, raw: bytes) -> str | None:
    """The error with which ``raw`` is refused, None if it is taken. Whatever else is raised goes through."""
    try:
        READERS[reader](raw)
    except TuunDaError as error:
        return str(error)
    return None

"""What is no file, no text or no sensible value is refused in words, soon and without filling the memory."""

from __future__ import annotations

import json
import os
import signal
import socket
import tracemalloc
from pathlib import Path

import pytest
from readers import READERS, is_refused
from seeds import seeds

from tuun_da.data_files import MAX_DEPTH, MAX_FILE_BYTES
from tuun_da.engines.nni_config import read_config
from tuun_da.errors import TuunDaError
from tuun_da.policy_format import PolicyRecord
from tuun_da.probe_format import ProbeRecord
from tuun_da.report.confirmation import read_confirmation
from tuun_da.search.history import Journal, read_journal
from tuun_da.space_file import read_space
from tuun_da.training.models.weights import state_from_file
from tuun_da.training.npz_file import load_npz
from tuun_da.training.settings import DataConfig
from tuun_da.training.shown_images import read_shown_images

GIGABYTE = 10**9
SECONDS = 20  # on a machine that others use, too; each takes well under a second
MEMORY = 20_000_000


def open_journal(path: Path) -> None:
    Journal.open(path, space={"x": {"_type": "uniform", "_value": [0, 1]}}, settings={}, versions={}).close()


LOADERS = {
    "policy": PolicyRecord.load,
    "probe": ProbeRecord.load,
    "space": read_space,
    "journal": read_journal,
    "journal to go on with": open_journal,
    "confirmation": read_confirmation,
    "configuration": read_config,
    "weights": state_from_file,
    "npz": lambda path: load_npz(DataConfig(data=f"npz:{path}")),
    "image": lambda path: read_shown_images(str(path), 1),
}


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = os.getcwd()
        os.chdir(path.parent)  # the path of a socket must be short
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


def sparse(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(GIGABYTE)


NO_FILES = {"a pipe": fifo, "a device": device, "a link to itself": loop, "a socket": listening,
            "1 GB of zeros": sparse, "a folder": Path.mkdir}  # fmt: skip


@pytest.fixture
def _in_time():
    def late(number, frame):
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("_in_time")
@pytest.mark.parametrize("what", NO_FILES)
@pytest.mark.parametrize("loader", LOADERS)
def test_what_is_no_file_to_read_is_refused_at_once(tmp_path, loader, what):
    path = tmp_path / "x.json"
    NO_FILES[what](path)
    tracemalloc.start()
    try:
        with pytest.raises(TuunDaError, match=r"x\.json"):
            LOADERS[loader](path)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("name", ["\0", "x" * 300, "no/such/folder", "../" * 2000 + "x"], ids=repr)
def test_a_path_that_can_be_none_is_refused(tmp_path, monkeypatch, loader, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TuunDaError):
        LOADERS[loader](tmp_path / name)


TEXTS = [reader for reader in READERS if reader != "npz"]
JSON_TEXTS = [reader for reader in TEXTS if reader != "config"]
CONTENT = {
    "empty": b"",
    "zeros": bytes(100),
    "100,000 brackets": b"[" * 100_000,
    "100,000 braces": b'{"a":' * 100_000,
    "100,000 brackets, closed": b"[" * 100_000 + b"]" * 100_000,
    "as deep as not allowed": b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    "no UTF-8": b'{"version": 1, "x": "\xff\xfe"}',
    "UTF-16": '{"version": 1}'.encode("utf-16"),
    "UTF-8 with a mark of its order": b"\xef\xbb\xbf{}",
    "a number of 5,000 digits": b'{"version": ' + b"9" * 5000 + b"}",
    "a number of 1 MB": b'{"version": ' + b"9" * 1_000_000 + b"}",
    "a number beyond floats": b'{"version": 1e400}',
    "NaN": b'{"version": NaN}',
    "infinity": b'{"version": -Infinity}',
    "a key twice": b'{"version": 1, "version": 1}',
    "two values": b"{} {}",
    "half an escape": b'{"version": "\\ud8',
    "a text of 9 MB": b'{"version": "' + b"x" * 9_000_000 + b'"}',
    "300,000 empty lists": b'{"version": [' + b"[]," * 299_999 + b"[]]}",
}


@pytest.mark.usefixtures("_in_time")
@pytest.mark.parametrize("what", CONTENT)
@pytest.mark.parametrize("reader", TEXTS)
def test_a_text_that_is_none_is_refused_in_words(reader, what):
    error = is_refused(reader, CONTENT[what] + (b"\n" if reader in ("journal", "report") else b""))
    assert error
    assert len(error) < 3_000


@pytest.mark.parametrize("reader", [*JSON_TEXTS, "config"])
@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e400", b"-1e400", b"1" + b"0" * 400, b"1" + b"0" * 5000])
def test_a_number_that_is_none_is_refused_wherever_it_stands(reader, number):
    """In place of the last number of a real file."""
    raw = seeds()[reader][0]
    if reader == "config":
        raw += b"\nlimit: "
        number = {b"NaN": b".nan", b"Infinity": b".inf", b"1e400": b"1.0e+400", b"-1e400": b"-1.0e+400"}.get(
            number, number
        )
        assert is_refused(reader, raw + number)
        return
    lines = raw.splitlines() if reader in ("journal", "report") else [raw]
    value = json.loads(lines[-1])
    value["version" if "version" in value else next(iter(value))] = "HERE"
    lines[-1] = json.dumps(value).encode().replace(b'"HERE"', number)
    assert is_refused(reader, b"\n".join(lines) + b"\n")


def test_a_policy_of_a_million_sub_policies_is_refused_before_any_is_made():
    row = b'[["invert",0,0]],'
    raw = b'{"version": 1, "sub_policies": [' + row * 200_000 + row[:-1] + b"]}"
    assert "at most 1000 sub-policies, got 200001" in is_refused("policy", raw)
    assert f"larger than {MAX_FILE_BYTES} bytes" in is_refused("policy", raw.replace(row, row * 3))


def test_the_deepest_that_is_allowed_is_taken():
    about: object = 1
    for _ in range(MAX_DEPTH - 1):
        about = [about]
    record = {"version": 1, "sub_policies": [[["invert", 0, 0]]], "searched": {"x": about}}
    assert "nested too deeply" in is_refused("policy", json.dumps(record).encode())
    record["searched"] = {"x": about[0]}  # type: ignore[index]
    assert is_refused("policy", json.dumps(record).encode()) is None


LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (LAUGHS, "more than 100000 values"),
        ("a: &a [*a]", "an alias stands inside"),
        ("a: &a {b: *a}", "an alias stands inside"),
        ("a: 1\na: 2", "line 2: a: is there twice"),
        ("a: " + "[" * 500 + "]" * 500, "nested too deeply"),
        ("a: 0x" + "f" * 100_000, "too large"),
        ("a: .inf", "inf is no number"),
        ("a: " + "x" * 600_000, "larger than 500000 bytes"),
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("!!python/name:os.system", "could not determine a constructor"),
        ("a: !!timestamp x", ""),
        ("? [a]\n: b", "unhashable"),
    ],
    ids=lambda text: text[:25],
)
@pytest.mark.usefixtures("_in_time")
def test_yaml_without_its_surprises(text, problem):
    import re

    error = is_refused("config", text.encode())
    assert error is not None
    assert re.search(problem, error)

"""``tuun-da`` as a program: its exit codes, what becomes of a closed pipe or a narrow terminal, `best` and `trials`."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tuun_da import __version__
from tuun_da.cli import EXIT_CODES, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_MISTAKE, _parser, main
from tuun_da.commands import trials as trials_command
from tuun_da.errors import ExperimentError, TrainingError
from tuun_da.policy_format import PolicyRecord
from tuun_da.search.history import Journal, Trial, TrialState

UNIT = {"_type": "uniform", "_value": [0, 1]}
SPACE = {"operation1_1": {"_type": "choice", "_value": ["rotate"]}, "prob1_1": UNIT, "magnitude1_1": UNIT}
SETTINGS = {"optimize_mode": "maximize", "surrogate": "random", "acquisition": "logei", "n_initial": 2, "seed": 0}
REPOSITORY = Path(__file__).parents[1]


def parameters(number):
    return {"operation1_1": "rotate", "prob1_1": 1.0, "magnitude1_1": number / 10}


def opened(path):
    return Journal.open(path, space=SPACE, settings=SETTINGS, versions={})


def write_journal(path, *numbers):
    with opened(path) as journal:
        for number in numbers:
            journal.record_asked(number, parameters(number))
            journal.record_finished(finished(number))
    return path


def finished(number, state=TrialState.SUCCEEDED, value=None, **more):
    value = number / 10 if value is None and state is not TrialState.FAILED else value
    return Trial(id=number, parameters=parameters(number), state=state, value=value, **more)


def narrow(monkeypatch, encoding):
    """Standard output in ``encoding``; returns what reads it."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    return lambda: stream.flush() or stream.buffer.getvalue().decode(encoding)


# ---- help and exit codes ----


def test_the_help_explains_the_exit_codes():
    assert EXIT_CODES in _parser()[0].format_help()
    codes = {int(code) for code in re.findall(r"^  (\d+) ", EXIT_CODES, re.MULTILINE)}
    assert codes == {0, EXIT_FAILED, EXIT_MISTAKE, EXIT_INTERRUPTED} == {0, 1, 2, 130}


@pytest.mark.parametrize("name", sorted(_parser()[1]))
def test_every_command_has_an_example_and_debug(name):
    text = _parser()[1][name].format_help()
    assert "--debug" in text
    assert re.search(rf"^example:  .*tuun-da {name}", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ExperimentError("all failed"), EXIT_FAILED),
        (TrainingError("no number"), EXIT_FAILED),
        (OSError(28, "No space left on device"), EXIT_FAILED),
        (KeyboardInterrupt(), EXIT_INTERRUPTED),
    ],
)
def test_what_goes_wrong_decides_the_exit_code(monkeypatch, capsys, error, code):
    def fails(options):
        raise error

    monkeypatch.setattr(trials_command, "trials", fails)
    assert main(["trials", "x"]) == code
    assert len(capsys.readouterr().err.splitlines()) == 1
    with pytest.raises(type(error)):
        main(["trials", "x", "--debug"])


def test_a_name_is_the_same_thing_in_every_command():
    """An option of one name takes one kind of value everywhere, and a short form stands for one long form."""
    kinds, shorts = {}, {}
    for command in _parser()[1].values():
        for action in command._actions:
            for option in action.option_strings:
                kinds.setdefault(option, set()).add((action.type, action.nargs == 0, action.dest))
                if not option.startswith("--"):
                    shorts.setdefault(option, set()).add(action.option_strings[-1])
    assert {option: kind for option, kind in kinds.items() if len(kind) > 1} == {}
    assert shorts == {"-h": {"--help"}, "-o": {"--output"}}


def test_as_a_module_it_is_the_same_program(tmp_path):
    def start(*arguments):
        command = [sys.executable, "-m", "tuun_da", *arguments]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    shown = start("--version")
    assert (shown.returncode, shown.stdout) == (0, f"tuun_da {__version__}\n")
    wrong = start("best", "nothing")
    assert wrong.returncode == EXIT_MISTAKE
    assert wrong.stderr.startswith("tuun-da best: experiment 'nothing' has no journal")


# ---- pipes and terminals ----


@pytest.mark.parametrize(("arguments", "code"), [(("trials", "j"), EXIT_FAILED), (("--help",), 0)])
def test_a_pipe_whose_reader_has_gone_ends_it_quietly(tmp_path, arguments, code):
    write_journal(tmp_path / "j", 1)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tuun_da", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.parametrize(
    ("closed", "arguments", "code"),
    [
        (">&-", "space", 0),
        (">&-", "trials j", 0),
        ("2>&-", "space", 0),
        ("2>&-", "trials nothing", EXIT_MISTAKE),
        ("<&- >&- 2>&-", "check --data digits", 0),
    ],
)
def test_a_closed_output_is_as_good_as_none(tmp_path, closed, arguments, code):
    write_journal(tmp_path / "j", 1)
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m tuun_da {arguments} {closed}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_closed_terminal_ends_it_but_not_under_nohup(tmp_path, monkeypatch, before):
    monkeypatch.chdir(tmp_path)
    kept = signal.signal(signal.SIGHUP, before)
    try:
        assert main(["space"]) == 0
        assert (signal.getsignal(signal.SIGHUP) is signal.SIG_IGN) == (before is signal.SIG_IGN)
    finally:
        signal.signal(signal.SIGHUP, kept)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_without_the_letters_gets_their_numbers(tmp_path, monkeypatch, encoding):
    with opened(tmp_path / "j") as journal:
        journal.record_finished(finished(1, TrialState.FAILED, error="Klasse löwe \N{SNOWMAN} \udcff"))
    output = narrow(monkeypatch, encoding)
    assert main(["trials", str(tmp_path / "j")]) == 0
    written = output()
    assert ("löwe" if encoding != "ascii" else "l\\xf6we") in written
    assert ("\N{SNOWMAN}" if encoding == "utf-8" else "\\u2603") in written


def test_a_name_that_is_no_text_is_told_as_well_as_can_be(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"caf\xe9.json")
    assert main(["export", name, "--to", "torchvision"]) == EXIT_MISTAKE
    assert "cannot be read: No such file or directory" in capsys.readouterr().err


# ---- best and trials ----


def test_best_prints_the_policy_and_where_its_file_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_journal(tmp_path / "j", 1, 2, 3)
    assert main(["best", "j"]) == 0
    output = capsys.readouterr().out
    assert re.search(r"^ +1 +rotate +1\.00 +0\.30 ", output, re.MULTILINE)
    assert output.endswith(f"Written to {tmp_path / 'best_policy.json'}\n")
    assert PolicyRecord.load("best_policy.json").searched["trial"] == 3


def test_trials_of_a_running_a_stopped_and_a_resumed_experiment(tmp_path, capsys):
    path = tmp_path / "j"

    def listed():
        capsys.readouterr()
        assert main(["trials", str(path), "--format", "csv"]) == 0
        rows = csv.DictReader(io.StringIO(capsys.readouterr().out))
        return [(int(row["id"]), row["state"], row["value"]) for row in rows]

    with opened(path) as journal:
        assert listed() == []
        for number in (1, 2, 3):
            journal.record_asked(number, parameters(number))
        journal.record_finished(finished(2))
        assert listed() == [(2, "succeeded", "0.2"), (1, "running", ""), (3, "running", "")]
        journal.record_finished(finished(1, TrialState.STOPPED, curve=(0.05,)))
    # stopped in the midst of a line
    with open(path, "ab") as file:
        file.write(b'{"kind": "finished", "id": 3')
    stopped = [(2, "succeeded", "0.2"), (1, "stopped", "0.1"), (3, "running", "")]
    assert listed() == stopped
    with opened(path) as journal:
        assert listed() == stopped
        journal.record_finished(finished(3, TrialState.FAILED, error="no memory"))
        journal.record_finished(finished(1))  # run again
    assert listed() == [(2, "succeeded", "0.2"), (1, "succeeded", "0.1"), (3, "failed", "")]
    assert main(["trials", str(path), "--format", "json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [trial["error"] for trial in content["trials"]] == [None, None, "no memory"]

"""Bad input at every command: a line that names the thing, what was wanted and what came, and no traceback.

The table is over (command, bad input). What is written beside a mistake stays as it was.
"""

from __future__ import annotations

import builtins
import io
import json
import os

import pytest

from tuun_da.cli import EXIT_MISTAKE, _parser, main
from tuun_da.commands.command_parser import options_of
from tuun_da.operations import Operation, SubPolicy
from tuun_da.policy_format import PolicyRecord
from tuun_da.search.history import Journal, Trial, TrialState

UNIT = {"_type": "uniform", "_value": [0, 1]}
SPACE = {"operation1_1": {"_type": "choice", "_value": ["rotate"]}, "prob1_1": UNIT, "magnitude1_1": UNIT}
SETTINGS = {"optimize_mode": "maximize", "surrogate": "random", "acquisition": "logei", "n_initial": 2, "seed": 0}


def write_journal(path):
    with Journal.open(path, space=SPACE, settings=SETTINGS, versions={}) as journal:
        for number in (1, 2):
            parameters = {"operation1_1": "rotate", "prob1_1": 1.0, "magnitude1_1": number / 4}
            journal.record_asked(number, parameters)
            journal.record_finished(
                Trial(id=number, parameters=parameters, state=TrialState.SUCCEEDED, value=number / 4)
            )


def write_files(folder):
    """Good files, and every bad one that is named in the tables."""
    policy = json.dumps(json.loads(PolicyRecord((SubPolicy((Operation("rotate", 1.0, 1.0),)),)).to_json()))
    write_journal(folder / "good.jsonl")
    lines = (folder / "good.jsonl").read_text().splitlines(keepends=True)
    header = json.loads(lines[0])
    texts = {
        "good.json": policy,
        "list.json": "[1, 2]",
        "other.json": '{"version": 1, "trials": []}',
        "later.json": policy.replace('"version": 1', '"version": 9'),
        "cut.json": policy[: len(policy) // 2],
        "wrong.json": policy.replace("1.0, 1.0", "1.0, 1.7"),
        "empty.json": "",
        "empty.jsonl": "",
        "stump.jsonl": lines[0][:50],
        "later.jsonl": json.dumps(header | {"version": 9}) + "\n",
        "foreign.jsonl": '{"kind": "header", "format": "another"}\n',
        "damaged.jsonl": "".join([lines[0], lines[1], lines[2][:20] + "\n", *lines[3:]]),
        "kind.jsonl": "".join([lines[0], '{"kind": "nothing"}\n']),
        "torn.jsonl": "".join(lines) + lines[-1][:30],
        "mine.txt": "mine",
        "list.yml": "- a\n",
        "key.yml": "otput: x\n",
        "type.yml": "output: 3\n",
        "tab.yml": "output:\n\t- x\n",
        "twice.yml": "output: a\noutput: b\n",
        "cut.yml": "output: [a\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "bytes.json").write_bytes(b"\xff\xfe\x00")
    (folder / "folder").mkdir()
    (folder / "loop.json").symlink_to("loop.json")
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a command in the folder of bad files: exit code, standard output, standard error."""
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)

    def run_with(*arguments):
        capsys.readouterr()
        try:
            code = main(list(arguments))
        except SystemExit as end:  # argparse
            code = end.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_with


def check(run, tmp_path, arguments, words):
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    code, output, errors = run(*arguments)
    assert code == EXIT_MISTAKE
    assert errors.startswith(f"tuun-da {arguments[0]}: ")
    assert words in errors
    assert len(errors.splitlines()) == 1
    assert output == ""
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


JOURNALS = {
    "missing.jsonl": "experiment 'missing.jsonl' has no journal; looked for missing.jsonl,",
    "folder": "experiment 'folder' has no journal",
    "empty.jsonl": "journal empty.jsonl is empty",
    "stump.jsonl": "journal stump.jsonl is empty: no line of it is whole yet",
    "later.jsonl": "journal later.jsonl has version 9; this release reads version 1: upgrade tuun_da",
    "foreign.jsonl": "foreign.jsonl is not a journal of tuun_da",
    "good.json": "good.json is not a journal of tuun_da",
    "damaged.jsonl": "journal damaged.jsonl, line 3 is not a JSON record; the file is damaged",
    "kind.jsonl": "journal kind.jsonl, line 2: kind must be asked, finished or space, got 'nothing'",
    "bytes.json": "bytes.json",
}


@pytest.mark.parametrize("name", JOURNALS)
@pytest.mark.parametrize("command", ["best", "trials", "report"])
def test_a_journal_that_cannot_be_read(run, tmp_path, command, name):
    check(run, tmp_path, (command, name), JOURNALS[name])


POLICIES = {
    "missing.json": "missing.json",
    "folder": "policy file folder cannot be read: Is a directory",
    "loop.json": "loop.json",
    "list.json": "policy file list.json must hold a JSON object, got list",
    "other.json": "policy file other.json has the unknown key 'trials'",
    "later.json": "policy file later.json has version 9; this release reads up to 1: upgrade tuun_da",
    "cut.json": "policy file cut.json is not JSON",
    "wrong.json": "wrong.json: operation 1 of sub-policy 1: magnitude of rotate must lie in [0, 1], got 1.7",
    "empty.json": "policy file empty.json is not JSON",
    "bytes.json": "policy file bytes.json is not JSON: it is not UTF-8 text",
    "good.jsonl": "policy file good.jsonl is not JSON",
}


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize(
    "command",
    [
        ("export", "NAME", "--to", "torchvision"),
        ("show", "NAME", "--images", "digits"),
        ("train", "--policy", "NAME", "--data", "digits"),
    ],
    ids=lambda command: command[0],
)
def test_a_policy_file_that_cannot_be_read(run, tmp_path, command, name):
    check(run, tmp_path, [name if word == "NAME" else word for word in command], POLICIES[name])


WRITERS = {
    "best": ("good.jsonl",),
    "trials": ("good.jsonl",),
    "report": ("good.jsonl",),
    "export": ("good.json", "--to", "torchvision"),
    "show": ("good.json", "--images", "digits"),
    "space": (),
    "probe": ("--data", "digits"),
    "train": ("--policy", "none", "--data", "digits"),
}


@pytest.mark.parametrize("output", ["missing/x", "folder", "mine.txt/x"])
@pytest.mark.parametrize("command", WRITERS)
def test_an_output_that_cannot_be_written(run, tmp_path, command, output):
    words = f"--output must be a file in a folder that can be written, got {output!r}"
    check(run, tmp_path, (command, *WRITERS[command], "-o", output), words)


@pytest.mark.parametrize("command", WRITERS)
def test_an_output_in_a_folder_without_the_right_to_write(run, tmp_path, monkeypatch, command):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    check(run, tmp_path, (command, *WRITERS[command], "-o", "x"), "in a folder that can be written, got 'x'")


@pytest.mark.parametrize("output", ["mine.txt", "good.json", "good.jsonl"])
@pytest.mark.parametrize("command", WRITERS)
def test_an_output_that_is_somebody_elses_file(run, tmp_path, command, output):
    if (command, output) == ("best", "good.json"):  # a policy file, which best may replace
        assert run("best", "good.jsonl", "-o", output)[0] == 0
        return
    if command in ("show", "train"):  # they look at the ending first
        output = {"show": "own.png", "train": "own.pt"}[command]
        (tmp_path / output).write_text("mine")
    words = f"--output is there already, and this command did not write it: {output!r}"
    check(run, tmp_path, (command, *WRITERS[command], "-o", output), words)


@pytest.mark.parametrize("command", sorted({*WRITERS} - {"show", "train"}))  # those look at the ending first
def test_an_output_that_is_no_name(run, tmp_path, command):
    words = "--output must be a file in a folder that can be written, got ''"
    check(run, tmp_path, (command, *WRITERS[command], "-o", ""), words)


@pytest.mark.parametrize("command", ["best", "trials", "export", "space", "probe", "train"])
def test_an_output_that_is_a_link_in_a_circle(run, tmp_path, command):
    (tmp_path / "circle").symlink_to("circle")
    code, output, errors = run(command, *WRITERS[command], "-o", "circle")
    assert (code, output) == (EXIT_MISTAKE, "")
    assert errors.startswith(f"tuun-da {command}: --output must be a file")


@pytest.mark.parametrize(
    "command",
    [
        ("check", "--data", "PATH"),
        ("probe", "--data", "PATH"),
        ("train", "--policy", "none", "--data", "PATH"),
        ("show", "good.json", "--images", "PATH"),
        ("init", "new", "--data", "PATH"),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("path", ["~nobody-of-this-name/images", "folder:~nobody-of-this-name", "x" * 300])
def test_images_at_a_path_that_can_be_none(run, tmp_path, command, path):
    check(run, tmp_path, [path if word == "PATH" else word for word in command], "must be a path, got ")


@pytest.mark.parametrize("command", ["check", "init"])
def test_images_behind_a_link_in_a_circle(run, tmp_path, command):
    (tmp_path / "circle").symlink_to("circle")
    code, _, errors = run(command, "--data", "folder:circle")
    assert code == EXIT_MISTAKE
    assert errors.startswith(f"tuun-da {command}: data ")


def test_a_picture_that_is_somebody_elses_file(run, tmp_path):
    from PIL import Image

    Image.new("RGB", (4, 4)).save(tmp_path / "photo.png")
    words = "--picture is there already, and this command did not write it"
    check(run, tmp_path, ("probe", "--data", "digits", "--picture", "photo.png"), words)


CONFIGS = {
    "missing.yml": "configuration missing.yml cannot be read: No such file or directory",
    "folder": "configuration folder cannot be read: Is a directory",
    "list.yml": "list.yml: must hold keys and values, got list",
    "empty.json": "empty.json: must hold keys and values, got an empty file",
    "key.yml": "key.yml: otput: ",
    "type.yml": "type.yml: output: must be text; got 3; put it into quotes",
    "tab.yml": "tab.yml, line 2: a tab indents it; YAML wants spaces",
    "twice.yml": "twice.yml, line 2: output: is there twice, first in line 1",
    "cut.yml": "cut.yml: is not YAML",
    "bytes.json": "bytes.json: is not YAML: it is not UTF-8 text",
    "loop.json": "configuration loop.json cannot be read: Too many levels of symbolic links",
}
CONFIGURED = [name for name, parser in _parser()[1].items() if "--config" in options_of(parser)]


def test_the_commands_with_many_options_take_a_file_of_settings():
    assert {"search", "train", "probe"} <= set(CONFIGURED)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("command", CONFIGURED)
def test_a_settings_file_that_cannot_be_used(run, tmp_path, command, name):
    positional = ["good.json"] if any(not a.option_strings for a in _parser()[1][command]._actions) else []
    check(run, tmp_path, (command, *positional, "--config", name), CONFIGS[name])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("best", "good.jsonl"), "good.jsonl"),
        (("trials", "good.jsonl"), "good.jsonl"),
        (("export", "good.json", "--to", "torchvision"), "good.json"),
        (("train", "--config", "key.yml"), "key.yml"),
    ],
)
def test_a_file_that_may_not_be_read(run, tmp_path, monkeypatch, arguments, name):
    def denied(real):
        def opened(path, *more, **keywords):
            if str(path).endswith(name):
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, *more, **keywords)

        return opened

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", denied(builtins.open))
        patch.setattr(io, "open", denied(io.open))
        patch.setattr(os, "open", denied(os.open))
        code, _, errors = run(*arguments)
    assert code == EXIT_MISTAKE
    assert name in errors
    assert "cannot be read: Permission denied" in errors
    assert len(errors.splitlines()) == 1


# ---- words of the command line ----


@pytest.mark.parametrize("command", sorted(_parser()[1]))
def test_an_unknown_option_is_told_by_the_command_itself(run, command):
    required = [a for a in _parser()[1][command]._actions if a.required]
    values = [
        word
        for action in required
        for word in (*action.option_strings[-1:], action.choices[0] if action.choices else "good.json")
    ]
    code, output, errors = run(command, *values, "--debgu")
    assert (code, output) == (EXIT_MISTAKE, "")
    assert errors.startswith(f"usage: tuun-da {command}")
    assert errors.endswith(
        f"tuun-da {command}: error: unknown option --debgu; did you mean --debug?; --help lists all\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("serach",), "tuun-da: error: unknown command 'serach'; did you mean search?"),
        (("zzz",), "tuun-da: error: unknown command 'zzz'; there are "),
        ((), "the following arguments are required: COMMAND"),
        (("--verbos",), "tuun-da: error: "),
        (("--debug", "best", "a"), "tuun-da: error: --debug stands before the command"),
        (("--data", "images", "check"), "tuun-da: error: --data stands before the command"),
        (("best", "a", "b"), "tuun-da best: error: unexpected argument 'b'"),
        (("space", "--sub-policy", "3"), "unknown option --sub-policy; did you mean --sub-policies?"),
        (("probe", "--epoch=3"), "unknown option --epoch; did you mean --epochs?"),
        (("probe", "--epochs", "ten"), "argument --epochs: invalid int value: 'ten'"),
        (("trials", "x", "--format", "xml"), "argument --format: invalid choice: 'xml'"),
        (("trials", "--form", "csv", "x"), "unknown option --form; did you mean --format?"),  # no abbreviations
    ],
)
def test_a_word_that_is_not_known(run, arguments, words):
    code, output, errors = run(*arguments)
    assert (code, output) == (EXIT_MISTAKE, "")
    assert errors.startswith("usage: tuun-da")
    assert words in errors


# ---- what looks bad and is not ----


@pytest.mark.parametrize("command", [("best", "-o", "b.json"), ("trials",), ("report", "-o", "r.html")])
def test_a_torn_last_line_is_passed_over(run, command):
    name, *more = command
    code, _, errors = run(name, "torn.jsonl", *more)
    assert (code, errors) == (0, "")


@pytest.mark.parametrize("command", ["best", "trials", "space", "export"])
def test_an_empty_file_may_be_written_over(run, tmp_path, command):
    (tmp_path / "new").touch()
    assert run(command, *WRITERS[command], "-o", "new")[0] == 0
    assert (tmp_path / "new").stat().st_size > 0


@pytest.mark.parametrize("command", ["best", "trials", "space", "export"])
def test_a_command_replaces_what_it_wrote(run, tmp_path, command):
    for _ in range(2):
        assert run(command, *WRITERS[command], "-o", "new")[0] == 0

"""The command line: an example for every command, exit codes that tell the truth, no traceback for a mistake."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tuun_da import __version__
from tuun_da.cli import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_MISTAKE, main
from tuun_da.engines.loopback import loopback_node_options
from tuun_da.errors import PolicyError
from tuun_da.operations import Operation, SubPolicy
from tuun_da.policy_format import PolicyRecord
from tuun_da.probe_format import ProbeRecord
from tuun_da.search.history import Journal, Trial, TrialState
from tuun_da.starter import starter_files

REPOSITORY = Path(__file__).parents[1]
COMMANDS = ("search", "best", "confirm", "probe", "init", "node-options")
UNIT = {"_type": "uniform", "_value": [0, 1]}
SPACE = {"operation1_1": {"_type": "choice", "_value": ["rotate"]}, "prob1_1": UNIT, "magnitude1_1": UNIT}
SETTINGS = {"optimize_mode": "maximize", "surrogate": "random", "acquisition": "logei", "n_initial": 2, "seed": 0}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, which is the home as well."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def run(here, capsys):
    """Runs a command in this process: exit code, standard output, standard error."""

    def run_with(*arguments):
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse
            code = end.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_with


def write_journal(path, *, space=SPACE, values=(0.25, 0.75, 0.5), state=TrialState.SUCCEEDED):
    path.parent.mkdir(parents=True, exist_ok=True)
    with Journal.open(path, space=space, settings=SETTINGS, versions={}) as journal:
        for number, value in enumerate(values, 1):
            parameters = {"operation1_1": "rotate", "prob1_1": 1.0, "magnitude1_1": value}
            if space is not SPACE:
                parameters = {"x": value}
            journal.record_finished(Trial(id=number, parameters=parameters, state=state, value=value))
    return path


# ---- help ----


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_that_it_takes(run, command, monkeypatch):
    code, output, _ = run(command, "--help")
    assert code == 0
    [example] = re.findall(r"^example:\s+(.*?)$", output, re.MULTILINE)
    called = []
    monkeypatch.setattr(f"tuun_da.cli._{command.replace('-', '_')}", lambda options: called.append(options) or 0)
    [arguments] = re.findall(r"tuun-da ([^)\"]*)", example)
    assert run(*arguments.split())[0] == 0
    assert called[0].command == command


def test_the_program_lists_its_commands(run):
    code, output, _ = run("--help")
    assert code == 0
    assert all(re.search(rf"^    {command}\b", output, re.MULTILINE) for command in COMMANDS)
    assert run("--version")[1] == f"tuun_da {__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("serach",), ("best",), ("search",), ("init", "a", "b"), ("best", "-q")])
def test_an_unknown_or_missing_word_is_a_mistake(run, arguments):
    code, _, errors = run(*arguments)
    assert code == EXIT_MISTAKE
    assert errors.startswith("usage: tuun-da")


# ---- exit codes and tracebacks ----


def test_as_a_program_a_mistake_is_a_line_and_debug_shows_the_traceback(here):
    def start(*arguments):
        command = [Path(sys.executable).parent / "tuun-da", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    plain = start("best", "nothing")
    assert plain.returncode == EXIT_MISTAKE
    assert plain.stdout == ""
    assert plain.stderr.startswith("tuun-da best: experiment 'nothing' has no journal")
    assert len(plain.stderr.splitlines()) == 1
    debug = start("best", "nothing", "--debug")
    assert debug.returncode != 0
    assert "Traceback" in debug.stderr
    assert "ConfigError" in debug.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("search", "--config", "missing.yml"), "missing.yml: cannot be read"),
        (("search", "--config", "CONFIG", "--port", "0"), "--port must lie in 1 to 65535, got 0"),
        (("search", "--config", "CONFIG", "-o", "missing/p.json"), "--output must be a file in a folder"),
        (("search", "--config", "CONFIG", "-o", "."), "--output must be a file in a folder"),
        (("search", "--config", "CONFIG", "--confirm", "--baselines", "none,nine"), "got 'nine'"),
        (("search", "--config", "CONFIG", "--confirm", "--seeds", "0"), "n_seeds must be"),
        (("search", "--config", "CONFIG", "--confirm", "--workers", "0"), "workers must be"),
        (("best", "missing"), "'missing' has no journal"),
        (("best", "text.json"), "not a JSON record"),
        (("best", "journal.jsonl", "-o", "missing/p.json"), "--output must be a file in a folder"),
        (("confirm", "missing.json"), "missing.json cannot be read"),
        (("confirm", "text.json"), "text.json is not JSON"),
        (("confirm", "policy.json"), "does not say how its trials trained"),
        (("confirm", "policy.json", "-o", "missing/p.json"), "--output must be a file in a folder"),
        (("confirm", "policy.json", "--seeds", "0"), "n_seeds must be"),
        (("confirm", "policy.json", "--baselines", "nine"), "got 'nine'"),
        (("probe", "--data", "nine"), "data must be one of digits,"),
        (("probe", "--data", "folder:missing"), "missing"),
        (("probe", "--epochs", "0"), "epochs must be a whole number of at least 1, got 0"),
        (("probe", "--device", "gpu"), "device must be auto, cpu, cuda or cuda:N"),
        (("probe", "-o", "missing/p.json"), "--output must be a file in a folder"),
        (("probe", "--picture", "missing/p.png"), "--picture must be a file in a folder"),
        (("probe", "--picture", "p.txt"), "a picture's file must end in .png, .svg, .pdf"),
        (("probe", "-o", "p.png"), "--picture must be another file than --output, got 'p.png'"),
        (("init", "text.json"), "text.json"),
    ],
)
def test_a_mistake_ends_with_2_and_a_line(run, here, monkeypatch, arguments, words):
    # A mistake that is overlooked must not start an experiment here.
    monkeypatch.setattr("tuun_da.engines.nni_experiment.running", lambda *_, **__: 1 / 0)
    (here / "text.json").write_text("not JSON at all\n")
    PolicyRecord((SubPolicy((Operation("rotate", 1.0, 1.0),)),)).save(here / "policy.json")
    write_journal(here / "journal.jsonl")
    config = REPOSITORY / "nni_configs" / "digits.yml"
    code, _, errors = run(*(config if argument == "CONFIG" else argument for argument in arguments))
    assert code == EXIT_MISTAKE
    assert errors.startswith(f"tuun-da {arguments[0]}: ")
    assert words in errors
    assert "Traceback" not in errors


def test_a_port_that_is_taken_is_a_mistake(run):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        code, _, errors = run("search", "--config", REPOSITORY / "nni_configs" / "digits.yml", "--port", port)
    assert code == EXIT_MISTAKE
    assert f"port {port} is taken" in errors


def test_a_surrogate_that_cannot_be_compiled_is_told_before_nni_starts(run, here, monkeypatch):
    monkeypatch.setattr("tuun_da.engines.nni_experiment.running", lambda *_, **__: 1 / 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    monkeypatch.setenv("CXX", "false")
    assert run("init", "mine")[0] == 0
    config = here / "mine" / "nni_configs" / "digits.yml"
    text = config.read_text()
    assert "surrogate: gp" in text
    config.write_text(text.replace("surrogate: gp", "surrogate: stan_gp"))
    code, _, errors = run("search", "--config", config)
    assert code == EXIT_MISTAKE
    assert "while compiling gp.stan" in errors
    assert "the surrogate `gp` is the same model" in errors


def test_an_experiment_without_a_score_is_a_failure(run, here):
    for name, state in (("empty", None), ("stopped", TrialState.STOPPED)):
        write_journal(here / name, values=() if state is None else (1.0,), state=state)
        code, _, errors = run("best", name)
        assert code == EXIT_FAILED
        assert "nothing to recommend" in errors
    assert not (here / "best_policy.json").exists()


def test_ctrl_c_is_an_interruption(run, monkeypatch):
    monkeypatch.setattr("tuun_da.cli._find_journal", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    code, _, errors = run("best", "x")
    assert code == EXIT_INTERRUPTED
    assert errors == "tuun-da best: interrupted\n"
    with pytest.raises(KeyboardInterrupt):
        run("best", "x", "--debug")


def test_debug_lets_an_error_through(run, here):
    (here / "p.json").write_text("{")
    with pytest.raises(PolicyError):
        run("confirm", "p.json", "--debug")


# ---- best ----


def test_best_of_a_journal_a_folder_and_an_id(run, here):
    write_journal(here / "nni-experiments" / "abc123" / "checkpoint" / "journal.jsonl")
    (here / "elsewhere").mkdir()
    os.chdir(here / "elsewhere")
    folder = here / "nni-experiments" / "abc123"
    for name in ("abc123", folder, folder / "checkpoint" / "journal.jsonl"):
        code, output, errors = run("best", name, "-o", "p.json")
        assert (code, errors) == (0, "")
        record = PolicyRecord.load("p.json")
        assert record.searched["experiment"] == "abc123"
        assert record.searched["score"] == 0.75
        assert str(here / "elsewhere" / "p.json") in output
        assert "Recommended after 3 complete trials: trial 2, which scored 0.7500" in output
        assert re.search(r"rotate +1\.00 +0\.75 +\+-22\.5 degrees", output)
        Path("p.json").unlink()


def test_best_of_a_journal_that_is_being_written(run, here):
    path = write_journal(here / "j")
    with Journal.open(path, space=SPACE, settings=SETTINGS, versions={}):
        with open(path, "ab") as file:
            file.write(b'{"kind": "fini')
        assert run("best", path)[0] == 0


def test_best_of_a_space_without_a_policy_prints_the_parameters_and_writes_nothing(run, here):
    write_journal(here / "j", space={"x": UNIT})
    code, output, _ = run("best", "j")
    assert code == 0
    assert json.loads(output[output.index("{") :]) == {"x": 0.75}
    assert not (here / "best_policy.json").exists()


# ---- init ----


def test_init_writes_all_that_the_checkout_has(run, here):
    code, output, _ = run("init", "new/project")
    assert code == 0
    project = here / "new" / "project"
    written = {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}
    checkout = {
        path.relative_to(REPOSITORY).as_posix()
        for pattern in ("nni_configs/**/*.yml", "search_spaces/*.json", "trials/*.py")
        for path in REPOSITORY.glob(pattern)
    }
    assert written == checkout == set(starter_files())
    for name in checkout:
        copy = project / name
        assert copy.read_bytes() == (REPOSITORY / name).read_bytes()
        assert not copy.is_symlink()
        assert str(Path("new/project", name)) in output


def test_what_init_wrote_is_a_configuration_that_search_takes(run, here):
    from tuun_da.engines.nni_config import read_config

    run("init")
    for path in (here / "nni_configs").glob("*.yml"):
        path.write_text(path.read_text().replace("/path/to/images", str(here)))  # what a user fills in
        assert read_config(path).space


@pytest.mark.parametrize("name", ["trials/train.py", "search_spaces/tuun.json", "nni_configs/digits.yml"])
def test_init_overwrites_nothing_and_writes_nothing_then(run, here, name):
    (here / name).parent.mkdir()
    (here / name).write_text("mine")
    code, _, errors = run("init")
    assert code == EXIT_MISTAKE
    assert f"{name} is there already" in errors
    assert (here / name).read_text() == "mine"
    assert [path for path in here.rglob("*") if path.is_file()] == [here / name]


# ---- node-options ----


@pytest.mark.parametrize("existing", ["", "--max-old-space-size=512"])
def test_node_options_prints_one_line_for_the_shell(run, monkeypatch, existing):
    monkeypatch.setenv("NODE_OPTIONS", existing)
    code, output, _ = run("node-options")
    assert code == 0
    assert output == loopback_node_options(existing) + "\n"
    assert output.startswith(existing)
    assert len(output.splitlines()) == 1


# ---- probe ----

SMALL_PROBE = ("probe", "--train-per-class", "10", "--validation-size", "50", "--epochs", "1", "--threads", "1")


@pytest.mark.parametrize(("more", "picture"), [((), "p.png"), (("--picture", "map.svg"), "map.svg")])
def test_probe_writes_the_numbers_and_a_picture_and_says_where(run, here, more, picture):
    code, output, errors = run(*SMALL_PROBE, "-o", "p.json", "--seed", "7", *more)
    assert (code, errors) == (0, "")
    record = ProbeRecord.load("p.json")
    assert record.about["settings"]["train"]["seed"] == 7
    assert record.about["settings"]["train"]["model"] == "child_cnn"
    assert record.about["settings"]["data"]["train_per_class"] == 10
    assert (record.about["train_images"], record.about["probed_images"]) == (100, 50)
    assert "Training: 1 of 1 epochs" in output
    assert "Measuring: 68 of 68 settings" in output
    assert f"Accuracy on 50 validation images as they are: {record.baseline[0]:.2%}" in output
    assert f"Written to {here / 'p.json'} and {here / picture}" in output
    assert {path.name for path in here.iterdir()} == {"p.json", picture}


def test_an_interrupted_probe_leaves_nothing(run, here, monkeypatch):
    from tuun_da.training import probe

    def interrupted(config, splits, device, on_progress):
        on_progress("training", 0, 20)
        raise KeyboardInterrupt

    monkeypatch.setattr(probe, "measure_probe", interrupted)
    code, _, errors = run("probe")
    assert (code, errors) == (EXIT_INTERRUPTED, "tuun-da probe: interrupted\n")
    assert list(here.iterdir()) == []


# ---- confirm ----


def test_confirm_prints_a_table_and_writes_the_numbers(run, here, monkeypatch):
    """The trainings are another test's; here is what becomes of their numbers, and what was asked for."""
    from tuun_da.engines import confirm

    asked = []

    def trained(record, **options):
        asked.append(options)
        options["on_progress"](0, 4)
        options["on_progress"](4, 4)
        rows = (confirm.Row("no augmentation", (0.5, 0.6)), confirm.Row("best policy", (0.7, 0.81)))
        return confirm.Confirmation(rows, (1, 2), 898)

    monkeypatch.setattr(confirm, "confirm", trained)
    PolicyRecord((SubPolicy((Operation("rotate", 1.0, 1.0),)),)).save(here / "p.json")
    code, output, _ = run("confirm", "p.json", "--baselines", " none, etp ,", "--seeds", "2", "--workers", "3")
    assert code == 0
    assert (asked[0]["baselines"], asked[0]["n_seeds"], asked[0]["workers"]) == (["none", "etp"], 2, 3)
    assert "75.50 %" in output
    assert "0 of 4 trainings" in output
    written = json.loads((here / "p.confirmation.json").read_text())
    assert written["rows"][1]["accuracies"] == [0.7, 0.81]
    assert str(here / "p.confirmation.json") in output

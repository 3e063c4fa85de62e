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
from tuun_da.cli import COMMANDS as MODULES
from tuun_da.cli import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_MISTAKE, main
from tuun_da.engines.loopback import loopback_node_options
from tuun_da.errors import PolicyError
from tuun_da.operations import DEEPAUGMENT_TYPES, PUBLISHED_TYPES, Operation, SubPolicy
from tuun_da.policy_format import PolicyRecord
from tuun_da.probe_format import ProbeRecord
from tuun_da.search.history import Journal, Trial, TrialState
from tuun_da.starter import starter_files

REPOSITORY = Path(__file__).parents[1]
COMMANDS = (
    "search", "best", "report", "trials", "confirm", "train", "check", "probe", "space", "init", "node-options",
    "export", "show",
)  # fmt: skip
UNIT = {"_type": "uniform", "_value": [0, 1]}
SPACE = {"operation1_1": {"_type": "choice", "_value": ["rotate"]}, "prob1_1": UNIT, "magnitude1_1": UNIT}
POLICY = PolicyRecord((SubPolicy((Operation("rotate", 1.0, 1.0),)),))
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
    assert run("init")[0] == 0  # a file that --config names is read before the command runs
    code, output, _ = run(command, "--help")
    assert code == 0
    [example] = re.findall(r"^example:\s+(.*?)$", output, re.MULTILINE)
    called = []
    name = command.replace("-", "_")
    [module] = [module for module in MODULES if module.__name__ == f"tuun_da.commands.{name}"]
    monkeypatch.setattr(module, name, lambda options: called.append(options) or 0)
    [arguments] = re.findall(r"tuun-da ([^)\"]*)", example)
    assert run(*arguments.split())[0] == 0
    assert called[0].command == command


def test_the_program_lists_its_commands(run):
    code, output, _ = run("--help")
    assert code == 0
    assert all(re.search(rf"^    {command}\b", output, re.MULTILINE) for command in COMMANDS)
    assert run("--version")[1] == f"tuun_da {__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("serach",), ("best",), ("init", "a", "b"), ("best", "-q")])
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
        (("search",), "--data or --config must be given"),
        (("search", "--config", "missing.yml"), "missing.yml cannot be read"),
        (("search", "--config", "CONFIG", "--port", "0"), "--port must lie in 1 to 65535, got 0"),
        (("search", "--config", "CONFIG", "-o", "missing/p.json"), "--output must be a file in a folder"),
        (("search", "--config", "CONFIG", "-o", "."), "--output must be a file in a folder"),
        (("search", "--config", "CONFIG", "--seeds", "3"), "--seeds with --config is that of a confirmation"),
        (("search", "--config", "CONFIG", "--engine", "ray", "--model", "child_cnn"), "so it goes with --confirm"),
        (("search", "--config", "CONFIG", "--data-dir", "here"), "--data-dir with --config is that of a confirmation"),
        (("search", "--config", "CONFIG", "--confirm", "--baselines", "none,nine"), "got 'nine'"),
        (("search", "--config", "CONFIG", "--confirm", "--seeds", "0"), "n_seeds must be"),
        (("search", "--config", "CONFIG", "--confirm", "--workers", "0"), "workers must be"),
        (("search", "--config", "CONFIG", "--confirm", "--candidates", "0"), "candidates must be"),
        (
            ("search", "--config", "CONFIG", "--epochs", "3"),
            "--epochs does not go with --config; an NNI experiment has",
        ),
        (("search", "--data", "digits", "--port", "8080"), "--port does not go with --data"),
        (("search", "--data", "digits", "--minutes", "0"), "minutes must be a number in (0, inf), got 0"),
        (("search", "--data", "digits", "--learning-rate", "-1"), "learning_rate must be a number in (0, inf)"),
        (("search", "--data", "digits", "--device", "gpu"), "device must be auto, cpu, cuda or cuda:N"),
        (("search", "--data", "missing"), "one of digits"),
        (("search", "--data", "digits", "--space", "flat.json"), "--space must be a search space with a policy in it"),
        (("search", "--data", "digits", "-o", "missing/p.json"), "--output must be a file in a folder"),
        (("best", "missing"), "'missing' has no journal"),
        (("best", "text.json"), "not a JSON record"),
        (("best", "journal.jsonl", "-o", "missing/p.json"), "--output must be a file in a folder"),
        (("report", "missing"), "'missing' has no journal"),
        (("report", "text.json"), "not a JSON record"),
        (("report", "journal.jsonl", "-o", "missing/r.html"), "--output must be a file in a folder"),
        (("report", "journal.jsonl", "-o", "policy.json"), "--output is there already, and this command did not write"),
        (("report", "journal.jsonl", "-o", "journal.jsonl"), "--output is there already, and this command did not"),
        (("report", "journal.jsonl", "--confirmation", "missing.json"), "missing.json cannot be read"),
        (("report", "journal.jsonl", "--confirmation", "policy.json"), "rows must be a list of objects"),
        (("report", "journal.jsonl", "--images", "missing"), "missing does not exist"),
        (("report", "journal.jsonl", "--cost-per-hour", "-1"), "cost per hour must be a number of at least 0, got -1"),
        (("trials", "missing"), "'missing' has no journal"),
        (("trials", "text.json"), "not a JSON record"),
        (("trials", "journal.jsonl", "-o", "journal.jsonl"), "--output is there already, and this command did not"),
        (("confirm", "missing.json"), "missing.json cannot be read"),
        (("confirm", "text.json"), "text.json is not JSON"),
        (("confirm", "policy.json"), "does not say how its trials trained"),
        (("confirm", "policy.json", "-o", "missing/p.json"), "--output must be a file in a folder"),
        (("confirm", "policy.json", "--seeds", "0"), "n_seeds must be"),
        (("confirm", "policy.json", "--baselines", "nine"), "got 'nine'"),
        (("probe", "--data", "nine"), "one of digits,"),
        (("confirm", "policy.json", "--candidates", "2"), "--candidates is for experiments"),
        (("confirm", "missing"), "'missing' has no journal"),
        (("confirm", "journal.jsonl", "--candidates", "0"), "candidates must be a whole number from 1 on, got 0"),
        (("probe", "--data", "folder:missing"), "missing"),
        (("probe", "--epochs", "0"), "epochs must be a whole number of at least 1, got 0"),
        (("probe", "--device", "gpu"), "device must be auto, cpu, cuda or cuda:N"),
        (("probe", "-o", "missing/p.json"), "--output must be a file in a folder"),
        (("probe", "--picture", "missing/p.png"), "--picture must be a file in a folder"),
        (("probe", "--picture", "p.txt"), "a picture's file must end in .png, .svg, .pdf"),
        (("probe", "-o", "p.png"), "--picture must be another file than --output, got 'p.png'"),
        (("probe", "--types", "rotate,fog"), "operation type must be one of shearX,"),
        (("probe", "--space", "text.json"), "search space text.json is not JSON"),
        (("probe", "--space", "missing.json"), "missing.json cannot be read"),
        (("probe", "--space", "flat.json"), "--space must be a search space with a policy in it, got 'flat.json'"),
        (("space", "--categories", "geometric,colour"), "geometric, color, blur, noise, occlusion; got 'colour'"),
        (("space", "--categories", ","), "at least one category is needed"),
        (("space", "--types", "rotate,fog"), "randomErasing, channelPermutation; got 'fog'"),
        (("space", "--types", "rotate,rotate"), "operation type 'rotate' is named twice"),
        (("space", "--sub-policies", "0"), "sub_policies must be a whole number from 1 to 1000, got 0"),
        (("space", "--operations", "0"), "operations must be a whole number from 1 to 100, got 0"),
        (("space", "-o", "missing/s.json"), "--output must be a file in a folder"),
        (("export", "missing.json", "--to", "torchvision"), "missing.json cannot be read"),
        (("export", "policy.json", "--to", "torchvision", "-o", "policy.json"), "this command did not write it"),
        (("export", "policy.json", "--to", "torchvision", "-o", "missing/a.py"), "--output must be a file in a folder"),
        (("show", "missing.json", "--images", "digits"), "missing.json cannot be read"),
        (("show", "policy.json", "--images", "nine"), "nine does not exist; wanted a folder of images, an image file"),
        (("show", "policy.json", "--images", "text.json"), "image text.json cannot be read"),
        (("show", "policy.json", "--images", "digits", "--rows", "0"), "rows must be a whole number from 1 on, got 0"),
        (("show", "policy.json", "--images", "digits", "--columns", "0"), "columns must be a whole number of at"),
        (("show", "policy.json", "--images", "digits", "--seed", "-1"), "seed must be a whole number from 0 to 2"),
        (("show", "policy.json", "--images", "digits", "-o", "p.txt"), "a contact sheet's file must end in .png"),
        (("show", "policy.json", "--images", "digits", "-o", "missing/p.png"), "--output must be a file in a folder"),
        (("init", "text.json"), "text.json"),
    ],
)
def test_a_mistake_ends_with_2_and_a_line(run, here, monkeypatch, arguments, words):
    # A mistake that is overlooked must not start an experiment here.
    monkeypatch.setattr("tuun_da.engines.nni_experiment.running", lambda *_, **__: 1 / 0)
    (here / "text.json").write_text("not JSON at all\n")
    (here / "flat.json").write_text(json.dumps({"x": UNIT}))
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
    monkeypatch.setattr(
        "tuun_da.engines.experiment_files.find_journal", lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
    )
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
    (here / ".ssh").mkdir()
    (here / ".ssh" / "id_ed25519").touch()
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

    def interrupted(config, splits, device, on_progress, *, types):
        on_progress("training", 0, 20)
        raise KeyboardInterrupt

    monkeypatch.setattr(probe, "measure_probe", interrupted)
    code, _, errors = run("probe")
    assert (code, errors) == (EXIT_INTERRUPTED, "tuun-da probe: interrupted\n")
    assert list(here.iterdir()) == []


def test_probe_measures_the_types_of_a_space_or_those_that_are_named(run, here):
    assert run("space", "--types", "invert,cutout")[0] == 0
    for number, choice in enumerate((("--space", "space.json"), ("--types", "cutout,invert"))):
        code, output, errors = run(*SMALL_PROBE, "-o", f"{number}.json", *choice)
        assert (code, errors) == (0, "")
        assert tuple(ProbeRecord.load(f"{number}.json").effects) == ("invert", "cutout")
        assert "Measuring: 6 of 6 settings" in output
    assert run("probe", "--space", "space.json", "--types", "invert")[0] == EXIT_MISTAKE


# ---- space ----


def test_space_writes_the_published_space_by_default(run, here):
    code, output, errors = run("space")
    assert (code, errors) == (0, "")
    shipped = REPOSITORY / "search_spaces"
    assert (here / "space.json").read_bytes() == (shipped / "tuun.json").read_bytes()
    assert "30 parameters, 16 operation types: shearX, " in output
    assert f"Written to {here / 'space.json'}" in output
    assert run("space", "--types", ",".join(PUBLISHED_TYPES), "-o", "t.json")[0] == 0
    assert (here / "t.json").read_bytes() == (shipped / "tuun.json").read_bytes()
    assert run("space", "--types", ", ".join(DEEPAUGMENT_TYPES), "--no-probabilities", "-o", "d.json")[0] == 0
    assert (here / "d.json").read_bytes() == (shipped / "deepaugment.json").read_bytes()


def test_space_of_categories_is_one_that_a_search_takes(run, here):
    from tuun_da.search.policy_space import find_policy
    from tuun_da.search.space import SearchSpace

    arguments = ("--categories", "blur, occlusion", "--sub-policies", "3", "--operations", "1", "--no-probabilities")
    assert run("space", *arguments, "-o", "s.json")[0] == 0
    layout = find_policy(SearchSpace.from_nni(json.loads((here / "s.json").read_text())))
    assert (layout.sub_policies, layout.operations_per_sub_policy, layout.has_prob) == (3, 1, False)
    assert layout.types == ("gaussianBlur", "sharpen", "emboss", "coarseDropout", "cutout", "randomErasing")
    assert run("space", "--categories", "blur", "--types", "cutout")[0] == EXIT_MISTAKE


def test_space_writes_over_a_search_space_and_over_nothing_else(run, here):
    assert run("space", "-o", "s.json")[0] == 0
    assert run("space", "--types", "rotate", "-o", "s.json")[0] == 0
    assert list(json.loads((here / "s.json").read_text())["operation1_1"]["_value"]) == ["rotate"]
    PolicyRecord((ROTATE,), "image").save(here / "p.json")
    before = (here / "p.json").read_bytes()
    code, _, errors = run("space", "-o", "p.json")
    assert (code, errors) == (
        EXIT_MISTAKE,
        "tuun-da space: --output is there already, and this command did not write it: 'p.json'\n",
    )
    assert (here / "p.json").read_bytes() == before


def test_show_writes_over_its_own_sheets_and_over_no_photograph(run, here):
    from PIL import Image

    PolicyRecord((ROTATE,), "image").save(here / "p.json")
    Image.new("RGB", (20, 20), (200, 10, 10)).save(here / "own.png")
    before = (here / "own.png").read_bytes()
    code, _, errors = run("show", "p.json", "--images", "own.png", "-o", "own.png")
    assert code == EXIT_MISTAKE
    assert "--output is there already, and this command did not write it: 'own.png'" in errors
    assert (here / "own.png").read_bytes() == before
    assert run("show", "p.json", "--images", "own.png")[0] == 0
    assert run("show", "p.json", "--images", "own.png", "--columns", "3")[0] == 0


# ---- export ----

ROTATE = SubPolicy((Operation("rotate", 1.0, 1.0),))


@pytest.mark.parametrize("target", ["torchvision", "albumentations"])
def test_export_writes_what_policy_code_gives_and_says_where(run, here, target):
    from tuun_da.augment.export import policy_code

    record = PolicyRecord((ROTATE,), "image", searched={"dataset": "digits"})
    record.save(here / "p.json")
    code, output, errors = run("export", "p.json", "--to", target, "-o", "mine.py")
    assert (code, output, errors) == (0, f"Written to {here / 'mine.py'}\n", "")
    assert (here / "mine.py").read_text() == policy_code(record, target)


def test_export_knows_every_target(run):
    from tuun_da.augment.export import TARGETS

    _, output, _ = run("export", "--help")
    assert f"--to {{{','.join(TARGETS)}}}" in output
    assert run("export", "p.json", "--to", "kornia")[0] == EXIT_MISTAKE
    assert run("export", "p.json")[0] == EXIT_MISTAKE


def test_export_says_that_a_per_batch_policy_is_applied_per_image(run, here):
    PolicyRecord((ROTATE,), "batch").save(here / "p.json")
    _, output, _ = run("export", "p.json", "--to", "torchvision")
    assert "draws one sub-policy for each mini-batch; the file draws one for each image" in output
    assert (here / "augmentation.py").is_file()


@pytest.mark.parametrize(("policy", "told"), [("etp+search", True), ("search", False)])
def test_export_says_what_a_policy_was_searched_on_top_of(run, here, policy, told):
    sub_policies = (SubPolicy((Operation("rotate", 1.0, 0.5),)),)
    PolicyRecord(sub_policies, searched={"settings": {"policy": policy}}).save(here / "on_top.json")
    code, output, _ = run("export", "on_top.json", "--to", "torchvision")
    assert code == 0
    assert ("on top of crop + flip" in output) == told


def test_export_replaces_its_own_files_only(run, here):
    PolicyRecord((ROTATE,)).save(here / "p.json")
    assert run("export", "p.json", "--to", "torchvision")[0] == 0
    first = (here / "augmentation.py").read_text()
    assert run("export", "p.json", "--to", "albumentations")[0] == 0
    assert (here / "augmentation.py").read_text() != first
    (here / "augmentation.py").write_text("mine = 1\n")
    code, _, errors = run("export", "p.json", "--to", "torchvision")
    assert code == EXIT_MISTAKE
    assert "--output is there already, and this command did not write it: 'augmentation.py'" in errors
    assert (here / "augmentation.py").read_text() == "mine = 1\n"


# ---- show ----


def test_show_draws_a_sheet_and_says_where(run, here):
    from PIL import Image

    PolicyRecord((ROTATE,) * 3, searched={"image_size": 16}).save(here / "p.json")
    sizes = {}
    for name, more in (("all", ()), ("low", ("--rows", "2")), ("slim", ("--columns", "5")), ("again", ("--seed", "0"))):
        code, output, errors = run("show", "p.json", "--images", "digits", "-o", f"{name}.png", *more)
        assert (code, output, errors) == (0, f"Written to {here / name}.png\n", "")
        with Image.open(here / f"{name}.png") as file:
            sizes[name] = file.size
    assert sizes["all"][0] - sizes["slim"][0] == 3 * 100  # 16 pixels are enlarged to 96, and stand 4 apart
    assert sizes["all"][1] - sizes["low"][1] == 108
    assert (here / "all.png").read_bytes() == (here / "again.png").read_bytes()


# ---- confirm ----


def made_confirmation(record=None):
    from tuun_da.engines.bootstrap import Interval
    from tuun_da.engines.confirmation import Confirmation, Row
    from tuun_da.engines.readings import Readings

    rows = (
        Row("no augmentation", "baseline", (0.5, 0.6), (0.5, 0.6)),
        Row("best policy", "policy", (0.6, 0.6), (0.7, 0.81)),
    )
    differences = (Interval(0.205, 0.1, 0.3),)
    return Confirmation(rows, differences, (1, 2), 898, 300, "accuracy", rows[0].label, Readings(1, 0.0), record=record)


def test_confirm_prints_a_table_and_writes_the_numbers(run, here, monkeypatch):
    """The trainings are another test's; here is what becomes of their numbers, and what was asked for."""
    asked = []

    def trained(record, **options):
        asked.append(options)
        options["on_progress"]("Training", 0, 4)
        options["on_progress"]("Training", 4, 4)
        return made_confirmation(record)

    monkeypatch.setattr("tuun_da.engines.confirm.confirm", trained)
    POLICY.save(here / "p.json")
    code, output, _ = run(
        "confirm", "p.json", "--baselines", " none, etp ,", "--seeds", "2", "--workers", "3", "--epochs", "7", "--fresh"
    )
    assert code == 0
    assert (asked[0]["baselines"], asked[0]["n_seeds"], asked[0]["workers"]) == (["none", "etp"], 2, 3)
    assert (asked[0]["overrides"], asked[0]["fresh"], asked[0]["folder"]) == ({"epochs": 7}, True, here)
    assert "75.50 %" in output
    assert "Undecided: the policy has 75.50 % accuracy on 898 test images" in output
    assert "Training: 0 of 4 trainings" in output
    written = json.loads((here / "p.confirmation.json").read_text())
    assert written["rows"][1]["accuracies"] == [0.7, 0.81]
    assert str(here / "p.confirmation.json") in output


@pytest.mark.parametrize(
    "place", ["nni-experiments/abc123/checkpoint/journal.jsonl", "runs/journal.jsonl", "mine.jsonl"]
)
def test_confirm_of_an_experiment_keeps_result_and_policy_beside_its_journal(run, here, monkeypatch, place):
    asked = []

    def trained(content, folder, **options):
        asked.append((content, folder, options))
        return made_confirmation(POLICY)

    monkeypatch.setattr("tuun_da.engines.confirm.confirm_experiment", trained)
    path = write_journal(here / place)
    name = {"mine.jsonl": "mine.jsonl", "runs/journal.jsonl": "runs"}.get(place, "abc123")
    code, _, _ = run("confirm", name, "--candidates", "2", "--model", "mine:net")
    assert code == 0
    [(content, folder, options)] = asked
    assert (len(content.trials), folder.resolve()) == (3, path.parent)
    assert (options["n_candidates"], options["overrides"]) == (2, {"model": "mine:net"})
    assert options["experiment"] == ("abc123" if name == "abc123" else None)
    stem = "mine" if place == "mine.jsonl" else "best_policy"
    assert PolicyRecord.load(path.with_name(f"{stem}.json")) == POLICY
    assert json.loads(path.with_name(f"{stem}.confirmation.json").read_text())["verdict"] == "undecided"
    assert run("confirm", name, "-o", "elsewhere.json")[0] == 0
    assert PolicyRecord.load(here / "elsewhere.policy.json") == POLICY
    assert asked[1][2]["n_candidates"] == 3


def test_confirm_overwrites_nothing_but_a_policy_with_a_policy(run, here, monkeypatch):
    monkeypatch.setattr("tuun_da.engines.confirm.confirm_experiment", lambda *_, **__: 1 / 0)
    write_journal(here / "mine.jsonl")
    (here / "mine.json").write_text("notes")
    code, _, errors = run("confirm", "mine.jsonl")
    assert code == EXIT_MISTAKE
    assert "the confirmed policy would go to mine.json, which is none" in errors
    assert (here / "mine.json").read_text() == "notes"


def test_an_interrupted_confirm_says_that_it_goes_on(run, here, monkeypatch):
    monkeypatch.setattr("tuun_da.engines.confirm.confirm", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    POLICY.save(here / "p.json")
    code, _, errors = run("confirm", "p.json")
    assert code == EXIT_INTERRUPTED
    assert "the same command goes on" in errors

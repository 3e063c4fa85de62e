"""A trial of the first version beside one of now: both really are what they are called."""

from __future__ import annotations

import ast
import json
import subprocess
import sys

import pytest

from benchmarks import first_version, race
from benchmarks.first_version import (
    FIRST,
    NOW,
    policy_choice,
    ran,
    report,
    run_process,
    run_train,
    split_options,
    taken_out,
    trial_command,
    with_epochs,
)
from tuun_da.augment.policy import Policy
from tuun_da.errors import ConfigError
from tuun_da.training.options import TRAIN_NAMES

COMMAND = ["--data", "digits", "--train-per-class", "5", "--validation-size", "100", "--model", "child_cnn",
           "--epochs", "1", "--batch-size", "16", "--learning-rate", "0.02", "--threads", "1"]  # fmt: skip


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A git repository with one commit, whose files have changed since; stands for the project's."""
    root = tmp_path / "repository"
    (root / "nni_configs").mkdir(parents=True)
    file = root / "nni_configs" / "digits.yml"
    file.write_text("# trialCommand: no\ntrialCommand: python3 train.py --data digits --epochs 60\nmaxTrialNumber: 2\n")
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    file.write_text("trialCommand: python3 train.py --data svhn\n")
    monkeypatch.setattr(first_version.race, "ROOT", root)
    return root


def test_the_version_of_a_commit_is_taken_out_as_it_was(repository, tmp_path):
    folder = taken_out("HEAD", tmp_path / "out")
    assert trial_command(folder) == ["--data", "digits", "--epochs", "60"]
    assert trial_command(repository) == ["--data", "svhn"]
    with pytest.raises(ConfigError, match="commit 5812edc must be in the git history"):
        taken_out("5812edc", tmp_path / "other")


def test_a_configuration_without_a_trial_is_a_clear_error(repository):
    (repository / "nni_configs" / "digits.yml").write_text("maxTrialNumber: 2\n")
    with pytest.raises(ConfigError, match=r"digits.yml must have a trialCommand"):
        trial_command(repository)


def test_the_options_of_a_trial_are_those_of_its_training_and_its_data():
    assert split_options(COMMAND) == {
        "train": {"model": "child_cnn", "epochs": 1, "batch_size": 16, "learning_rate": 0.02},
        "data": {"data": "digits", "train_per_class": 5, "validation_size": 100},
    }
    assert "epochs" in TRAIN_NAMES
    assert with_epochs(COMMAND, 7)[9] == "7"
    assert with_epochs(COMMAND, None) == COMMAND
    with pytest.raises(ConfigError, match="option --colour of the trial"):
        split_options(["--colour", "red"])


def test_the_random_policy_is_a_policy_file(tmp_path):
    assert policy_choice("trivialaugment", tmp_path) == "trivialaugment"
    policy = Policy.load(policy_choice("random", tmp_path))
    assert len(policy.record.sub_policies) == 5
    assert policy.record.per == "batch"


def test_train_alone_takes_a_part_of_the_whole_process(tmp_path):
    policy = policy_choice("random", tmp_path)
    alone, whole = run_train(race.ROOT, COMMAND, policy), run_process(race.ROOT, COMMAND, policy)
    assert 0 < alone["cpu_seconds"] < whole["cpu_seconds"]
    assert 0 <= alone["score"] <= 1


def test_a_process_that_fails_is_a_clear_error(tmp_path):
    with pytest.raises(ConfigError, match=f"in {tmp_path} ended with 3: no such policy"):
        ran(
            [sys.executable, "-c", "import sys; print('no such policy', file=sys.stderr); sys.exit(3)"],
            tmp_path,
            tmp_path,
        )
    text = ran([sys.executable, "-c", "import os; print(os.environ['PYTHONPATH'])"], tmp_path, tmp_path / "version")
    assert text.strip() == str(tmp_path / "version")


def test_a_training_by_another_version_is_refused(tmp_path, monkeypatch):
    (tmp_path / "tuun_da").mkdir()
    package = tmp_path / "tuun_da" / "__init__.py"

    def said(*arguments):
        return json.dumps({"seconds": 1.0, "cpu_seconds": 1.0, "score": 0.5, "package": str(package)})

    monkeypatch.setattr(first_version, "ran", said)
    assert run_train(tmp_path, COMMAND, "none")["seconds"] == 1.0
    with pytest.raises(ConfigError, match="must be timed, Python took"):
        run_train(tmp_path / "other", COMMAND, "none")


@pytest.fixture
def trials(repository, monkeypatch):
    """Trials that take no time: the versions' folders in the order in which they ran."""
    folders = []

    def trial(folder, options, policy):
        folders.append(folder)
        return {"seconds": 2.0 if folder == repository else 6.0, "cpu_seconds": 1.0, "score": 0.5}

    monkeypatch.setattr(first_version, "run_process", trial)
    monkeypatch.setattr(first_version, "run_train", trial)
    return folders


def test_rounds_are_kept_compared_and_not_repeated(repository, trials, tmp_path, capsys):
    path = tmp_path / "found.jsonl"
    options = ["--results", str(path), "--commit", "HEAD", "--policies", "none", "--rounds"]
    assert first_version.main([*options, "2"]) == 0
    records = race.read_lines(path)
    assert [record["version"] for record in records] == [FIRST, NOW, FIRST, NOW, NOW, FIRST, NOW, FIRST]
    assert [folder == repository for folder in trials] == [record["version"] == NOW for record in records]
    assert {record["command"] for record in records} == {"--data digits --epochs 60"}
    text = capsys.readouterr().out
    assert "| none | whole process | 2 | 6 (6 to 6) | 2 (2 to 2) | 3 (3 to 3) | 1 (1 to 1) | 50.0 %, 50.0 % |" in text
    assert first_version.main([*options, "3", "--policies", "none", "random"]) == 0
    assert len(trials) == 8 + 8 + 8  # two rounds of "none", two of "random", one of both
    assert first_version.main([*options, "3", "--policies", "none", "random"]) == 0
    assert len(race.read_lines(path)) == len(trials)


def test_a_round_that_a_failure_cuts_short_leaves_nothing(repository, monkeypatch, tmp_path, capsys):
    def fail(folder, options, policy):
        raise ConfigError("no more")

    monkeypatch.setattr(first_version, "run_process", lambda *arguments: {"seconds": 1.0, "cpu_seconds": 1.0})
    monkeypatch.setattr(first_version, "run_train", fail)
    path = tmp_path / "found.jsonl"
    assert first_version.main(["--results", str(path), "--commit", "HEAD"]) == 1
    assert "no more" in capsys.readouterr().err
    assert report(race.read_lines(path)) == "nothing measured yet"


def test_the_driver_imports_nothing_that_belongs_to_one_version_only():
    tree = ast.parse((race.ROOT / "benchmarks" / "first_version_driver.py").read_text())
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {module.partition(".")[0] for module in modules} <= {*sys.stdlib_module_names, "torch", "tuun_da"}

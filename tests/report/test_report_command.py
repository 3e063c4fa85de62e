"""``tuun-da report`` and ``tuun-da trials``: of real trials, of what is broken, into which file."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from made_journals import confirmation_file, made_journal, made_space
from PIL import Image

from tuun_da.augment.policy import Policy
from tuun_da.cli import EXIT_FAILED, EXIT_MISTAKE, main
from tuun_da.engines.echo import Echo
from tuun_da.engines.study import Study
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.search.history import Journal, Trial, TrialState
from tuun_da.training.progress import TrialProgress
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig, TrialConfig
from tuun_da.training.trial import run_trial


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder, which is the home as well: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run_with(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_with


def digits_journal(path):
    """Five trials of two epochs, really trained."""
    study = Study.open(path, made_space(), TunerSettings(n_initial=5, seed=0))
    train = TrainConfig(model="child_cnn", epochs=2, batch_size=16, learning_rate=0.02)
    data = DataConfig(data="digits", train_per_class=10, validation_size=100)
    for _ in range(5):
        trial_id, parameters = study.ask()
        progress = TrialProgress()
        run_trial(train, data, TrialConfig(), Policy(parameters), torch.device("cpu"), progress)
        settings = {"policy": "search", "train": train.to_dict(), "data": data.to_dict(), "image_size": 8}
        study.finish(
            Echo(
                trial_id,
                parameters,
                progress.score,
                TrialState.SUCCEEDED,
                progress.curve,
                0,
                details={"settings": settings},
            )
        )
    study.journal.close()


def test_of_real_trials_with_pictures_of_their_own_images(run, tmp_path):
    digits_journal(tmp_path / "journal.jsonl")
    code, output, errors = run("report", ".", "-o", "report.html")  # the folder of a journal
    assert (code, errors) == (0, "")
    assert output == f"Written to {tmp_path}/report.html\n"
    page = (tmp_path / "report.html").read_text()
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == 8 * 3
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(pictures[0]))).convert("L"))
    from sklearn.datasets import load_digits

    zero = np.rint(load_digits().images[0] * (255 / 16)).astype(np.uint8)
    assert np.array_equal(shown, zero)
    assert "Learning curves" in page
    assert run("report", ".", "-o", "report.html")[0] == 0  # its own file is replaced


@pytest.mark.parametrize(
    ("arguments", "beginning"),
    [
        (("-o", "r.md"), "<!-- tuun_da report -->"),
        (("-o", "r.json"), '{\n "format": "tuun_da report"'),
        (("-o", "r.html", "--format", "md"), "<!-- tuun_da report -->"),
        (("-o", "r.txt"), "<!DOCTYPE html>"),
    ],
)
def test_the_format_is_the_files_ending_or_what_is_asked_for(run, experiment, tmp_path, arguments, beginning):
    for _ in range(2):  # the second one replaces the first
        assert run("report", experiment, "--images", "none", *arguments)[0] == 0
    assert (tmp_path / arguments[1]).read_text().startswith(beginning)


@pytest.mark.parametrize(("form", "name"), [("md", "report.md"), ("json", "report.json"), ("html", "report.html")])
def test_a_report_without_a_name_ends_in_its_format(run, experiment, tmp_path, form, name):
    assert run("report", experiment, "--images", "none", "--format", form)[0] == 0
    assert [path.name for path in tmp_path.glob("report.*")] == [name]


def test_images_that_are_not_there_are_a_sentence_and_no_failure(run, experiment, tmp_path):
    code, output, _ = run("report", experiment)
    assert code == 0
    assert "No images could be loaded" in output
    assert "No images could be loaded" in (tmp_path / "report.html").read_text()


def test_a_data_set_that_would_be_downloaded_is_not(run, tmp_path, monkeypatch):
    import socket

    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("it connects"))
    made_journal(tmp_path / "j", n_trials=3, failed=(), words="cifar10")
    code, output, _ = run("report", "j", "--data-dir", "empty")
    assert code == 0
    assert "downloads nothing" in output


def test_a_confirmation_beside_the_policy_of_this_experiment_is_found(run, experiment, tmp_path):
    assert run("best", experiment)[0] == 0
    policy = json.loads((tmp_path / "best_policy.json").read_text())
    beside = confirmation_file(tmp_path / "best_policy.confirmation.json", "a rival of mine")
    confirmation = json.loads(beside.read_text())
    [chosen] = [tried for tried in confirmation["choice"]["tried"] if tried["chosen"]]
    chosen["label"] = f"trial {policy['searched']['trial']}"
    beside.write_text(json.dumps(confirmation))
    assert run("report", experiment, "--images", "none")[0] == 0
    assert "a rival of mine" in (tmp_path / "report.html").read_text()
    policy["sub_policies"][0][0][1] = 0.123
    (tmp_path / "best_policy.json").write_text(json.dumps(policy))  # of another experiment, then
    assert run("report", experiment, "--images", "none")[0] == 0
    page = (tmp_path / "report.html").read_text()
    assert "a rival of mine" not in page
    assert "It is not confirmed" in page


@pytest.mark.parametrize("command", ["report", "trials"])
def test_broken_journals_are_a_line(run, tmp_path, command):
    (tmp_path / "empty").touch()
    code, _, errors = run(command, "empty")
    assert (code, errors) == (EXIT_MISTAKE, f"tuun-da {command}: journal empty is empty\n")
    space = {"x": {"_type": "uniform", "_value": [0, 1]}}
    with Journal.open(tmp_path / "later", space=space, settings={}, versions={}):
        pass
    (tmp_path / "later").write_text((tmp_path / "later").read_text().replace('"version": 1', '"version": 2'))
    code, _, errors = run(command, "later")
    assert code == EXIT_MISTAKE
    assert "has version 2; this release reads version 1" in errors


def test_of_a_journal_whose_last_line_is_half_written(run, tmp_path):
    path = made_journal(tmp_path / "j", n_trials=4, failed=())
    with open(path, "ab") as file:
        file.write(b'{"kind": "fini')
    assert run("report", "j")[0] == 0
    assert len(run("trials", "j")[1].splitlines()) == 1 + 4 + 1


def test_without_a_finished_trial_it_says_what_there_is(run, tmp_path):
    space = {"x": {"_type": "uniform", "_value": [0, 1]}}
    with Journal.open(tmp_path / "j", space=space, settings={}, versions={}) as journal:
        journal.record_asked(1, {"x": 0.5})
        journal.record_asked(2, {"x": 0.6})
        journal.record_finished(Trial(id=1, parameters={"x": 0.5}, state=TrialState.FAILED, error="no such folder"))
    code, _, errors = run("report", "j")
    assert code == EXIT_FAILED
    assert "no trial has come to a score yet" in errors
    assert "1 ended without one, 1 have no result yet; the last failure: no such folder" in errors
    assert not (tmp_path / "report.html").exists()
    code, output, _ = run("trials", "j")
    assert code == 0
    assert "no such folder" in output
    assert "running" in output


def test_trials_are_printed_or_written(run, experiment, tmp_path):
    assert len(run("trials", experiment)[1].splitlines()) == 1 + 17
    assert run("trials", experiment, "--format", "csv")[1].startswith("id,state,value")
    for name in ("t.csv", "t.json", "t.txt"):
        for _ in range(2):
            code, output, _ = run("trials", experiment, "-o", name)
            assert (code, output) == (0, f"Written to {tmp_path / name}\n")
    assert len(json.loads((tmp_path / "t.json").read_text())["trials"]) == 17
    assert (tmp_path / "t.csv").read_text().startswith("id,state,value")
    assert (tmp_path / "t.txt").read_text().startswith("trial  state")

"""``tuun-da train``: weights that give the score that was told; it goes on where it was interrupted."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from tuun_da.cli import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_MISTAKE, main
from tuun_da.errors import ConfigError
from tuun_da.operations import Operation, SubPolicy
from tuun_da.policy_format import PolicyRecord
from tuun_da.training.datasets import load_splits
from tuun_da.training.network_file import load_network
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig

DATA = ("--data", "digits", "--train-per-class", "10", "--validation-size", "50")
SMALL = ("train", *DATA, "--model", "child_cnn", "--epochs", "2", "--batch-size", "16", "--threads", "1")
ROTATE = (SubPolicy((Operation("rotate", 1.0, 0.5),)),)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run_with(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_with


def searched(**changes):
    """What a policy file keeps of its trials."""
    train = TrainConfig(model="child_cnn", epochs=1, batch_size=16, learning_rate=0.03, reward="best").to_dict()
    data = DataConfig(train_per_class=10, validation_size=50).to_dict()
    return {"settings": {"train": train, "data": data, "policy": "search"} | changes}


def accuracy(network, images, labels):
    with torch.inference_mode():
        return (network(images).argmax(dim=1) == labels).double().mean().item()


def test_the_weights_give_the_scores_that_were_told(run):
    code, output, errors = run(*SMALL, "--policy", "etp", "--test", "-o", "m.pt", "--learning-rate", "0.05")
    assert (code, errors) == (0, "")
    report = json.loads(Path("m.json").read_text())
    network = load_network("m.pt")
    splits = load_splits(DataConfig(train_per_class=10, validation_size=50))
    assert report["scores"]["validation"] == accuracy(network, splits.validation_images, splits.validation_labels)
    assert report["scores"]["test"] == accuracy(network, splits.test_images, splits.test_labels)
    assert report["scores"]["test_images"] == len(splits.test_labels) == 898
    assert f"Test accuracy: {report['scores']['test']:.2%} of 898 images. They were read now, once" in output
    assert [epoch["epoch"] for epoch in report["epochs"]] == [1, 2]
    assert report["scores"]["validation"] == report["epochs"][-1]["validation_score"]
    assert report["settings"]["train"]["learning_rate"] == 0.05
    assert network.about["settings"] == report["settings"]
    assert network.about["augmentation"] == {"choice": "etp", "policy": None}
    assert re.search(r"Epoch 1 of 2: loss \d\.\d{4}, validation accuracy \d+\.\d\d%, about \d+ s left", output)
    assert "100 train, 50 validation, 898 test images of 10 classes" in output


def test_each_reading_of_the_test_split_is_on_record_and_a_second_one_warns(run, caplog):
    run(*SMALL, "--policy", "none")
    assert not Path("test_readings.jsonl").exists()
    run(*SMALL, "--policy", "none", "--test", "-o", "a.pt")
    assert caplog.messages == []
    run(*SMALL, "--policy", "etp", "--test", "-o", "b.pt")
    [warning] = caplog.messages
    assert "the test images were read before" in warning
    assert "this is reading 2" in warning
    Path("test_readings.jsonl").write_text("mine\n")
    code, _, errors = run(*SMALL, "--policy", "none", "--test", "-o", "c.pt")
    assert code == EXIT_MISTAKE
    assert "test_readings.jsonl" in errors
    assert not Path("c.pt").exists()


def test_the_test_split_is_not_read_unless_asked_for(run, monkeypatch):
    from tuun_da.training import loop

    judged = []
    evaluated = loop.evaluated

    def watching(model, batches, **more):
        judged.append(len(batches.labels))
        return evaluated(model, batches, **more)

    monkeypatch.setattr(loop, "evaluated", watching)
    code, output, _ = run(*SMALL, "--policy", "none")
    assert code == 0
    assert "Test accuracy" not in output
    assert json.loads(Path("model.json").read_text())["scores"]["test"] is None
    assert judged == [50, 50]
    run(*SMALL, "--policy", "none", "--test")
    assert judged[2:] == [50, 50, 898]


def test_an_interrupted_training_goes_on_and_ends_as_if_nothing_had_happened(run, tmp_path, monkeypatch):
    from tuun_da.commands import train

    assert run(*SMALL, "--policy", "etp", "-o", "whole.pt")[0] == 0
    show = train._Epochs.show

    def stop(epochs, report):
        show(epochs, report)
        if report.epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train._Epochs, "show", stop)
        code, output, errors = run(*SMALL, "--policy", "etp", "-o", "cut.pt")
    assert code == EXIT_INTERRUPTED
    assert "the same command goes on from there" in output
    assert errors == "tuun-da train: interrupted\n"
    assert {path.name for path in tmp_path.glob("cut*")} == {"cut.pt.checkpoint"}
    code, _, errors = run(*SMALL, "--policy", "none", "-o", "cut.pt")
    assert code == EXIT_MISTAKE
    assert "cut.pt.checkpoint is of another training: its transform is" in errors
    code, output, _ = run(*SMALL, "--policy", "etp", "-o", "cut.pt")
    assert code == 0
    assert f"Going on from {tmp_path / 'cut.pt.checkpoint'}" in output
    assert {path.name for path in tmp_path.glob("cut*")} == {"cut.pt", "cut.json"}
    whole, cut = load_network("whole.pt").state_dict(), load_network("cut.pt").state_dict()
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_fresh_begins_anew(run, tmp_path):
    (tmp_path / "model.pt.checkpoint").write_text("of another training")
    assert run(*SMALL, "--policy", "none")[0] == EXIT_MISTAKE
    assert run(*SMALL, "--policy", "none", "--fresh")[0] == 0


def test_fresh_removes_nothing_where_it_cannot_begin(run, tmp_path):
    for name in ("model.pt", "model.pt.checkpoint"):
        (tmp_path / name).write_text("mine")
    assert run(*SMALL, "--policy", "none", "--fresh")[0] == EXIT_MISTAKE
    assert (tmp_path / "model.pt.checkpoint").read_text() == "mine"


def test_of_sizes_that_exclude_each_other_the_option_wins_over_the_search(run):
    PolicyRecord(ROTATE, searched=searched()).save("p.json")
    code, output, _ = run("train", "--policy", "p.json", "--threads", "1", "--train-size", "60")
    assert code == 0
    assert "60 train, 50 validation" in output
    data = json.loads(Path("model.json").read_text())["settings"]["data"]
    assert (data["train_size"], data["train_per_class"]) == (60, None)


def test_a_policy_file_brings_images_and_training_and_options_win(run):
    PolicyRecord(ROTATE, searched=searched()).save("p.json")
    assert run("train", "--policy", "p.json", "--threads", "1", "--learning-rate", "0.04")[0] == 0
    report = json.loads(Path("model.json").read_text())
    train, data = report["settings"]["train"], report["settings"]["data"]
    assert (train["model"], train["epochs"], train["learning_rate"]) == ("child_cnn", 1, 0.04)
    assert (data["data"], data["train_per_class"]) == ("digits", 10)
    assert report["augmentation"]["choice"] == "search"
    assert report["augmentation"]["policy"]["sub_policies"] == [[["rotate", 1.0, 0.5]]]
    # with --data it is the options that count, not the file
    assert run(*SMALL, "--policy", "p.json")[0] == 0
    assert json.loads(Path("model.json").read_text())["settings"]["train"]["learning_rate"] == 0.1


@pytest.mark.parametrize(
    ("policy", "option", "choice"),
    [
        ("search", None, "search"),
        ("etp+search", None, "etp+search"),
        ("search", "etp", "etp+search"),
        ("etp+search", "none", "search"),
    ],
)
def test_a_policy_is_applied_as_it_was_searched_unless_told_otherwise(run, monkeypatch, policy, option, choice):
    from tuun_da.augment import named

    asked = []
    build = named.build_transform
    monkeypatch.setattr(named, "build_transform", lambda *what: asked.append(what) or build(*what))
    record = PolicyRecord(ROTATE, searched=searched(policy=policy))
    record.save("p.json")
    assert run("train", "--policy", "p.json", *(("--on-top-of", option) if option else ()))[0] == 0
    assert asked == [(choice, record)]


def test_a_model_that_is_code_runs_only_if_it_is_named(run, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "from tuun_da.training.models.child_cnn import ChildCNN as Net\nopen('ran', 'w').close()\n"
    )
    settings = searched()["settings"]
    settings["train"]["model"] = "mine:Net"
    PolicyRecord(ROTATE, searched={"settings": settings}).save("p.json")
    code, _, errors = run("train", "--policy", "p.json")
    assert code == EXIT_MISTAKE
    assert "names the model 'mine:Net', which is code" in errors
    assert not (tmp_path / "ran").exists()
    assert run("train", "--policy", "p.json", "--model", "mine:Net")[0] == 0
    with pytest.raises(ConfigError, match="which is code"):
        load_network("model.pt")
    assert load_network("model.pt", model="mine:Net").about["settings"]["train"]["model"] == "mine:Net"


def test_a_folder_needs_no_prefix(run, tmp_path):
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("löwe", "ä b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(20):
            Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(
                tmp_path / "images" / name / f"{number}.png"
            )
    words = ("--model", "child_cnn", "--epochs", "1", "--batch-size", "8", "--threads", "1")
    assert run("train", "--data", "images", "--policy", "none", *words)[0] == 0
    assert set(load_network("model.pt").class_names) == {"löwe", "ä b"}
    assert json.loads(Path("model.json").read_text())["settings"]["data"]["data"] == f"folder:{tmp_path / 'images'}"


def test_outputs_are_written_over_only_if_they_are_its_own(run, tmp_path):
    assert run(*SMALL, "--policy", "none", "-o", "m.pt")[0] == 0
    assert run(*SMALL, "--policy", "none", "-o", "m.pt")[0] == 0
    for name in ("m.pt", "m.json"):
        before = (tmp_path / name).read_bytes()
        (tmp_path / name).write_text("mine")
        code, _, errors = run(*SMALL, "--policy", "none", "-o", "m.pt")
        assert code == EXIT_MISTAKE
        assert "this command did not write it" in errors
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).write_bytes(before)
    assert list(tmp_path.glob("*.checkpoint")) == []


def test_a_training_that_breaks_off_is_a_failure(run):
    code, _, errors = run(*SMALL, "--policy", "none", "--learning-rate", "1e30")
    assert code == EXIT_FAILED
    assert "tuun-da train: loss became" in errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--policy", "nine", *DATA), "policy must be one of none, etp, etp+cutout"),
        (("--policy", "search", *DATA), "there is no file 'search'"),
        (("--policy", "etp"), "--data is missing; wanted a folder of images"),
        (("--policy", "bare.json"), "policy file bare.json does not say on which images its trials trained"),
        (("--policy", "none", "--on-top-of", "etp", *DATA), "on-top-of is for a policy file, and the policy is none"),
        (("--policy", "none", *DATA, "-o", "m.json"), "--output is for weights and must not end in .json"),
        (("--policy", "none", *DATA, "-o", "missing/m.pt"), "--output must be a file in a folder"),
        (("--policy", "none", *DATA, "--epochs", "0"), "epochs must be a whole number of at least 1, got 0"),
        (("--policy", "none", *DATA, "--device", "gpu"), "device must be auto, cpu, cuda or cuda:N"),
        (("--policy", "none", "--data", "missing"), "one of digits,"),
    ],
)
def test_a_mistake_is_a_line_and_writes_nothing(run, tmp_path, arguments, words):
    PolicyRecord(ROTATE).save("bare.json")
    code, _, errors = run("train", *arguments)
    assert code == EXIT_MISTAKE
    assert errors.startswith("tuun-da train: ")
    assert words in errors
    assert {path.name for path in tmp_path.iterdir()} == {"bare.json"}


def test_the_example_of_the_help_uses_the_weights(run, capsys):
    assert run(*SMALL, "--policy", "none")[0] == 0
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out.split("the weights in use:\n")[1].split("\n\ntorch.load")[0]
    exec(compile("\n".join(line.removeprefix("  ") for line in text.splitlines()), "help", "exec"), {})
    assert re.fullmatch(r"\['[0-9]'\]\n", capsys.readouterr().out)
    assert run(*SMALL, "--policy", "none", "--weights", "model.pt", "-o", "next.pt")[0] == 0

"""What a report tells people to copy works."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex

import torch
from made_journals import TYPES, made_journal

from tuun_da.api.experiment_report import experiment_report
from tuun_da.api.find_policy import find_policy
from tuun_da.cli import main
from tuun_da.engines.nni_config import read_config
from tuun_da.operations import Operation, SubPolicy
from tuun_da.report.usage import policy_command, rerun, rerun_config, trial_command, usage_snippets
from tuun_da.space_file import policy_space
from tuun_da.training.options import (
    add_training_options,
    add_trial_options,
    configs_from_options,
    trial_config_from_options,
)
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig, TrialConfig


def parsed(command):
    parser = argparse.ArgumentParser()
    add_training_options(parser)
    add_trial_options(parser)
    parser.add_argument("--policy")
    words = shlex.split(command)
    assert words[:2] == ["python3", "train.py"]
    return parser.parse_args(words[2:])


def test_the_command_of_a_trial_is_read_as_the_same_settings():
    train = TrainConfig(model="wide_resnet_28_10", epochs=7, learning_rate=0.03, metric="macro_f1", compile=True)
    data = DataConfig(
        data="folder:~/my $images", train_per_class=15, validation_size=0.25, split_seed=9, skip_broken=True
    )
    trial = TrialConfig(repeats=2, resplit=True, validation_sample=50)
    settings = {"train": train.to_dict(), "data": data.to_dict(), "trial": trial.to_dict(), "policy": "etp+search"}
    options = parsed(trial_command(settings))
    assert configs_from_options(options) == (train, data)
    assert trial_config_from_options(options) == trial
    assert options.policy == "etp+search"


def test_defaults_are_left_out():
    settings = {"train": TrainConfig().to_dict(), "data": DataConfig().to_dict(), "policy": "search"}
    assert trial_command(settings) == "python3 train.py"
    assert trial_command({}) == "python3 train.py"


def test_the_configuration_is_one(tmp_path, monkeypatch):
    path = made_journal(
        tmp_path / "j", n_trials=3, failed=(), surrogate="forest", initial=["none"], left_running=0, words="digits"
    )
    made = experiment_report(path, images="none")
    monkeypatch.chdir(tmp_path)
    assert main(["init", "."]) == 0
    (tmp_path / "search.yml").write_text(rerun_config(made))
    (tmp_path / "search_space.json").write_text(json.dumps(dict(made.space)))
    config = read_config("search.yml")
    assert config.max_trials == 3
    assert (config.settings.surrogate, config.settings.seed, config.settings.n_initial) == ("forest", 0, 12)
    assert list(config.settings.initial) == ["none"]


def test_the_policy_is_written_and_the_snippets_run_on_it(experiment, plain_report, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(experiment.parent))
    os.symlink(experiment.parent, experiment.parent / "nni-experiments")  # where NNI keeps them
    command = shlex.split(policy_command(plain_report))
    assert command[:3] == ["tuun-da", "best", "abc123"]
    assert main(command[1:]) == 0
    loop, pipeline, export = usage_snippets(plain_report)
    names = {}
    exec(loop.code, names)
    assert names["augmented"].shape == (128, 3, 16, 16)
    exec(pipeline.code, names)
    image = names["transform"](torch.zeros(3, 16, 16, dtype=torch.uint8))
    assert image.dtype == torch.float32
    assert main(shlex.split(export.code)[1:]) == 0
    assert (tmp_path / "augmentation.py").is_file()


def test_a_policy_that_no_other_library_can_express_is_not_told_to_be_exported(plain_report, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sub_policy = SubPolicy((Operation("elastic", 1.0, 0.5), Operation("rotate", 1.0, 0.5)))
    record = dataclasses.replace(plain_report.record, sub_policies=(sub_policy,))
    record.save("best_policy.json")
    assert main(["export", "best_policy.json", "--to", "torchvision", "-o", "a.py"]) != 0
    *_, last = usage_snippets(dataclasses.replace(plain_report, record=record))
    images = torch.zeros(64, 3, 16, 16, dtype=torch.uint8)
    names = {"train_set": list(zip(images, range(64), strict=True))}
    exec(last.code, names)
    [(batch, labels)] = names["loader"]
    assert batch.shape == images.shape
    assert sorted(labels.tolist()) == list(range(64))


def test_the_call_that_searches_again_makes_the_same_trials(tmp_path, monkeypatch):
    """Of a search in Python; the settings are none of the defaults."""
    monkeypatch.chdir(tmp_path)
    space = policy_space(TYPES, sub_policies=2)
    settings = {
        "model": "child_cnn", "epochs": 1, "batch_size": 16, "learning_rate": 0.02, "reward": "best",
        "train_per_class": 4, "validation_size": 100, "split_seed": 3, "repeats": 2, "validation_sample": 60,
        "surrogate": "forest", "acquisition": "ucb", "beta": 1.5, "n_initial": 2, "per": "image",
        "unchanged_share": 0.25, "on_top_of_etp": True, "seed": 7, "initial": [], "space": space,
    }  # fmt: skip
    first = find_policy("digits", 3, **settings, journal="first.jsonl", progress=False)
    code = rerun(experiment_report(first.journal_path, images="none")).code
    (tmp_path / "search_space.json").write_text(json.dumps(space))
    names = {}
    exec(code, names)
    assert names["found"].journal_path != first.journal_path

    def ran(result):
        return [(trial.id, dict(trial.parameters), trial.value) for trial in result.content.trials]

    assert ran(names["found"]) == ran(first)
    assert names["found"].content.settings == first.content.settings


def test_a_folder_of_the_home_stays_one_for_the_shell(plain_report):
    at_home = dataclasses.replace(plain_report, experiment=None, journal="~/my runs/j")
    assert policy_command(at_home) == "tuun-da best ~/'my runs/j' -o best_policy.json"

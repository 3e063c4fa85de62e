"""The options become settings, a trial's parameters win over them, and an unknown parameter is an error."""

from __future__ import annotations

import argparse
from dataclasses import fields

import pytest

from tuun_da.errors import ConfigError
from tuun_da.training.options import (
    DATA_NAMES,
    TRAIN_NAMES,
    TRIAL_NAMES,
    add_training_options,
    add_trial_options,
    configs_from_options,
    trial_config_from_options,
)
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig, TrialConfig


def parser():
    made = argparse.ArgumentParser()
    add_training_options(made)
    add_trial_options(made)
    return made


def configs(*arguments, **parameters):
    return configs_from_options(parser().parse_args(arguments), parameters)


def test_without_options_everything_is_as_the_settings_default():
    assert configs() == (TrainConfig(), DataConfig())
    assert configs_from_options(parser().parse_args([])) == (TrainConfig(), DataConfig())


def test_every_setting_has_its_option():
    assert set(TRAIN_NAMES) == {field.name for field in fields(TrainConfig)}
    assert set(DATA_NAMES) == {field.name for field in fields(DataConfig)}


VALUES = {
    "data": "svhn", "image_size": 24, "train_size": 90, "train_per_class": 9, "validation_size": 0.3, "test_size": 70,
    "split_seed": 5, "data_dir": "/d", "skip_broken": True, "model": "child_cnn", "epochs": 3, "batch_size": 16,
    "learning_rate": 0.25, "momentum": 0.5, "weight_decay": 0.001, "label_smoothing": 0.1, "warmup_share": 0.3,
    "seed": 8, "precision": "float32", "extra": True, "weights": "w.pt", "metric": "macro_f1", "reward": "top3",
    "reward_gap": 0.1, "reward_epochs": 5, "sampling": "balanced", "compile": True,
}  # fmt: skip


def test_all_settings_are_among_these_values():
    assert set(VALUES) == {*TRAIN_NAMES, *DATA_NAMES}


def test_the_options_of_a_trial_arrive_in_their_settings():
    assert trial_config_from_options(parser().parse_args([])) == TrialConfig()
    given = ["--repeats", "3", "--resplit", "--validation-sample", "50"]
    wanted = TrialConfig(repeats=3, resplit=True, validation_sample=50)
    assert trial_config_from_options(parser().parse_args(given)) == wanted
    assert set(TRIAL_NAMES) == {field.name for field in fields(TrialConfig)}


@pytest.mark.parametrize("name", VALUES)
def test_every_option_arrives_in_its_setting_and_nowhere_else(name):
    option = f"--{name.replace('_', '-')}"
    given = [option] if VALUES[name] is True else [option, str(VALUES[name])]
    train, data = configs(*given, *(["--data", "svhn"] if name == "extra" else []))
    changed = {key for config in (train, data) for key, value in config.to_dict().items()
               if value != getattr(type(config)(), key)}  # fmt: skip
    assert changed == ({name, "data"} if name == "extra" else {name})
    assert (train.to_dict() | data.to_dict())[name] == VALUES[name]


def test_the_machine_has_its_options():
    namespace = parser().parse_args(["--device", "cuda:1", "--threads", "4", "--trials-per-gpu", "3"])
    assert (namespace.device, namespace.threads, namespace.trials_per_gpu) == ("cuda:1", 4, 3)
    default = parser().parse_args([])
    assert (default.device, default.threads, default.trials_per_gpu) == ("auto", None, 1)


def test_parameters_of_the_trial_win_over_the_options():
    train, _ = configs(
        "--learning-rate", "0.5", "--epochs", "7",
        learning_rate=0.01, weight_decay=0.002, batch_size=64.0, label_smoothing=0.05,
        operation1_1="rotate", prob1_1=0.5, magnitude1_1=0.5,
    )  # fmt: skip
    assert train == TrainConfig(learning_rate=0.01, weight_decay=0.002, batch_size=64, label_smoothing=0.05, epochs=7)


@pytest.mark.parametrize("name", ["lr", "epochs", "operation1", "prob0_1", "model"])
def test_an_unknown_parameter_is_named(name):
    with pytest.raises(ConfigError, match=f"unknown parameter of the search space '{name}'; known are learning_rate"):
        configs(**{name: 1})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"batch_size": 64.5}, "batch_size must be a whole number of at least 2, got 64.5"),
        ({"learning_rate": "0.1"}, "learning_rate must be"),
        ({"learning_rate": -1.0}, "learning_rate must be a number in"),
    ],
)
def test_a_parameter_with_a_wrong_value_is_named(parameters, message):
    with pytest.raises(ConfigError, match=message):
        configs(**parameters)


@pytest.mark.parametrize("arguments", [["--validation-size", "x"], ["--epochs", "2.5"], ["--precision", "float16"]])
def test_what_is_no_number_or_choice_stops_the_command(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(arguments)
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_the_help_of_every_option_says_its_default():
    for action in parser()._actions[1:]:
        assert action.help
        assert "default" in action.help, action.option_strings
    assert "%" not in parser().format_help()

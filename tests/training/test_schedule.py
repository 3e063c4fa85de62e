"""The settings of a training check themselves; the learning rate goes up and down in straight lines."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from tuun_da.errors import ConfigError
from tuun_da.training.schedule import TrainConfig, one_cycle
from tuun_da.training.settings import DataConfig


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", 0, "epochs must be a whole number of at least 1, got 0"),
        ("reward_epochs", 0, "reward_epochs must be a whole number of at least 1, got 0"),
        ("epochs", 2.5, "epochs must be a whole number of at least 1, got 2.5"),
        ("epochs", True, "epochs must be a whole number of at least 1, got True"),
        ("batch_size", 1, "batch_size must be a whole number of at least 2, got 1"),
        ("learning_rate", 0, r"learning_rate must be a number in \(0, inf\), got 0"),
        ("learning_rate", float("nan"), r"learning_rate must be a number in \(0, inf\), got nan"),
        ("learning_rate", float("inf"), r"learning_rate must be a number in \(0, inf\), got inf"),
        ("learning_rate", "0.1", r"learning_rate must be a number in \(0, inf\), got '0.1'"),
        ("momentum", 1.0, r"momentum must be a number in \[0, 1\), got 1.0"),
        ("weight_decay", -1e-4, r"weight_decay must be a number in \[0, inf\), got -0.0001"),
        ("label_smoothing", 1, r"label_smoothing must be a number in \[0, 1\), got 1"),
        ("warmup_share", 1.0, r"warmup_share must be a number in \[0, 1\), got 1.0"),
        ("seed", -1, "seed must be a whole number from 0"),
        ("precision", "float16", "precision must be one of auto, float32, bfloat16; got 'float16'"),
        ("model", "", "model must be a name or module:function, got ''"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_wanted(name, value, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**{name: value})


def test_seed_zero_is_a_seed():
    assert TrainConfig(seed=0).seed == 0


def test_numpy_numbers_become_plain_ones():
    config = TrainConfig(epochs=np.int64(3), learning_rate=np.float32(0.5))
    assert type(config.epochs) is int
    assert type(config.learning_rate) is float


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(model="child_cnn", epochs=7, learning_rate=0.3, seed=11),
        DataConfig(data="folder:/x", validation_size=0.3, train_per_class=4, skip_broken=True),
    ],
)
def test_settings_survive_json(config):
    assert type(config).from_mapping(json.loads(json.dumps(config.to_dict()))) == config


def test_an_unknown_setting_is_named():
    with pytest.raises(ConfigError, match="unknown TrainConfig setting 'epoch'; known are model, weights, epochs"):
        TrainConfig.from_mapping({"epoch": 3})


def test_the_rate_is_linear_between_zero_peak_and_zero():
    positions = [0, 5, 20, 60, 100]
    rates = [one_cycle(p, total_steps=100, peak=0.4, warmup_share=0.2) for p in positions]
    np.testing.assert_allclose(rates, np.interp(positions, [0, 20, 100], [0, 0.4, 0]), atol=1e-15)


@pytest.mark.parametrize("warmup_share", [0.0, 0.2, 0.99])
@pytest.mark.parametrize("total_steps", [1, 2, 7, 100])
def test_no_step_of_a_training_has_a_rate_of_zero_and_none_is_above_the_peak(total_steps, warmup_share):
    rates = [
        one_cycle(step + 0.5, total_steps=total_steps, peak=0.4, warmup_share=warmup_share)
        for step in range(total_steps)
    ]
    assert min(rates) > 0
    assert max(rates) <= 0.4


@pytest.mark.parametrize("position", [-0.5, 10.5, float("nan")])
def test_a_position_outside_the_training_is_refused(position):
    with pytest.raises(ConfigError, match="position must lie in"):
        one_cycle(position, total_steps=10, peak=0.1, warmup_share=0.2)


@pytest.mark.parametrize("module", ["schedule", "settings", "options", "reward", "checks"])
def test_what_the_tuner_and_the_command_line_import_loads_no_torch(module):
    heavy = {"torch", "torchvision", "numpy", "sklearn", "PIL", "nni"}
    code = f"import sys, tuun_da.training.{module}; print(*sorted({heavy!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""

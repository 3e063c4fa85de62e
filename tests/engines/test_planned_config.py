"""A configuration's trials without NNI are those that train.py would run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tuun_da.engines.nni_config import read_config
from tuun_da.engines.planned_config import plan_of, trial_folder
from tuun_da.errors import ConfigError
from tuun_da.training.schedule import TrainConfig

ROOT = Path(__file__).parents[2]


def test_the_configuration_of_the_digits_is_its_plan():
    config = read_config(ROOT / "nni_configs" / "digits.yml")
    plan = plan_of(config)
    assert plan.train == TrainConfig(model="child_cnn", epochs=120, batch_size=16, learning_rate=0.02)
    assert (plan.data.data, plan.data.train_per_class, plan.data.validation_size) == ("digits", 15, 600)
    assert (plan.policy, plan.threads, plan.device) == ("search", 1, "auto")
    assert trial_folder(config) == ROOT / "trials"


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn", "joint"])
def test_the_other_configurations_that_are_shipped_have_a_plan(name):
    assert plan_of(read_config(ROOT / "nni_configs" / f"{name}.yml")).settings()["train"]["epochs"] > 0


@pytest.fixture
def written(tmp_path):
    """Reads the digits' configuration after a change of its text."""
    for folder in ("nni_configs", "search_spaces", "trials"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    path = tmp_path / "nni_configs" / "digits.yml"

    def change(old="", new=""):
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        return read_config(path)

    return change


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("python3 train.py", "bash train.py", "must be python3 and train.py"),
        ("python3 train.py", "python3", "must be python3 and train.py"),
        ("--epochs 120", "--epochs many", "argument --epochs"),
        ("--threads 1", "--treads 1", "unrecognized arguments: --treads 1"),
        ("--threads 1", "--policy etp", "--policy must be search or etp"),
    ],
)
def test_a_command_that_cannot_run_so_is_refused(written, old, new, said):
    with pytest.raises(ConfigError, match=f"digits.yml: trialCommand: .*{said}"):
        plan_of(written(old, new))


def test_a_script_of_the_users_own_is_refused(written, tmp_path):
    config = written()
    plan_of(config)
    script = tmp_path / "trials" / "train.py"
    script.write_text(script.read_text() + "\n# changed\n")
    with pytest.raises(ConfigError, match="unchanged"):
        plan_of(config)

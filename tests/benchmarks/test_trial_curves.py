"""A trial is kept with all that a search could have seen of it, once, and its images are told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import trial_curves
from benchmarks.planned_policies import random_policies
from benchmarks.race import read_lines
from benchmarks.trial_curves import collect, config_of, held_out, interleaved, pack, run_trial, unpack
from tuun_da.errors import ConfigError


@pytest.fixture
def short(monkeypatch):
    """Trials of three epochs."""
    config = replace(config_of("digits"), epochs=3)
    monkeypatch.setattr(trial_curves, "config_of", lambda setting: config)


@pytest.mark.parametrize("count", [1, 8, 5000, 5003])
def test_hits_come_back_as_they_were_packed(count):
    hit = np.random.default_rng(0).random(count) < 0.4
    np.testing.assert_array_equal(unpack(pack(hit), count), hit)


def test_the_classes_take_turns_and_every_image_is_there_once():
    labels = torch.arange(10).repeat_interleave(7)
    order = interleaved(labels)
    assert sorted(order.tolist()) == list(range(70))
    assert labels[order].tolist() == [i % 10 for i in range(70)]
    assert order.tolist() == interleaved(labels).tolist()
    assert order[::10].tolist() != sorted(order[::10].tolist())  # drawn within a class


def test_classes_of_different_size_cannot_take_turns():
    with pytest.raises(ConfigError, match=r"equally large, got \[2, 1\]"):
        interleaved(torch.tensor([0, 0, 1]))


def test_no_image_is_in_two_of_training_pool_and_truth():
    held = held_out("digits")
    parts = [held.splits.train_images, held.pool[0], held.truth[0]]
    seen = [{image.numpy().tobytes() for image in part} for part in parts]
    assert [len(part) for part in parts] == [150, 600, 898]
    assert len(set.union(*seen)) == sum(len(part) for part in seen)


def test_the_hits_at_the_end_are_the_last_point_of_the_curve(short):
    trial = run_trial("digits", next(random_policies()), 5)
    assert len(trial["curve"]) == 3
    assert unpack(trial["pool"], 600).mean() == pytest.approx(trial["curve"][-1], abs=1e-6)
    assert 0 < trial["truth"] < 1
    assert trial == run_trial("digits", next(random_policies()), 5) | {"seconds": trial["seconds"]}


def test_each_policy_is_trained_once_before_any_again_and_a_rerun_repeats_nothing(tmp_path, monkeypatch):
    trained = []

    def run(setting, policy, seed, data_dir):
        trained.append(seed)
        return {"curve": [0.5], "pool": "", "truth": 0.5, "seconds": 1.0}

    monkeypatch.setattr(trial_curves, "run_trial", run)
    path = tmp_path / "t.jsonl"
    collect("digits", 3, 1, "data", path)
    collect("digits", 3, 2, "data", path)
    assert trained == [0, 1, 2, 1000, 1001, 1002]
    assert [(record["policy"], record["repeat"]) for record in read_lines(path)] == [
        (0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)
    ]  # fmt: skip


def test_an_unknown_setting_is_a_clear_error():
    with pytest.raises(ConfigError, match="must be one of cifar10_500, digits; got 'steel'"):
        config_of("steel")

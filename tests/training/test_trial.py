"""A trial is several trainings, on the images that its settings name; its score is their mean."""

from __future__ import annotations

import statistics

import pytest
import torch
from made_images import write_classes

from tuun_da.errors import ConfigError
from tuun_da.training.datasets import load_splits
from tuun_da.training.fresh_validation import fresh_validation
from tuun_da.training.loop import train
from tuun_da.training.progress import TrialProgress
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig, TrialConfig
from tuun_da.training.trial import run_trial

CPU = torch.device("cpu")
DATA = DataConfig(data="digits", train_per_class=5, validation_size=100)


def config(**settings):
    return TrainConfig(**{"model": "child_cnn", "epochs": 2, "batch_size": 10, "learning_rate": 0.02} | settings)


def test_one_training_is_the_training_itself():
    [result] = run_trial(config(), DATA, TrialConfig(), None, CPU)
    alone = train(config(), load_splits(DATA), None, CPU)
    assert (result.curve, result.train_losses) == (alone.curve, alone.train_losses)


def test_repeats_have_seeds_of_their_own_and_the_score_is_their_mean():
    heard = []
    progress = TrialProgress(heard.append)
    results = run_trial(config(seed=4), DATA, TrialConfig(repeats=3), None, CPU, progress)
    alone = [train(config(seed=seed), load_splits(DATA), None, CPU) for seed in (4, 5, 6)]
    assert [result.train_losses for result in results] == [result.train_losses for result in alone]
    assert progress.curve == tuple(heard) == sum((result.curve for result in alone), ())
    assert progress.score == statistics.fmean(result.score for result in alone)


def test_resplit_divides_the_images_anew_for_each_repeat():
    results = run_trial(config(), DATA, TrialConfig(repeats=2, resplit=True), None, CPU)
    other = DataConfig(data="digits", train_per_class=5, validation_size=100, split_seed=1)
    alone = [train(config(seed=seed), load_splits(data), None, CPU) for seed, data in enumerate((DATA, other))]
    assert [result.train_losses for result in results] == [result.train_losses for result in alone]


def test_resplit_of_data_that_divides_itself_is_refused(tmp_path, rng):
    for split in ("train", "val", "test"):
        write_classes(tmp_path / split, rng, per_class=4)
    data = DataConfig(data=f"folder:{tmp_path}")
    with pytest.raises(ConfigError, match="has a validation split of its own and train_size is not given"):
        run_trial(config(), data, TrialConfig(repeats=2, resplit=True), None, CPU)
    smaller = DataConfig(data=f"folder:{tmp_path}", train_size=4)
    assert len(run_trial(config(batch_size=4), smaller, TrialConfig(repeats=2, resplit=True), None, CPU)) == 2


def test_trials_draw_validation_images_of_their_own():
    sample = TrialConfig(repeats=2, validation_sample=40)
    results = run_trial(config(), DATA, sample, None, CPU, number=3)
    alone = [
        train(config(seed=k), fresh_validation(load_splits(DATA), 40, 2 * 3 + k), None, CPU) for k in range(2)
    ]  # fmt: skip
    assert [result.curve for result in results] == [result.curve for result in alone]
    losses = {run_trial(config(), DATA, sample, None, CPU, number=n)[0].train_losses for n in (0, 3)}
    assert len(losses) == 1  # the training images stay


def test_the_reward_of_the_settings_is_the_score():
    progress = TrialProgress()
    [result] = run_trial(config(epochs=6, reward="best"), DATA, TrialConfig(), None, CPU, progress)
    assert result.score == progress.score == max(result.curve)


def test_a_trial_that_is_interrupted_knows_what_it_has():
    class Stop(Exception):
        pass

    def stop(score):
        if len(progress.curve) == 3:
            raise Stop

    progress = TrialProgress(stop)
    assert (progress.score, progress.curve) == (None, ())
    with pytest.raises(Stop):
        run_trial(config(), DATA, TrialConfig(repeats=2), None, CPU, progress)
    assert len(progress.curve) == 3
    assert progress.score == statistics.fmean([progress.curve[1], progress.curve[2]])  # one whole, one after an epoch


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"repeats": 0}, "repeats must be a whole number of at least 1, got 0"),
        ({"resplit": True}, "resplit draws other images in each repeat, so it needs repeats of at least 2"),
        ({"repeats": 2, "resplit": "yes"}, "resplit must be true or false, got 'yes'"),
        ({"validation_sample": 0}, "validation_sample must be a whole number of at least 1, got 0"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ConfigError, match=message):
        TrialConfig(**settings)

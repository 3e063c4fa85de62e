"""The reward of a training is what its name says."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tuun_da.errors import ConfigError, TrainingError
from tuun_da.training.reward import REWARDS, reward
from tuun_da.training.schedule import REWARD_NAMES


@dataclass
class Epoch:
    validation_score: float
    validation_accuracy: float
    train_accuracy: float


def epochs(*scores, train=0.5):
    return [Epoch(score, score, train) for score in scores]


def test_the_default_is_the_last_epoch_not_the_best():
    assert reward(epochs(0.1, 0.9, 0.4)) == 0.4


def test_best_is_the_best_epoch():
    assert reward(epochs(0.1, 0.9, 0.4), "best") == 0.9


def test_top3_is_the_mean_of_the_three_best():
    assert reward(epochs(0.6, 0.9, 0.5, 0.8, 0.7), "top3") == pytest.approx(0.8)


def test_top3_passes_over_epochs_that_over_fit():
    over_fitted = Epoch(0.9, 0.9, 0.96)
    assert reward([over_fitted, *epochs(0.6, 0.7, 0.8)], "top3") == pytest.approx(0.7)
    assert reward([over_fitted, *epochs(0.6, 0.7, 0.8)], "top3", gap=0.1) == pytest.approx(0.8)


def test_a_gap_of_just_what_is_allowed_is_allowed():
    """0.75 - 0.70 is 0.05000000000000004."""
    assert reward([Epoch(0.7, 0.7, 0.75), *epochs(0.2, train=0.9)], "top3") == 0.7


def test_top3_of_fewer_than_three_that_qualify_is_their_mean():
    assert reward([*epochs(0.6, 0.8, train=0.5), *epochs(0.7, 0.3, train=0.99)], "top3") == pytest.approx(0.7)


def test_top3_is_the_last_epoch_where_none_qualifies():
    assert reward(epochs(0.6, 0.8, 0.7, train=1.0), "top3") == 0.7


def test_top3_judges_over_fitting_by_accuracy_and_rewards_by_the_score():
    rare_class_missed = Epoch(0.5, 0.95, 0.97)
    assert reward([rare_class_missed, Epoch(0.9, 0.2, 0.9)], "top3") == 0.5


@pytest.mark.parametrize(("count", "mean"), [(1, 0.9), (2, 0.85), (4, 0.75), (9, 0.7)])
def test_top3_of_another_number_is_the_mean_of_so_many(count, mean):
    assert reward(epochs(0.6, 0.9, 0.5, 0.8, 0.7), "top3", count=count) == pytest.approx(mean)


@pytest.mark.parametrize("kind", REWARDS)
def test_of_one_epoch_every_reward_is_its_score(kind):
    assert reward(epochs(0.3), kind) == 0.3


def test_an_unknown_reward_gets_the_list():
    with pytest.raises(ConfigError, match="reward must be one of last, best, top3; got 'first'"):
        reward(epochs(0.1), "first")


def test_no_epoch_no_reward():
    with pytest.raises(TrainingError, match="at least one finished epoch"):
        reward([])


def test_the_settings_know_the_same_names():
    assert tuple(REWARDS) == REWARD_NAMES

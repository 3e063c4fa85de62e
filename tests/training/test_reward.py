"""The reward of a training is what its name says."""

from __future__ import annotations

import pytest

from tuun_da.errors import ConfigError, TrainingError
from tuun_da.training.reward import reward


def test_the_default_is_the_last_epoch_not_the_best():
    assert reward([0.1, 0.9, 0.4]) == 0.4


def test_an_unknown_reward_gets_the_list():
    with pytest.raises(ConfigError, match="reward must be one of last; got 'best'"):
        reward([0.1], "best")


def test_no_epoch_no_reward():
    with pytest.raises(TrainingError, match="at least one finished epoch"):
        reward([])

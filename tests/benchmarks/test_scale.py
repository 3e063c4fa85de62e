"""The simulated clock of scale.py: workers wait for the tuner and for nothing else, and every trial is paired."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import scale


class Emulator:
    """True values that tell a policy apart; no noise."""

    noise = 0.0

    def true_values(self, policies):
        return np.array([float(policy["prob1_1"]) for policy in policies])


@pytest.fixture(autouse=True)
def emulator(monkeypatch):
    monkeypatch.setattr(scale, "load_emulator", lambda *_: Emulator())


@pytest.fixture
def clock(monkeypatch):
    """The tuner takes exactly so many seconds for each request that it serves."""
    seconds = {"request": 0.0, "now": 0.0}

    def process_time():
        seconds["now"] += seconds["request"] / 2 if seconds["half"] else 0.0
        return seconds["now"]

    seconds["half"] = False
    monkeypatch.setattr(scale.time, "process_time", process_time)
    return seconds


def test_without_a_wait_for_the_tuner_the_time_is_that_of_the_trainings(clock):
    found = scale.simulate("random", 1, 12, 0, 20.0)
    assert found["idle_share"] == 0.0
    durations = 20.0 * np.exp(scale.LOG_DEVIATION * np.random.default_rng([0, 1]).standard_normal(12))
    assert found["simulated_seconds"] == pytest.approx(durations.sum())


def test_more_at_once_take_as_much_less_time(clock):
    seconds = [scale.simulate("random", at_once, 32, 0, 20.0)["simulated_seconds"] for at_once in (1, 4, 16)]
    assert seconds[0] / seconds[1] == pytest.approx(4, rel=0.2)
    assert seconds[0] / seconds[2] == pytest.approx(16, rel=0.35)


def test_a_slow_tuner_serves_one_after_the_other(monkeypatch):
    """Each request takes 10 s and a training 1 s: with any number of workers it is the tuner that decides."""
    now = iter(np.repeat(np.arange(1000) * 10.0, 1))
    monkeypatch.setattr(scale.time, "process_time", lambda: float(next(now)))
    found = scale.simulate("random", 4, 12, 0, 1.0)
    assert found["simulated_seconds"] >= 12 * 10.0
    assert found["idle_share"] > 0.9


def test_the_recommended_policy_is_judged_without_noise():
    found = scale.simulate("random", 4, 12, 0, 20.0)
    assert 0.0 <= found["recommended_true"] <= found["best_true"] <= 1.0
    assert "| random | 4 |" in scale.summary([found])

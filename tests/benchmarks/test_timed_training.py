"""What the clock around a training says."""

from __future__ import annotations

import pytest
import torch

from benchmarks import timed_training
from benchmarks.timed_training import TimedTraining, TimeSlice, conditions, machine_of, spread, timed
from tuun_da.errors import ConfigError


@pytest.fixture
def clock(monkeypatch):
    """Seconds that stand still until they are set."""
    now = {"seconds": 100.0}
    monkeypatch.setattr(timed_training.time, "perf_counter", lambda: now["seconds"])
    return now


def test_start_up_is_what_the_first_epoch_took_beyond_a_usual_one(clock):
    def train(on_epoch):
        for seconds, value in ((7.0, 0.5), (2.0, 0.6), (2.0, 0.7), (3.0, 0.65)):
            clock["seconds"] += seconds
            on_epoch(value)
        clock["seconds"] += 1.0
        return 0.66

    found = timed(train, 4)
    assert found.epoch_seconds == (2.0, 2.0, 3.0)
    assert found.startup_seconds == 5.0
    assert found.seconds == 15.0
    assert found.curve == (0.5, 0.6, 0.7, 0.65)
    assert found.test_score == 0.66


def test_the_time_to_an_accuracy_ends_with_the_first_epoch_that_has_it():
    found = TimedTraining(curve=(0.5, 0.7, 0.6), epoch_ends=(5.0, 7.0, 9.0), seconds=9.0)
    assert found.seconds_to(0.5) == 5.0
    assert found.seconds_to(0.55) == 7.0
    assert found.seconds_to(0.71) is None


def test_one_epoch_does_not_tell_start_up_from_epochs():
    with pytest.raises(ConfigError, match=r"epochs must be at least 2, .* got 1"):
        timed(lambda on_epoch: None, 1)


def test_a_slice_has_room_for_what_would_be_done_in_time(clock):
    limited = TimeSlice(1.0)
    assert limited.has_room_for(60.0)
    clock["seconds"] += 40.0
    assert limited.has_room_for(20.0)
    assert not limited.has_room_for(20.1)
    assert TimeSlice(None).has_room_for(1e9)


def test_conditions_name_the_machine():
    found = conditions(torch.device("cpu"))
    assert found["versions"]["torch"].startswith(torch.__version__.partition("+")[0])
    assert found["gpu"] is None
    assert f"{torch.get_num_threads()} of" in machine_of(found)
    assert machine_of(found | {"gpu": "H200"}).startswith("H200, torch")


def test_a_spread_is_the_median_with_the_extremes():
    assert spread([3.0, 1.0, 2.0]) == "2 (1 to 3)"
    assert spread([0.12345]) == "0.123"
    assert spread([1270.4]) == "1270"
    assert spread([99.6], 2) == "100"
    assert spread([]) == ""

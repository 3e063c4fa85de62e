"""How fast a machine trains is measured in all workers at once, and no longer than it may take."""

from __future__ import annotations

import itertools
import time

import pytest

from tuun_da.engines.local import available_cores
from tuun_da.engines.measuring import MOST_WORKERS, Machine, collect_starts, measure_speeds, warm_up
from tuun_da.engines.task_pool import Ended
from tuun_da.errors import ConfigError, TrainingError

CPU = Machine("cpu", 0, 2, 1, 1)
STEP, IMAGE = 0.003, 0.0002  # of 16 x 16 pixels, by the faster worker


class Pretended:
    """A pool whose trainings take what they should, the second worker's twice as long; none of them runs."""

    def __init__(self, **problems):
        self.problems, self.timed = problems, []

    def begin_everywhere(self, task):
        self.task = task

    def ends(self):
        [timed, _] = self.task.args
        self.timed.append((timed.model, timed.image_size))
        seconds = STEP + timed.batch_size * IMAGE * (timed.image_size / 16) ** 2
        problem = self.problems.get(timed.model)
        return [Ended(n, factor * seconds if problem is None else problem) for n, factor in ((0, 1.0), (1, 2.0))]


def measured(pool, networks=("child_cnn", "basenet_resnet18"), sizes=(16, 32, 64), hopeless=(), seconds=1e6):
    return measure_speeds(
        pool, CPU, networks, sizes, channels=3, classes=10, seconds=seconds,
        is_hopeless=lambda network, size, speed: (network, size) in hopeless,
    )  # fmt: skip


def test_the_slowest_worker_counts_and_a_step_is_told_apart_from_its_images():
    found = measured(Pretended())
    assert set(found) == set(itertools.product(("child_cnn", "basenet_resnet18"), (16, 32, 64)))
    for (_, size), speed in found.items():
        assert speed.step_seconds == pytest.approx(2 * STEP)
        assert speed.image_seconds == pytest.approx(2 * IMAGE * (size / 16) ** 2)


def test_a_network_is_timed_no_further_than_it_could_be_used():
    found = measured(Pretended(), hopeless={("child_cnn", 32), ("basenet_resnet18", 16)})
    assert list(found) == [("child_cnn", 16), ("child_cnn", 32), ("basenet_resnet18", 16)]


def test_the_smallest_is_timed_however_little_time_there_is_and_nothing_else_then():
    pool = Pretended()
    assert list(measured(pool, seconds=0.0)) == [("child_cnn", 16)]
    assert set(pool.timed) == {("child_cnn", 16)}


def test_what_would_take_too_long_to_time_is_left_out():
    found = measured(Pretended(), networks=("child_cnn",), sizes=(16, 64, 4096), seconds=60.0)
    assert list(found) == [("child_cnn", 16), ("child_cnn", 64)]


def test_a_network_that_cannot_train_is_left_out_and_if_none_can_it_is_said_why():
    assert {name for name, _ in measured(Pretended(basenet_resnet18="no memory"))} == {"child_cnn"}
    with pytest.raises(TrainingError, match="child_cnn at 16 x 16 pixels: no memory"):
        measured(Pretended(child_cnn="no memory"), networks=("child_cnn",))


def test_starts_are_timed_to_the_last_and_a_worker_that_dies_is_told():
    class Pool:
        def __init__(self, *ended):
            self.ends = lambda: list(ended)

    assert collect_starts(Pool(Ended(0, 103.0), Ended(1, 105.0)), 100.0) == 5.0
    with pytest.raises(TrainingError, match="no worker process can be started: killed"):
        collect_starts(Pool(Ended(0, error="killed")), 100.0)
    assert abs(warm_up() - time.time()) < 60


def test_a_machine_gives_each_worker_its_share_of_the_cores():
    usual = Machine.found("cpu", None)
    assert 1 <= usual.n_workers <= min(available_cores(), MOST_WORKERS)
    told = Machine.found("cpu", 5)
    assert (told.n_workers, told.threads, told.n_gpus) == (5, max(1, available_cores() // 5), 0)
    with pytest.raises(ConfigError, match="device must be"):
        Machine.found("cuda:77", None)
    assert str(Machine("cuda", 2, 4, 3, 2)) == "4 processes on 2 GPUs, 3 CPU threads each"

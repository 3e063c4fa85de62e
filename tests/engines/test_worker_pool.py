"""Processes that do one task after the other: none is lost, none stays behind."""

from __future__ import annotations

import functools
import os
import time

import psutil
import pytest

from tuun_da.engines.task_pool import Ended
from tuun_da.engines.worker_pool import WorkerPool


def nap(seconds):
    time.sleep(seconds)
    return os.getpid()


def children():
    return [child for child in psutil.Process().children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture(scope="module")
def pool():
    with WorkerPool(2) as made:
        yield made


def test_processes_are_kept_from_task_to_task(pool):
    ended = {}
    pool.run_all(
        {number: functools.partial(nap, 0.05) for number in range(6)},
        lambda one: ended.setdefault(one.key, one.result) is not None,
    )
    assert sorted(ended) == list(range(6))
    assert len(set(ended.values())) <= 2
    assert os.getpid() not in ended.values()


def test_a_task_for_everyone_runs_once_in_each_at_the_same_time(pool):
    pool.begin_everywhere(functools.partial(nap, 0.05))
    ends = pool.ends()
    assert sorted(one.key for one in ends) == [0, 1]
    assert len({one.result for one in ends}) == 2


def test_a_task_that_kills_its_process_is_told_and_the_others_go_on(pool):
    ended = {}
    tasks = {"dies": functools.partial(os._exit, 3), **{n: functools.partial(nap, 0.01) for n in range(4)}}
    pool.run_all(tasks, lambda one: bool(ended.setdefault(one.key, one)))
    assert ended["dies"] == Ended("dies", error="the worker process ended with exit code 3; its messages may say why")
    assert all(ended[n].error is None and isinstance(ended[n].result, int) for n in range(4))


def test_a_worker_that_may_not_go_on_is_replaced(pool):
    pids = []
    pool.run_all({n: functools.partial(nap, 0.0) for n in range(5)}, lambda one: bool(pids.append(one.result)))
    assert len(set(pids)) == 5


def test_what_is_raised_in_between_leaves_no_process_behind():
    def on_end(ended):
        raise KeyboardInterrupt

    before = {child.pid for child in children()}
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt), WorkerPool(2) as made:
        made.run_all({"quick": functools.partial(nap, 0.0), "slow": functools.partial(nap, 60.0)}, on_end)
    assert time.monotonic() - begin < 30.0
    assert {child.pid for child in children()} <= before

"""Searches whose processes are killed, hang, or say something wrong: nothing is lost, and the search goes on.

Each fault comes at a random moment, which its seed decides; ``fault_table.py`` says how many of each there are.
"""

from __future__ import annotations

import os
import re
import signal
import time

import numpy as np
import psutil
import pytest
from fault_table import numbers, seed_of
from invariants import check_search, processes_left, records_of

pytestmark = pytest.mark.e2e

N_TRIALS = 8


def generator_of(fault, number):
    return np.random.default_rng(seed_of(fault, number))


def wait_until_none_is_left(folder, seconds=10):
    deadline = time.monotonic() + seconds
    while left := processes_left(folder):
        assert time.monotonic() < deadline, f"left running: {left}"
        time.sleep(0.1)


def wait_for_trials(folder, count, seconds=60):
    """Until so many trials have begun."""
    deadline = time.monotonic() + seconds
    ran = folder / "ran.jsonl"
    while not ran.exists() or ran.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline, f"waited {seconds} s for {count} trials"
        time.sleep(0.005)


def job_of(folder, rng, **more):
    return {"folder": folder, "n_trials": N_TRIALS, "seed": int(rng.integers(2**31)), "seconds": 0.02, **more}


KILL = "kill -9 of the search"


@pytest.mark.parametrize("number", numbers(KILL))
def test_a_search_that_is_killed_goes_on_when_started_again(searcher, table, tmp_path, number):
    rng = generator_of(KILL, number)
    surrogate = "gp" if number % 4 == 3 else "random"
    job = job_of(tmp_path, rng, surrogate=surrogate)
    with table.injected(KILL) as happened:
        while True:
            pid = searcher.begin(job)
            time.sleep(rng.uniform(0, 0.35))
            os.kill(pid, signal.SIGKILL)
            if searcher.wait(pid) == -signal.SIGKILL:
                break
            for name in ("journal.jsonl", "ran.jsonl", "acknowledged.jsonl"):  # it was too late: another one
                (tmp_path / name).unlink(missing_ok=True)
        path = tmp_path / "journal.jsonl"
        whole = path.read_bytes().count(b"\n") if path.exists() else 0
        happened.append(
            "before the journal had begun" if whole == 0 else f"after {'few' if whole < 9 else 'many'} records"
        )
        code, outcomes = searcher.run(job)
        assert (code, outcomes[-1]["n_trials"]) == (0, N_TRIALS)
        check_search(tmp_path, n_trials=N_TRIALS)


LEFT_ALONE = "kill -9 of the search and its workers left alone"


@pytest.mark.parametrize("number", numbers(LEFT_ALONE))
def test_workers_end_with_the_search_that_is_killed(searcher, table, tmp_path, number):
    rng = generator_of(LEFT_ALONE, number)
    job = job_of(tmp_path, rng, n_workers=2, n_trials=6, seconds=0.1)
    with table.injected(LEFT_ALONE) as happened:
        pid = searcher.begin(job)
        count = int(rng.integers(0, 6))
        wait_for_trials(tmp_path, count)
        time.sleep(rng.uniform(0, 0.1))
        os.kill(pid, signal.SIGKILL)
        assert searcher.wait(pid) == -signal.SIGKILL
        wait_until_none_is_left(tmp_path)
        happened.append("while workers started" if count == 0 else "while trials ran")
        code, _ = searcher.run(job | {"n_workers": 0})
        assert code == 0
        check_search(tmp_path, n_trials=6)


KILL_WORKER = "kill -9 of a worker"


@pytest.mark.parametrize("number", numbers(KILL_WORKER))
def test_a_worker_that_is_killed_costs_its_trial_and_no_more(searcher, table, tmp_path, number):
    rng = generator_of(KILL_WORKER, number)
    trial = int(rng.integers(2, 6))
    with table.injected(KILL_WORKER) as happened:
        if number % 3 == 2:  # from outside, at any moment
            job = job_of(tmp_path, rng, n_workers=2, n_trials=6, seconds=0.3)
            pid = searcher.begin(job)
            wait_for_trials(tmp_path, int(rng.integers(1, 4)))
            time.sleep(rng.uniform(0, 0.3))
            workers = psutil.Process(pid).children()
            if workers:
                workers[int(rng.integers(len(workers)))].kill()
            assert searcher.wait(pid) == 0
            happened.append("from outside")
        else:
            fault = ("kill", "kill, a child lives on")[number % 3]
            job = job_of(tmp_path, rng, n_workers=2, n_trials=6, at={trial: fault})
            code, _ = searcher.run(job)
            assert code == 0
            happened.append("in a trial" if fault == "kill" else "in a trial whose child holds the connection open")
        finished = check_search(tmp_path, n_trials=6)
        failed = [record for record in finished if record["state"] == "failed"]
        assert len(failed) <= 1
        assert all("killed by SIGKILL" in record["error"] for record in failed)
        if number % 3 != 2:
            assert [record["id"] for record in failed] == [trial]
        wait_until_none_is_left(tmp_path)


FIRST = "a worker dies before it asks for parameters"


@pytest.mark.parametrize("number", numbers(FIRST))
def test_a_worker_that_dies_before_it_asks_shifts_no_parameters(searcher, table, tmp_path, number):
    rng = generator_of(FIRST, number)
    with table.injected(FIRST) as happened:
        code, _ = searcher.run(job_of(tmp_path, rng, n_workers=2, n_trials=5, die_at_start=True))
        assert code == 0
        states = [record["state"] for record in check_search(tmp_path, n_trials=5)]
        assert states.count("failed") == 1
        happened.append("its trial failed, in words")
        wait_until_none_is_left(tmp_path)


SILENT = "a trial exits 0 without a result"
TWICE = "a trial reports twice"
NUMBERS = "a trial reports NaN or infinity"


@pytest.mark.parametrize(
    ("fault", "number"), [(fault, number) for fault in (SILENT, TWICE, NUMBERS) for number in numbers(fault)]
)
def test_a_trial_that_says_something_wrong_is_a_failed_trial_or_counts_once(searcher, table, tmp_path, fault, number):
    rng = generator_of(fault, number)
    trial = int(rng.integers(2, 6))
    does = {SILENT: "exit 0", TWICE: "twice", NUMBERS: ("nan", "inf")[number % 2]}[fault]
    n_workers = 0 if fault == NUMBERS else 2
    with table.injected(fault) as happened:
        code, _ = searcher.run(job_of(tmp_path, rng, n_workers=n_workers, n_trials=6, at={trial: does}))
        assert code == 0
        finished = {record["id"]: record for record in check_search(tmp_path, n_trials=6)}
        assert (tmp_path / f"once-{trial}").exists(), "the fault was not injected"
        failed = [number for number, record in finished.items() if record["state"] == "failed"]
        if fault == TWICE:
            assert failed == []
            happened.append("the first counts")
        else:
            assert failed == [trial]
            words = {SILENT: "exit code 0", NUMBERS: "not a finite number"}[fault]
            assert words in finished[trial]["error"]
            happened.append(f"failed: {words}")
        wait_until_none_is_left(tmp_path)


HANG = "a trial hangs"


@pytest.mark.parametrize("number", numbers(HANG))
def test_a_trial_that_hangs_is_ended_at_its_limit_and_the_others_go_on(searcher, table, tmp_path, number):
    rng = generator_of(HANG, number)
    trial = int(rng.integers(1, 5))
    does = ("hang", "hang hard")[number % 2]
    with table.injected(HANG) as happened:
        job = job_of(tmp_path, rng, n_workers=2, n_trials=4, trial_seconds=6.0, at={trial: does})
        code, _ = searcher.run(job)
        assert code == 0
        finished = {record["id"]: record for record in check_search(tmp_path, n_trials=4)}
        assert [number for number, record in finished.items() if record["state"] == "failed"] == [trial]
        assert finished[trial]["error"] == "the trial was ended after its time limit of 6 s"
        happened.append("asleep" if does == "hang" else "holding the interpreter")
        wait_until_none_is_left(tmp_path)


TWO = "two processes on one journal"


@pytest.mark.parametrize("number", numbers(TWO))
def test_of_two_processes_one_writes(searcher, table, tmp_path, number):
    rng = generator_of(TWO, number)
    kind = ("is told", "waits for the end", "takes over from one that is killed")[number % 3]
    job = job_of(tmp_path, rng, seconds=0.08)
    with table.injected(TWO) as happened:
        first = searcher.begin(job)
        wait_for_trials(tmp_path, int(rng.integers(1, 3)))
        if kind == "is told":
            code, [outcome] = searcher.run(job | {"patience": 0.1, "outcomes": "second.json"})
            assert code == 1
            assert (outcome["error"], "written by another process" in outcome["message"]) == ("JournalError", True)
            assert searcher.wait(first) == 0
        else:
            second = searcher.begin(job | {"outcomes": "second.json"})
            if kind != "waits for the end":
                time.sleep(rng.uniform(0, 0.2))
                os.kill(first, signal.SIGKILL)
            assert searcher.wait(first) in (0, -signal.SIGKILL)
            assert searcher.wait(second) == 0
        check_search(tmp_path, n_trials=N_TRIALS)
        happened.append(f"the second one {kind}")


RAISES = "the surrogate raises"


@pytest.mark.parametrize("number", numbers(RAISES))
def test_where_the_surrogate_raises_the_point_is_a_random_one_and_the_journal_says_so(
    searcher, table, tmp_path, number
):
    rng = generator_of(RAISES, number)
    fails = sorted(int(n) for n in rng.choice(5, size=int(rng.integers(1, 4)), replace=False))
    with table.injected(RAISES) as happened:
        code, _ = searcher.run(job_of(tmp_path, rng, surrogate="gp", surrogate_fails=fails))
        assert code == 0
        check_search(tmp_path, n_trials=N_TRIALS)
        n_raised = (tmp_path / "raised.jsonl").read_text().count("\n")
        asked = [record for record in records_of(tmp_path / "journal.jsonl") if record["kind"] == "asked"]
        said = [record["fallback"] for record in asked if "fallback" in record]
        assert said == ["LinAlgError: the matrix is not positive definite"] * n_raised
        assert n_raised == len(fails)
        log = (tmp_path / "output.txt").read_text()
        assert len(re.findall(r"no suggestion for trial \d+, which gets a random point", log)) == n_raised
        happened.append("random points, named in journal and log")


CLOCK = "the clock jumps"


@pytest.mark.parametrize("number", numbers(CLOCK))
def test_a_clock_that_jumps_changes_neither_order_nor_limits_and_no_time_is_negative(searcher, table, tmp_path, number):
    from tuun_da.report.trial_times import times_of
    from tuun_da.report.trials_table import trial_rows
    from tuun_da.search.history import read_journal

    rng = generator_of(CLOCK, number)
    hours = [-30 * 365 * 24, -5, -1, 1, 24, 5 * 365 * 24]
    clock = [0.0, *(3600.0 * float(h) for h in rng.permutation(hours))]
    limits = {"n_workers": 2, "n_trials": 5, "trial_seconds": 60.0} if number % 3 == 2 else {}
    with table.injected(CLOCK) as happened:
        job = job_of(tmp_path, rng, clock=clock, calls_between_jumps=int(rng.integers(1, 9)), **limits)
        code, _ = searcher.run(job)
        assert code == 0
        finished = check_search(tmp_path, n_trials=limits.get("n_trials", N_TRIALS))
        assert {record["state"] for record in finished} == {"succeeded"}
        content = read_journal(tmp_path / "journal.jsonl")
        assert [trial.id for trial in content.trials] == [record["id"] for record in finished]
        times = times_of(content, None)
        assert 0 <= times.busy <= times.trials + 1e-6
        assert all(row.seconds is None or 0 <= row.seconds < 60 for row in trial_rows(content))
        happened.append("with a time limit" if limits else "in one process")

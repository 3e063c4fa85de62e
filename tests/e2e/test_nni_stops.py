"""Trials that are stopped before their end: by an assessor, by Ctrl-C, by a shutdown."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
from nni_harness import BIN, check_pairs, free_port, processes_of, rest, running_jobs, wait_for, write_config

pytestmark = pytest.mark.e2e


def test_assessor_stops_a_trial_whose_score_never_counts(place):
    """The stopped trial reports 100, far above all others: it is journaled as stopped and not recommended."""
    config = write_config(
        place.folder,
        trialConcurrency=1,
        maxTrialNumber=5,
        assessor={"name": "Medianstop", "classArgs": {"optimize_mode": "maximize", "start_step": 1}},
    )
    behaviour = {"hopeless": [3], "epochs": 8, "epoch_seconds": 0.4}
    code, output = place.run(
        BIN / "tuun-da", "search", "--config", config, "--port", str(free_port()), QUICK_TRIAL=json.dumps(behaviour)
    )
    assert code == 0, output
    finished = place.finished()
    stopped = [record for record in finished if record["state"] == "stopped"]
    assert stopped, "the assessor stopped no trial, so this test has shown nothing"
    for record in stopped:
        assert record["value"] == 100.0
        assert 0 < record["details"]["stopped_at_epoch"] < record["details"]["planned_epochs"] == 8
    policy = json.loads((place.folder / "best_policy.json").read_text())
    assert policy["searched"]["score"] < 100
    assert policy["searched"]["trial"] not in {record["id"] for record in stopped}
    assert "100.0" not in output


def test_shutdown_and_resume_run_the_stopped_trials_again(place):
    config = write_config(place.folder, trialConcurrency=2, maxTrialNumber=4)
    port = free_port()
    slow = json.dumps({"epochs": 6, "epoch_seconds": 0.7})
    code, output = place.run(BIN / "nnictl", "create", "--config", config, "--port", str(port), QUICK_TRIAL=slow)
    assert code == 0, output
    wait_for(lambda: len(place.finished()) == 2, what="two finished trials")
    wait_for(lambda: {job["sequenceId"] for job in running_jobs(port)} == {2, 3}, what="the next two")
    running = {3, 4}
    code, output = place.run(BIN / "nnictl", "stop", "--port", str(port))
    assert code == 0, output
    before = {record["id"]: record for record in place.finished()}
    wait_for(lambda: not processes_of(place.folder), seconds=30, what="the end of all processes")

    code, output = place.run(
        BIN / "nnictl", "resume", place.experiment_folder().name, "--port", str(port),
        "--experiment_dir", place.folder / "experiments", QUICK_TRIAL=slow,
    )  # fmt: skip
    assert code == 0, output
    wait_for(lambda: (rest(port, "check-status") or {}).get("status") == "DONE", seconds=180, what="the end")
    after = {record["id"]: record for record in place.finished()}
    assert before.items() <= after.items()
    check_pairs(place)
    assert running - set(before), "no trial was running at the shutdown, so this test has shown nothing"
    for trial in running - set(before):
        assert after[trial]["state"] == "succeeded"
    assert all(record["state"] == "succeeded" for record in after.values())
    place.run(BIN / "nnictl", "stop", "--port", str(port))


@pytest.mark.parametrize(
    "signals", [[signal.SIGINT], [signal.SIGINT, signal.SIGINT], [signal.SIGTERM], [signal.SIGHUP]]
)
def test_an_interrupted_search_stops_everything_and_still_exports(place, signals):
    config = write_config(place.folder, trialConcurrency=2, maxTrialNumber=40)
    process = place.start(BIN / "tuun-da", "search", "--config", config, "--port", str(free_port()))
    try:
        wait_for(lambda: (place.folder / "experiments").is_dir() and len(place.finished()) >= 2, what="two trials")
        for number in signals:
            os.kill(process.pid, number)
            time.sleep(0.5)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, output
    assert "nnictl resume" in output
    assert "Traceback" not in output
    policy = json.loads((place.folder / "best_policy.json").read_text())
    assert policy["searched"]["n_trials"] == len(place.finished())
    wait_for(lambda: not processes_of(place.folder), seconds=30, what="the end of all processes")


@pytest.mark.parametrize("seconds", [0.5, 1.5, 3.0])
def test_an_interrupt_while_nni_starts_leaves_nothing_running(place, seconds):
    config = write_config(place.folder)
    process = place.start(BIN / "tuun-da", "search", "--config", config, "--port", str(free_port()))
    try:
        time.sleep(seconds)  # somewhere between the first import and the first trial
        os.kill(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode not in (0, None), output
    wait_for(lambda: not processes_of(place.folder), seconds=20, what="the end of all processes")

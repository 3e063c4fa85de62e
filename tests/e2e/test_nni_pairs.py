"""Whatever NNI mixes up, the journal has the pairs of policy and score that the trials ran."""

from __future__ import annotations

import json
import os
import signal

import psutil
import pytest
from nni_harness import BIN, check_pairs, free_port, rest, running_jobs, wait_for, write_config

pytestmark = pytest.mark.e2e


def test_swapped_parameters_at_concurrency_four(place):
    config = write_config(place.folder, trialConcurrency=4, maxTrialNumber=8)
    code, output = place.run(
        BIN / "tuun-da", "search", "--config", config, "--port", str(free_port()),
        QUICK_TRIAL=json.dumps({"delay_even": 2.5}),
    )  # fmt: skip
    assert code == 0, output
    finished = place.finished()
    assert sorted(record["id"] for record in finished) == list(range(1, 9))
    check_pairs(place)
    # NNI really swapped: the parameters that it bound to a trial are not those that the trial echoed.
    bound = place.bound_ids()
    echoed = {job: metric["tuun_da"]["id"] for job, metric in place.final_metrics()}
    assert any(bound[job] != echoed[job] for job in echoed), "NNI swapped nothing, so this test has shown nothing"
    best = max(finished, key=lambda record: record["value"])
    assert f"{best['value']:.4f}" in output  # the best score so far was shown
    assert (place.folder / "best_policy.json").exists()


def test_killed_manager_and_resume(place):
    config = write_config(place.folder, trialConcurrency=2, maxTrialNumber=8)
    port = free_port()
    slow = json.dumps({"epochs": 6, "epoch_seconds": 1.0})
    code, output = place.run(BIN / "nnictl", "create", "--config", config, "--port", str(port), QUICK_TRIAL=slow)
    assert code == 0, output
    experiment = place.experiment_folder().name
    wait_for(lambda: len(place.finished()) >= 2, what="two finished trials")
    # Wait until the next two run, so that these are interrupted.
    wait_for(lambda: {job["sequenceId"] for job in running_jobs(port)} == {2, 3}, what="the next two")
    [manager] = [process for process in psutil.process_iter() if is_manager(process, experiment)]
    os.kill(manager.pid, signal.SIGKILL)
    manager.wait(10)
    before = {record["id"]: record for record in place.finished()}
    interrupted = {record["id"] for record in place.journal()} - set(before)

    code, output = place.run(
        BIN / "nnictl", "resume", experiment, "--port", str(port),
        "--experiment_dir", place.folder / "experiments", QUICK_TRIAL=slow,
    )  # fmt: skip
    assert code == 0, output
    wait_for(lambda: (rest(port, "check-status") or {}).get("status") == "DONE", seconds=180, what="the end")
    after = {record["id"]: record for record in place.finished()}
    assert before.items() <= after.items()  # nothing lost, nothing changed
    check_pairs(place)
    assert interrupted
    assert interrupted <= set(after)
    assert len(after) == 8
    assert all(record["state"] == "succeeded" for record in after.values())
    points = [json.dumps(record["parameters"], sort_keys=True) for record in after.values()]
    assert len(set(points)) == len(points)  # a resume proposes no point again
    place.run(BIN / "nnictl", "stop", "--port", str(port))


def is_manager(process: psutil.Process, experiment: str) -> bool:
    try:
        command = process.cmdline()
    except psutil.Error:
        return False
    return experiment in command and any(part.endswith("main.js") for part in command)


def test_trials_that_fail_die_or_report_twice(place):
    config = write_config(place.folder, trialConcurrency=1, maxTrialNumber=6)
    behaviour = {"fail": [1], "die": [2], "die_before_asking": [3], "report_twice": [4], "epochs": 1}
    code, output = place.run(
        BIN / "tuun-da", "search", "--config", config, "--port", str(free_port()), QUICK_TRIAL=json.dumps(behaviour)
    )
    assert code == 0, output
    check_pairs(place)
    last = {record["id"]: record for record in place.finished()}
    states = [record["state"] for record in last.values()]
    assert states.count("succeeded") == 3
    assert states.count("failed") == len(states) - 3 >= 2
    assert any(record.get("error") == "loss became nan in epoch 1" for record in last.values())
    assert any("without a final result" in record.get("error", "") for record in last.values())
    assert "failed" in output


def test_trials_without_an_echo(place):
    """A script that reports a bare number works as with any tuner of NNI."""
    config = write_config(place.folder, trialConcurrency=1, maxTrialNumber=3)
    code, output = place.run(
        BIN / "tuun-da", "search", "--config", config, "--port", str(free_port()),
        QUICK_TRIAL=json.dumps({"no_echo": True, "epochs": 1}),
    )  # fmt: skip
    assert code == 0, output
    assert len(place.finished()) == 3
    check_pairs(place)
    assert "report no echo" in (place.experiment_folder() / "log" / "dispatcher.log").read_text()

"""A real experiment of NNI in which nearly everything goes wrong, one fault after the other."""

from __future__ import annotations

import contextlib
import json
import os
import signal

import numpy as np
import psutil
import pytest
from fault_table import experiments, seed_of
from nni_harness import (
    BIN,
    check_pairs,
    free_port,
    processes_of,
    rest,
    running_jobs,
    wait_for,
    workplace,
    write_config,
)

pytestmark = pytest.mark.e2e

IN_TRIALS = {
    "die": "NNI: kill -9 of a trial",
    "die_before_asking": "NNI: a trial dies before it asks for parameters",
    "exit_silently": "NNI: a trial exits 0 without a result",
    "report_twice": "NNI: a trial reports twice",
    "nan": "NNI: a trial reports NaN",
    "inf": "NNI: a trial reports infinity",
    "hang": "NNI: a trial hangs (maxTrialDuration)",
}
MANAGER, TUNER, SWAP = "NNI: kill -9 of the manager", "NNI: kill -9 of the tuner", "NNI: swapped parameters"
N_TRIALS = 15
ENDED = {"SUCCEEDED", "FAILED", "USER_CANCELED", "SYS_CANCELED", "EARLY_STOPPED"}


def jobs_ended(port):
    return [job for job in rest(port, "trial-jobs") or [] if job["status"] in ENDED]


def the_process(place, word):
    """The manager ("main.js") or the tuner ("--exp_params"), not the shell around it."""
    [found] = [
        process
        for process in processes_of(place.folder)
        if any(word == part or part.endswith(f"/{word}") for part in process.cmdline())
    ]
    return found


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    with contextlib.suppress(psutil.TimeoutExpired):  # a zombie of somebody else's
        process.wait(5)


@pytest.mark.parametrize("number", experiments())
def test_an_experiment_in_which_everything_goes_wrong_comes_to_its_end(tmp_path, table, number):
    rng = np.random.default_rng(seed_of("NNI", number))
    hang = int(rng.integers(0, 3))  # early, since the others go on meanwhile
    others = rng.permutation([place for place in range(8) if place != hang])
    behaviour = {"hang": [hang]} | {
        name: [int(at)] for name, at in zip(IN_TRIALS, others, strict=True) if name != "hang"
    }
    more = [int(n) for n in rng.integers(1, 3, size=2)]  # trials before each kill
    together = len(IN_TRIALS) + 3
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(workplace(tmp_path / "home"))
        faults = (*IN_TRIALS.values(), MANAGER, TUNER, SWAP)
        said = {fault: stack.enter_context(table.injected(fault, together=together)) for fault in faults}
        config = write_config(place.folder, trialConcurrency=2, maxTrialNumber=N_TRIALS, maxTrialDuration="15s")
        port = free_port()

        def nnictl(*arguments, **behaviour):
            quick = json.dumps({"epochs": 2, **behaviour})
            code, output = place.run(BIN / "nnictl", *arguments, "--port", str(port), QUICK_TRIAL=quick)
            assert code == 0, output

        def resume():  # without faults in the trials, whose numbers may begin anew
            nnictl("resume", place.experiment_folder().name, "--experiment_dir", place.folder / "experiments")

        nnictl("create", "--config", config, **behaviour)
        wait_for(lambda: set(range(8)) <= {job["sequenceId"] for job in jobs_ended(port)}, what="the trials' faults")
        n_ended = len(jobs_ended(port))
        wait_for(lambda: len(jobs_ended(port)) >= min(n_ended + more[0], N_TRIALS - 4), what="some more trials")
        wait_for(lambda: running_jobs(port), what="a trial to interrupt")
        before = {record["id"]: record for record in place.finished() if record["state"] == "succeeded"}
        kill(the_process(place, "main.js"))
        resume()
        said[MANAGER].append("resumed")

        n_ended = len(jobs_ended(port))
        wait_for(lambda: len(jobs_ended(port)) >= min(n_ended + more[1], N_TRIALS - 2), what="more trials")
        kill(the_process(place, "--exp_params"))
        wait_for(lambda: (rest(port, "check-status") or {}).get("status") == "ERROR", what="NNI's error")
        kill(the_process(place, "main.js"))  # quicker than nnictl stop
        wait_for(lambda: not processes_of(place.folder), seconds=30, what="the end of all processes")
        resume()
        said[TUNER].append("told as an error, resumed")

        wait_for(lambda: (rest(port, "check-status") or {}).get("status") == "DONE", seconds=180, what="the end")
        place.run(BIN / "nnictl", "stop", "--port", str(port))
        wait_for(lambda: not processes_of(place.folder), seconds=30, what="the end of all processes")

        check_pairs(place)
        last = {record["id"]: record for record in place.finished()}
        assert {trial: last[trial] for trial in before} == before  # nothing lost, nothing changed
        asked = [record["id"] for record in place.journal() if record["kind"] == "asked"]
        assert len(set(asked)) == len(asked)
        first_value = {}
        for _, metric in place.final_metrics():
            first_value.setdefault(metric["tuun_da"]["id"], metric["default"])
        for trial, value in first_value.items():  # whatever NNI has stored is in the journal, as it came first
            finite = value is not None and np.isfinite(value)
            assert last[trial]["state"] == ("succeeded" if finite else "failed"), last[trial]
            assert last[trial]["value"] == (value if finite else None)
        states = [record["state"] for record in last.values()]
        assert states.count("succeeded") >= N_TRIALS - 6
        reasons = [record["error"] for record in last.values() if record["state"] == "failed"]
        assert sum("not a finite number" in reason for reason in reasons) == 2
        for name in ("nan", "inf"):
            said[IN_TRIALS[name]].append("failed: not a finite number")
        said[IN_TRIALS["report_twice"]].append("the first to arrive counts")
        for name in ("die", "exit_silently", "hang", "die_before_asking"):
            said[IN_TRIALS[name]].append("no result; the others are paired rightly")
        bound = place.bound_ids()
        swapped = sum(bound.get(job) != metric["tuun_da"]["id"] for job, metric in place.final_metrics())
        assert swapped, "NNI swapped nothing, so this has shown nothing of it"
        said[SWAP].append(f"{swapped} results came from trials that NNI had bound to other parameters")


def test_trials_that_start_processes_without_end_are_stopped_before_the_machine_is_full(tmp_path, table):
    fault = "NNI: process storm"
    with workplace(tmp_path / "home") as place, table.injected(fault) as happened:
        forks = "import subprocess; [subprocess.Popen(['sleep', '300']) for _ in range(160)]; input()"
        (place.folder / "storm.py").write_text(forks.replace("input()", "__import__('time').sleep(300)"))
        config = write_config(
            place.folder, trialConcurrency=1, trialCodeDirectory=str(place.folder), trialCommand="python3 storm.py"
        )
        code, output = place.run(BIN / "tuun-da", "search", "--config", config, "--port", str(free_port()))
        assert code == 1, output
        assert "process storm: NNI's manager had 1" in output
        assert "128 are the limit for 1 trials at a time" in output
        assert "trialGpuNumber" in output
        wait_for(lambda: not processes_of(place.folder), seconds=20, what="the end of all processes")
        happened.append("ended with a diagnosis")

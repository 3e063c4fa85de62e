"""``tuun-da search`` watches NNI: with a manager that is only pretended, each way to fail ends with its diagnosis."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
from nni_harness import SMALL_SPACE, write_config

from tuun_da.engines import nni_experiment
from tuun_da.engines.nni_config import read_config
from tuun_da.engines.nni_experiment import NniExperiment
from tuun_da.errors import ExperimentError
from tuun_da.search.history import Journal, Trial, TrialState

pytestmark = pytest.mark.e2e

STORM = """
import subprocess, sys, time
while True:
    subprocess.Popen(["sleep", "300.25"])
    time.sleep(0.002)
"""


class PretendedNni:
    """What ``NniExperiment`` asks of nni's Experiment: a process, a status and jobs."""

    id = "pretended"

    def __init__(self, *command):
        self._proc = subprocess.Popen(command)
        self.status = "RUNNING"
        self.states: list[str] = []

    def get_status(self):
        if self._proc.poll() is not None:
            raise ConnectionError("refused")
        return self.status

    def list_trial_jobs(self):
        return [SimpleNamespace(status=state, trialJobId=f"job{n}") for n, state in enumerate(self.states)]

    def stop(self):
        self._proc.kill()


@pytest.fixture
def start(tmp_path):
    """Starts the watch over a pretended manager, and stops both."""
    made = []

    def begin(*command):
        config = read_config(write_config(tmp_path, trialConcurrency=1))
        nni = PretendedNni(*command or ("sleep", "300"))
        made.append((nni, NniExperiment(config, nni, 1)))
        return made[-1]

    yield begin
    for nni, experiment in made:
        experiment.stop()
        nni._proc.kill()
        nni._proc.wait()


def failure_of(experiment):
    with pytest.raises(ExperimentError) as caught:
        experiment.wait(lambda progress: None, poll_seconds=0.05)
    return str(caught.value)


def test_a_process_storm_is_ended_in_time_though_the_manager_does_not_answer(start):
    nni, experiment = start(sys.executable, "-c", STORM)
    nni.get_status = lambda: time.sleep(0.5) or (_ for _ in ()).throw(TimeoutError())
    words = failure_of(experiment)
    assert "process storm" in words
    assert "128 are the limit for 1 trials at a time" in words
    assert "leave trialGpuNumber out" in words
    experiment.stop()
    assert not psutil.pid_exists(nni._proc.pid)
    left = [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == ["sleep", "300.25"]]
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []


def test_as_many_processes_as_trials_may_have_are_no_storm(start):
    few = "import subprocess, time\nfor _ in range(60): subprocess.Popen(['sleep', '300.25'])\ntime.sleep(300)"
    nni, experiment = start(sys.executable, "-c", few)
    manager = psutil.Process(nni._proc.pid)
    deadline = time.monotonic() + 60
    while len(manager.children()) < 60:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(1.5)
    assert nni._proc.poll() is None
    assert experiment._storm.diagnosis is None


def test_a_manager_that_dies(start):
    nni, experiment = start()
    nni._proc.kill()
    assert "NNI's manager died" in failure_of(experiment)


def test_a_dispatcher_that_asks_for_no_further_trial(start, monkeypatch):
    monkeypatch.setattr(nni_experiment, "STALLED_SECONDS", 0.3)
    nni, experiment = start()
    nni.states = ["SUCCEEDED"]
    assert "NNI has started no trial for" in failure_of(experiment)


def test_a_trial_that_nni_never_starts(start, monkeypatch):
    monkeypatch.setattr(nni_experiment, "WAITING_SECONDS", 0.3)
    nni, experiment = start()
    nni.states = ["SUCCEEDED", "WAITING"]
    assert "1 trials have waited 0 s for NNI to start them" in failure_of(experiment)


def test_trials_that_the_journal_does_not_have_are_missed(start):
    nni, experiment = start()
    experiment.journal_path.parent.mkdir(parents=True)
    with Journal.open(experiment.journal_path, space=SMALL_SPACE, settings={}, versions={}) as journal:
        journal.record_asked(1, {"x": 1})
        journal.record_finished(Trial(id=1, parameters={"x": 1}, state=TrialState.SUCCEEDED, value=0.5))
    nni.status, nni.states = "DONE", ["SUCCEEDED", "SUCCEEDED", "FAILED"]
    assert "2 trials ended well, and the journal has 1 trials" in failure_of(experiment)
    nni.states = ["SUCCEEDED", "FAILED"]
    assert experiment.wait(lambda progress: None).n_finished == 2

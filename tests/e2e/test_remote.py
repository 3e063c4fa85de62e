"""NNI's remote platform: two machines, each an sshd of its own, and one that is lost half way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import psutil
import pytest
from nni_harness import BIN, check_pairs, processes_of, wait_for, write_config
from ssh_machines import SSHD, ssh_machines

pytestmark = pytest.mark.e2e

SECONDS = 6.0  # of a trial: long enough to lose its machine in the middle of it


@pytest.fixture
def machines(tmp_path, place):
    if SSHD is None:
        pytest.skip("needs sshd (Debian: openssh-server)")
    if os.geteuid() != 0:
        pytest.skip("needs root: sshd lets nobody else open sessions for the tests")
    with ssh_machines(tmp_path / "ssh", ("one", "two"), place.folder) as made:
        yield made


def remote_config(place, machines, **changes):
    slow = json.dumps({"epochs": 10, "epoch_seconds": SECONDS / 10})
    return write_config(
        place.folder,
        maxTrialNumber=8,
        trialCommand=f"{sys.executable} quick.py '{slow}'",
        nniManagerIp="127.0.0.1",
        trainingService={"platform": "remote", "machineList": [machine.entry() for machine in machines]},
        **changes,
    )


def trials_on(machine):
    found = []
    for process in machine.processes():
        try:
            if "quick.py" in " ".join(process.cmdline()):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def lose_in_the_middle_of_a_trial(machine):
    """Wait until a trial has run there for a while, and lose the machine with it."""

    def in_the_middle():
        running = trials_on(machine)
        time.sleep(SECONDS / 2)
        return bool(running) and set(running) == set(trials_on(machine))

    wait_for(in_the_middle, seconds=120, what="a trial on the machine")
    machine.lose()


def test_a_search_on_two_machines_of_which_one_is_lost_ends_with_all_results(place, machines):
    search = place.start(BIN / "tuun-da", "search", "--config", remote_config(place, machines))
    wait_for(lambda: (place.folder / "experiments").exists() and len(place.finished()) >= 3, what="three results")
    assert all(trials_on(machine) for machine in machines) or wait_for(
        lambda: all(trials_on(machine) for machine in machines), what="trials on both machines"
    )
    lose_in_the_middle_of_a_trial(machines[1])
    output, _ = search.communicate(timeout=180)
    assert search.returncode == 0, output
    assert "Machine 127.0.0.1 does not answer any more; 1 of 2 machines are left." in output
    assert "1 trials broke off with a machine; as many more are run." in output
    check_pairs(place)
    states = [record["state"] for record in place.finished()]
    assert states.count("succeeded") == 8
    assert states.count("failed") <= 1  # the one that broke off
    assert "Recommended after 8 complete trials" in output
    assert (place.folder / "best_policy.json").exists()
    for machine in machines:
        assert trials_on(machine) == []
    assert processes_of(place.folder) == [], "nothing of it is left running"


def test_when_no_machine_is_left_the_search_says_so_and_keeps_what_it_has(place, machines):
    search = place.start(BIN / "tuun-da", "search", "--config", remote_config(place, machines[:1], trialConcurrency=1))
    wait_for(lambda: (place.folder / "experiments").exists() and place.finished(), what="a result")
    lose_in_the_middle_of_a_trial(machines[0])
    output, _ = search.communicate(timeout=120)
    assert search.returncode == 1, output
    assert "no machine answers any more" in output
    assert "Recommended after" in output
    assert (place.folder / "best_policy.json").exists()


def test_machines_that_cannot_be_used_end_the_search_with_the_reason(place, machines):
    """A key that does not fit, and a Python that is not there."""
    key = machines[0].key.with_name("other")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-m", "PEM", "-N", "", "-f", str(key)], check=True)
    locked = [{**machine.entry(), "sshKeyFile": str(key)} for machine in machines]
    empty = [{**machine.entry(), "pythonPath": "/nowhere/bin"} for machine in machines]
    for entries, said in ((locked, "authentication methods failed"), (empty, "pip install nni")):
        service = {"platform": "remote", "machineList": entries}
        config = write_config(
            place.folder,
            trialCommand="/nowhere/bin/python quick.py",
            nniManagerIp="127.0.0.1",
            trainingService=service,
        )
        output, _ = (search := place.start(BIN / "tuun-da", "search", "--config", config)).communicate(timeout=60)
        assert search.returncode == 1, output
        assert "NNI's manager died" in output
        assert said in output
        assert processes_of(place.folder) == []

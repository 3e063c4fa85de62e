"""An experiment that fails says why, and the exit code of ``tuun-da search`` tells the truth."""

from __future__ import annotations

import json
import os
import signal
import socket

import psutil
import pytest
from nni_harness import BIN, free_port, processes_of, wait_for, write_config

pytestmark = pytest.mark.e2e


def test_all_trials_fail(place):
    config = write_config(place.folder, maxTrialNumber=20)
    behaviour = json.dumps({"fail": list(range(20)), "epochs": 1})
    code, output = place.run(
        BIN / "tuun-da", "search", "--config", config, "--port", str(free_port()), QUICK_TRIAL=behaviour
    )
    assert code == 1, output
    assert "loss became nan in epoch 1" in output
    assert "Traceback" not in output
    assert len(place.finished()) < 20  # it did not wait for all of them
    assert not (place.folder / "best_policy.json").exists()
    assert not processes_of(place.folder)


def test_all_trials_die_before_they_can_say_why(place):
    config = write_config(place.folder, trialCommand="python3 -c 'import no_such_module'", trialConcurrency=1)
    code, output = place.run(BIN / "tuun-da", "search", "--config", config, "--port", str(free_port()))
    assert code == 1, output
    assert "No module named 'no_such_module'" in output


def test_the_tuner_is_killed(place):
    config = write_config(place.folder, maxTrialNumber=40)
    process = place.start(BIN / "tuun-da", "search", "--config", config, "--port", str(free_port()))
    try:
        wait_for(lambda: (place.folder / "experiments").is_dir() and len(place.finished()) >= 2, what="two trials")
        [tuner] = [one for one in processes_of(place.folder) if is_tuner(one)]
        os.kill(tuner.pid, signal.SIGKILL)
        output, _ = process.communicate(timeout=90)
    finally:
        process.kill()
    assert process.returncode == 1, output
    assert "the tuner's process died" in output
    assert (place.folder / "best_policy.json").exists()  # what had finished is exported all the same
    assert not processes_of(place.folder)


def is_tuner(process: psutil.Process) -> bool:
    command = process.cmdline()
    return "--exp_params" in command and "python" in command[0]


def test_the_manager_is_killed(place):
    config = write_config(place.folder, maxTrialNumber=40)
    process = place.start(BIN / "tuun-da", "search", "--config", config, "--port", str(free_port()))
    try:
        wait_for(lambda: (place.folder / "experiments").is_dir() and len(place.finished()) >= 2, what="two trials")
        [manager] = [one for one in processes_of(place.folder) if any("main.js" in part for part in one.cmdline())]
        os.kill(manager.pid, signal.SIGKILL)
        output, _ = process.communicate(timeout=90)
    finally:
        process.kill()
    assert process.returncode == 1, output
    assert "NNI's manager died" in output
    assert "Traceback" not in output
    assert (place.folder / "best_policy.json").exists()
    wait_for(lambda: not processes_of(place.folder), seconds=20, what="the end of the trials that it left")


def test_mistakes_in_the_configuration_are_all_told_before_anything_starts(place):
    space = {"operation1_1": {"_type": "choice", "_value": ["rotate", "rotat"]}}
    config = write_config(
        place.folder, searchSpace=space, trialConcurrency=0, trialGpuNumber=1, maxTrialNumer=3,
        tuner={"className": "tuun_da.engines.nni_tuner.TuunTuner", "codeDirectory": ".", "classArgs": {"sed": 1}},
    )  # fmt: skip
    code, output = place.run(BIN / "tuun-da", "search", "--config", config)
    assert code == 2, output
    hints = ("did you mean maxTrialNumber", "did you mean 'seed'")
    for expected in ("trialConcurrency", "trialGpuNumber", "'rotat'", *hints):
        assert expected in output
    assert output.count(str(config)) >= 4
    assert not (place.folder / "experiments").exists()


def test_a_busy_port(place):
    config = write_config(place.folder)
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        code, output = place.run(BIN / "tuun-da", "search", "--config", config, "--port", str(port))
    assert code == 2, output
    assert f"port {port}" in output


def test_a_misspelled_class_argument_under_plain_nnictl(place):
    """NNI says ERROR some seconds after ``create``; the log has our words."""
    config = write_config(
        place.folder,
        tuner={
            "className": "tuun_da.engines.nni_tuner.TuunTuner",
            "codeDirectory": ".",
            "classArgs": {"surogate": "gp"},
        },
    )
    port = free_port()
    place.run(BIN / "nnictl", "create", "--config", config, "--port", str(port))
    log = place.experiment_folder() / "log"
    wait_for(
        lambda: any("did you mean 'surrogate'?" in path.read_text() for path in log.glob("*.log")),
        what="the tuner's words in a log",
    )
    place.run(BIN / "nnictl", "stop", "--port", str(port))

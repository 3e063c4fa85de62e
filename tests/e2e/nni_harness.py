"""Starting real NNI experiments in a test, and leaving nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from trials.score import score_of

BIN = Path(sys.executable).parent
REPOSITORY = Path(__file__).parents[2]
TRIALS = Path(__file__).parent / "trials"

SMALL_SPACE = {
    "operation1_1": {"_type": "choice", "_value": ["rotate", "invert", "shearX"]},
    "prob1_1": {"_type": "uniform", "_value": [0, 1]},
    "magnitude1_1": {"_type": "uniform", "_value": [0, 1]},
}


def free_port() -> int:
    """A port that nothing listens on, with the next one free too (NNI's remote services take it)."""
    while True:
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            if port > 60000:
                continue
            with socket.socket() as second, suppress(OSError):
                second.bind(("127.0.0.1", port + 1))
                return port


def write_config(folder: Path, **changes: Any) -> Path:
    """An experiment with a quick trial and our tuner in ``folder``; ``changes`` replaces keys, None removes one."""
    content: dict[str, Any] = {
        "searchSpace": SMALL_SPACE,
        "trialCommand": "python3 quick.py",
        "trialCodeDirectory": str(TRIALS),
        "trialConcurrency": 2,
        "maxTrialNumber": 4,
        "experimentWorkingDirectory": str(folder / "experiments"),
        "tuner": {
            "codeDirectory": ".",
            "className": "tuun_da.engines.nni_tuner.TuunTuner",
            "classArgs": {"seed": 0, "n_initial": 4},
        },
        "trainingService": {"platform": "local"},
    }
    content.update(changes)
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return path


@dataclass
class Workplace:
    """A home folder of its own for nnictl, so that tests neither see nor touch a user's experiments."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        keep = {key: value for key, value in os.environ.items() if not key.startswith(("NNI_", "NODE_"))}
        return keep | {
            "HOME": str(self.folder),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def start(self, *command: str | Path, **environment: str) -> subprocess.Popen[str]:
        """Start a command in this workplace, in a session of its own; its output is piped."""
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=self.folder,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str | Path, timeout: float = 240, **environment: str) -> tuple[int, str]:
        """Run a command to its end; exit code and output."""
        process = self.start(*command, **environment)
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            raise AssertionError(f"{command} took longer than {timeout} s; its output:\n{output}") from None
        return process.returncode, output

    def experiment_folder(self) -> Path:
        """The folder of the one experiment in this workplace."""
        [folder] = [path for path in (self.folder / "experiments").iterdir() if path.name != "_latest"]
        return folder

    def journal(self) -> list[dict[str, Any]]:
        """The journal's records, without the header; none before it has begun."""
        path = self.experiment_folder() / "checkpoint" / "journal.jsonl"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text().splitlines()][1:]

    def finished(self) -> list[dict[str, Any]]:
        """The journal's records of trials that ended."""
        return [record for record in self.journal() if record["kind"] == "finished"]

    def bound_ids(self) -> dict[str, int]:
        """The id of ours that NNI bound to each trial job, which the job need not have been given."""
        database = self.experiment_folder() / "db" / "nni.sqlite"
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            rows = connection.execute("select trialJobId, data from TrialJobEvent where event = 'RUNNING'").fetchall()
        return {job: json.loads(data)["parameters"]["tuun_id"] for job, data in rows if data}

    def final_metrics(self) -> list[tuple[str, dict[str, Any]]]:
        """What NNI itself has stored: (trial job, final metric)."""
        database = self.experiment_folder() / "db" / "nni.sqlite"
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            rows = connection.execute("select trialJobId, data from MetricData where type = 'FINAL'").fetchall()
        return [(job, json.loads(json.loads(data))) for job, data in rows]


@contextmanager
def workplace(folder: Path) -> Iterator[Workplace]:
    """A workplace in ``folder``, whose processes are all ended on the way out."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield Workplace(folder)
    finally:
        end_processes(folder)


def processes_of(folder: Path) -> list[psutil.Process]:
    """The processes that were started in a workplace, known by their HOME."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("HOME") == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end_processes(folder: Path) -> None:
    """Kill whatever still runs in a workplace."""
    for process in processes_of(folder):
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes_of(folder), timeout=10)


def wait_for(condition: Callable[[], Any], *, seconds: float = 120, what: str = "") -> Any:
    """Wait until ``condition`` is true and return what it is."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain: {what or condition}")
        time.sleep(0.25)


def check_pairs(place: Workplace) -> None:
    """Every score in the journal is the one of its parameters, and these are as asked under that id."""
    asked = {record["id"]: record["parameters"] for record in place.journal() if record["kind"] == "asked"}
    finished = place.finished()
    assert finished
    for record in finished:
        assert record["parameters"] == asked[record["id"]]
        if record["state"] == "succeeded":
            assert record["value"] == score_of(record["parameters"])


def rest(port: int, path: str) -> Any:
    """An answer of NNI's REST server; None while there is none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/nni/{path}", timeout=5) as answer:
            return json.loads(answer.read())
    except (OSError, ValueError):
        return None


def running_jobs(port: int) -> list[dict[str, Any]]:
    """The trial jobs that NNI says are running."""
    return [job for job in rest(port, "trial-jobs") or [] if job["status"] == "RUNNING"]

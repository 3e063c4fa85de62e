"""The process that forks searches, and the table of faults."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))  # the harness of experiments under NNI

from fault_table import FaultTable

HERE = Path(__file__).parent


class Searcher:
    """``searcher.py`` as a process, in a mount namespace of its own where it is to mount."""

    def __init__(self, *, mounts: bool = False) -> None:
        inside = ["unshare", "--user", "--map-root-user", "--mount"] if mounts else []
        self._process = subprocess.Popen(
            [*inside, sys.executable, HERE / "searcher.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    def _ask(self, command, seconds=120):
        print(json.dumps(command), file=self._process.stdin, flush=True)
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        if not ready:
            self.close()
            raise AssertionError(f"no answer within {seconds} s to {command}")
        return json.loads(self._process.stdout.readline())

    def begin(self, job):
        """Start a search; its process id."""
        return self._ask({"begin": {key: str(v) if isinstance(v, Path) else v for key, v in job.items()}})

    def wait(self, pid):
        """The exit code of a search, at its end."""
        return self._ask({"wait": pid})

    def run(self, job):
        """A search to its end: the exit code, and what each of its parts came to."""
        code = self.wait(self.begin(job))
        output = Path(job["folder"], "output.txt").read_text()
        assert code in (0, 1), output
        return code, json.loads(Path(job["folder"], job.get("outcomes", "outcomes.json")).read_text())

    def close(self):
        """End it and all searches that still run."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for pid in children.read_text().split() if children.exists() else []:
            os.kill(int(pid), signal.SIGKILL)
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="session")
def searcher():
    made = Searcher()
    yield made
    made.close()


@pytest.fixture(scope="session")
def mounting_searcher():
    probe = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True,
        check=False,
    )
    if probe.returncode:
        pytest.skip("needs unshare and mount (util-linux), and user namespaces")
    made = Searcher(mounts=True)
    yield made
    made.close()


@pytest.fixture(scope="session")
def table():
    made = FaultTable()
    yield made
    path = os.environ.get("TUUN_DA_FAULTS_TABLE")
    if path:
        made.write(Path(path))

"""Machines for NNI's remote platform that are this one: an sshd each, on loopback, with keys of the test's own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from nni_harness import BIN, free_port

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@dataclass
class Machine:
    """An sshd; ``lose`` ends it with everything that was started through it, as a power cut would."""

    name: str
    port: int
    key: Path
    process: subprocess.Popen[bytes]

    def entry(self) -> dict[str, Any]:
        """As ``machineList`` of a configuration has it."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": os.environ.get("USER") or "root",
            "sshKeyFile": str(self.key),
            "pythonPath": str(BIN),
        }

    def processes(self) -> list[psutil.Process]:
        """What was started through this sshd: by the mark that it puts into the environment of every session."""
        mark = f"TUUN_DA_TEST_MACHINE={self.name}"
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if mark in [f"{key}={value}" for key, value in process.environ().items()]:
                    found.append(process)
        return found

    def lose(self) -> None:
        """End it at once, with all its sessions and their processes."""
        sessions = []
        with contextlib.suppress(psutil.Error):
            sessions = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait(10)
        for process in (*sessions, *self.processes()):
            with contextlib.suppress(psutil.Error):
                process.kill()


@contextlib.contextmanager
def ssh_machines(folder: Path, names: tuple[str, ...], home: Path) -> Iterator[list[Machine]]:
    """An sshd for each name, whose sessions have ``home`` as their home folder; all of it ends with the context."""
    assert SSHD is not None
    folder.mkdir(mode=0o700)
    key = folder / "key"
    for path in (key, folder / "host_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-m", "PEM", "-N", "", "-f", str(path)], check=True)
    machines: list[Machine] = []
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's own, where Debian's service would make it
    try:
        for name in names:
            port = free_port()
            config = folder / f"{name}.conf"
            config.write_text(
                f"""
ListenAddress 127.0.0.1:{port}
HostKey {folder / "host_key"}
AuthorizedKeysFile {key}.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
SetEnv TUUN_DA_TEST_MACHINE={name} HOME={home} OMP_NUM_THREADS=1 PIP_NO_INDEX=1
Subsystem sftp internal-sftp
"""
            )
            with open(folder / f"{name}.log", "wb") as log:
                process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=log)
            machines.append(Machine(name, port, key, process))
        for machine in machines:
            _wait_until_it_answers(machine)
        yield machines
    finally:
        for machine in machines:
            machine.lose()


def _wait_until_it_answers(machine: Machine) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", machine.port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(f"sshd {machine.name} does not answer")

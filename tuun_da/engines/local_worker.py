"""A process that runs one trial after the other, for the process that started it.

Not one of ``multiprocessing``, which imports the user's script again in every process: a script that has its search at
the outermost level would start searches without end.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from tuun_da.engines.local_trial import TrialPlan, run_planned

PATIENCE_SECONDS = 5.0  # between asking a worker to end and killing it

_BEGIN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from tuun_da.engines.local_worker import serve; serve(int(sys.argv[1]))"
)


class Worker:
    """A worker process. It ends with ``end``, and by itself as soon as the process that made it is gone."""

    def __init__(self, plan: TrialPlan) -> None:
        self.connection, theirs = Pipe()
        self.trial: tuple[int, Mapping[str, Any]] | None = None
        """Id and parameters of the trial that it runs."""
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BEGIN, str(theirs.fileno()), json.dumps(sys.path)],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a terminal's Ctrl-C is for the parent, who ends the workers
            )
        finally:
            theirs.close()
        self._send(plan)

    def begin(self, trial_id: int, parameters: Mapping[str, Any]) -> None:
        """Have it run this trial, which must be its only one; the end comes through ``result``."""
        self.trial = trial_id, parameters
        self._send(self.trial)

    def result(self) -> dict[str, Any] | None:
        """The final metric of its trial, waited for; None if the process died without one."""
        self.trial = None
        try:
            metric: dict[str, Any] = self.connection.recv()
        except (EOFError, OSError):
            return None
        return metric

    def end(self) -> int:
        """End the process, whatever it does, and wait for that; its exit code."""
        self.connection.close()
        try:
            return self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            return self._kill()
        except BaseException:  # a second Ctrl-C
            self._kill()
            raise

    def _kill(self) -> int:
        self._process.kill()
        return self._process.wait()

    def _send(self, message: object) -> None:
        with contextlib.suppress(OSError):  # it is dead already, which ``result`` will tell
            self.connection.send(message)


def cause_of_death(code: int) -> str:
    """In words, from the exit code of a process that did not mean to end."""
    if code >= 0:
        return f"the worker process ended with exit code {code}; its messages may say why"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = "; it may have run out of memory" if name == "SIGKILL" else ""
    return f"the worker process was killed by {name}{hint}"


def serve(descriptor: int) -> None:
    """In the worker process: run what comes through the connection of this file descriptor. Does not return."""
    connection = Connection(descriptor)
    plan = connection.recv()
    tasks: queue.SimpleQueue[tuple[int, dict[str, Any]]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, tasks), daemon=True).start()
    while True:
        connection.send(run_planned(plan, *tasks.get()))


def _listen(connection: Connection[Any, Any], tasks: queue.SimpleQueue[tuple[int, dict[str, Any]]]) -> None:
    """Hand trials on; end the process, in the middle of a training if need be, when nobody waits for it any more."""
    while True:
        try:
            tasks.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)

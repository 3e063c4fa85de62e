"""A process that runs one trial after the other, for the process that started it.

Not one of ``multiprocessing``, which imports the user's script again in every process: a script that has its search at
the outermost level would start searches without end.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from tuun_da.engines.echo import ECHO_KEY
from tuun_da.engines.local_trial import TrialPlan, run_planned

_logger = logging.getLogger(__name__)

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
        self._began = 0.0
        self.has_hung_up = False
        """Whether it said, while ``result`` was asked, that nothing more comes."""
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
        self._began = time.monotonic()
        self._send(self.trial)

    @property
    def seconds(self) -> float:
        """How long it has had its trial, by a clock that nobody sets."""
        return time.monotonic() - self._began

    @property
    def is_dead(self) -> bool:
        """Whether it has ended. It may have sent a result before, so ask for ``result`` after this."""
        # The connection alone would not tell: a process that the trial had started may hold the other end open.
        return self.has_hung_up or self._process.poll() is not None

    def result(self) -> dict[str, Any] | None:
        """The final metric of its trial, None if that has not come. Another one's, or a second one, counts nothing."""
        try:
            while self.trial is not None and self.connection.poll():
                metric: dict[str, Any] = self.connection.recv()
                reported = metric[ECHO_KEY]["id"]
                if reported == self.trial[0]:
                    self.trial = None
                    return metric
                _logger.warning("a worker reported trial %s while it ran trial %d", reported, self.trial[0])
        except (EOFError, OSError):
            self.has_hung_up = True
        return None

    def end(self) -> int:
        """End the process and those that it started, whatever they do, and wait for it; its exit code."""
        self.connection.close()
        try:
            return self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:  # also of a second Ctrl-C
            _kill_group(self._process.pid)
            self._process.wait()

    def _send(self, message: object) -> None:
        with contextlib.suppress(OSError):  # it is dead already, which ``result`` will tell
            self.connection.send(message)


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


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
            if os.getpgrp() == os.getpid():
                _kill_group(os.getpid())  # itself, and what the trial has started
            os._exit(0)

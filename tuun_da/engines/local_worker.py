"""A process that does one task after the other, for the process that started it.

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
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from tuun_da.engines.task_pool import Task

_logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0  # between asking a worker to end and killing it

_BEGIN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from tuun_da.engines.local_worker import serve; serve(int(sys.argv[1]))"
)


class Worker:
    """A worker process. It ends with ``end``, and by itself as soon as the process that made it is gone."""

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        self._number = 0  # of its present task
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

    def begin(self, task: Task) -> None:
        """Have it do this task, which must be its only one; the end comes through ``result``."""
        self._number += 1
        self._began = time.monotonic()
        with contextlib.suppress(OSError):  # it is dead already, which ``is_dead`` will tell
            self.connection.send((self._number, task))

    @property
    def seconds(self) -> float:
        """How long it has had its task, by a clock that nobody sets."""
        return time.monotonic() - self._began

    @property
    def is_dead(self) -> bool:
        """Whether it has ended. It may have sent a result before, so ask for ``result`` after this."""
        # The connection alone would not tell: a process that the task had started may hold the other end open.
        return self.has_hung_up or self._process.poll() is not None

    def result(self) -> tuple[bool, Any]:
        """True and what its task gave; False and None if that has not come. A second result counts nothing."""
        try:
            while self.connection.poll():
                number, result = self.connection.recv()
                if number == self._number:
                    return True, result
                _logger.warning("a worker gave task %d, which had ended, a second result", number)
        except (EOFError, OSError):
            self.has_hung_up = True
        return False, None

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
    """In the worker process: do what comes through the connection of this file descriptor. Does not return."""
    connection = Connection(descriptor)
    tasks: queue.SimpleQueue[tuple[int, Task]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, tasks), daemon=True).start()
    while True:
        number, task = tasks.get()
        connection.send((number, task()))


def _listen(connection: Connection[Any, Any], tasks: queue.SimpleQueue[tuple[int, Task]]) -> None:
    """Hand tasks on; end the process, in the middle of a training if need be, when nobody waits for it any more."""
    while True:
        try:
            tasks.put(connection.recv())
        except (EOFError, OSError):
            if os.getpgrp() == os.getpid():
                _kill_group(os.getpid())  # itself, and what the task has started
            os._exit(0)

"""A process that does one task after the other, for the process that started it.

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
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from tuun_da.engines.task_pool import Task

PATIENCE_SECONDS = 5.0  # between asking a worker to end and killing it

_BEGIN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from tuun_da.engines.local_worker import serve; serve(int(sys.argv[1]))"
)


class Worker:
    """A worker process. It ends with ``end``, and by itself as soon as the process that made it is gone."""

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
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
        with contextlib.suppress(OSError):  # it is dead already, which ``result`` will tell
            self.connection.send(task)

    def result(self) -> tuple[bool, Any]:
        """True and what its task gave, waited for; False and None if the process died over it."""
        try:
            return True, self.connection.recv()
        except (EOFError, OSError):
            return False, None

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
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, tasks), daemon=True).start()
    while True:
        connection.send(tasks.get()())


def _listen(connection: Connection[Any, Any], tasks: queue.SimpleQueue[Task]) -> None:
    """Hand tasks on; end the process, in the middle of a training if need be, when nobody waits for it any more."""
    while True:
        try:
            tasks.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)

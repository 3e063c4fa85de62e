"""Worker processes (a pool as in task_pool.py) that live as long as the pool does: their start takes seconds."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any

from tuun_da.engines.local_worker import Worker, cause_of_death
from tuun_da.engines.task_pool import Ended, NextTask, Task, TaskPool

LOOK_SECONDS = 1.0  # between two looks at workers that say nothing


class WorkerPool(TaskPool):
    """Up to ``n_workers`` processes, started when they are first needed. ``close`` ends them, whatever they do.

    A process that has had its task for more than ``task_seconds`` (its start included; None: no limit) is ended.
    """

    def __init__(self, n_workers: int, *, task_seconds: float | None = None) -> None:
        self._n_workers = n_workers
        self._task_seconds = task_seconds
        self._idle: list[Worker] = []
        self._busy: dict[Worker, Any] = {}

    @property
    def n_workers(self) -> int:
        """Processes at a time."""
        return self._n_workers

    def run(self, next_task: NextTask, on_end: Callable[[Ended], bool]) -> None:
        """Do the tasks that ``next_task`` gives, each with a key, until it gives None and all have ended.

        It is asked whenever a worker is free. ``on_end`` hears of each end, and says whether the worker may go on: an
        unexpected error can leave a GPU's state broken in its process. What either raises goes through, and leaves the
        pool to be closed.
        """
        while True:
            while len(self._busy) < self.n_workers and (given := next_task()) is not None:
                worker = self._idle.pop() if self._idle else Worker()
                self._busy[worker], task = given
                worker.begin(task)
            if not self._busy:
                return
            wait([worker.connection for worker in self._busy], LOOK_SECONDS)
            for worker in list(self._busy):
                key = self._busy[worker]
                is_dead = worker.is_dead  # before its last words are looked for
                answered, result = worker.result()
                is_dead |= worker.has_hung_up
                is_late = self._task_seconds is not None and worker.seconds > self._task_seconds
                if not (answered or is_dead or is_late):
                    continue
                if answered:
                    ended = Ended(key, result)
                elif is_dead:
                    ended = Ended(key, error=cause_of_death(worker.end()))
                else:
                    worker.end()
                    ended = Ended(key, error=f"the trial was ended after its time limit of {self._task_seconds:g} s")
                may_go_on = on_end(ended)
                del self._busy[worker]  # only now: what on_end raises must leave it to be closed
                if answered and may_go_on:
                    self._idle.append(worker)
                elif answered:
                    worker.end()

    def begin_everywhere(self, task: Task) -> None:
        """Have every worker begin ``task``, none of which may be at work; ``ends`` waits for them."""
        for number in range(self.n_workers):
            worker = self._idle.pop() if self._idle else Worker()
            self._busy[worker] = number
            worker.begin(task)

    def close(self) -> None:
        """End all processes."""
        workers = [*self._idle, *self._busy]
        self._idle, self._busy = [], {}
        for worker in workers:
            worker.connection.close()  # all of them now, so that they end at the same time
        for worker in workers:
            worker.end()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

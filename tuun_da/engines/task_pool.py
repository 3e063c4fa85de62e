"""What a search needs of a pool of workers, whatever they are: processes beside it, or those of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

Task: TypeAlias = Callable[[], Any]
"""What a worker does: a function, or a functools.partial of one, that its process finds by its name."""


@dataclass(frozen=True)
class Ended:
    """A task that has ended: its ``key``, and its ``result``, or the ``error`` of a process that died over it."""

    key: Any
    result: Any = None
    error: str | None = None


NextTask: TypeAlias = Callable[[], tuple[Any, Task] | None]
"""The next task and its key; None where there is none."""


class TaskPool(Protocol):
    """Does tasks, ``n_workers`` at a time."""

    @property
    def n_workers(self) -> int: ...

    def run(self, next_task: NextTask, on_end: Callable[[Ended], bool]) -> None:
        """Do the tasks that ``next_task`` gives, each with a key, until it gives None and all have ended.

        It is asked whenever a worker is free. ``on_end`` hears of each end, and says whether the worker may go on. What
        either raises goes through.
        """
        ...

    def begin_everywhere(self, task: Task) -> None:
        """Have every worker begin ``task``, none of which may be at work; ``ends`` waits for them."""
        ...

    def run_all(self, tasks: Mapping[Any, Task], on_end: Callable[[Ended], bool] = lambda ended: True) -> None:
        """Do these ``tasks``, by their keys, in that order."""
        waiting = iter(tasks.items())
        self.run(lambda: next(waiting, None), on_end)

    def ends(self) -> list[Ended]:
        """The ends of the tasks that are under way, waited for."""
        found: list[Ended] = []

        def note(ended: Ended) -> bool:
            found.append(ended)
            return True

        self.run(lambda: None, note)
        return found

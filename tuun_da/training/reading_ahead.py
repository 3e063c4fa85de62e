"""Items made in a background thread, a few ahead of the one who takes them."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar("T")


class _End:
    """The last thing in the queue: there is no more, or ``error`` came while the next item was made."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def read_ahead(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    """``items`` in their order, made by a thread that is at most ``depth`` + 1 of them ahead.

    What making one raises is raised here, in its place. The thread begins with the first item that is asked for, and
    has ended when the iterator has: at its end, after an error, or when it is closed, as Python does with one that a
    loop was left from.
    """
    made: queue.Queue[T | _End] = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def work() -> None:
        error = None
        try:
            for item in items:
                if stop.is_set():
                    return
                made.put(item)
        except BaseException as caught:  # the consumer raises it again
            error = caught
        if not stop.is_set():
            made.put(_End(error))

    thread = threading.Thread(target=work, name="read_ahead", daemon=True)
    thread.start()
    try:
        while True:
            item = made.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stop.set()
        with contextlib.suppress(queue.Empty):  # makes room for the one item that the thread may be putting in
            while True:
                made.get_nowait()
        thread.join()

"""What tests have Ray workers do: a network that notes each training that begins, and tasks that go wrong."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tuun_da.training.models.child_cnn import ChildCNN


def slow(**keywords):
    """Slow where $TUUN_DA_TEST_STARTS names a file: each training is a line of it."""
    if "TUUN_DA_TEST_STARTS" in os.environ:
        with Path(os.environ["TUUN_DA_TEST_STARTS"]).open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(1)
    return ChildCNN(**keywords)


def warm():
    """What takes long in a first training; meanwhile the other workers do the same."""
    import tuun_da.training.trial  # noqa: F401

    time.sleep(3)


def dies():
    os.kill(os.getpid(), signal.SIGKILL)


def fails():
    raise ValueError("no such layer")

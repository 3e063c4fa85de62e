"""Networks that misbehave on demand, for trials in this process and in others.

Each bad thing happens once: a file in the folder $TUUN_DA_TEST_ONCE says that it has.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tuun_da.training.models.child_cnn import ChildCNN


def is_first(name):
    """Whether nobody has asked this before, in any process."""
    try:
        (Path(os.environ["TUUN_DA_TEST_ONCE"]) / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def killed_then_asleep(**keywords):
    """The first process that asks is killed, the second one sleeps, all others get a network."""
    if is_first("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if is_first("asleep"):
        time.sleep(600)
    return ChildCNN(**keywords)


def interrupted(**keywords):
    """Ctrl-C in the middle of the second training."""
    if not is_first("first") and is_first("second"):
        raise KeyboardInterrupt
    return ChildCNN(**keywords)


def broken(**keywords):
    raise ValueError("no such layer")

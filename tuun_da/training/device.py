"""Which device a trial runs on: a GPU of its own, or a place on one, held by a lock that ends with the process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tuun_da.errors import ConfigError, TrainingError
from tuun_da.training.checks import checked_integer

POLL_SECONDS = 0.5
MAX_THREADS = 4096
REMIND_SECONDS = 60.0


@dataclass(frozen=True)
class Slot:
    """One place, held: the ``number``-th on the GPU ``name``. Ends with ``release`` or with the process."""

    name: str
    number: int
    descriptor: int

    def release(self) -> None:
        os.close(self.descriptor)  # which also gives up the lock


@contextlib.contextmanager
def pick_device(
    requested: str = "auto", *, trials_per_gpu: int = 1, lock_dir: str | os.PathLike[str] | None = None
) -> Iterator[torch.device]:
    """The device for one trial, for as long as the context lasts.

    "auto" is a free GPU, or the CPU where there is none; "cuda" a free GPU; "cuda:1" that one; "cpu" the CPU. While
    every GPU has ``trials_per_gpu`` trials, it waits and says so on stderr. GPUs that CUDA_VISIBLE_DEVICES hides do
    not count. Raises ConfigError for a device that is not there.
    """
    checked_integer("trials_per_gpu", trials_per_gpu, low=1)
    indices = requested_gpus(requested, torch.cuda.device_count() if torch.cuda.is_available() else 0)
    if not indices:
        yield torch.device("cpu")
        return
    names = {gpu_name(index): index for index in indices}
    slot = acquire_slot(list(names), trials_per_gpu, lock_dir)
    try:
        yield torch.device("cuda", names[slot.name])
    finally:
        slot.release()


def check_device_is_there(requested: str) -> None:
    """Raise ConfigError for a device that is not there, as ``pick_device`` would."""
    requested_gpus(requested, torch.cuda.device_count() if torch.cuda.is_available() else 0)


def requested_gpus(requested: str, gpus: int) -> list[int]:
    """The numbers of the GPUs, of ``gpus`` visible ones, that ``requested`` allows; none means the CPU."""
    if requested == "cpu" or (requested == "auto" and gpus == 0):
        return []
    if requested in ("auto", "cuda") and gpus > 0:
        return list(range(gpus))
    match = re.fullmatch(r"cuda(?::([0-9]{1,4}))?", requested) if isinstance(requested, str) else None
    if match is None:
        raise ConfigError(f"device must be auto, cpu, cuda or cuda:N; got {requested!r}")
    if match[1] is None or int(match[1]) >= gpus:
        there = "no GPU" if gpus == 0 else f"only cuda:0 to cuda:{gpus - 1}" if gpus > 1 else "only cuda:0"
        raise ConfigError(f"device must be there: torch sees {there}, got {requested!r}")
    return [int(match[1])]


def gpu_name(index: int) -> str:
    """A name for the GPU that is the same in every process, whatever number CUDA_VISIBLE_DEVICES gives it there."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if len(visible) > index and visible[index].strip().startswith("MIG-"):
        return visible[index].strip()  # a part of a GPU, whose properties would name the whole
    return f"GPU-{torch.cuda.get_device_properties(index).uuid}"


def acquire_slot(
    names: Sequence[str],
    slots: int,
    lock_dir: str | os.PathLike[str] | None = None,
    *,
    poll_seconds: float = POLL_SECONDS,
    remind_seconds: float = REMIND_SECONDS,
) -> Slot:
    """Hold the first free of ``slots`` places on any of ``names``, evenly over the names; wait while there is none.

    A place is a lock (flock) on a file of its own, which the operating system gives up when the process ends, however
    it ends. ``lock_dir`` is a folder that all trials share; None: one for each user in the folder for temporary files.
    """
    folder = lock_folder() if lock_dir is None else Path(lock_dir)
    folder.mkdir(parents=True, exist_ok=True)
    next_message = time.monotonic()
    begin = next_message
    while True:
        for number in range(slots):  # the first place of every GPU before the second of any
            for name in names:
                descriptor = try_lock(folder / f"{re.sub(r'[^A-Za-z0-9-]', '_', name)}.{number}.lock")
                if descriptor is not None:
                    return Slot(name, number, descriptor)
        now = time.monotonic()
        if now >= next_message:
            places = f"{slots * len(names)} places on {len(names)} GPUs" if slots * len(names) > 1 else "the only GPU"
            state = "are taken" if slots * len(names) > 1 else "is taken"
            print(
                f"waiting for a GPU: {places} {state} by other trials ({now - begin:.0f} s; locks in {folder})",
                file=sys.stderr,
                flush=True,
            )
            next_message = now + remind_seconds
        time.sleep(poll_seconds)


def try_lock(path: Path) -> int | None:
    """An open descriptor that holds the lock on the file at ``path``, or None if another process has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def lock_folder() -> Path:
    """The user's own folder for locks, made if it is absent."""
    folder = Path(tempfile.gettempdir()) / f"tuun_da-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    # anyone can make a folder of that name in /tmp
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise TrainingError(f"folder for GPU locks {folder} must belong to user {os.getuid()}; remove it")
    return folder


def set_threads(threads: int | None) -> None:
    """Let torch use ``threads`` CPU threads for one operation; None leaves its choice, usually all cores."""
    if threads is not None:
        torch.set_num_threads(checked_integer("threads", threads, low=1, high=MAX_THREADS))

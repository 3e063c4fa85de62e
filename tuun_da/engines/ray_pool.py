"""Tasks on the workers of a Ray cluster: one that is there, or one on this machine for as long as the pool lives.

A machine that dies costs only the tasks on it, which are done once more elsewhere. Machines may come at any time.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

# Ray tells its makers of each cluster that is started, unless told not to before.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray.exceptions import RayError, RayTaskError

from tuun_da.engines.task_pool import Ended, NextTask, Task, TaskPool
from tuun_da.errors import ConfigError, ExperimentError
from tuun_da.training.checks import checked_integer

_logger = logging.getLogger(__name__)

DO_AGAIN = 1
"""How often a task is done again whose worker or machine died."""
NO_MACHINE_SECONDS = 300.0
"""For how long a cluster may have no machine for a task before it is given up: it may be starting one."""
POLL_SECONDS = 1.0
ANSWER_SECONDS = 10.0
"""In which something must take a connection at the address of a cluster. Ray itself would try for many minutes."""
REMOVE_SECONDS = 5.0
"""For how long the last of Ray's processes may still write into its folder."""
STORE_BYTES = 100 * 2**20  # of the object store of a cluster of our own; tasks and results are small


@dataclass(frozen=True)
class _Running:
    key: Any
    task: Task
    again: int = 0


class RayPool(TaskPool):
    """A pool (task_pool.py) of Ray workers. ``close`` ends what runs, and Ray itself if this started it.

    ``address``: of a running cluster, "auto" for the one on this machine; None starts Ray on this machine, without a
    dashboard, and without its usage statistics. In a process that is connected to Ray already, None is that cluster.
    ``n_workers``: tasks at a time; 0: as many as the machines have room for, at any time.
    ``cores``: of a task. ``on_gpu``: whether it takes a GPU, or its share of one that does ``tasks_per_gpu``; None: if
    the cluster has any. Ray gives each task on a GPU a process of its own; others are done one after the other in one.

    Tasks find the folder in which this process is, if the machine has it, and the modules of this process.
    Raises ConfigError for a cluster that cannot be reached.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        n_workers: int = 0,
        cores: int = 1,
        on_gpu: bool | None = False,
        tasks_per_gpu: int = 1,
    ) -> None:
        checked_integer("n_workers", n_workers, low=0)
        self.cores = checked_integer("cores", cores, low=1)
        self._per_gpu = checked_integer("tasks_per_gpu", tasks_per_gpu, low=1)
        self._wanted = n_workers
        self._pending: dict[Any, _Running] = {}
        self._folder: str | None = None  # of the cluster that we started
        self._joined = ray.is_initialized() and address is None
        try:
            if not self._joined:
                self._connect(address)
            self._on_gpu = ray.cluster_resources().get("GPU", 0) >= 1 if on_gpu is None else on_gpu
            share = 1 / self._per_gpu if self._on_gpu else 0
            self._remote = ray.remote(_do).options(num_cpus=self.cores, num_gpus=share, max_retries=0)
        except BaseException:
            self.close()
            raise

    @property
    def n_workers(self) -> int:
        """Tasks at a time, at least 1."""
        return max(self._wanted or self.room, 1)

    @property
    def on_gpu(self) -> bool:
        """Whether each task takes a GPU, or its share of one."""
        return self._on_gpu

    def run(self, next_task: NextTask, on_end: Callable[[Ended], bool]) -> None:
        """See TaskPool. Raises ExperimentError where no machine of the cluster can do a task any more."""
        lonely_since: float | None = None
        while True:
            room = self.room
            # At least one, which waits in Ray where there is no room: a cluster may grow by what waits.
            places = max(self._wanted or room, 1)
            while len(self._pending) < places and (given := next_task()) is not None:
                self._submit(_Running(*given))
            if not self._pending:
                return
            lonely_since = None if room > 0 else self._check_lonely(lonely_since)
            self._collect(on_end)

    def begin_everywhere(self, task: Task) -> None:
        """Begin ``task`` as often as there are workers; ``ends`` waits for them."""
        for number in range(self.n_workers):
            self._submit(_Running(number, task))

    def close(self) -> None:
        """End what runs; disconnect; end Ray where this pool started it, and remove what it wrote."""
        try:
            if ray.is_initialized():
                for reference in self._pending:
                    ray.cancel(reference, force=True)
                if not self._joined:
                    ray.shutdown()
        finally:
            self._pending = {}
            if self._folder is not None:
                _remove(self._folder)
                self._folder = None

    def __enter__(self) -> RayPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connect(self, address: str | None) -> None:
        common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
        if address is None:
            self._folder = tempfile.mkdtemp(prefix="tuun_ray_")  # a short path: Ray's sockets are in it
            ray.init(
                "local",
                num_cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
                include_dashboard=False,
                object_store_memory=STORE_BYTES,
                _temp_dir=self._folder,
                **common,
            )
            return
        try:
            _check_answers(address)
            ray.init(address, **common)
        except (OSError, ValueError, RuntimeError) as error:
            where = address or repr("")
            raise ConfigError(f"the Ray cluster at {where} cannot be reached: {_first_line(error)}") from None

    @property
    def room(self) -> int:
        """How many tasks the machines that are alive can do at a time."""
        room = 0
        for node in ray.nodes():
            if not node["Alive"]:
                continue
            resources = node["Resources"]
            places = math.floor(resources.get("CPU", 0) / self.cores)
            if self._on_gpu:
                places = min(places, math.floor(resources.get("GPU", 0)) * self._per_gpu)
            room += places
        return room

    def _check_lonely(self, since: float | None) -> float:
        """Since when there has been no machine. Raises ExperimentError after a while."""
        now = time.monotonic()
        wanted = f"{self.cores} CPU cores{' and a GPU' if self._on_gpu else ''} for a trial"
        if since is None:
            _logger.warning("no machine of the Ray cluster has %s; waiting for one", wanted)
            return now
        if now - since > NO_MACHINE_SECONDS:
            raise ExperimentError(f"no machine of the Ray cluster has {wanted}, for {now - since:.0f} seconds")
        return since

    def _submit(self, running: _Running) -> None:
        self._pending[self._remote.remote(pickle.dumps(running.task), os.getcwd(), list(sys.path))] = running

    def _collect(self, on_end: Callable[[Ended], bool]) -> None:
        """Wait a little for ends, and tell of them."""
        ready, _ = ray.wait(list(self._pending), num_returns=1, timeout=POLL_SECONDS)
        for reference in ready:
            running = self._pending[reference]
            ended = self._ended(reference, running)
            if ended is not None:
                on_end(ended)
            del self._pending[reference]

    def _ended(self, reference: Any, running: _Running) -> Ended | None:
        """What the task came to; None where it is done again."""
        try:
            return Ended(running.key, ray.get(reference))
        except RayTaskError as error:  # the task raised something
            return Ended(running.key, error=f"the task raised {_last_line(error)}")
        except RayError as error:  # its worker or its machine died, or its result is lost
            cause = f"{type(error).__name__}: {_first_line(error)}"
            if running.again < DO_AGAIN:
                _logger.warning("a worker of the Ray cluster died, and its task is done again: %s", cause)
                self._submit(_Running(running.key, running.task, running.again + 1))
                return None
            return Ended(running.key, error=f"the worker on the Ray cluster died {DO_AGAIN + 1} times: {cause}")


def _do(task: bytes, folder: str, path: list[str]) -> Any:
    """On a worker: the pickled task, in the folder and with the modules of the driver, where the machine has them."""
    if os.path.isdir(folder):
        os.chdir(folder)
    sys.path.extend(entry for entry in path if entry not in sys.path)
    return pickle.loads(task)()


def _check_answers(address: str) -> None:
    """Raise ValueError for a port that is none, OSError where nothing takes a connection at HOST:PORT.

    Other addresses ("auto", and those that Ray refuses by itself) are left to Ray.
    """
    found = re.fullmatch(r"(?:ray://)?(\[[^]]+\]|[^:/]+):([0-9]+)", address)
    if found is None:
        return
    port = int(found[2])
    if not 0 < port < 2**16:
        raise ValueError(f"the port must be one of 1 to 65535, got {found[2]}")
    socket.create_connection((found[1].strip("[]"), port), timeout=ANSWER_SECONDS).close()


def _remove(folder: str) -> None:
    """Remove what Ray wrote, while the last of its processes may still be writing."""
    ends = time.monotonic() + REMOVE_SECONDS
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder) or time.monotonic() > ends:
            return
        time.sleep(0.1)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _last_line(error: BaseException) -> str:
    return str(error).strip().rpartition("\n")[2]

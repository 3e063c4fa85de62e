"""NNI's process storm: noticed by counting, and ended before the machine is full.

Where trials ask for more GPUs than are free, NNI 3.0's scheduler runs in a loop without delay and starts hundreds of
processes, while its web server no longer answers. So the counting has a thread of its own.
"""

from __future__ import annotations

import contextlib
import threading

import psutil

PROCESSES_PER_TRIAL = 64
"""A trial's shell, Python, and workers that read images are far fewer; NNI's storm passes it within seconds."""
LOOK_SECONDS = 0.5
ROUNDS = 40


class StormWatch:
    """Counts the descendants of ``manager`` until ``stop``; from more than the limit on, kills it and all of them."""

    def __init__(self, manager: psutil.Process, n_trials: int) -> None:
        self.limit = PROCESSES_PER_TRIAL * (n_trials + 1)
        self.n_processes: int | None = None
        """How many there were when they became too many."""
        self._n_trials = n_trials
        self._manager = manager
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="count NNI's processes", daemon=True)
        self._thread.start()

    @property
    def diagnosis(self) -> str | None:
        """What happened, None if nothing did."""
        if self.n_processes is None:
            return None
        return (
            f"process storm: NNI's manager had {self.n_processes} processes under it, and {self.limit} are the limit "
            f"for {self._n_trials} trials at a time; all were ended. NNI starts processes without end where "
            "trialGpuNumber asks for GPUs that are not free: leave trialGpuNumber out. Else it is the trials "
            "themselves that start so many"
        )

    def stop(self) -> None:
        """End the counting; what is being killed is killed first."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            try:
                descendants = self._manager.children(recursive=True)
            except psutil.Error:
                return  # it has ended
            if len(descendants) > self.limit:
                self.n_processes = len(descendants)
                self._kill(set(descendants))
                return

    def _kill(self, processes: set[psutil.Process]) -> None:
        """Halt all of them, so that none starts another one meanwhile; then kill them."""
        for _ in range(ROUNDS):
            for process in (self._manager, *processes):
                with contextlib.suppress(psutil.Error):
                    process.suspend()
            try:
                found = set(self._manager.children(recursive=True)) - processes
            except psutil.Error:
                break
            if not found:
                break
            processes |= found
        processes.add(self._manager)
        for _ in range(ROUNDS):
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            _, alive = psutil.wait_procs(processes, timeout=0.5)
            processes = {process for process in alive if not _is_zombie(process)}
            if not processes:
                return


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True

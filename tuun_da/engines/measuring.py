"""What a plan needs to know of this machine: how many trainings go side by side, and how fast they are then."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tuun_da.engines.local import available_cores
from tuun_da.engines.task_pool import TaskPool
from tuun_da.engines.time_plan import Speed
from tuun_da.errors import TrainingError

MOST_WORKERS = 8
"""Unless more are asked for: a search learns from the trials that have ended, hardly with more side by side."""
WORKER_BYTES = 10**9  # of a process that trains: torch alone takes 0.4 GB
BATCH_SIZES = (16, 64)  # two, which tell the time of a step from that of its images
SECONDS_EACH = 0.4
STEPS_EACH = 9  # at least (training.timing)
UNSEEN_FACTOR = 15.0  # basenet_resnet18 against child_cnn on a CPU


@dataclass(frozen=True)
class Machine:
    """Where trials run: ``n_workers`` processes, each with ``threads`` of the CPU; ``trials_per_gpu`` share a GPU."""

    device: str
    n_gpus: int
    n_workers: int
    threads: int
    trials_per_gpu: int

    @classmethod
    def found(cls, device: str, n_workers: int | None) -> Machine:
        """This machine: a worker for each GPU or core, or ``n_workers``. Raises ConfigError for an absent GPU."""
        from tuun_da.training.free_memory import free_bytes
        from tuun_da.training.timing import gpus_for

        n_gpus, cores = gpus_for(device), available_cores()
        if n_workers is None:
            free = free_bytes()
            room = cores if free is None else max(free // WORKER_BYTES, 1)
            n_workers = n_gpus or min(cores, room, MOST_WORKERS)
        return cls(device, n_gpus, n_workers, max(1, cores // n_workers), -(-n_workers // max(n_gpus, 1)))

    def __str__(self) -> str:
        where = "on the CPU" if not self.n_gpus else f"on {self.n_gpus} GPU{'s' * (self.n_gpus > 1)}"
        processes = f"{self.n_workers} process{'es' * (self.n_workers > 1)}"
        return f"{processes} {where}, {self.threads} CPU thread{'s' * (self.threads > 1)} each"


def warm_up() -> float:
    """In a worker: load what its first training would; when that was done (time.time)."""
    import tuun_da.augment.named
    import tuun_da.training.timing
    import tuun_da.training.trial  # noqa: F401

    return time.time()


def collect_starts(pool: TaskPool, begun: float) -> float:
    """Seconds until the last worker was warm, which began at ``begun`` (time.time). Raises TrainingError."""
    ended = pool.ends()
    for one in ended:
        if one.error is not None:
            raise TrainingError(f"no worker process can be started: {one.error}")
    return max((one.result for one in ended), default=begun) - begun


def measure_speeds(
    pool: TaskPool,
    machine: Machine,
    networks: Sequence[str],
    sizes: Sequence[int],
    *,
    channels: int,
    classes: int,
    seconds: float,
    is_hopeless: Callable[[str, int, Speed], bool],
) -> dict[tuple[str, int], Speed]:
    """How fast the ``networks`` train on images of these ``sizes``, in all workers at the same time, in ``seconds``.

    The smallest size of the first network is timed in any case. A network's larger sizes are left out from one on that
    ``is_hopeless``, and so are those that would take too long to time. Raises TrainingError where nothing can train.
    """
    ends = time.monotonic() + seconds
    found: dict[tuple[str, int], Speed] = {}
    problem = ""
    for network in networks:
        for size in sizes:
            expected = _expected_seconds(found, network, networks, size)
            if found and (expected is None or time.monotonic() + expected > ends):
                break
            speed = _measured(pool, machine, network, size, channels, classes)
            if isinstance(speed, str):
                problem = f"{network} at {size} x {size} pixels: {speed}"
                break
            found[network, size] = speed
            if is_hopeless(network, size, speed):
                break
    if not found:
        raise TrainingError(f"no training of a second succeeded here; {problem}")
    return found


def _expected_seconds(
    found: dict[tuple[str, int], Speed], network: str, networks: Sequence[str], size: int
) -> float | None:
    """To time that, by the area; None where no smaller one, or none of the first network, was timed."""
    own = max((s for n, s in found if n == network), default=None)
    known, side = (network, own) if own is not None else (networks[0], size)
    speed = found.get((known, side)) if side is not None else None
    if speed is None or side is None:
        return None
    factor = (size / side) ** 2 * (1.0 if own is not None else UNSEEN_FACTOR)
    steps = STEPS_EACH * len(BATCH_SIZES)
    return steps * speed.step_seconds + STEPS_EACH * sum(BATCH_SIZES) * speed.image_seconds * factor


def _measured(pool: TaskPool, machine: Machine, network: str, size: int, channels: int, classes: int) -> Speed | str:
    """The slowest worker's; a text where one cannot."""
    from tuun_da.training.timing import TimedTraining, time_training

    steps: list[float] = []
    for batch_size in BATCH_SIZES:
        timed = TimedTraining(
            model=network,
            image_size=size,
            batch_size=batch_size,
            channels=channels,
            classes=classes,
            device=machine.device,
            threads=machine.threads,
            trials_per_gpu=machine.trials_per_gpu,
        )
        pool.begin_everywhere(functools.partial(time_training, timed, SECONDS_EACH))
        ended = pool.ends()
        for one in ended:
            if one.error is not None or isinstance(one.result, str):
                return one.error or str(one.result)
        steps.append(max(one.result for one in ended))
    return Speed.of_steps((BATCH_SIZES[0], steps[0]), (BATCH_SIZES[1], steps[1]))

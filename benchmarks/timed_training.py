"""A training by the clock, and what every result of a speed benchmark has: conditions, a limit on time.

Whoever trains, the clock is outside: it starts when the training is called and is read at the end of each epoch, when
the validation accuracy is known, so that the device has done everything by then.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from statistics import median
from typing import Any

import torch

from benchmarks import race
from tuun_da.errors import ConfigError

OnEpoch = Callable[[float], None]
"""Called with the validation accuracy of each epoch, as soon as that is known."""

MIN_EPOCHS = 2  # the first one is not only an epoch
TIMED_FOLDERS = ("augment", "training")
VERSIONS = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pillow")


@dataclass(frozen=True, kw_only=True)
class TimedTraining:
    """Seconds since the call: ``epoch_ends`` (e,), and ``seconds`` at its return. ``curve`` (e,) of validation."""

    curve: tuple[float, ...]
    epoch_ends: tuple[float, ...]
    seconds: float
    test_score: float | None = None

    @property
    def epoch_seconds(self) -> tuple[float, ...]:
        """Of each epoch but the first, validation included."""
        pairs = zip(self.epoch_ends, self.epoch_ends[1:], strict=False)
        return tuple(end - begin for begin, end in pairs)

    @property
    def startup_seconds(self) -> float:
        """What there was before the end of the first epoch beyond a usual one: network, data, workers, compilation.

        0 of a training that ended before its second epoch did.
        """
        if len(self.epoch_ends) < MIN_EPOCHS:
            return 0.0
        return max(self.epoch_ends[0] - median(self.epoch_seconds), 0.0)

    def seconds_to(self, target: float) -> float | None:
        """When an epoch first ended with a validation accuracy of at least ``target``; None: never."""
        return next((end for end, value in zip(self.epoch_ends, self.curve, strict=True) if value >= target), None)

    def to_dict(self) -> dict[str, Any]:
        """Everything as a JSON object, with what follows from it."""
        return asdict(self) | {"epoch_seconds": self.epoch_seconds, "startup_seconds": self.startup_seconds}


def timed(train: Callable[[OnEpoch], float | None], epochs: int) -> TimedTraining:
    """Call ``train``, which reports each of its ``epochs`` and returns its test score. Raises ConfigError."""
    if epochs < MIN_EPOCHS:
        raise ConfigError(f"epochs must be at least {MIN_EPOCHS}, to tell start-up from epochs; got {epochs}")
    curve: list[float] = []
    ends: list[float] = []
    begin = time.perf_counter()

    def on_epoch(accuracy: float) -> None:
        curve.append(accuracy)
        ends.append(time.perf_counter() - begin)

    test_score = train(on_epoch)
    return TimedTraining(
        curve=tuple(curve), epoch_ends=tuple(ends), seconds=time.perf_counter() - begin, test_score=test_score
    )


class TimeSlice:
    """The minutes that one command may run; None: as long as it takes. Begins when it is made."""

    def __init__(self, minutes: float | None) -> None:
        self._limit = None if minutes is None else 60.0 * minutes
        self._begin = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self._begin

    def has_room_for(self, seconds: float) -> bool:
        """Whether something that takes ``seconds`` would be done in time."""
        return self._limit is None or self.seconds + seconds <= self._limit


def conditions(device: torch.device) -> dict[str, Any]:
    """Versions, hardware, threads and commit."""
    versions = race.versions_of(VERSIONS)
    on_cuda = device.type == "cuda"
    gpu = torch.cuda.get_device_name(device) if on_cuda else None
    about = {"versions": versions, "gpu": gpu, "cuda": torch.version.cuda if on_cuda else None}
    return race.conditions() | about | {"threads": torch.get_num_threads()}


@cache  # what was loaded, whatever is edited meanwhile
def code_of_ours() -> str:
    """Changes when tuun_da's augmentation or training does."""
    folders = [race.ROOT / "tuun_da" / name for name in TIMED_FOLDERS]
    paths = sorted(path for folder in folders for path in folder.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]


def machine_of(conditions: dict[str, Any]) -> str:
    """The hardware in words, with torch's version."""
    if conditions["gpu"]:
        place = conditions["gpu"]
    else:
        place = f"{conditions['cpu']}, {conditions['threads']} of {conditions['cores']} cores"
    return f"{place}, torch {conditions['versions']['torch']}"


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Median, and smallest to largest, with so many significant digits."""
    if not values:
        return ""
    middle = rounded(median(values), digits)
    if len(values) == 1:
        return middle
    return f"{middle} ({rounded(min(values), digits)} to {rounded(max(values), digits)})"


def rounded(value: float, digits: int = 3) -> str:
    """With so many significant digits, of a large number all before the point."""
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text else text


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)

"""One run of a race: an optimizer against a problem, with a seed, and what it has found after n trials.

The initial settings and the noise of the i-th trial depend on the seed alone, so all optimizers share them. With
``concurrency`` k, k trials run at once; which of them finishes next is drawn, again from the seed.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rivals import Params, Rival, make_rival
from tuun_da.search.optimizer import Optimizer
from tuun_da.search.space import SearchSpace

Floats = NDArray[np.float64]

ROOT = Path(__file__).parents[1]
CHECKPOINTS = (10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 120, 150, 200, 250, 300)
INITIAL = 10
LAST = 10  # proposals, whose mean true value says what an optimizer has converged to
_INITIAL_STREAM, _NOISE_STREAM, _ORDER_STREAM = 77, 78, 79
ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT"), "1")
"""The environment of a worker; the last one is for SMAC's forest, which takes all cores otherwise."""
PACKAGES = ("numpy", "scipy", "torch", "scikit-learn", "optuna", "smac", "ConfigSpace", "scikit-optimize", "nni")


@dataclass(frozen=True)
class Problem:
    """What is searched. ``true_values`` maps settings to values, larger is better; ``key`` changes with the data."""

    name: str
    nni_space: Mapping[str, Any]
    true_values: Callable[[Sequence[Mapping[str, Any]]], Floats]
    noise: float
    key: str


@dataclass(frozen=True)
class Trials:
    """Finished trials in the order in which they finished; ``seconds`` (n,) of each suggestion, with learning.

    ``cpu_seconds`` (n,) are this process's computing time, which other work on the machine does not lengthen.
    """

    params: list[Params]
    values: list[float]
    seconds: list[float]
    cpu_seconds: list[float] = field(default_factory=list)


Recommender = Callable[[SearchSpace, Sequence[Mapping[str, Any]], Sequence[float]], int]


def initial_settings(space: SearchSpace, seed: int, n: int = INITIAL) -> list[Params]:
    """The same n draws from the prior for every optimizer."""
    return space.sample(n, _generator(seed, _INITIAL_STREAM))


class Clock:
    """Sums up the time inside its ``with`` blocks."""

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = 0.0

    def __enter__(self) -> None:
        self._begin = time.perf_counter(), _cpu_seconds()

    def __exit__(self, *error: object) -> None:
        self.seconds += time.perf_counter() - self._begin[0]
        self.cpu_seconds += _cpu_seconds() - self._begin[1]


def _cpu_seconds() -> float:
    """Of this process and of those that it has started and that have ended."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def play(
    rival: Rival, observe: Callable[[int, Params], float], trials: int, *, concurrency: int = 1, seed: int = 0
) -> Trials:
    """Let ``rival`` run ``trials`` trials; ``observe`` gives the value of a trial by its number and parameters."""
    order = _generator(seed, _ORDER_STREAM)
    running: list[tuple[int, Params, Clock]] = []
    done = Trials([], [], [])
    asked = 0
    while len(done.params) < trials:
        while len(running) < concurrency and asked < trials:
            clock = Clock()
            with clock:
                params = rival.ask()
            running.append((asked, params, clock))
            asked += 1
        number, params, clock = running.pop(int(order.integers(len(running))))
        value = observe(number, params)
        with clock:
            rival.tell(params, value)
        done.params.append(params)
        done.values.append(value)
        done.seconds.append(clock.seconds)
        done.cpu_seconds.append(clock.cpu_seconds)
    return done


def run(name: str, problem: Problem, seed: int, trials: int, concurrency: int = 1) -> Trials:
    """One run on a problem, with its noise."""
    noise = problem.noise * _generator(seed, _NOISE_STREAM).standard_normal(max(trials, 1000))
    rival = make_rival(name, problem.nni_space, seed, initial_settings(SearchSpace.from_nni(problem.nni_space), seed))

    def observe(number: int, params: Params) -> float:
        return float(problem.true_values([params])[0] + noise[number])

    return play(rival, observe, trials, concurrency=concurrency, seed=seed)


def recommender(options: Mapping[str, Any] | None = None) -> Recommender:
    """tuun_da's: the trial with the best posterior mean, of an Optimizer with ``options`` that has seen all of them."""

    def recommend(space: SearchSpace, params: Sequence[Mapping[str, Any]], values: Sequence[float]) -> int:
        optimizer = Optimizer(space, seed=0, **(options or {}))
        for entry, value in zip(params, values, strict=True):
            optimizer.add(entry, value)
        key = space.key(optimizer.recommend())
        return [space.key(entry) for entry in params].index(key)

    return recommend


def judge(problem: Problem, trials: Trials, recommend: Recommender) -> dict[str, Any]:
    """After each number of trials: true values of the luckiest, the recommended and the best, and of the last ten."""
    space = SearchSpace.from_nni(problem.nni_space)
    true = problem.true_values(trials.params)
    points = [n for n in CHECKPOINTS if n <= len(trials.params)]
    searched = trials.seconds[INITIAL:] or [0.0]
    return {
        "trials_at": points,
        "lucky": [float(true[int(np.argmax(trials.values[:n]))]) for n in points],
        "recommended": [float(true[recommend(space, trials.params[:n], trials.values[:n])]) for n in points],
        "best_true": [float(np.max(true[:n])) for n in points],
        "last_ten": [float(np.mean(true[max(0, n - LAST) : n])) for n in points],
        "seconds_per_suggestion": float(np.median(searched)),
        "mean_seconds_per_suggestion": float(np.mean(searched)),  # of some, one in 8 costs and the others are free
        "mean_cpu_seconds_per_suggestion": float(np.mean(trials.cpu_seconds[INITIAL:] or [0.0])),
        "seconds_of_last_suggestions": float(np.mean(searched[-LAST:])),
        "seconds_in_all": float(np.sum(trials.seconds)),
    }


@cache
def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those ``packages`` that are installed."""
    versions = {}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def conditions() -> dict[str, Any]:
    """Versions, hardware and commit, for every result."""
    versions = versions_of(PACKAGES)
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        cpu = models[0].partition(": ")[2] if models else cpu
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or None
    except OSError:  # there is no git
        commit = None
    return {
        "python": platform.python_version(),
        "versions": versions,
        "cpu": cpu,
        "cores": os.cpu_count(),
        "commit": commit,
    }


@cache
def code_of_ours() -> str:
    """Changes when tuun_da's search does."""
    text = b"".join(path.read_bytes() for path in sorted((ROOT / "tuun_da" / "search").glob("*.py")))
    return hashlib.sha256(text).hexdigest()[:12]


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """One write, so that shards may share the file; a line that a crash cut short is closed first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cut = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    with path.open("ab", buffering=0) as file:
        file.write((b"\n" if cut else b"") + json.dumps(record).encode() + b"\n")
        os.fsync(file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All whole records."""
    records = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:  # cut short by a crash
            continue
    return records


def _generator(seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream,)))

"""Images augmented in a second: ours against the libraries, all with the same distribution of operations, in one run.

    python -m benchmarks.augment_throughput [--device cuda] [--sizes 32] [--batches 128] [--report]

Works: 64 random policies of the 16 published types, AutoAugment for CIFAR-10, TrivialAugment (wide). For each work,
size and batch, all contestants (augment_rivals.py) take turns, so that what else the machine does falls on all of them.
A repeat is one turn of each: the policies are dealt out over the repeats, 8 to each of 8, the same to all contestants.
The other works are one distribution, which each turn meets twice. A meeting lasts about 0.05 s: whoever is slow gets
fewer of the batch's images if it takes one after the other, and whoever is fast is called again. Transforms of whole
batches always get whole batches. The CPU has one thread, whatever runs on it, so the CPU seconds of the process are
what a clock would show on a machine with nothing else to do: both are kept. On CUDA it is the clock, between two waits.

Each result is a line of JSON. A work, size and batch that is there for the code as it is, from one run, is skipped
without ``--redo``.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch._inductor.config
from torch import Tensor

from benchmarks import race
from benchmarks.augment_limits import copy_bandwidth, synchronize, training_steps
from benchmarks.augment_report import write_report
from benchmarks.augment_rivals import (
    CONTESTANTS,
    OURS,
    OURS_ON_CUDA,
    PACKAGES,
    Contestant,
    make_contestant,
    missing_packages,
)
from benchmarks.augment_works import WORKS, make_images, make_works

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "augment_throughput.jsonl"
MEETING_SECONDS = 0.05
MEETINGS = 2  # of a turn with a work of one distribution
LEAST_IMAGES, MOST_CALLS = 8, 50
COMPILED_POLICIES = {"cpu": 1, "cuda": 2}  # of the random ones: to compile a policy's graphs takes up to a minute
COMPILED_ON_CPU = (32, 128, "policies")  # the one size, batch and work without --contestants
COMPILED_CALLS = 30  # until every form of a graph has been compiled: a batch's sub-policy, if the host knows it
VERSIONS = (
    *("torch", "torchvision", "kornia", "albumentations"),
    *("opencv-python-headless", "opencv-python", "pillow", "numpy"),
)


@dataclass(frozen=True)
class Cell:
    """What one run measures with all contestants."""

    device: str
    size: int
    batch: int
    work: str


@dataclass(frozen=True)
class Settings:
    """What must be the same for a result to be taken for this one."""

    policies: int
    repeats: int
    images: str


class Player:
    """A contestant in a cell: one transform for each distribution, and its images, ready."""

    def __init__(self, name: str, cell: Cell, settings: Settings, images: Tensor) -> None:
        self.name, self.compiled = name, name.endswith("_compiled")
        works = make_works(cell.work, settings.policies)
        works = works[: COMPILED_POLICIES[cell.device]] if self.compiled else works
        device = torch.device(cell.device)
        made = [make_contestant(name, work, device, side=cell.size, seed=work.number) for work in works]
        self.contestants: list[Contestant] = [contestant for contestant in made if contestant is not None]
        self.images_per_call = len(images)
        self.calls = 1
        self.first_seconds = 0.0
        if not self.contestants:  # it has no form for this work
            return
        self.device, self.one_by_one = self.contestants[0].device, self.contestants[0].one_by_one
        native = self.contestants[0].prepare(images)
        self._native = [*native, *native] if self.one_by_one else native
        self._batch, self._next = len(images), 0

    def warm_up(self) -> None:
        """Run every transform, and find out how many images and calls fit in one meeting."""
        begin = time.perf_counter()
        for contestant in self.contestants:
            few = self._native if self.device.type == "cuda" or self.compiled else self._native[:LEAST_IMAGES]
            for _ in range(COMPILED_CALLS if self.compiled else 1):
                contestant.apply(self._native[:LEAST_IMAGES] if self.one_by_one else few)
        synchronize(self.device)
        self.first_seconds = time.perf_counter() - begin
        if self.one_by_one:
            self.images_per_call = min(LEAST_IMAGES, self._batch)
        sample = self.contestants[: 4 if self.one_by_one else 1]
        seconds = sum(self._timed(contestant).seconds for contestant in sample) / len(sample)
        if self.one_by_one:
            wanted = round(self.images_per_call * MEETING_SECONDS / seconds)
            seconds /= self.images_per_call
            self.images_per_call = min(max(wanted, LEAST_IMAGES), self._batch)
            seconds *= self.images_per_call
        self.calls = min(max(round(MEETING_SECONDS / seconds), 1), MOST_CALLS)

    def turn(self, repeat: int, repeats: int) -> Iterator[tuple[int, float, float]]:
        """The number of each distribution met, its seconds and its CPU seconds an image."""
        for number in self._met(repeat, repeats):
            clock = self._timed(self.contestants[number])
            images = self.images_per_call * self.calls
            yield number, clock.seconds / images, clock.cpu_seconds / images

    def _met(self, repeat: int, repeats: int) -> Sequence[int]:
        count = len(self.contestants)
        if count == 1:
            return [0] * MEETINGS
        if self.compiled or count < repeats:
            return range(count)
        return range(repeat, count, repeats)

    def _timed(self, contestant: Contestant) -> race.Clock:
        """One meeting."""
        batches = [self._window() for _ in range(self.calls)]
        clock = race.Clock()
        synchronize(self.device)
        with clock:
            for images in batches:
                contestant.apply(images)
            synchronize(self.device)
        return clock

    def _window(self) -> Any:
        """The images of the next call, of a list those after the last ones."""
        if not self.one_by_one:
            return self._native
        start = self._next
        self._next = (start + self.images_per_call) % self._batch
        return self._native[start : start + self.images_per_call]


def measure(cell: Cell, names: Sequence[str], settings: Settings, images: Tensor) -> list[dict[str, Any]]:
    """A record for each contestant that has a form for the work; with ``error`` where it cannot run."""
    records: dict[str, dict[str, Any]] = {}
    players = []
    for name in names:
        try:
            if missing_packages(name):
                raise RuntimeError(f"{', '.join(missing_packages(name))} not installed")
            player = Player(name, cell, settings, images)
            if player.contestants:
                player.warm_up()
                players.append(player)
        except Exception as error:  # of any library; the others go on
            records[name] = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
            print(f"  {name}: {records[name]['error']}", flush=True)
    measured: dict[str, list[list[float]]] = {player.name: [] for player in players}
    for repeat in range(settings.repeats):
        order = players[repeat % len(players) :] + players[: repeat % len(players)] if players else []
        for player in order:
            measured[player.name] += [[repeat, *figures] for figures in player.turn(repeat, settings.repeats)]
    for player in players:
        records[player.name] = {
            "measured": measured[player.name],  # repeat, number of the distribution, seconds and CPU seconds an image
            "runs_on": player.device.type,
            "images_per_call": player.images_per_call,
            "calls": player.calls,
        }
        if player.compiled:
            records[player.name] |= {
                "compile_seconds": player.first_seconds / len(player.contestants),
                "compiled_policies": len(player.contestants),
            }
    if any(player.compiled for player in players):
        torch._dynamo.reset()
    return [{"contestant": name, **records[name]} for name in names if name in records]


def is_done(cell: Cell, names: Sequence[str], settings: Settings, records: Sequence[dict[str, Any]]) -> bool:
    """Whether one run has results of all ``names`` for this cell, with the code as it is."""
    wanted = {**asdict(cell), "settings": asdict(settings), "code": code_of_ours()}
    runs: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        if all(record.get(key) == value for key, value in wanted.items()):
            runs.setdefault(record["run"], []).append(record)
    return any(len(run) == run[0]["of"] and set(run[0]["tried"]).issuperset(names) for run in runs.values())


@cache  # what was loaded, whatever is edited meanwhile
def code_of_ours() -> str:
    """Changes when tuun_da's augmentation does."""
    text = b"".join(path.read_bytes() for path in sorted((race.ROOT / "tuun_da" / "augment").glob("*.py")))
    return hashlib.sha256(text).hexdigest()[:12]


def conditions(device: torch.device) -> dict[str, Any]:
    """Versions and hardware."""
    versions = race.versions_of(VERSIONS)
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return race.conditions() | {"versions": versions, "gpu": gpu, "threads": torch.get_num_threads()}


def measure_limits(
    device: torch.device, batches: Sequence[int], images: Path | None, compiled: bool
) -> Iterator[dict[str, Any]]:
    """The copy bandwidth; on CUDA also training steps at 32x32, without augmentation and with ours."""
    yield {"limit": "bandwidth", "bytes_per_second": copy_bandwidth(device)}
    if device.type != "cuda":
        return
    work = make_works("policies", 1)[0]
    for batch in batches:
        pixels = make_images(batch, 32, images).to(device)
        transforms: dict[str, Any] = {"none": None}
        for name in OURS_ON_CUDA:
            if compiled or not name.endswith("_compiled"):
                contestant = make_contestant(name, work, device, side=32)
                assert contestant is not None  # ours has both forms of a policy
                transforms[name] = contestant.apply
                for _ in range(COMPILED_CALLS):
                    contestant.apply(pixels)
        yield {"limit": "training_step", "batch": batch, "seconds": training_steps(device, pixels, transforms)}
        torch._dynamo.reset()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--sizes", nargs="+", type=int, default=[32, 96, 224])
    parser.add_argument("--batches", nargs="+", type=int, default=[128, 512])
    parser.add_argument("--works", nargs="+", default=list(WORKS), choices=WORKS)
    without_it = "without it all, but ours compiled on the CPU only for random policies at 32x32, batch of 128"
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, help=without_it)
    parser.add_argument("--policies", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--images", type=Path, help="a folder of PNG or JPEG; without it, synthetic ones")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--redo", action="store_true")
    parser.add_argument("--report", action="store_true", help="only write the tables and plots of what is there")
    options = parser.parse_args()
    if options.report:
        print(write_report(race.read_lines(options.results), options.results))
        return
    torch.set_num_threads(1)
    # every policy has graphs of its own, for the same code
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = 10_000
    torch._inductor.config.force_disable_caches = True  # or the second run would say that compiling takes no time
    device = torch.device(options.device)
    source = "synthetic" if options.images is None else f"folder {options.images.name}"
    settings = Settings(policies=options.policies, repeats=options.repeats, images=source)
    run = f"{time.time_ns():x}"

    def store(record: dict[str, Any]) -> None:
        about = {"run": run, "device": options.device, "code": code_of_ours(), "load": os.getloadavg()[0]}
        race.append_line(options.results, about | {"conditions": conditions(device)} | record)

    limits_are_measured = False
    for size, batch, work in itertools.product(options.sizes, options.batches, options.works):
        cell = Cell(options.device, size, batch, work)
        names = options.contestants or default_contestants(cell)
        if not options.redo and is_done(cell, names, settings, race.read_lines(options.results)):
            continue
        if not limits_are_measured:
            compiled = any(name.endswith("_compiled") for name in names)
            for record in measure_limits(device, options.batches, options.images, compiled):
                store(record)
            limits_are_measured = True
        begin = time.perf_counter()
        print(cell, flush=True)
        found = measure(cell, names, settings, make_images(batch, size, options.images))
        about = {**asdict(cell), "settings": asdict(settings), "tried": list(names), "of": len(found)}
        for record in found:
            store(about | record)
        print(f"  {time.perf_counter() - begin:.0f} s", flush=True)
    write_report(race.read_lines(options.results), options.results)


def default_contestants(cell: Cell) -> list[str]:
    """All that can run there; on the CPU ours compiled only once, since that takes minutes and makes them slower."""
    if cell.device == "cuda":
        return list(CONTESTANTS)
    compiled = (cell.size, cell.batch, cell.work) == COMPILED_ON_CPU
    return [name for name in OURS if compiled or not name.endswith("_compiled")] + list(PACKAGES)


if __name__ == "__main__":
    main()

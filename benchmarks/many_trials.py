"""Seconds of a DeepAugment trial: one after the other, several side by side as one batched model, several processes.

    python -m benchmarks.many_trials [--device cuda] [--data digits synthetic cifar10] [--data-dir DIR] [--report]

A trial is 120 epochs of child_cnn on 2,000 images of 32x32 pixels, batch 64, each epoch validated on 1,000 images, with
a random policy of search_spaces/deepaugment.json. ``synthetic`` images are noise, for the time of a step does not
depend on what is in them; ``cifar10`` are those in DIR/train/CLASS; the digits are 8x8, 719 to train on and 180 to
validate. ``--epochs`` shortens a trial: a record has the seconds as measured, for that many epochs, and apart from them
what 120 would take in proportion.

The ways to run trials are ``train``, one after the other, and ``train_side_by_side`` with p trainings, in each
formulation of stacked_networks.py, on CUDA with a CUDA graph (and with ``--without-graph`` also without).
``--processes`` of them do so at once. A repeat is one run of p trials in each process, timed from when all are ready
(images loaded, kernels warm) until the last is done; the recording of the graph counts. Seconds are those of the clock;
the report has CPU seconds for one process on the CPU, which other work on the machine does not lengthen. Each process
has one thread. FLOPs are counted for one training step (torch.utils.flop_counter), 2 a multiply-add, without validation
and augmentation; utilisation is their rate over that of square matrix products, measured on the same device (bfloat16
on CUDA, float32 on the CPU).

Each combination is a line of JSON in results/many_trials_DEVICE.jsonl. One that is there, without an error, is skipped.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.race import append_line, conditions, initial_settings, read_lines, versions_of
from tuun_da.augment.policy import Policy
from tuun_da.errors import TrainingError
from tuun_da.search.space import SearchSpace
from tuun_da.training.datasets import load_splits
from tuun_da.training.loop import train
from tuun_da.training.models import build_model
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig
from tuun_da.training.side_by_side import train_side_by_side
from tuun_da.training.splits import Splits
from tuun_da.training.stacked_networks import FORMULATIONS

HERE = Path(__file__).parent
SPACE = HERE.parent / "search_spaces" / "deepaugment.json"
DATA = ("digits", "synthetic", "cifar10")
TRAIN_IMAGES, VALIDATION_IMAGES = 2000, 1000
EPOCHS = 120
BATCH = 64
MATRIX_SIDE = {"cpu": 1024, "cuda": 8192}
VERSIONS = ("torch", "torchvision", "numpy", "scipy", "scikit-learn")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One way to run trials: ``together`` at once in each of ``processes``; ``way`` is train or a formulation."""

    device: str
    data: str
    way: str
    graph: bool
    together: int
    processes: int
    epochs: int


@dataclass(frozen=True)
class Timing:
    """One repeat in one process: begin and end by the system's monotonic clock, CPU seconds, and the trials' scores."""

    begin: float
    end: float
    cpu_seconds: float
    scores: tuple[float | None, ...]


@cache
def images_of(data: str, data_dir: str) -> Splits:
    """The splits of ``data``, loaded once in a process."""
    if data == "digits":
        return load_splits(DataConfig(data="digits"))
    if data == "synthetic":
        return synthetic_splits()
    folder = DataConfig(
        data=f"folder:{Path(data_dir) / 'train'}",
        train_size=TRAIN_IMAGES,
        validation_size=VALIDATION_IMAGES,
        test_size=1000,  # never looked at
    )
    return replace(load_splits(folder), name="cifar10")


def synthetic_splits() -> Splits:
    """Noise in ten classes, as many images as the trial has; the test split has the validation's images."""
    generator = torch.Generator().manual_seed(0)

    def part(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=generator)
        return pixels, torch.arange(n) % 10

    validation = part(VALIDATION_IMAGES)
    names = tuple(map(str, range(10)))
    return Splits(*part(TRAIN_IMAGES), *validation, *validation, names, "synthetic", (0.5,) * 3, (0.29,) * 3)


def policies(count: int, seed: int) -> list[Policy]:
    """``count`` random policies, the same for every way of running them."""
    space = SearchSpace.from_nni(json.loads(SPACE.read_text()))
    return [Policy(params) for params in initial_settings(space, seed, count)]


def run_trials(cell: Cell, splits: Splits, repeat: int, number: int) -> Timing:
    """Run the ``together`` trials of process ``number``; every repeat and process has other policies and seeds."""
    seed = 1000 * repeat + number
    transforms = policies(cell.together, seed)
    configs = [config_of(cell.epochs, seed=1_000_000 + 1000 * seed + k) for k in range(cell.together)]
    device = torch.device(cell.device)
    synchronize(device)
    begin, cpu_begin = time.monotonic(), time.process_time()
    scores: list[float | None] = []
    if cell.way == "train":
        for config, transform in zip(configs, transforms, strict=True):
            try:
                scores.append(train(config, splits, transform, device).score)
            except TrainingError:
                scores.append(None)
    else:
        results = train_side_by_side(
            configs, splits, transforms, device, formulation=cell.way, use_cuda_graph=cell.graph
        )
        scores = [None if isinstance(result, TrainingError) else result.score for result in results]
    synchronize(device)
    return Timing(begin, time.monotonic(), time.process_time() - cpu_begin, tuple(scores))


def config_of(epochs: int, *, seed: int) -> TrainConfig:
    """The settings of a trial."""
    return TrainConfig(model="child_cnn", epochs=epochs, batch_size=BATCH, learning_rate=0.02, seed=seed)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(cell: Cell, data_dir: str, repeats: int) -> list[list[Timing]]:
    """For each repeat the timing of each process."""
    if cell.processes == 1:
        splits = images_of(cell.data, data_dir)
        run_trials(replace(cell, epochs=1), splits, repeats, 0)  # loads kernels, finds its algorithms
        return [[run_trials(cell, splits, repeat, 0)] for repeat in range(repeats)]
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    barrier = context.Barrier(cell.processes)
    started = []
    for number in range(cell.processes):
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(cell, data_dir, repeats, number, barrier, there), daemon=True)
        process.start()
        there.close()  # so that the death of the process ends recv
        started.append((process, here))
    try:
        timings = [here.recv() for _, here in started]
    except EOFError:
        raise RuntimeError(f"a process of {cell} died") from None
    finally:
        for process, _ in started:
            process.join(timeout=30)
            process.terminate()
    return [list(repeat) for repeat in zip(*timings, strict=True)]


def _work(cell: Cell, data_dir: str, repeats: int, number: int, barrier: Barrier, answer: Connection) -> None:
    torch.set_num_threads(1)
    try:
        splits = images_of(cell.data, data_dir)
        run_trials(replace(cell, epochs=1), splits, repeats, number)
        timings = []
        for repeat in range(repeats):
            barrier.wait(timeout=600)
            timings.append(run_trials(cell, splits, repeat, number))
    except BaseException:
        barrier.abort()  # or the others would wait
        raise
    answer.send(timings)


def record_of(cell: Cell, splits: Splits, repeats: Sequence[Sequence[Timing]]) -> dict[str, Any]:
    """What a result says, without its conditions."""
    trials = cell.together * cell.processes
    clock = [(max(one.end for one in all_) - min(one.begin for one in all_)) / trials for all_ in repeats]
    cpu = [sum(one.cpu_seconds for one in all_) / trials for all_ in repeats]
    scores = [score for all_ in repeats for one in all_ for score in one.scores]
    return {
        **asdict(cell),
        "train_images": len(splits.train_labels),
        "validation_images": len(splits.validation_labels),
        "image_shape": list(splits.train_images.shape[1:]),
        "epochs_run": cell.epochs,
        "seconds_a_trial_as_run": clock,
        "cpu_seconds_a_trial_as_run": cpu,
        "extrapolated_seconds_a_trial_of_120_epochs": [value * EPOCHS / cell.epochs for value in clock],
        "extrapolated_cpu_seconds_a_trial_of_120_epochs": [value * EPOCHS / cell.epochs for value in cpu],
        "flops_an_epoch": flops_an_epoch(splits),
        "scores": scores,
    }


def flops_an_epoch(splits: Splits) -> int:
    """Floating-point operations of the forward and backward passes of one trial's epoch, validation not counted."""
    model = build_model(
        "child_cnn", num_classes=splits.num_classes, channels=splits.channels, image_size=splits.image_size
    )
    images = torch.zeros(BATCH, splits.channels, splits.image_size, splits.image_size)
    with FlopCounterMode(display=False) as counter:
        functional.cross_entropy(model(images), torch.zeros(BATCH, dtype=torch.int64)).backward()
    return int(counter.get_total_flops()) * (len(splits.train_labels) // BATCH)


def matrix_rate(device: torch.device) -> float:
    """Floating-point operations a second of a product of square matrices: the median of 20.

    On the CPU by CPU seconds, as the trials.
    """
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    side = MATRIX_SIDE[device.type]
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    a @ b
    seconds = []
    for _ in range(20):
        synchronize(device)
        begin = clock()
        a @ b
        synchronize(device)
        seconds.append(clock() - begin)
    return 2 * side**3 / median(seconds)


def hardware(device: torch.device) -> str:
    """The name of the GPU, or of the CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(conditions()["cpu"])


def conditions_of(device: torch.device) -> dict[str, Any]:
    """Versions and hardware."""
    versions = versions_of(VERSIONS)
    return conditions() | {"versions": versions, "cuda": torch.version.cuda, "threads": torch.get_num_threads()}


def cells_of(options: argparse.Namespace) -> list[Cell]:
    """What is to be measured: ``train`` alone, then every formulation with more and more trials."""
    cells = []
    for data in options.data:
        common = {"device": options.device, "data": data, "epochs": options.epochs}
        for processes in options.processes:
            cells.append(Cell(way="train", graph=False, together=1, processes=processes, **common))
            for together in options.together:
                for way in options.formulations:
                    for graph in (True, False) if options.device == "cuda" else (False,):
                        if graph or options.device == "cpu" or options.without_graph:
                            cells.append(Cell(way=way, graph=graph, together=together, processes=processes, **common))
    return cells


def is_done(cell: Cell, repeats: int, where: str, records: Sequence[dict[str, Any]]) -> bool:
    """Whether ``records`` have this cell, on this hardware, with as many repeats."""
    wanted = {**asdict(cell), "hardware": where}
    return any(
        all(record.get(key) == value for key, value in wanted.items())
        and len(record.get("seconds_a_trial_as_run", ())) >= repeats
        for record in records
    )


def report(records: Sequence[dict[str, Any]]) -> str:
    """A Markdown table for each hardware and data set: medians, and the least and the largest of the repeats."""
    lines = ["# Seconds of a DeepAugment trial (120 epochs)"]
    names = ["hardware", *(field.name for field in fields(Cell))]
    records = list({tuple(record[name] for name in names): record for record in records}.values())  # the last of each
    for where, data in dict.fromkeys((record["hardware"], record["data"]) for record in records):
        chosen = [record for record in records if (record["hardware"], record["data"]) == (where, data)]
        first = next((record for record in chosen if "error" not in record), None)
        if first is not None:
            side = "x".join(map(str, reversed(first["image_shape"])))
            lines += ["", f"## {data} on {where}", ""]
            lines.append(
                f"{first['train_images']} training and {first['validation_images']} validation images of {side}; "
                f"{first['flops_an_epoch'] * EPOCHS / 1e12:.2f} TFLOP a trial; matrix products at "
                f"{first['matrix_flops_a_second'] / 1e12:.3g} TFLOP/s. Seconds are "
                f"{'CPU seconds on one thread, of several processes those' if first['device'] == 'cpu' else 'those'} "
                "of the clock."
            )
        lines += [
            "",
            "| way | at once | processes | epochs run | seconds a trial | utilisation |",
            "|---|---|---|---|---|---|",
        ]
        for record in chosen:
            way = record["way"] + (", CUDA graph" if record["graph"] else "")
            row = f"| {way} | {record['together']} | {record['processes']} | {record['epochs']} |"
            if "error" in record:
                lines.append(f"{row} {record['error']} | |")
                continue
            key = "cpu_seconds" if (record["device"], record["processes"]) == ("cpu", 1) else "seconds"
            values = record[f"extrapolated_{key}_a_trial_of_120_epochs"]
            share = record["flops_an_epoch"] * EPOCHS / median(values) / record["matrix_flops_a_second"]
            note = "" if record["epochs_run"] == EPOCHS else " (extrapolated)"
            spread = f"{_digits(min(values))} to {_digits(max(values))}, n = {len(values)}"
            lines.append(f"{row} {_digits(median(values))}{note}; {spread} | {100 * share:.0f} % |")
    return "\n".join(lines)


def _digits(seconds: float) -> str:
    return f"{seconds:.3g}" if seconds < 100 else f"{seconds:.0f}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--data", nargs="+", default=["digits"], choices=DATA)
    parser.add_argument("--data-dir", default="data", help="cifar10: a folder with train/CLASS")
    parser.add_argument("--together", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32], help="trials side by side")
    parser.add_argument("--processes", nargs="+", type=int, default=[1], help="processes at once")
    parser.add_argument("--formulations", nargs="+", default=list(FORMULATIONS), choices=FORMULATIONS)
    parser.add_argument("--without-graph", action="store_true", help="on CUDA without a graph, too")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="fewer than 120 are extrapolated")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--report", action="store_true", help="only print the table of what is there")
    options = parser.parse_args(arguments)
    results = options.results or HERE / "results" / f"many_trials_{options.device}.jsonl"
    if options.report:
        print(report(read_lines(results)))
        return
    torch.set_num_threads(1)
    device = torch.device(options.device)
    where = hardware(device)
    cells = [cell for cell in cells_of(options) if not is_done(cell, options.repeats, where, read_lines(results))]
    rate = matrix_rate(device) if cells else 0.0
    for cell in cells:
        about: dict[str, Any] = {"hardware": where, "matrix_flops_a_second": rate, "repeats": options.repeats}
        begin = time.monotonic()
        try:
            splits = images_of(cell.data, options.data_dir)
            found = record_of(cell, splits, measure(cell, options.data_dir, options.repeats))
        except (TrainingError, RuntimeError) as error:  # no memory, or no kernel: the others go on
            found = {**asdict(cell), "error": f"{type(error).__name__}: {error}".splitlines()[0]}
        append_line(results, about | found | {"load": os.getloadavg()[0], "conditions": conditions_of(device)})
        shown = found.get("error") or f"{median(found['seconds_a_trial_as_run']):.3f} s a trial"
        print(f"{cell}: {shown} ({time.monotonic() - begin:.0f} s)", flush=True)
    print(report(read_lines(results)))


if __name__ == "__main__":
    main()

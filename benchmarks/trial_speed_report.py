"""The tables of the benchmark of trials: seconds of an epoch, start-up, and how near both are to the floor."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from statistics import mean, median, stdev
from typing import Any

from benchmarks.timed_training import TimedTraining, machine_of, spread, table

Record = Mapping[str, Any]


def report(records: Sequence[Record], target: float | None = None) -> str:
    """Markdown: a table for each cell of contestants, and one for each setting of the published trial.

    ``target`` is a validation accuracy: with it, the time until it was reached. Of several states of the code, only the
    one that was measured last is shown, for each cell.
    """
    parts = []
    for of_cell in grouped(records, "turn", lambda record: [record["cell"], machine_of(record["conditions"])]):
        parts.append(turns_table(of_cell, target))
    for of_setting in grouped(records, "paper", paper_setting):
        parts.append(paper_table(of_setting))
    return "\n\n".join(parts) or "nothing measured yet"


def grouped(records: Sequence[Record], kind: str, key: Callable[[Record], Any]) -> list[list[Record]]:
    """The records of a kind with the same key, of each those of the code that was measured last."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record["kind"] == kind:
            groups.setdefault(json.dumps(key(record), sort_keys=True), []).append(record)
    return [[record for record in group if record["code"] == group[-1]["code"]] for group in groups.values()]


def turns_table(records: Sequence[Record], target: float | None) -> str:
    """One line for each contestant. A round is the newest run that has it with the most contestants."""
    cell, about = records[0]["cell"], records[0]["conditions"]
    by_round = rounds(records)
    names = sorted({name for found in by_round.values() for name in found}, key=lambda name: (name[:4] != "ours", name))
    reference = names[0]
    head = ["", "images/s", "epochs/s", "s an epoch", f"times {reference}", "floor, s", "utilisation"]
    head += ["start-up, s: first", "later", "last accuracy"]
    head += [] if target is None else [f"s to {target:g}"]
    rows, errors = [], []
    for name in names:
        found = {number: of[name] for number, of in by_round.items() if "training" in of.get(name, {})}
        failed = [of[name]["error"] for of in by_round.values() if "error" in of.get(name, {})]
        if failed:
            errors.append(f"{name}: {failed[-1]}")
        if not found:
            continue
        trainings = {number: training_of(record) for number, record in found.items()}
        epoch = {number: median(training.epoch_seconds) for number, training in trainings.items()}
        ratios = [
            seconds / median(training_of(by_round[number][reference]).epoch_seconds)
            for number, seconds in epoch.items()
            if "training" in by_round[number].get(reference, {})
        ]
        starts = [training.startup_seconds for _, training in sorted(trainings.items())]
        floors = {number: floor_of_epoch(record) for number, record in found.items()}
        some = next(iter(found.values()))
        row = [
            name,
            spread([some["images_of_an_epoch"] / seconds for seconds in epoch.values()]),
            spread([1 / seconds for seconds in epoch.values()]),
            spread(list(epoch.values())),
            "" if name == reference else spread(ratios),
            spread(list(floors.values())),
            percent([floors[number] / epoch[number] for number in epoch]),
            f"{starts[0]:.3g}",
            spread(starts[1:]),
            spread([training.curve[-1] for training in trainings.values()]),
        ]
        if target is not None:
            reached = [training.seconds_to(target) for training in trainings.values()]
            seconds = [value for value in reached if value is not None]
            row.append(f"{spread(seconds) or 'never'} ({len(seconds)} of {len(reached)} rounds)")
        rows.append(row)
    config = cell["config"]
    lines = [
        f"**{cell['data']}, {cell['train_images']} + {cell['validation_images']} images of {cell['image_size']} "
        f"pixels, {config['model']}, {config['epochs']} epochs, policy {cell['policy']}** ({machine_of(about)}; "
        f"{len(by_round)} rounds: median, smallest to largest; commit {about['commit']})",
        "",
        table(head, rows),
    ]
    if errors:
        lines += ["", *(f"Not measured: {error}" for error in errors)]
    return "\n".join(lines)


def rounds(records: Sequence[Record]) -> dict[int, dict[str, Record]]:
    """By round the records by contestant, of that run which has the most, and of several the newest."""
    runs: dict[int, dict[str, dict[str, Record]]] = {}
    for record in records:
        runs.setdefault(record["round"], {}).setdefault(record["run"], {})[record["contestant"]] = record
    return {
        number: max(of_round.values(), key=lambda run: (len(run), max(record["run"] for record in run.values())))
        for number, of_round in sorted(runs.items())
    }


def paper_setting(record: Record) -> list[Any]:
    """What the published trials of one table have in common."""
    varied = ("seed", "batch_size", "learning_rate", "compile")
    config = {name: value for name, value in record["config"].items() if name not in varied}
    sizes = [record[name] for name in ("data", "train_images", "validation_images", "test_images")]
    return [config, sizes, machine_of(record["conditions"])]


def paper_table(records: Sequence[Record]) -> str:
    """One line for each mini-batch, compiled or not; over the seeds."""
    lines: dict[tuple[int, float, bool], list[Record]] = {}
    for record in records:
        config = record["config"]
        lines.setdefault((config["batch_size"], config["learning_rate"], config["compile"]), []).append(record)
    head = [
        "mini-batch",
        "learning rate",
        "compiled",
        "seeds",
        "s a training, start-up included",
        "s an epoch",
        "start-up, s: first of a process",
    ]
    head += ["later in it", "floor, s", "utilisation", "of the epochs alone", "test accuracy, %", "validation, %"]
    rows = []
    for (size, learning_rate, compiled), found in sorted(lines.items()):
        trainings = [training_of(record) for record in found]
        epochs = found[0]["config"]["epochs"]
        floors = [floor_of_epoch(record) for record in found]
        starts = {
            first: [
                training.startup_seconds
                for training, record in zip(trainings, found, strict=True)
                if record["first_of_process"] == first
            ]
            for first in (True, False)
        }
        pairs = list(zip(floors, trainings, strict=True))
        rows.append(
            [
                str(size),
                f"{learning_rate:g}",
                "yes" if compiled else "no",
                str(len(found)),
                spread([training.epoch_ends[-1] for training in trainings]),
                spread([median(training.epoch_seconds) for training in trainings]),
                spread(starts[True]),
                spread(starts[False]),
                spread([epochs * floor for floor in floors]),
                percent([epochs * floor / training.epoch_ends[-1] for floor, training in pairs]),
                percent([floor / median(training.epoch_seconds) for floor, training in pairs]),
                with_deviation([training.test_score for training in trainings if training.test_score is not None]),
                with_deviation([training.curve[-1] for training in trainings]),
            ]
        )
    some, about = records[0], records[0]["conditions"]
    title = (
        f"**The published trial: {some['data']}, {some['train_images']} + {some['validation_images']} images, "
        f"{some['config']['model']}, {some['config']['epochs']} epochs, {some['policy']}** ({machine_of(about)}; "
        f"times: median, smallest to largest; accuracies: mean and deviation over the seeds; commit {about['commit']})"
    )
    return f"{title}\n\n{table(head, rows)}"


def training_of(record: Record) -> TimedTraining:
    """Back from JSON."""
    kept = record["training"]
    return TimedTraining(
        curve=tuple(kept["curve"]),
        epoch_ends=tuple(kept["epoch_ends"]),
        seconds=kept["seconds"],
        test_score=kept["test_score"],
    )


def floor_of_epoch(record: Record) -> float:
    """Seconds of an epoch, validation included, if there were nothing but matrix products at their best rate."""
    return float(record["flops_of_an_epoch"] / record["matrix_rate"]["flops_per_second"])


def percent(shares: Sequence[float]) -> str:
    return f"{spread([100 * share for share in shares], 2)} %" if shares else ""


def with_deviation(scores: Sequence[float]) -> str:
    """Of shares, in percent."""
    if not scores:
        return ""
    return f"{100 * mean(scores):.2f}" + (f" ± {100 * stdev(scores):.2f}" if len(scores) > 1 else "")

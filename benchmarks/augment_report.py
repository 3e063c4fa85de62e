"""Tables and bars of the augmentation benchmark, from its JSON lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.augment_limits import one_pass_limit
from benchmarks.augment_rivals import CONTESTANTS, ON_CPU_ONLY
from benchmarks.augment_works import WORKS

Record = Mapping[str, Any]
Records = dict[str, Record]  # by contestant, of one run
CellKey = tuple[str, int, int, str]  # device, size, batch, work

REFERENCES = ("ours_image", "ours_batch")
TARGETS = (  # device, size, ours, rivals (or images a second), wanted
    ("cpu", 32, "ours_image", ("pillow",), 6.0),
    ("cpu", 32, "ours_image", ("torchvision_pil", "torchvision_tensor"), 4.0),
    ("cpu", 32, "ours_image", ("kornia", "kornia_grouped"), 2.0),
    ("cpu", 224, "ours_image", ("pillow", "torchvision_pil", "torchvision_tensor", "kornia", "kornia_grouped"), 1.0),
    ("cuda", 32, "ours_image", (), 3e6),
    ("cuda", 32, "ours_batch", (), 10e6),
)
STEP_TARGET = 0.03  # of a training step
PANEL = (4.6, 2.9)  # inches
COLOURS = {"ours": "#c1432e", "other": "#7d8590"}


def write_report(records: Sequence[Record], results: Path) -> str:
    """The tables, written beside ``results`` as Markdown, with a picture for each device and batch if there is
    matplotlib."""
    cells = newest_cells(records)
    parts = ["# Images augmented in a second\n", preface(cells), targets(cells, records)]
    for device in sorted({key[0] for key in cells}):
        parts.append(f"## {device.upper()}\n")
        parts.append(conditions_line([run for key, run in cells.items() if key[0] == device]))
        for batch in sorted({key[2] for key in cells if key[0] == device}):
            plot = results.with_name(f"{results.stem}_{device}_{batch}.png")
            if draw(cells, device, batch, plot):
                parts.append(f"![{device}, batch {batch}]({plot.name})\n")
        for size, batch in sorted({key[1:3] for key in cells if key[0] == device}):
            parts.append(f"### {size}x{size}, batch of {batch}\n")
            parts.append(table(cells, device, size, batch))
        parts.append(limits(cells, records, device))
    text = "\n".join(part for part in parts if part)
    results.with_suffix(".md").write_text(text)
    return text


def newest_cells(records: Iterable[Record]) -> dict[CellKey, Records]:
    """For each device, size, batch and work the newest run that tried the most contestants."""
    runs: dict[CellKey, dict[str, Records]] = defaultdict(lambda: defaultdict(dict))
    for record in records:
        if "contestant" in record:
            key = (str(record["device"]), int(record["size"]), int(record["batch"]), str(record["work"]))
            runs[key][str(record["run"])][str(record["contestant"])] = record
    found = {}
    for key, by_run in runs.items():
        newest_last = list(by_run.values())
        most = max(len(run) for run in newest_last)
        found[key] = [run for run in newest_last if len(run) == most][-1]
    return found


def rates(record: Record, numbers: frozenset[int] | None = None) -> dict[int, float]:
    """Images a second by repeat, over the distributions met in it; with ``numbers``, over those of them.

    Of what ran on the CPU beside nothing else, by CPU seconds.
    """
    by_repeat: dict[int, list[float]] = defaultdict(list)
    for repeat, number, seconds, cpu_seconds in record.get("measured", ()):
        if numbers is None or number in numbers:
            by_repeat[repeat].append(cpu_seconds if record["device"] == "cpu" else seconds)
    return {repeat: 1.0 / float(np.mean(found)) for repeat, found in by_repeat.items()}


def compiled_numbers(record: Record) -> frozenset[int] | None:
    """The distributions that a compiled contestant met; None if it met all."""
    return frozenset(row[1] for row in record.get("measured", ())) if "compile_seconds" in record else None


def ratio(ours: Record, other: Record) -> float | None:
    """How many times as fast ours is: the median over the repeats, in which both met the same distributions.

    Against ours compiled, which meets few of them in all repeats, the ratio of the means over those few.
    """
    numbers = compiled_numbers(other)
    mine, theirs = rates(ours, numbers), rates(other)
    if numbers is not None:
        return harmonic(mine) / harmonic(theirs) if mine and theirs else None
    common = sorted(set(mine) & set(theirs))
    return float(np.median([mine[repeat] / theirs[repeat] for repeat in common])) if common else None


def harmonic(by_repeat: Mapping[int, float]) -> float:
    """Images a second over all repeats."""
    return 1.0 / float(np.mean([1.0 / rate for rate in by_repeat.values()]))


def figure_text(rate: float) -> str:
    """Three digits."""
    for unit, name in ((1e6, " M"), (1e3, " k")):
        if rate >= unit:
            return f"{rate / unit:.3g}{name}"
    return f"{rate:.3g}"


def cell_text(record: Record | None) -> str:
    """The median and, in brackets, the least, the quartiles and the largest over the repeats."""
    if record is None:
        return ""
    if "error" in record:
        return str(record["error"])
    found = list(rates(record).values())
    median = figure_text(float(np.median(found)))
    spread = " ".join(figure_text(float(np.quantile(found, share))) for share in (0.0, 0.25, 0.75, 1.0))
    return f"{median} [{spread}]"


def table(cells: Mapping[CellKey, Records], device: str, size: int, batch: int) -> str:
    """A row for each contestant: for each work images a second, and how many times as fast ours are."""
    works = [work for work in WORKS if (device, size, batch, work) in cells]
    head = ["contestant"]
    for work in works:
        head += [f"{work}: images/s", *(f"{name} / it" for name in shown_references(work))]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name in CONTESTANTS:
        if not any(name in cells[device, size, batch, work] for work in works):
            continue
        row = [name + (" (on the CPU)" if device == "cuda" and name in ON_CPU_ONLY else "")]
        for work in works:
            run = cells[device, size, batch, work]
            record = run.get(name)
            row.append(cell_text(record))
            for reference in shown_references(work):
                found = ratio(run[reference], record) if record is not None and reference in run else None
                row.append("" if found is None or reference == name else f"{found:.2g}x")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join([*lines, "", *compile_notes(cells, device, size, batch)])


def shown_references(work: str) -> tuple[str, ...]:
    """There is no AutoAugment or TrivialAugment of a batch."""
    return REFERENCES if work == "policies" else REFERENCES[:1]


def compile_notes(cells: Mapping[CellKey, Records], device: str, size: int, batch: int) -> list[str]:
    notes = []
    for work in WORKS:
        for name, record in cells.get((device, size, batch, work), {}).items():
            if "compile_seconds" in record:
                notes.append(
                    f"- {name}, {work}: {record['compile_seconds']:.0f} s to compile one distribution, measured on "
                    f"{record['compiled_policies']}, and compared on those.\n"
                )
    return notes


def preface(cells: Mapping[CellKey, Records]) -> str:
    sources = sorted({record["settings"]["images"] for run in cells.values() for record in run.values()})
    return (
        "The median over the repeats, and in brackets the least, the two quartiles and the largest. Each repeat meets "
        "other policies, so the spread is theirs, too; ratios are medians over repeats that meet the same. On the CPU: "
        "one thread, by CPU seconds. The draw is part of the work, reading and decoding are not. Rivals start from "
        "their own kind of image, but for Pillow, which turns arrays into its images and back, as Tuun did; kornia's "
        f"images are floats already. Images: {', '.join(sources)}.\n\n"
        "The same work: the 16 types of all rivals give our picture within the tolerances of "
        "tests/benchmarks/test_augment_rivals.py, but for albumentations' equalize, which is OpenCV's and another one. "
        "AutoAugment and TrivialAugment are torchvision's and kornia's own classes, one image at a time: kornia's draw "
        "once for a batch, and its TrivialAugment has other ranges. Pillow, albumentations and kornia_grouped take "
        "the same sub-policies through the table.\n"
    )


def conditions_line(runs: Sequence[Records]) -> str:
    """Hardware and versions, and how busy the machine was."""
    records = [record for run in runs for record in run.values()]
    newest = records[-1]["conditions"]
    versions = ", ".join(f"{name} {version}" for name, version in newest["versions"].items())
    hardware = ", ".join(str(part) for part in (newest["gpu"], newest["cpu"], f"{newest['cores']} cores") if part)
    measured = [row for record in records for row in record.get("measured", ())]
    share = sum(row[3] for row in measured) / max(sum(row[2] for row in measured), 1e-12)
    busy = f" The CPU seconds are {100 * share:.0f} % of the clock's." if records[-1]["device"] == "cpu" else ""
    codes = sorted({str(record["code"]) for record in records})
    return f"{hardware}; Python {newest['python']}, {versions}; augmentation code {', '.join(codes)}.{busy}\n"


def limits(cells: Mapping[CellKey, Records], records: Sequence[Record], device: str) -> str:
    """How far ours are from the memory's bandwidth, and their share of a training step."""
    found = [record for record in records if record.get("device") == device and "limit" in record]
    bandwidths = [record["bytes_per_second"] for record in found if record["limit"] == "bandwidth"]
    parts = []
    if bandwidths:
        parts.append(f"### The limit of {device.upper()} memory\n")
        parts.append(
            f"A large copy reads and writes {bandwidths[-1] / 1e9:.0f} GB/s. If each uint8 image were read once and "
            "written once, that would be:\n"
        )
        lines = ["| size | batch | images/s at the limit | contestant | policies: images/s | share of the limit |"]
        lines.append("|---|---|---|---|---|---|")
        for key in sorted(cells):
            if key[0] != device or key[3] != "policies":
                continue
            limit = one_pass_limit(bandwidths[-1], key[1])
            for name, record in cells[key].items():
                if name.startswith("ours") and rates(record):
                    rate = float(np.median(list(rates(record).values())))
                    lines.append(
                        f"| {key[1]} | {key[2]} | {figure_text(limit)} | {name} | {figure_text(rate)} | "
                        f"{100 * rate / limit:.2g} % |"
                    )
        parts.append("\n".join(lines) + "\n")
    for _, batch, seconds in training_steps(found):
        parts.append(f"### A training step of BaseNet ResNet-18, 32x32, batch of {batch}, on {device.upper()}\n")
        plain = float(np.median(seconds["none"]))
        lines = ["| transform | ms a step | more than without |", "|---|---|---|"]
        for name, measured in seconds.items():
            step = float(np.median(measured))
            lines.append(f"| {name} | {1000 * step:.2f} | {100 * (step / plain - 1):+.1f} % |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def training_steps(records: Iterable[Record]) -> list[tuple[str, int, Mapping[str, Sequence[float]]]]:
    """Device, batch, and the seconds of a step by transform: the newest of each device and batch."""
    steps = {
        (str(record["device"]), int(record["batch"])): record["seconds"]
        for record in records
        if record.get("limit") == "training_step"
    }
    return [(*key, steps[key]) for key in sorted(steps)]


def targets(cells: Mapping[CellKey, Records], records: Sequence[Record]) -> str:
    """What was wanted of random policies, and what came, at the batch where ours does worst."""
    lines = ["| wanted | measured, the worse of the batches |", "|---|---|"]
    for device, size, ours, rivals, wanted in TARGETS:
        runs = [run for key, run in cells.items() if key[0] == device and key[1] == size and key[3] == "policies"]
        runs = [run for run in runs if ours in run and rates(run[ours])]
        if not runs:
            continue
        if not rivals:
            rate = min(float(np.median(list(rates(run[ours]).values()))) for run in runs)
            lines.append(f"| {device}, {size}x{size}: {ours} {figure_text(wanted)} images/s | {figure_text(rate)} |")
        for rival in rivals:
            found = [ratio(run[ours], run[rival]) for run in runs if rival in run]
            ratios = [value for value in found if value is not None]
            if ratios:
                lines.append(f"| {device}, {size}x{size}: {ours} {wanted:g} times {rival} | {min(ratios):.2g} times |")
    for device, batch, seconds in training_steps(records):
        plain = float(np.median(seconds["none"]))
        more = {name: float(np.median(found)) / plain - 1 for name, found in seconds.items() if name != "none"}
        best = min(more, key=lambda name: more[name])
        wanted_text = f"{device}, batch {batch}: less than {100 * STEP_TARGET:g} % of a training step"
        lines.append(f"| {wanted_text} | {best}: {100 * more[best]:.1f} % |")
    return "## Targets\n\n" + "\n".join(lines) + "\n" if len(lines) > 2 else ""


def span(runs: Sequence[Records]) -> tuple[float, float]:
    """The ends of an axis for all of these, with room for the figures behind the bars."""
    found = [rate for run in runs for record in run.values() for rate in rates(record).values()] or [1.0]
    return min(found) / 3, max(found) * 5


def draw(cells: Mapping[CellKey, Records], device: str, batch: int, path: Path) -> bool:
    """A panel for each work and size, a bar for each contestant; False without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import NullFormatter
    except ImportError:
        return False
    sizes = sorted({key[1] for key in cells if key[0] == device and key[2] == batch})
    works = [work for work in WORKS if any((device, size, batch, work) in cells for size in sizes)]
    spans = {size: span([run for key, run in cells.items() if key[:3] == (device, size, batch)]) for size in sizes}
    figure = Figure(figsize=(PANEL[0] * len(sizes), PANEL[1] * len(works) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    for row, work in enumerate(works):
        for column, size in enumerate(sizes):
            axes = figure.add_subplot(len(works), len(sizes), row * len(sizes) + column + 1)
            run = cells.get((device, size, batch, work), {})
            shown = [(name, list(rates(run[name]).values())) for name in CONTESTANTS if name in run]
            shown = [(name, found) for name, found in shown if found]
            for place, (name, found) in enumerate(shown):
                low, middle, high = (float(np.quantile(found, share)) for share in (0.25, 0.5, 0.75))
                colour = COLOURS["ours" if name.startswith("ours") else "other"]
                axes.barh(place, middle, color=colour, height=0.72)
                axes.plot([low, high], [place, place], color="black", linewidth=1.2)
                axes.annotate(
                    figure_text(middle), (max(high, middle), place), (4, 0), textcoords="offset points",
                    va="center", fontsize=7,
                )  # fmt: skip
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_xlim(*spans[size])
            axes.set_yticks(range(len(shown)), [name for name, _ in shown], fontsize=8)
            axes.invert_yaxis()
            axes.set_title(f"{work}, {size}x{size}", fontsize=9)
            axes.grid(axis="x", alpha=0.3)
            axes.set_axisbelow(True)
            axes.tick_params(axis="x", labelsize=7)
            if row == len(works) - 1:
                axes.set_xlabel("images/s", fontsize=8)
    figure.suptitle(f"Images augmented in a second\n{device.upper()}, batch of {batch} (line: quartiles)", fontsize=10)
    figure.savefig(path, dpi=110)
    return True

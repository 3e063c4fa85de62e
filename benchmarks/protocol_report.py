"""The protocol's tables and its plot of accuracy against search cost, from the trainings that are there.

A row's value in one search is the mean test score of its retrainings; mean and standard deviation are over the
searches, and so are the intervals of differences (95 %, Student's t), which are paired by the search.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.paired_differences import Comparison, compare
from benchmarks.protocol_check import CHECKS
from benchmarks.protocol_records import RETRAINING, RETRAININGS, TRIAL, results_file
from benchmarks.protocol_rows import ROWS, Row
from benchmarks.protocol_settings import SCARCE_CLASSES, SETTINGS, ProtocolSetting
from benchmarks.training_records import Record, read_trainings

WITHOUT = "none"
REFERENCES = ("etp", "trivialaugment")
PUBLISHED = {
    "cifar10": "Published: 60 % fewer errors than without augmentation (DeepAugment, WideResNet-28-10).",
    "steel": "Published: 4.5 % on steel defects (Tuun; what it is relative to is not known here).",
}
"""By data set, the claims that stand beside the column of relative error reductions."""


@dataclass(frozen=True)
class Figures:
    """What a row has come to: by search, the test score of each retraining, and the minutes that the search cost.

    A search counts when all its retrainings are there; ``minutes`` is empty where there is no search.
    """

    row: Row
    scores: Mapping[int, tuple[float, ...]]
    minutes: Mapping[int, float]

    @property
    def means(self) -> dict[int, float]:
        """By search, the mean over its retrainings."""
        return {search: statistics.fmean(found) for search, found in self.scores.items()}

    @property
    def mean(self) -> float:
        """Over the searches."""
        return statistics.fmean(self.means.values())

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation over the searches; None of a single one."""
        return statistics.stdev(self.means.values()) if len(self.means) > 1 else None

    @property
    def cost(self) -> float:
        """Minutes of a search, on average: its trials and its suggestions."""
        return statistics.fmean(self.minutes[search] for search in self.scores) if self.minutes else 0.0

    def less(self, other: Figures) -> Comparison | None:
        """The paired difference to ``other``; None without a common search."""
        common = sorted(self.means.keys() & other.means.keys())
        if not common:
            return None
        return compare([self.means[s] for s in common], [other.means[s] for s in common], other.row.label)

    def error_reduction(self, other: Figures) -> float | None:
        """The share of the errors of ``other`` that is gone, over the common searches; None without one."""
        common = sorted(self.means.keys() & other.means.keys())
        errors = [sum(1 - figures.means[search] for search in common) for figures in (self, other)]
        return 1 - errors[0] / errors[1] if common and errors[1] > 0 else None


def figures_of(records: Sequence[Record], retrainings: int = RETRAININGS) -> dict[str, Figures]:
    """By name, the rows of which at least one search is complete."""
    found = {}
    for row in ROWS:
        scores: dict[int, dict[int, float]] = {}
        for record in records:
            if record["row"] == row.name and record["role"] == RETRAINING:
                scores.setdefault(record["search"], {})[record["number"]] = record["score"]
        whole = {
            search: tuple(by_number[number] for number in sorted(by_number))
            for search, by_number in sorted(scores.items())
            if len(by_number) == retrainings
        }
        minutes: dict[int, float] = {}
        for record in records:
            if record["row"] == row.search and record["role"] == TRIAL:
                seconds = record["seconds"] + record["seconds_of_suggestion"]
                minutes[record["search"]] = minutes.get(record["search"], 0.0) + seconds / 60
        if whole:
            found[row.name] = Figures(row, whole, minutes)
    return found


def table(figures: Mapping[str, Figures], unit: str) -> str:
    """One line for each row, in percent; the best of each column is not marked, so that nothing is passed over."""
    references = [name for name in REFERENCES if name in figures]
    head = ["", "searches", "test score", "fewer errors than without augmentation"]
    head += [f"less {figures[name].row.label}" for name in references] + [f"search, {unit} minutes"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for name, row in figures.items():
        deviation = "" if row.deviation is None else f" ± {100 * row.deviation:.2f}"
        reduction = row.error_reduction(figures[WITHOUT]) if WITHOUT in figures and name != WITHOUT else None
        cells = [row.row.label, str(len(row.scores)), f"{100 * row.mean:.2f}{deviation}"]
        cells.append("" if reduction is None else f"{100 * reduction:.1f} %")
        cells += ["" if name == other else _difference(row.less(figures[other])) for other in references]
        cells.append(f"{row.cost:.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def overview(shown: Mapping[str, tuple[Mapping[str, Figures], str]]) -> str:
    """Test scores in percent: a line for each row, a column for each setting; then what the dearest search took."""
    lines = ["| test score, % | " + " | ".join(shown) + " |", "|---|" + "---:|" * len(shown)]
    for row in ROWS:
        found = [figures.get(row.name) for figures, _ in shown.values()]
        if any(found):
            cells = ["" if one is None else _score(one) for one in found]
            lines.append(f"| {row.label} | " + " | ".join(cells) + " |")
    costs = [(max((row.cost for row in figures.values()), default=0.0), unit) for figures, unit in shown.values()]
    lines.append("| dearest search | " + " | ".join(f"{cost:.1f} {unit} minutes" for cost, unit in costs) + " |")
    return "\n".join(lines)


def _score(row: Figures) -> str:
    deviation = "" if row.deviation is None else f" ± {100 * row.deviation:.1f}"
    return f"{100 * row.mean:.1f}{deviation}"


def caption(record: Record, trials: int, retrainings: int = RETRAININGS) -> str:
    """The conditions of a table, from the header of its trainings."""
    setting = ProtocolSetting(name=record["setting"], **record["training"])
    labelled, scarce = setting.labelled_per_class, setting.scarce_per_class
    images = "all images but the test images" if labelled is None else f"{labelled} labelled images a class"
    if scarce is not None:
        images += f", of {SCARCE_CLASSES} classes {scarce} (others in each search)"
    metric = setting.train_config.get("metric", "accuracy").replace("_", " ")
    test = "the data set's own test images"
    if setting.test_per_class is not None:
        test = f"{setting.test_per_class} images a class that no search sees"
    trial = f"{100 * setting.validation_share:.3g} % of each class validate"
    if setting.divisions > 1:
        trial += f", the mean over {setting.divisions} random divisions"
    size = "Reduced size, for a CPU" if setting.reduced else "Full size"
    return (
        f"{size}: {images}, {setting.image_size} x {setting.image_size} pixels, {setting.train_config['model']}, "
        f"{setting.epochs} passes. A search has {trials} trials; in a trial, {trial}. What it recommends is trained "
        f"{retrainings} times again on all labelled images. Test score: {metric} on {test}, in percent, mean ± "
        f"standard deviation over the searches; differences with their 95 % intervals. AutoAugment is the published "
        f"policy `{setting.autoaugment}`; it, RandAugment and TrivialAugment stand alone where ETP is not named. "
        f"Random search's recommendation is picked by the model of ours, which itself begins with none and ETP. "
        f"{record['hardware']}, torch {record['versions'].get('torch')}."
    )


def write_report(results: Path) -> str:
    """All tables, written into ``results`` as protocol.md and protocol.json, with a plot if there is matplotlib."""
    parts, stored = ["# The tables of the published protocols\n"], {}
    shown: dict[str, tuple[dict[str, Figures], str]] = {}
    tables = [(setting, RETRAININGS) for setting in SETTINGS.values()] + [(setting, 1) for setting in CHECKS.values()]
    for setting, retrainings in tables:
        path = results_file(results, setting.name)
        records = read_trainings(path) if path.exists() else []
        figures = figures_of(records, retrainings)
        if not figures:
            continue
        text = caption(records[-1], records[-1]["trials"], retrainings)
        unit = "CPU" if records[-1]["hardware"].endswith(" core") else "GPU"
        parts += [f"## {setting.name}\n", f"{text}\n", f"{table(figures, unit)}\n"]
        if retrainings == RETRAININGS:
            shown[setting.name] = figures, unit
            missing = [row.label for row in ROWS if row.name not in figures]
            parts += [f"Not there yet: {'; '.join(missing)}.\n"] if missing else []
        parts += [f"{PUBLISHED[setting.data_set]}\n"] if setting.data_set in PUBLISHED else []
        stored[setting.name] = {"conditions": text, "rows": [_stored(row, figures) for row in figures.values()]}
    if shown and draw(shown, results / "protocol.png"):
        parts.append("![test score against the cost of the search](protocol.png)\n")
    if shown:
        parts.insert(1, f"{overview(shown)}\n")
    text = "\n".join(parts)
    (results / "protocol.md").write_text(text, encoding="utf-8")
    (results / "protocol.json").write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    return text


def draw(shown: Mapping[str, tuple[Mapping[str, Figures], str]], path: Path) -> bool:
    """For each setting, test score against minutes of search: a point a row, its deviation as a bar.

    False without matplotlib.
    """
    try:
        from matplotlib import colormaps
        from matplotlib.figure import Figure
    except ImportError:
        return False
    columns = min(2, len(shown))
    lines = -(-len(shown) // columns)
    figure = Figure(figsize=(6.5 * columns, 4.6 * lines), dpi=110, layout="constrained")
    looks = {row.name: (colormaps["tab20"](i), "osD^vPX*<>h"[i % 11]) for i, row in enumerate(ROWS)}
    handles: dict[str, Any] = {}
    for i, (name, (figures, unit)) in enumerate(shown.items()):
        axes = figure.add_subplot(lines, columns, i + 1)
        free = [row for row in figures.values() if not row.minutes]
        widest = max((row.cost for row in figures.values()), default=0.0) or 1.0
        for row in figures.values():
            color, marker = looks[row.row.name]
            # side by side, because all that costs no search stands at 0
            aside = 0.012 * widest * (free.index(row) - (len(free) - 1) / 2) if row in free else 0.0
            bar = None if row.deviation is None else 100 * row.deviation
            handles[row.row.label] = axes.errorbar(
                row.cost + aside, 100 * row.mean, yerr=bar, color=color, marker=marker, capsize=3, linestyle="none"
            )
        axes.set(xlabel=f"{unit} minutes of one search", ylabel="test score in percent", title=name)
        axes.grid(alpha=0.3)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=3, fontsize=8)
    figure.savefig(path)
    return True


def _stored(row: Figures, figures: Mapping[str, Figures]) -> dict[str, Any]:
    """A row as a JSON object; scores are shares in [0, 1]."""
    differences = {name: row.less(figures[name]) for name in REFERENCES if name in figures and name != row.row.name}
    return {
        "row": row.row.name,
        "label": row.row.label,
        "scores": {str(search): list(found) for search, found in row.scores.items()},
        "mean": row.mean,
        "deviation": row.deviation,
        "error_reduction": row.error_reduction(figures[WITHOUT]) if WITHOUT in figures else None,
        "search_minutes": row.cost,
        "less": {
            name: {
                "difference": found.difference,
                **({"low": found.low, "high": found.high} if _bounded(found) else {}),
            }
            for name, found in differences.items()
            if found is not None
        },
    }


def _bounded(found: Comparison) -> bool:
    """Is there an interval? Of a single search there is none."""
    return found.low > float("-inf")


def _difference(found: Comparison | None) -> str:
    if found is None:
        return ""
    interval = f" [{100 * found.low:+.2f}, {100 * found.high:+.2f}]" if _bounded(found) else ""
    return f"{100 * found.difference:+.2f}{interval}"

"""Tables and plots of a race, from its JSON lines: means over paired seeds with 95 % bootstrap intervals."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES = 10_000
SHOWN = (30, 60, 100, 300)  # numbers of trials that have a column, where there are any
BUDGET = 60  # of the best rival, for "reaches it after n trials"
FIGURES = {"recommended": "what the common recommender picks", "lucky": "the luckiest trial"}

Curves = dict[str, dict[int, dict[str, Any]]]  # optimizer, seed: the last record


def write_report(records: Sequence[Mapping[str, Any]], results: Path, reference: str, probes: Mapping[str, int]) -> str:
    """The tables, written beside ``results`` as Markdown, with a plot for each problem if there is matplotlib."""
    groups: dict[tuple[str, int, int], Curves] = defaultdict(lambda: defaultdict(dict))
    for record in records:
        group = (str(record["problem"]), int(record["concurrency"]), int(record["trials"]))
        runs = groups[group][str(record["optimizer"])]
        runs.pop(int(record["seed"]), None)  # so that the last record stands last
        runs[int(record["seed"])] = dict(record)
    for curves in groups.values():
        for name in curves:
            curves[name] = _of_one_state(curves[name])
    parts = [f"# Race: {results.stem}\n"]
    for (problem, concurrency, trials), curves in sorted(groups.items()):
        shown = with_probe_costs(curves, probes)
        states = {json.dumps(_state(record)[1:]) for runs in curves.values() for record in runs.values()}
        parts.append(f"## {problem}, {trials} trials, {concurrency} at once\n")
        if len(states) > 1:
            parts.append("(Not comparable yet: the data or the recommender changed in between; run the race again.)\n")
        for figure, what in FIGURES.items():
            parts.append(f"True value of {what}:\n")
            parts.append(table(shown, figure, reference))
        plot = results.with_name(f"{results.stem}_{problem.replace('/', '_')}_{trials}_x{concurrency}.png")
        if draw(shown, problem, plot):
            parts.append(f"![{problem}]({plot.name})\n")
    text = "\n".join(parts)
    results.with_suffix(".md").write_text(text)
    return text


def _state(record: Mapping[str, Any]) -> list[Any]:
    """What must be the same in all runs of one optimizer; all but the first in those of all optimizers."""
    return [record.get(key) for key in ("code", "data", "recommender", "recommender_code")]


def _of_one_state(runs: Mapping[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Those of the newest state of the code and of the data: ``runs`` are in the order of the file."""
    newest = _state(list(runs.values())[-1])
    return {seed: record for seed, record in runs.items() if _state(record) == newest}


def with_probe_costs(curves: Curves, probes: Mapping[str, int]) -> Curves:
    """With a copy of every optimizer that has a probe, moved to the right by the trials that it costs."""
    shown = dict(curves)
    for name, cost in probes.items():
        if name in curves and cost:
            shown[f"{name} + {cost} trials of probe"] = {
                seed: record | {"trials_at": [n + cost for n in record["trials_at"]]}
                for seed, record in curves[name].items()
            }
    return shown


def table(curves: Curves, figure: str, reference: str) -> str:
    """One row for each optimizer, the best first; differences to the reference are paired by seed.

    Where the reference did not run, random search stands in.
    """
    reference = reference if reference in curves else "random"
    last = max(n for runs in curves.values() for record in runs.values() for n in record["trials_at"])
    columns = [n for n in SHOWN if n <= last] or [last]
    rivals = [values_at(runs, figure, BUDGET) for name, runs in curves.items() if not name.startswith("ours")]
    means = [float(np.mean(list(found.values()))) for found in rivals if found]
    target = max(means) if means else None
    head = ["optimizer", "seeds", *(f"after {n}" for n in columns), f"less {reference}, after {columns[-1]}"]
    head += ["last ten proposals", "CPU s a suggestion", f"reaches the best rival's {BUDGET}-trial value after"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    order = sorted(curves, key=lambda name: -_mean(values_at(curves[name], figure, columns[-1])))
    for name in order:
        runs = curves[name]
        cells = [shortened(name), str(len(runs))]
        for n in columns:
            found = values_at(runs, figure, n)
            cells.append(f"{_mean(found):.3f} ± {_error(found):.3f}" if found else "")
        cells.append(_difference(runs, curves.get(reference, {}), figure, columns[-1]))
        cells.append(f"{np.mean([record['last_ten'][-1] for record in runs.values()]):.3f}")
        cells.append(f"{np.median([record['mean_cpu_seconds_per_suggestion'] for record in runs.values()]):.3f}")
        cells.append(_reaches(runs, figure, target))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def shortened(name: str) -> str:
    """An optimizer's name for a reader: of a probe's file, what it is a probe of."""
    return re.sub(r"probe=\S*probe_(\w+)[.]json", r"probe of \1", name)


def values_at(runs: Mapping[int, Mapping[str, Any]], figure: str, trials: int) -> dict[int, float]:
    """By seed, the figure at the last checkpoint that is no later than ``trials``; none where all are later."""
    found = {}
    for seed, record in runs.items():
        reached = [i for i, n in enumerate(record["trials_at"]) if n <= trials]
        if reached and (record["trials_at"][-1] >= trials):
            found[seed] = float(record[figure][reached[-1]])
    return found


def paired_interval(differences: Floats) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of the mean."""
    rng = np.random.default_rng(0)
    means = differences[rng.integers(len(differences), size=(RESAMPLES, len(differences)))].mean(1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def _difference(runs: Mapping[int, Any], reference: Mapping[int, Any], figure: str, trials: int) -> str:
    ours, theirs = values_at(runs, figure, trials), values_at(reference, figure, trials)
    common = sorted(set(ours) & set(theirs))
    if not common or runs is reference:
        return ""
    differences = np.array([ours[seed] - theirs[seed] for seed in common])
    if len(common) < 3:
        return f"{differences.mean():+.3f}"
    low, high = paired_interval(differences)
    return f"{differences.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def _reaches(runs: Mapping[int, Mapping[str, Any]], figure: str, target: float | None) -> str:
    points = sorted({n for record in runs.values() for n in record["trials_at"]})
    if target is None:
        return ""
    for n in points:
        if _mean(values_at(runs, figure, n)) >= target:
            return str(n)
    return f"> {points[-1]}"


def _mean(found: Mapping[int, float]) -> float:
    return float(np.mean(list(found.values()))) if found else float("-inf")


def _error(found: Mapping[int, float]) -> float:
    """The standard error of the mean."""
    values = list(found.values())
    return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")


def draw(curves: Curves, title: str, path: Path) -> bool:
    """The true value of the recommendation against the trials; False without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), dpi=110)
    colors = iter(plt.get_cmap("tab20").colors)  # type: ignore[attr-defined]
    order = sorted(curves, key=lambda name: -float(np.mean([r["recommended"][-1] for r in curves[name].values()])))
    for name in order:
        points = sorted({n for record in curves[name].values() for n in record["trials_at"]})
        found = [values_at(curves[name], "recommended", n) for n in points]
        mean, error = np.array([_mean(f) for f in found]), np.nan_to_num([_error(f) for f in found])
        color = next(colors, (0.5, 0.5, 0.5))
        width = 2.6 if name.startswith("ours") else 1.3
        axes.plot(points, mean, label=shortened(name), color=color, linewidth=width, marker="o", markersize=3)
        axes.fill_between(points, mean - error, mean + error, color=color, alpha=0.12, linewidth=0)
    axes.set(xlabel="trials", ylabel="true value of the recommendation", title=f"{title} (mean ± standard error)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, ncols=2)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
    return True


def draw_recommendations(
    found: Mapping[tuple[str, int, str], Sequence[float]],
    baselines: Mapping[str, Sequence[float]],
    title: str,
    path: Path,
) -> bool:
    """Retrained accuracies by (optimizer, trials, what recommended): a dot for each race, a bar at their mean.

    Baselines are lines across. False without matplotlib.
    """
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = sorted(found, key=lambda row: (row[1], float(np.mean(found[row]))))
    figure, axes = plt.subplots(figsize=(8, 1.5 + 0.3 * len(rows)), dpi=110)
    for y, row in enumerate(rows):
        percent = 100 * np.asarray(found[row])
        color = "tab:red" if row[0].startswith("ours") else "tab:gray"
        axes.plot(percent, np.full(len(percent), y), "o", color=color, alpha=0.4, markersize=4)
        axes.plot(percent.mean(), y, "|", color=color, markersize=16, markeredgewidth=3)
    for (name, values), style in zip(sorted(baselines.items()), ("-", "--", "-.", ":"), strict=False):
        axes.axvline(100 * float(np.mean(values)), color="tab:blue", linestyle=style, linewidth=1, label=name)
    labels = [f"{shortened(name)}, {at} trials{'' if what == 'recommended' else ', own'}" for name, at, what in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.set(xlabel="accuracy of the recommendation, trained again, in percent", title=title)
    axes.grid(axis="x", alpha=0.3)
    if baselines:
        axes.legend(fontsize=7, loc="best")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
    return True

"""Tables and a plot of proxy_rank.py: how far each cheap training puts policies in the order of the full one.

Written beside the results as Markdown, JSON and a picture. n is a number of policies, s of trainings of each.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.proxy_rank import FOLDER, LADDERS, RESULTS, all_trainings
from benchmarks.real_trainings import BASELINES

Floats = NDArray[np.float64]

RESAMPLES = 4_000
CLEAR = 2.0  # standard errors of a difference in the full training, from which on an order is called clear
BEST = 3  # policies that the cheap training puts first, whose full accuracy is looked at


@dataclass(frozen=True)
class Scores:
    """Accuracies in percent of one rung: for each policy by name the values by seed. ``seconds`` of one training."""

    values: Mapping[str, Mapping[int, float]]
    seconds: float

    def means(self, names: Sequence[str]) -> Floats:
        """(n,)"""
        return np.array([np.mean(list(self.values[name].values())) for name in names])

    def counts(self, names: Sequence[str]) -> NDArray[np.int64]:
        return np.array([len(self.values[name]) for name in names])

    def residuals(self, names: Sequence[str]) -> Floats:
        """What single trainings deviate from the mean of their policy, scaled to be unbiased; empty with one each."""
        parts = []
        for name in names:
            values = np.array(list(self.values[name].values()))
            if len(values) > 1:
                parts.append((values - values.mean()) * (len(values) / (len(values) - 1)) ** 0.5)
        return np.concatenate(parts) if parts else np.zeros(0)

    def noise(self, names: Sequence[str]) -> float | None:
        """The standard deviation of one training, pooled over the policies that were trained more than once."""
        found = self.residuals(names)
        return float(np.sqrt(np.mean(found**2))) if len(found) else None

    def resampled(self, names: Sequence[str], times: int, rng: np.random.Generator) -> Floats:
        """The means (times, n) with other luck of the trainings: residuals drawn from those of all (bootstrap)."""
        found, means = self.residuals(names), self.means(names)
        if not len(found):
            return np.tile(means, (times, 1))
        luck = [rng.choice(found, (times, count)).mean(1) for count in self.counts(names)]
        return means + np.stack(luck, axis=1)


def scores_of(records: Sequence[Mapping[str, Any]]) -> dict[str, Scores]:
    """By rung. Seconds are those of new trainings where there are any, because all of these ran on one machine."""
    found: dict[str, dict[str, dict[int, float]]] = {}
    seconds: dict[str, dict[bool, list[float]]] = {}
    for record in records:
        found.setdefault(record["rung"], {}).setdefault(record["name"], {})[record["seed"]] = 100 * record["accuracy"]
        seconds.setdefault(record["rung"], {}).setdefault(record["earlier"], []).append(record["seconds"])
    return {
        rung: Scores(values, float(np.median(seconds[rung].get(False) or seconds[rung][True])))
        for rung, values in found.items()
    }


def rank_correlation(a: Floats, b: Floats) -> Floats:
    """Spearman's along the last axis, (..., n) to (...); nan where one of them is constant."""
    x, y = rankdata(a, axis=-1), rankdata(b, axis=-1)
    x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        found: Floats = (x * y).sum(-1) / np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    return found


def intervals(cheap: Scores, full: Scores, names: Sequence[str]) -> dict[str, list[float]]:
    """95 % intervals of the rank correlation: with other luck of the trainings, and with other policies, too.

    The first errs towards less correlation, for it adds noise to means that have some already.
    """
    rng = np.random.default_rng(0)
    a, b = (scores.resampled(names, RESAMPLES, rng) for scores in (cheap, full))
    some = rng.integers(len(names), size=a.shape)
    found = {
        "over_seeds": rank_correlation(a, b),
        "over_policies_and_seeds": rank_correlation(np.take_along_axis(a, some, 1), np.take_along_axis(b, some, 1)),
    }
    return {name: np.nanquantile(values, [0.025, 0.975]).tolist() for name, values in found.items()}


def pairs_kept(cheap: Scores, full: Scores, names: Sequence[str]) -> tuple[int, int, list[str]]:
    """Of the pairs of ``names`` whose order is clear in full: how many are in that order, how many there are, and
    which are the other way round."""
    noise = full.noise(list(full.values)) or 0.0  # trained once each: every order counts as clear
    a, b = dict(zip(names, cheap.means(names), strict=True)), dict(zip(names, full.means(names), strict=True))
    n = dict(zip(names, full.counts(names), strict=True))
    kept, clear, reversed_pairs = 0, 0, []
    for first, second in itertools.combinations(sorted(names, key=lambda name: -b[name]), 2):
        if b[first] - b[second] < CLEAR * noise * (1 / n[first] + 1 / n[second]) ** 0.5:
            continue
        clear += 1
        kept += int(a[first] > a[second])
        if a[first] <= a[second]:
            reversed_pairs.append(f"{first} > {second}")
    return kept, clear, reversed_pairs


def ceiling(full: Scores, names: Sequence[str]) -> float | None:
    """The mean rank correlation of full trainings with one seed and with the others: noise allows not much more."""
    common = set.intersection(*(set(full.values[name]) for name in names))
    if len(common) < 2:
        return None  # and not the correlation of a training with itself
    table = np.array([[full.values[name][seed] for seed in sorted(common)] for name in names])  # (n, s)
    return float(
        np.mean([rank_correlation(table[:, k], np.delete(table, k, 1).mean(1)) for k in range(table.shape[1])])
    )


def judge(data: str, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All figures of ``data``, for the policies that have been trained in full; {} as long as there is too little.

    A rung that has not been trained with all of these is left out.
    """
    scores = scores_of(records)
    reference = LADDERS[data][-1].name
    names = list(scores[reference].values) if reference in scores else []
    rungs = [rung.name for rung in LADDERS[data] if rung.name in scores and set(names) <= set(scores[rung.name].values)]
    if len(rungs) < 2 or len(names) < len(BASELINES):
        return {}
    full = scores[reference]
    rows = []
    for rung in rungs:
        cheap = scores[rung]
        order = sorted(names, key=lambda name: -float(cheap.means([name])[0]))
        row = {
            "rung": rung,
            "seconds": cheap.seconds,
            "trainings": [int(count) for count in cheap.counts(names)],
            "noise": cheap.noise(names),
            "accuracies": dict(zip(names, cheap.means(names).round(3).tolist(), strict=True)),
            "order_of_baselines": [name for name in order if name in BASELINES],
        }
        if rung != reference:
            kept, clear, _ = pairs_kept(cheap, full, names)
            known_kept, known_clear, known_reversed = pairs_kept(cheap, full, BASELINES)
            others = [name for name in names if not name.startswith("found")]
            row |= {
                "rank_correlation_without_found": float(rank_correlation(cheap.means(others), full.means(others))),
                "rank_correlation": float(rank_correlation(cheap.means(names), full.means(names))),
                **intervals(cheap, full, names),
                "clear_pairs_kept": [kept, clear],
                "clear_pairs_of_baselines_kept": [known_kept, known_clear],
                "reversed_pairs_of_baselines": known_reversed,
                "full_accuracy_of_its_best": float(full.means(order[:BEST]).mean()),
            }
        rows.append(row)
    return {
        "policies": names,
        "rungs": rows,
        "ceiling": ceiling(full, names),
        "full_accuracy_of_the_best": float(np.sort(full.means(names))[-BEST:].mean()),
        "full_accuracy_of_all": float(full.means(names).mean()),
        "cheapest_that_keeps_the_baselines": next(
            (
                row["rung"]
                for row in sorted(rows[:-1], key=lambda row: row["seconds"])
                if not row["reversed_pairs_of_baselines"]
            ),
            None,
        ),
    }


def write_report(results: Path = RESULTS, folder: Path = FOLDER) -> str:
    """The tables as Markdown; with JSON and a picture they are written beside ``results``."""
    judged = {data: judge(data, all_trainings(data, results, folder)) for data in LADDERS}
    judged = {data: found for data, found in judged.items() if found}
    parts = ["# Cheap trainings against full ones\n"]
    for data, found in judged.items():
        parts += _section(data, found)
    if judged and draw(judged, results.with_suffix(".png")):
        parts.append(f"![cheap against full]({results.stem}.png)\n")
    text = "\n".join(parts)
    results.with_suffix(".md").write_text(text)
    results.with_suffix(".json").write_text(json.dumps(judged, indent=1, allow_nan=False) + "\n")
    return text


def _section(data: str, found: Mapping[str, Any]) -> list[str]:
    rows, reference = found["rungs"][:-1], found["rungs"][-1]
    lines = [f"## {data}, {len(found['policies'])} policies\n"]
    head = ["training", "seconds", "trainings a policy", "sd of one", "rank correlation with full"]
    head += ["without the found ones", "over seeds"]
    head += ["over policies and seeds", "clear pairs kept", "of the four known", "order of the four known"]
    head += [f"full accuracy of its best {BEST}"]
    lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in sorted(rows, key=lambda row: row["seconds"]):
        cells = [*_common(row), *(f"{row[key]:.2f}" for key in ("rank_correlation", "rank_correlation_without_found"))]
        cells += ["[{:.2f}, {:.2f}]".format(*row[key]) for key in ("over_seeds", "over_policies_and_seeds")]
        cells += ["{} of {}".format(*row["clear_pairs_kept"])]
        cells += ["{} of {}".format(*row["clear_pairs_of_baselines_kept"]), ", ".join(row["order_of_baselines"])]
        lines.append("| " + " | ".join([*cells, f"{row['full_accuracy_of_its_best']:.2f}"]) + " |")
    cells = [
        *_common(reference),
        "" if found["ceiling"] is None else f"({found['ceiling']:.2f})",
        *[""] * 5,
        ", ".join(reference["order_of_baselines"]),
    ]
    lines.append("| " + " | ".join([*cells, f"{found['full_accuracy_of_the_best']:.2f}"]) + " |")
    cheapest = found["cheapest_that_keeps_the_baselines"]
    lines.append(
        f"\nIn brackets: one seed of the full training against the others, more than which noise does not allow. An "
        f"order of two policies is clear from {CLEAR:g} standard errors on. All policies in full: "
        f"{found['full_accuracy_of_all']:.2f} %. Cheapest that reverses no clear pair of the known policies: "
        f"{cheapest or 'none'}. Seconds are of one core. The found policies were chosen by races on the "
        f"validation images that judge here, too, of the digits in the setting 'small net, 120 passes'. Intervals over "
        f"seeds know no noise of a rung with one training a policy.\n"
    )
    shown = [*rows, reference]
    lines += ["| policy | " + " | ".join(row["rung"] for row in shown) + " |", "|---|" + "---|" * len(shown)]
    for name in sorted(found["policies"], key=lambda name: -reference["accuracies"][name]):
        lines.append(f"| {name} | " + " | ".join(f"{row['accuracies'][name]:.2f}" for row in shown) + " |")
    return [*lines, ""]


def _common(row: Mapping[str, Any]) -> list[str]:
    low, high = min(row["trainings"]), max(row["trainings"])
    noise = "" if row["noise"] is None else f"{row['noise']:.2f}"
    return [row["rung"], f"{row['seconds']:.1f}", str(low) if low == high else f"{low} to {high}", noise]


def draw(judged: Mapping[str, Any], path: Path) -> bool:
    """A picture for each cheap training: its accuracy against that of the full one. False without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = max(len(found["rungs"]) - 1 for found in judged.values())
    size = (3.0 * columns, 3.2 * len(judged))
    figure, all_axes = plt.subplots(len(judged), columns, figsize=size, dpi=110, squeeze=False)
    for line, (data, found) in zip(all_axes, judged.items(), strict=True):
        full = found["rungs"][-1]["accuracies"]
        rows = sorted(found["rungs"][:-1], key=lambda row: row["seconds"])
        for axes in line[len(rows) :]:
            axes.set_visible(False)
        for axes, row in zip(line, rows, strict=False):
            for name in found["policies"]:
                color = "tab:red" if name.startswith("found") else "tab:blue" if name in BASELINES else "tab:gray"
                axes.plot(row["accuracies"][name], full[name], "o", color=color, markersize=5)
                if name in BASELINES:
                    place = (row["accuracies"][name], full[name])
                    left = row["accuracies"][name] > float(np.mean(list(row["accuracies"].values())))
                    offset, side = ((-5, -3), "right") if left else ((5, -3), "left")
                    axes.annotate(name, place, offset, textcoords="offset points", ha=side, fontsize=6)
            axes.set_title(f"{row['rung']}\n{row['seconds']:.1f} s, rank {row['rank_correlation']:.2f}", fontsize=7)
            axes.set_xlabel("cheap, %", fontsize=7)
            axes.tick_params(labelsize=6)
            axes.grid(alpha=0.3)
        line[0].set_ylabel(f"{data}: full, %", fontsize=8)
    figure.suptitle(
        "full training against cheap ones: found policies red, random ones grey, known ones blue", fontsize=9
    )
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
    return True

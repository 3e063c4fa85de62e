"""What each surrogate learns from 30, 60, 120 and 240 real trainings of random policies.

    python -m benchmarks.surrogates [SETTING ...] [--draws 10] [--report]

For each draw, 25 of the random policies are held out; of the others the first n trainings count (above 175: with the
repeats of those policies). Every surrogate sees the same. Told are, on the held-out policies: R2 and the mean
log-likelihood of one training (with the measured noise; that of the best constant is 0), and Spearman's rank
correlation of what the optimizer fits, values drawn in below the median. On the structured policies, which no surrogate
is ever trained on: the root mean square error in points, and the rank correlation.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks.race import conditions
from benchmarks.training_records import read_trainings
from tuun_da.probe_format import ProbeRecord
from tuun_da.search.domains import Floats
from tuun_da.search.gaussian_process import GaussianProcess
from tuun_da.search.kernels import MixedKernel
from tuun_da.search.knowledge import Knowledge
from tuun_da.search.outcomes import drawn_in
from tuun_da.search.space import SearchSpace
from tuun_da.search.surrogate import Surrogate, make_surrogate

HERE = Path(__file__).parent
RESULTS = HERE / "results"
SETTINGS = ("cifar10", "steel", "digits")
SIZES = (30, 60, 120, 240)
HELD_OUT = 25
Make = Callable[[SearchSpace, ProbeRecord | None], Surrogate]


def _flat_forest(space: SearchSpace, probe: ProbeRecord | None) -> Surrogate:
    from tuun_da.search.forest import RandomForest

    forest = RandomForest(space)
    forest._policy = None  # the columns as they come, as DeepAugment's forest sees them
    forest._columns = list(enumerate(space.columns))
    return forest


SURROGATES: Mapping[str, Make] = {
    "flat gp": lambda space, probe: GaussianProcess(MixedKernel(space.columns)),
    "flat forest": _flat_forest,
    "forest": lambda space, probe: make_surrogate("forest", space),
    "forest + probe": lambda space, probe: make_surrogate("forest", space, Knowledge(probe)),
    "gp": lambda space, probe: make_surrogate("gp", space),
    "gp + probe": lambda space, probe: make_surrogate("gp", space, Knowledge(probe)),
    "stan_gp": lambda space, probe: make_surrogate("stan_gp", space),
}
"""By the name in the table; flat ones see the thirty columns as they come."""


@dataclass(frozen=True)
class Data:
    """Points (n, d) of policies, and the accuracies of the trainings of each, first the planned one."""

    points: Floats
    accuracies: Sequence[Sequence[float]]

    def chosen(self, policies: Sequence[int], n: int) -> tuple[Floats, Floats]:
        """n trainings of these policies, or as many as there are: first one of each, then their repeats."""
        rows = [(row, 0) for row in policies]
        rows += [(row, j) for row in policies for j in range(1, len(self.accuracies[row]))]
        rows = rows[:n]
        return self.points[[row for row, _ in rows]], np.array([self.accuracies[row][j] for row, j in rows])


def load(setting: str, space: SearchSpace, kind: str, results: Path = RESULTS) -> Data:
    """The trainings of policies of that kind."""
    found: dict[str, list[float]] = defaultdict(list)
    policies: dict[str, Any] = {}
    for record in read_trainings(results / f"trainings_{setting}.jsonl"):
        if record["kind"] == kind and record["policy"]:
            key = json.dumps(record["policy"], sort_keys=True)
            policies.setdefault(key, record["policy"])
            found[key].append(float(record["accuracy"]))
    usable = [key for key in found if set(policies[key]) == {column.name for column in space.columns}]
    return Data(np.array([space.encode(policies[key]) for key in usable]), [found[key] for key in usable])


def noise_of(data: Data) -> float:
    """Standard deviation of one training, pooled over the policies that were trained more than once."""
    repeated = [np.array(values) for values in data.accuracies if len(values) > 1]
    return float(np.sqrt(sum(np.var(v) * len(v) for v in repeated) / sum(len(v) - 1 for v in repeated)))


def judge(
    surrogate: Surrogate,
    n: int,
    training: tuple[Floats, Floats],
    held_out: Data,
    structured: Data,
    noise: float,
    seed: int,
) -> dict[str, float]:
    """The figures of one surrogate on one draw."""
    points, values = training
    begin = time.process_time()
    posterior = surrogate.fit(points, values, np.random.default_rng(seed))
    seconds = time.process_time() - begin
    once = np.array([accuracies[0] for accuracies in held_out.accuracies])
    prediction = posterior.predict(held_out.points)
    mean = prediction.mean.mean(axis=0)
    variance = np.mean(prediction.std**2, axis=0) + np.var(prediction.mean, axis=0) + noise**2
    constant = np.var(values)
    gain = -0.5 * ((once - mean) ** 2 / variance + np.log(variance))
    gain -= -0.5 * ((once - values.mean()) ** 2 / constant + np.log(constant))
    far = posterior.predict(structured.points).mean.mean(axis=0)
    truth = np.array([np.mean(accuracies) for accuracies in structured.accuracies])
    fitted = surrogate.fit(points, drawn_in(values)(values), np.random.default_rng(seed))
    return {
        "r2": float(1 - np.mean((mean - once) ** 2) / np.mean((once - values.mean()) ** 2)),
        "log_likelihood": float(np.mean(gain)),
        "rank": float(spearmanr(fitted.predict(held_out.points).mean.mean(axis=0), once)[0]),
        "structured_rmse": float(np.sqrt(np.mean((far - truth) ** 2))),
        "structured_rank": float(spearmanr(fitted.predict(structured.points).mean.mean(axis=0), truth)[0]),
        "cpu_seconds": seconds,
    }


def measure(setting: str, names: Sequence[str], draws: int, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Mean and standard error of the figures, for each surrogate and number of trainings."""
    space = SearchSpace.from_nni(json.loads((HERE.parent / "search_spaces" / "tuun.json").read_text()))
    random, structured = load(setting, space, "random"), load(setting, space, "structured")
    probe = ProbeRecord.load(RESULTS / f"probe_{setting}.json")
    noise = noise_of(random)
    rows = []
    for n in sizes:
        found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for draw in range(draws):
            order = np.random.default_rng(draw).permutation(len(random.points))
            out, others = order[:HELD_OUT], order[HELD_OUT:]
            training = random.chosen(list(others), n)
            held_out = Data(random.points[out], [random.accuracies[i] for i in out])
            for name in names:
                surrogate = SURROGATES[name](space, probe)
                found[name].append(judge(surrogate, n, training, held_out, structured, noise, draw))
            print(f"{setting}: {n} trainings, draw {draw + 1} of {draws}", file=sys.stderr)
        for name in names:
            row: dict[str, Any] = {"setting": setting, "surrogate": name, "trainings": n, "draws": draws}
            for key in found[name][0]:
                values = np.array([figures[key] for figures in found[name]])
                # a constant prediction has no ranks
                row[key] = round(float(np.nanmean(np.nan_to_num(values))), 4)
                row[f"{key}_error"] = round(float(np.std(np.nan_to_num(values)) / np.sqrt(len(values))), 4)
            rows.append(row)
    return rows


def report(rows: Sequence[Mapping[str, Any]]) -> str:
    """The figures as Markdown."""
    lines = [
        "| setting | trainings | surrogate | R2 | rank correlation | log-likelihood "
        "| structured: RMSE, points | rank |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['setting']} | {row['trainings']} | {row['surrogate']} | {row['r2']:.2f} +- {row['r2_error']:.2f} "
            f"| {row['rank']:.2f} +- {row['rank_error']:.2f} | {row['log_likelihood']:.2f} "
            f"| {100 * row['structured_rmse']:.1f} | {row['structured_rank']:.2f} |"
        )
    return "\n".join(lines)


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> bool:
    """Rank correlation, with standard errors, against the number of trainings; False without matplotlib.

    For random policies, and for structured ones, which are never trained on.
    """
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    settings = list(dict.fromkeys(row["setting"] for row in rows))
    names = list(dict.fromkeys(row["surrogate"] for row in rows))
    figure, grid = plt.subplots(2, len(settings), figsize=(4 * len(settings), 7), dpi=110, sharex=True, squeeze=False)
    for column, setting in enumerate(settings):
        for axes, quantity, what in (
            (grid[0, column], "rank", "held-out random policies"),
            (grid[1, column], "structured_rank", "structured policies, never trained on"),
        ):
            for number, name in enumerate(names):
                mine = sorted(
                    (row for row in rows if row["setting"] == setting and row["surrogate"] == name),
                    key=lambda row: row["trainings"],
                )
                axes.errorbar(
                    [row["trainings"] for row in mine],
                    [row[quantity] for row in mine],
                    yerr=[row[f"{quantity}_error"] for row in mine],
                    label=name,
                    color=plt.get_cmap("tab10")(number),
                    linestyle="--" if name.startswith("flat") else "-",
                    marker="o",
                    markersize=4,
                    capsize=2,
                )
            axes.set_title(f"{setting}: {what}", fontsize=9)
            axes.grid(alpha=0.3)
            axes.set_xscale("log", base=2)
            axes.set_xticks(sorted({row["trainings"] for row in rows}), sorted({row["trainings"] for row in rows}))
    for axes in grid[1]:
        axes.set_xlabel("trainings")
    for axes in grid[:, 0]:
        axes.set_ylabel("rank correlation")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=len(labels), fontsize=9)
    figure.tight_layout(rect=(0.0, 0.0, 1.0, 0.96))
    figure.savefig(path)
    plt.close(figure)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="*", default=list(SETTINGS), help=", ".join(SETTINGS))
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--surrogates", nargs="+", default=[name for name in SURROGATES if name != "stan_gp"])
    parser.add_argument("--results", type=Path, default=RESULTS / "surrogates.json")
    parser.add_argument("--report", action="store_true", help="write table and plot of what is there")
    options = parser.parse_args()
    stored = json.loads(options.results.read_text()) if options.results.exists() else {"conditions": {}, "rows": []}
    if not options.report:
        for setting in options.settings:
            rows = measure(setting, options.surrogates, options.draws, options.sizes)
            new = {(row["setting"], row["surrogate"], row["trainings"]) for row in rows}
            kept = [r for r in stored["rows"] if (r["setting"], r["surrogate"], r["trainings"]) not in new]
            stored = {"conditions": conditions(), "rows": kept + rows}
            options.results.write_text(json.dumps(stored, indent=1) + "\n")
    text = f"# What surrogates learn from real trainings\n\n{report(stored['rows'])}\n"
    picture = options.results.with_suffix(".png")
    if draw(stored["rows"], picture):
        text += f"\n![rank correlations]({picture.name})\n"
    options.results.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()

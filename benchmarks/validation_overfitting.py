"""How far a search over-fits the images that validate, with a fixed sample of them and with a fresh one for each trial.

    python -m benchmarks.trial_curves cifar10_500 --repeats 2 --data-dir data      (the trainings, once)
    python -m benchmarks.validation_overfitting [--resamples 4000] [--models 40]

A fresh sample for each trial is DeepAugment's remedy for policies that over-fit the validation images. Here, random
searches are put together from trainings of random policies, of which it is known which of 5,000 held-out images each
gets right: a trial's score is its accuracy on v of these, drawn with each class as often as any other. Its truth is the
accuracy of the same network on 10,000 other images, and that of a second training of the policy. A trial does not
depend on the scores before it, as those of an optimizer do: what a search that learns makes of a fixed sample is seen
only in what tuun_da's model recommends. Written to results/validation_overfitting.{json,md,png}.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.planned_policies import random_policies
from benchmarks.race import ROOT, conditions, read_lines, recommender
from benchmarks.trial_curves import CLASSES, POOL_IMAGES, results_of, unpack
from tuun_da.search.space import SearchSpace

Floats = NDArray[np.float64]

SETTING = "cifar10_500"
RESULTS = Path(__file__).parent / "results" / "validation_overfitting.json"
SIZES = (50, 100, 200, 500, 1000)
TRIALS = (10, 20, 30, 60, 100)
MODEL_TRIALS = 60
KINDS = ("fixed", "fresh")


@dataclass(frozen=True)
class Trainings:
    """One training of each of n policies. ``hits`` bool (n, classes, images of a class) on the pool that validates.

    ``truth`` (n,) is the accuracy of the same network on other images, ``again`` (n,) that of another training of the
    same policy, nan where there is none. ``policies`` are their numbers.
    """

    hits: NDArray[np.bool_]
    truth: Floats
    again: Floats
    policies: tuple[int, ...]


def read_trainings(path: Path) -> Trainings:
    """The first training of each policy in the file of trial_curves.py; of a second one, the accuracy."""
    by_repeat: dict[int, dict[int, Mapping[str, Any]]] = {}
    for record in read_lines(path):
        by_repeat.setdefault(record["repeat"], {})[record["policy"]] = record
    first, second = by_repeat[0], by_repeat.get(1, {})
    names = tuple(sorted(first))
    hits = np.stack([unpack(first[name]["pool"], POOL_IMAGES) for name in names])
    # image i is of class i % CLASSES
    by_class = hits.reshape(len(names), -1, CLASSES).swapaxes(1, 2)
    return Trainings(
        by_class,
        np.array([first[name]["truth"] for name in names]),
        np.array([second[name]["truth"] if name in second else np.nan for name in names]),
        names,
    )


def fixed_scores(hits: NDArray[np.bool_], size: int, rng: np.random.Generator) -> Floats:
    """(n,) accuracies on one sample of ``size`` images, the same for all trainings; each class as often."""
    per_class = size // hits.shape[1]
    chosen = [rng.choice(hits.shape[2], per_class, replace=False) for _ in range(hits.shape[1])]
    right = np.stack([hits[:, label, images].sum(1) for label, images in enumerate(chosen)], 1)
    scores: Floats = right.sum(1) / (per_class * hits.shape[1])
    return scores


def fresh_scores(hits: NDArray[np.bool_], size: int, rng: np.random.Generator) -> Floats:
    """(n,) accuracies, each on a sample of its own; of one training, the same distribution as in ``fixed_scores``.

    How many of a class's images that were drawn without replacement are right is hypergeometric.
    """
    per_class = size // hits.shape[1]
    right = hits.sum(2)  # (n, classes)
    scores: Floats = rng.hypergeometric(right, hits.shape[2] - right, per_class).sum(1) / (per_class * hits.shape[1])
    return scores


SCORES = dict(zip(KINDS, (fixed_scores, fresh_scores), strict=True))


def search(trainings: Trainings, size: int, kind: str, trials: Sequence[int], rng: np.random.Generator) -> Floats:
    """One random search: (len(trials), 4) seen, truth and truth of another training of the winner after so many trials,
    and the best truth among them."""
    order = rng.permutation(len(trainings.truth))
    scores = SCORES[kind](trainings.hits, size, rng)[order]
    rows = []
    for count in trials:
        winner = int(np.argmax(scores[:count]))  # of equals the first, in an order that was drawn
        best = float(trainings.truth[order[:count]].max())
        rows.append([scores[winner], trainings.truth[order[winner]], trainings.again[order[winner]], best])
    return np.array(rows)


def simulate(trainings: Trainings, sizes: Sequence[int], trials: Sequence[int], resamples: int) -> list[dict[str, Any]]:
    """Means over ``resamples`` searches, in percent, for each size, kind and number of trials.

    Optimism is what the winner was seen to have less its truth, without what the pool is easier for all policies.
    Standard errors are those of the simulation: they leave out that other policies could have been drawn.
    """
    rows = []
    easier = pool_is_easier(trainings)
    for size, kind in itertools.product(sizes, KINDS):
        rng = np.random.default_rng([size, KINDS.index(kind)])
        found = 100 * np.stack([search(trainings, size, kind, trials, rng) for _ in range(resamples)])
        optimism = found[:, :, 0] - found[:, :, 1] - easier
        for i, count in enumerate(trials):
            again = found[:, i, 2]
            rows.append(
                {
                    "size": size,
                    "kind": kind,
                    "trials": count,
                    "seen": float(found[:, i, 0].mean()),
                    "truth": float(found[:, i, 1].mean()),
                    "truth_error": float(found[:, i, 1].std(ddof=1) / resamples**0.5),
                    "again": None if np.isnan(again).any() else float(again.mean()),
                    "optimism": float(optimism[:, i].mean()),
                    "optimism_sd": float(optimism[:, i].std(ddof=1)),
                    "best": float(found[:, i, 3].mean()),
                }
            )
    return rows


def pool_is_easier(trainings: Trainings) -> float:
    """By how many points all trainings together are better on the pool than on the images of the truth."""
    return float(100 * (trainings.hits.mean() - trainings.truth.mean()))


def noise_of(hits: NDArray[np.bool_], size: int, rng: np.random.Generator, draws: int = 2000) -> dict[str, float]:
    """Standard deviations in points of a score around the accuracy on the whole pool.

    ``score`` is that of one trial, whatever the kind. With a fixed sample, ``common`` is what all trials share, which
    changes no order, and ``own`` the rest; fresh samples have nothing in common.
    """
    accuracy = hits.mean((1, 2))
    errors = 100 * np.stack([fixed_scores(hits, size, rng) - accuracy for _ in range(draws)])  # (draws, n)
    common = errors.mean(1)
    return {
        "score": float(np.sqrt((errors**2).mean())),
        "common": float(np.sqrt((common**2).mean())),
        "own": float(np.sqrt(((errors - common[:, None]) ** 2).mean())),
    }


def spread_of(trainings: Trainings) -> dict[str, float | None]:
    """Standard deviations in points of the truth: over trainings, and over policies without the luck of a training."""
    known = ~np.isnan(trainings.again)
    covariance = np.cov(trainings.truth[known], trainings.again[known])[0, 1] if known.sum() > 2 else None
    return {
        "of_trainings": float(100 * trainings.truth.std(ddof=1)),
        "of_policies": None if covariance is None else float(100 * max(covariance, 0.0) ** 0.5),
    }


def simulate_models(trainings: Trainings, sizes: Sequence[int], trials: int, resamples: int) -> list[dict[str, Any]]:
    """What tuun_da's Gaussian process recommends after ``trials`` random trials, beside the luckiest of them."""
    space = SearchSpace.from_nni(json.loads((ROOT / "search_spaces" / "tuun.json").read_text()))
    drawn = list(itertools.islice(random_policies(), max(trainings.policies) + 1))
    recommend = recommender({})
    rows = []
    for size, kind in itertools.product(sizes, KINDS):
        rng = np.random.default_rng([size, KINDS.index(kind), 1])
        found = []
        for _ in range(resamples):
            chosen = rng.permutation(len(trainings.truth))[:trials]
            scores = SCORES[kind](trainings.hits, size, rng)[chosen]
            params = [drawn[trainings.policies[i]] for i in chosen]
            for index in (int(np.argmax(scores)), recommend(space, params, scores.tolist())):
                found.append([trainings.truth[chosen[index]], trainings.again[chosen[index]]])
        table = 100 * np.array(found).reshape(resamples, 2, 2)  # search, lucky or model, truth or again
        gain = table[:, 1] - table[:, 0]
        row: dict[str, Any] = {"size": size, "kind": kind, "trials": trials, "searches": resamples}
        for k, name in enumerate(("truth", "again")):
            if not np.isnan(table[:, :, k]).any():
                row[name] = {
                    "lucky": float(table[:, 0, k].mean()),
                    "model": float(table[:, 1, k].mean()),
                    "gain": float(gain[:, k].mean()),
                    "gain_error": float(gain[:, k].std(ddof=1) / resamples**0.5),
                    "model_error": float(table[:, 1, k].std(ddof=1) / resamples**0.5),
                }
        rows.append(row)
        print(f"model, {size} images, {kind}: {row}", flush=True)
    return rows


def run(path: Path, resamples: int, models: int) -> dict[str, Any]:
    """All figures."""
    trainings = read_trainings(path)
    trials = [count for count in TRIALS if count <= len(trainings.truth)]
    rng = np.random.default_rng(0)
    return {
        "setting": SETTING,
        "policies": len(trainings.truth),
        "trained_twice": int((~np.isnan(trainings.again)).sum()),
        "mean_truth": float(100 * trainings.truth.mean()),
        "pool_is_easier": pool_is_easier(trainings),
        "spread": spread_of(trainings),
        "noise": {str(size): noise_of(trainings.hits, size, rng) for size in SIZES},
        "resamples": resamples,
        "searches": simulate(trainings, SIZES, trials, resamples),
        "models": simulate_models(trainings, SIZES, min(MODEL_TRIALS, len(trainings.truth)), models) if models else [],
        "conditions": conditions(),
    }


def markdown(found: Mapping[str, Any], picture: str | None) -> str:
    """The tables."""
    spread = found["spread"]
    between = "" if spread["of_policies"] is None else f", between policies {spread['of_policies']:.2f}"
    last = max(row["trials"] for row in found["searches"])
    twice = all(row["again"] is not None for row in found["searches"])
    lines = [
        f"# Over-fitting of the validation images: {found['setting']}\n",
        f"{found['policies']} random policies; accuracy {found['mean_truth']:.2f} % on 10,000 images that no search "
        f"saw; standard deviation between trainings {spread['of_trainings']:.2f} points{between}. On the 5,000 images "
        f"that samples are drawn from, all are together {found['pool_is_easier']:+.2f} points off; optimism is without "
        "it.\n",
        "Noise of one score in points: with a fixed sample, all trials have a part of it in common.\n",
        "| images | of a score | fixed: in common | fixed: a trial's own | fresh: a trial's own |",
        "|---|---|---|---|---|",
    ]
    for size, noise in found["noise"].items():
        lines.append(
            f"| {size} | {noise['score']:.2f} | {noise['common']:.2f} | {noise['own']:.2f} | {noise['score']:.2f} |"
        )
    lines += [
        f"\nRandom searches, {found['resamples']} of each kind. Optimism: what the winner was seen to have, less its "
        "truth on other images." + " Trained again: the winner's policy, with another seed." * twice + "\n",
        "| images | trials | optimism, fixed | fresh | truth, fixed | fresh |"
        + " trained again, fixed | fresh |" * twice,
        "|---|---|---|---|---|---|" + "---|---|" * twice,
    ]
    rows = {(row["size"], row["trials"], row["kind"]): row for row in found["searches"]}
    for size, count in sorted({key[:2] for key in rows}):
        if count not in (10, 30, 60, last):
            continue
        pair = [rows[size, count, kind] for kind in KINDS]
        cells = [str(size), str(count)]
        cells += [f"{row['optimism']:+.2f}" for row in pair]
        cells += [f"{row['truth']:.2f}" for row in pair]
        cells += [f"{row['again']:.2f}" for row in pair if twice]
        lines.append("| " + " | ".join(cells) + " |")
    best = {row["trials"]: row["best"] for row in found["searches"]}
    lines.append("\nThe best truth among the trials: " + ", ".join(f"{best[n]:.2f} after {n}" for n in best) + ".\n")
    if found["models"]:
        first = found["models"][0]
        lines += [
            f"What tuun_da's model recommends after {first['trials']} trials, {first['searches']} searches of each "
            f"kind, {'trained again' if twice else 'truth'} (± standard error):\n",
            "| images | kind | luckiest trial | recommended | difference |",
            "|---|---|---|---|---|",
        ]
        for row in found["models"]:
            got = row.get("again") or row["truth"]
            lines.append(
                f"| {row['size']} | {row['kind']} | {got['lucky']:.2f} | {got['model']:.2f} ± {got['model_error']:.2f} "
                f"| {got['gain']:+.2f} ± {got['gain_error']:.2f} |"
            )
        lines.append("")
    if picture:
        lines.append(f"![optimism and truth of the winner]({picture})\n")
    return "\n".join(lines)


def draw(found: Mapping[str, Any], path: Path) -> bool:
    """Optimism and truth of the winner against the trials; False without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), dpi=110)
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(SIZES)))
    for (size, color), kind in itertools.product(zip(SIZES, colors, strict=True), KINDS):
        rows = [row for row in found["searches"] if (row["size"], row["kind"]) == (size, kind)]
        style = {"color": color, "linestyle": "-" if kind == "fixed" else "--", "marker": "o", "markersize": 3}
        trials = [row["trials"] for row in rows]
        left.plot(trials, [row["optimism"] for row in rows], label=f"{size} images, {kind}", **style)
        right.plot(trials, [row["truth"] for row in rows], **style)
    best = {row["trials"]: row["best"] for row in found["searches"]}
    right.plot(list(best), list(best.values()), color="tab:red", linewidth=1, label="the best of the trials")
    right.axhline(found["mean_truth"], color="tab:gray", linewidth=1, label="all policies")
    left.axhline(0, color="tab:gray", linewidth=1)
    left.set(xlabel="trials", ylabel="optimism of the winner, points", title="seen, less truth")
    right.set(xlabel="trials", ylabel="accuracy of the winner on other images, %", title="truth")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xticks(list(best), [str(n) for n in best])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(fontsize=6, ncols=2, loc="upper left")
    left.set_ylim(top=1.35 * left.get_ylim()[1])  # room for the legend
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resamples", type=int, default=4000)
    parser.add_argument("--models", type=int, default=40, help="searches in which the model recommends; 0: none")
    parser.add_argument("--trainings", type=Path, default=results_of(SETTING))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    found = run(options.trainings, options.resamples, options.models)
    options.results.write_text(json.dumps(found, indent=1) + "\n")
    drawn = draw(found, options.results.with_suffix(".png"))
    text = markdown(found, options.results.with_suffix(".png").name if drawn else None)
    options.results.with_suffix(".md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

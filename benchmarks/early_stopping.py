"""What Medianstop, NNI's assessor, saves, and whether as good a policy wins: at several first steps.

    python -m benchmarks.trial_curves digits                                    (the curves, once; of cifar10_500, too)
    python -m benchmarks.early_stopping [--resamples 200]
    python -m benchmarks.early_stopping --searches 3 --trials 24 --start-step 3     (real searches, resumable)

Random searches of 60 trials, one at a time, are put together from real curves, each validated after every epoch, and
NNI's own class hears of each epoch as it would; two other rules beside it show what the curves would allow. The real
searches are tuun_da's optimizer on the digits, as in nni_configs/digits.yml, which is told of stopped trials; their
trainings are kept in results/early_stopping.jsonl.
Written to results/early_stopping.{json,md,png}.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.race import ROOT, append_line, conditions, read_lines
from benchmarks.trial_curves import SETTINGS, config_of, results_of
from tuun_da.search.optimizer import Optimizer
from tuun_da.search.space import SearchSpace

Floats = NDArray[np.float64]

RESULTS = Path(__file__).parent / "results" / "early_stopping.json"
START_STEPS = (1, 2, 3, 4, 6, 10, 15, 20, 30, 45)  # epochs after which a rule begins to judge
STARTUP = 5  # trials that the rules for comparison let run before they judge any, as Optuna's pruners do
TRIALS = 60
SEARCHED = "digits"
FIRST_RETRAINING_SEED = 900_000
RETRAININGS = 3


@dataclass(frozen=True)
class Curves:
    """``validation`` (n, epochs) of n trainings, of one policy each, and ``truth`` (n,) at the end on other images.

    ``again`` (n,) is the truth of another training of the same policy, nan where there is none.
    """

    validation: Floats
    truth: Floats
    again: Floats


def read_curves(path: Path) -> Curves:
    """The first training of each policy in the file of trial_curves.py; of a second one, the truth."""
    by_repeat: dict[int, dict[int, Mapping[str, Any]]] = {}
    for record in read_lines(path):
        by_repeat.setdefault(record["repeat"], {})[record["policy"]] = record
    first, second = by_repeat[0], by_repeat.get(1, {})
    return Curves(
        np.array([record["curve"] for record in first.values()]),
        np.array([record["truth"] for record in first.values()]),
        np.array([second[name]["truth"] if name in second else np.nan for name in first]),
    )


class Medianstop:
    """NNI's assessor, asked one trial after the other; the last epoch is not assessed, for nothing is left to save."""

    def __init__(self, start_step: int, epochs: int) -> None:
        from nni.algorithms.hpo.medianstop_assessor import MedianstopAssessor
        from nni.assessor import AssessResult

        logging.getLogger("medianstop_Assessor").setLevel(logging.ERROR)  # trials that it never assessed end, too
        self._assessor = MedianstopAssessor(optimize_mode="maximize", start_step=start_step)
        self._bad = AssessResult.Bad
        self._epochs = epochs

    def stops(self, trial: int, history: Sequence[float]) -> bool:
        """Whether the trial, with these scores of its epochs so far, is to be ended."""
        return self._assessor.assess_trial(trial, list(history)) is self._bad and len(history) < self._epochs

    def ended(self, trial: int, *, stopped: bool) -> None:
        """NNI says of a stopped trial that it did not succeed, so the median is over complete ones."""
        self._assessor.trial_end(trial, not stopped)


class Once:
    """For comparison: a trial is judged once, at ``start_step``, by its best so far against that of the others then.

    It ends there if it is below the quantile ``share`` of all trials that came that far.
    """

    def __init__(self, share: float, start_step: int, epochs: int) -> None:
        self._share, self._step, self._epochs = share, max(start_step, 1), epochs
        self._best: dict[int, float] = {}  # at that step, by trial

    def stops(self, trial: int, history: Sequence[float]) -> bool:
        """As ``Medianstop.stops``."""
        if len(history) != self._step:
            return False
        others = [best for other, best in self._best.items() if other != trial]
        self._best[trial] = max(history)
        if self._step == self._epochs or len(others) < STARTUP:
            return False
        return bool(max(history) < np.quantile(others, self._share))

    def ended(self, trial: int, *, stopped: bool) -> None:
        """Nothing to do: stopped trials count like others."""


Rule = Medianstop | Once
RULES: Mapping[str, Callable[[int, int], Rule]] = {
    "Medianstop": Medianstop,
    "once, below the median": functools.partial(Once, 0.5),
    "once, in the lower quartile": functools.partial(Once, 0.25),
}
"""By name, each made of the first step that it judges and the number of epochs."""


def epochs_run(curves: Floats, start_step: int, rule: str = "Medianstop") -> NDArray[np.int64]:
    """How many epochs each of ``curves`` (n, epochs) is allowed, one trial after the other: (n,)."""
    total = curves.shape[1]
    assessor = RULES[rule](start_step, total)
    allowed = np.full(len(curves), total)
    for trial, curve in enumerate(curves.tolist()):
        for epoch in range(1, total + 1):
            if assessor.stops(trial, curve[:epoch]):
                allowed[trial] = epoch
                break
        assessor.ended(trial, stopped=bool(allowed[trial] < total))
    return allowed


def simulate(curves: Curves, start_step: int, trials: int, resamples: int, rule: str = "Medianstop") -> dict[str, Any]:
    """Means over random searches; the luckiest complete trial wins. Differences are to the same search, never stopped.

    The same searches for every ``rule`` and ``start_step``.
    """
    epochs = curves.validation.shape[1]
    rng = np.random.default_rng(0)
    saved, stopped, same, difference, again = [], [], [], [], []
    winners = set()
    for _ in range(resamples):
        chosen = rng.permutation(len(curves.truth))[:trials]
        allowed = epochs_run(curves.validation[chosen], start_step, rule)
        final = curves.validation[chosen, -1]
        winner = int(np.argmax(final))
        winners.add(int(chosen[winner]))
        with_stops = int(np.argmax(np.where(allowed == epochs, final, -np.inf)))
        saved.append(1 - allowed.sum() / (epochs * len(chosen)))
        stopped.append(np.mean(allowed < epochs))
        same.append(winner == with_stops)
        difference.append(curves.truth[chosen[with_stops]] - curves.truth[chosen[winner]])
        again.append(curves.again[chosen[with_stops]] - curves.again[chosen[winner]])
    known = not np.isnan(again).any()
    return {
        "rule": rule,
        "start_step": start_step,
        "epochs": epochs,
        "trials": trials,
        "saved": float(100 * np.mean(saved)),
        "saved_sd": float(100 * np.std(saved, ddof=1)),
        "stopped": float(100 * np.mean(stopped)),
        "different_winners": len(winners),
        "same_winner": float(100 * np.mean(same)),
        "truth_difference": float(100 * np.mean(difference)),
        "truth_difference_sd": float(100 * np.std(difference, ddof=1)),
        "again_difference": float(100 * np.mean(again)) if known else None,
    }


def predictive(curves: Curves, step: int) -> float:
    """Rank correlation of the best score up to ``step`` epochs with the truth at the end."""
    from scipy.stats import spearmanr

    return float(spearmanr(curves.validation[:, : max(step, 1)].max(1), curves.truth).statistic)


class Stopped(Exception):
    """Raised out of a training to end it."""


class Trainings:
    """Trainings on the digits, each done once: by parameters and seed, the curve, perhaps cut off, and the truth."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = {self._key(record["params"], record["seed"]): record for record in read_lines(path)}

    @staticmethod
    def _key(params: Mapping[str, Any], seed: int) -> str:
        return json.dumps([params, seed], sort_keys=True)

    def curve(
        self, params: Mapping[str, Any], seed: int, rule: Rule | None, trial: int
    ) -> tuple[list[float], bool, float | None]:
        """The curve as far as it was allowed to go, whether it was stopped, and the truth of a complete training."""
        key, total = self._key(params, seed), config_of(SEARCHED).epochs
        if key in self._known and (rule is not None or len(self._known[key]["curve"]) == total):
            known = self._known[key]
            for epoch in range(1, len(known["curve"]) + 1) if rule is not None else ():
                if rule is not None and rule.stops(trial, known["curve"][:epoch]):
                    return known["curve"][:epoch], True, None
            if len(known["curve"]) == total:
                return known["curve"], False, known["truth"]
        record = self._train(params, seed, rule, trial)
        self._known[key] = record
        append_line(self._path, record)
        return record["curve"], len(record["curve"]) < total, record["truth"]

    @staticmethod
    def _train(params: Mapping[str, Any], seed: int, rule: Rule | None, trial: int) -> dict[str, Any]:
        import torch

        from benchmarks.real_trainings import CPU
        from benchmarks.trial_curves import held_out, hits
        from tuun_da.augment.policy import Policy
        from tuun_da.training.loop import Classifier, EpochReport, train

        torch.set_num_threads(1)
        held = held_out(SEARCHED)
        curve: list[float] = []
        truth: list[float] = []

        def on_epoch(report: EpochReport) -> None:
            curve.append(round(report.validation_accuracy, 6))
            if rule is not None and rule.stops(trial, curve):
                raise Stopped

        def look(classifier: Classifier) -> None:
            truth.append(round(float(hits(classifier, *held.truth).mean()), 6))

        config = replace(config_of(SEARCHED), seed=seed)
        with contextlib.suppress(Stopped):
            train(config, held.splits, Policy(params), CPU, on_epoch, on_trained=look)
        return {"params": dict(params), "seed": seed, "curve": curve, "truth": truth[0] if truth else None}


def search(
    seed: int, trials: int, start_step: int | None, trainings: Trainings, rule: str = "Medianstop"
) -> dict[str, Any]:
    """One real search, and the truth of what it recommends, trained ``RETRAININGS`` times with seeds of no trial.

    ``start_step`` None never stops. Searches of one seed begin with the same policies and training seeds.
    """
    space = SearchSpace.from_nni(json.loads((ROOT / "search_spaces" / "tuun.json").read_text()))
    optimizer = Optimizer(space, seed=seed)
    epochs = config_of(SEARCHED).epochs
    assessor = None if start_step is None else RULES[rule](start_step, epochs)
    used, count = 0, 0
    for trial in range(trials):
        params = optimizer.ask(trial)
        curve, stopped, _ = trainings.curve(params, 1000 * seed + trial, assessor, trial)
        if assessor is not None:
            assessor.ended(trial, stopped=stopped)
        if stopped:
            optimizer.tell_stopped(trial, curve[-1])
        else:
            optimizer.tell(trial, curve[-1])
        used += len(curve)
        count += stopped
    best = optimizer.recommend()
    truths = [trainings.curve(best, FIRST_RETRAINING_SEED + i, None, -1)[2] for i in range(RETRAININGS)]
    return {
        "seed": seed,
        "rule": None if start_step is None else rule,
        "start_step": start_step,
        "trials": trials,
        "stopped": count,
        "epochs": used,
        "epochs_in_all": epochs * trials,
        "truths": truths,
    }


def run_searches(count: int, trials: int, start_step: int, results: Path, rule: str = "Medianstop") -> None:
    """Real searches with and without stopping, put into ``results`` beside the simulated ones."""
    trainings = Trainings(results.with_suffix(".jsonl"))
    rows = []
    for seed in range(count):
        for step in (None, start_step):
            rows.append(search(seed, trials, step, trainings, rule))
            print(rows[-1], flush=True)
    found = json.loads(results.read_text()) if results.exists() else {}
    again = {(row["trials"], row["rule"], row["start_step"]) for row in rows}
    others = found.get("searches", [])
    kept = [row for row in others if (row["trials"], row["rule"], row["start_step"]) not in again]
    results.write_text(json.dumps(found | {"searches": [*kept, *rows]}, indent=1) + "\n")


def run_simulations(settings: Sequence[str], resamples: int, results: Path) -> None:
    """Simulated searches of each of ``settings`` of which there are curves, put into ``results``."""
    found = json.loads(results.read_text()) if results.exists() else {}
    simulated = found.get("simulated", {})
    for setting in settings:
        if not results_of(setting).exists():
            continue
        curves = read_curves(results_of(setting))
        steps = [step for step in START_STEPS if step < curves.validation.shape[1]]
        trials = min(TRIALS, len(curves.truth))
        simulated[setting] = {
            "policies": len(curves.truth),
            "resamples": resamples,
            "rows": [
                simulate(curves, step, trials, resamples, rule) | {"predicts": predictive(curves, step)}
                for rule in RULES
                for step in steps
            ],
            "median_curve": np.median(curves.validation, axis=0).round(4).tolist(),
        }
        print(f"{setting}: {json.dumps(simulated[setting]['rows'])}", flush=True)
    results.write_text(json.dumps(found | {"simulated": simulated, "conditions": conditions()}, indent=1) + "\n")


def markdown(found: Mapping[str, Any], picture: str | None) -> str:
    """The tables."""
    lines = ["# Medianstop: what it saves, and what it costs\n"]
    for setting, part in found.get("simulated", {}).items():
        first = part["rows"][0]
        lines += [
            f"## {setting}: {part['resamples']} random searches of {first['trials']} trials, put together from "
            f"{part['policies']} policies, {first['epochs']} epochs each\n",
            "| rule | start_step | epochs saved | trials stopped | same winner | truth of the winner, less that "
            "without | trained again | best score so far predicts the truth (rank correlation) |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for row in part["rows"]:
            again = "" if row["again_difference"] is None else f"{row['again_difference']:+.2f}"
            lines.append(
                f"| {row['rule']} | {row['start_step']} | {row['saved']:.1f} % ± {row['saved_sd']:.1f} | "
                f"{row['stopped']:.0f} % | {row['same_winner']:.0f} % | {row['truth_difference']:+.2f} ± "
                f"{row['truth_difference_sd']:.2f} | {again} | {row['predicts']:.2f} |"
            )
        lines.append(
            f"\nWithout stops, only {first['different_winners']} different policies win, because all searches draw "
            "from the same ones: that a winner survives is known of so many. "
            "± is the standard deviation over searches; all differences are in points. Medianstop is NNI's, which "
            "asks whether the best score so far is below the median of the complete trials' means over all epochs up "
            "to this one. The other rules, for comparison, ask once, at start_step, where the best score so far lies "
            f"among those of the other trials then; they let the first {STARTUP} trials run.\n"
        )
    searches = found.get("searches", [])
    if searches:
        lines += [
            "## Real searches on the digits with tuun_da's optimizer\n",
            f"Truth: of what is recommended, trained {RETRAININGS} times, on images that the search never saw.\n",
            "| trials | rule | start_step | seed | stopped | epochs saved | truth of the recommendation |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in sorted(searches, key=lambda row: (row["trials"], row["start_step"] or 0, row["seed"])):
            saved = 100 * (1 - row["epochs"] / row["epochs_in_all"])
            step = "never stops |" if row["rule"] is None else f"{row['rule']} | {row['start_step']}"
            lines.append(
                f"| {row['trials']} | {step} | {row['seed']} | {row['stopped']} | {saved:.1f} % | "
                f"{100 * np.mean(row['truths']):.2f} ± {100 * np.std(row['truths'], ddof=1):.2f} |"
            )
        lines.append("")
    if picture:
        lines.append(f"![saved, and the same winner]({picture})\n")
    return "\n".join(lines)


def draw(found: Mapping[str, Any], path: Path) -> bool:
    """The median curve, and what is saved and how often the same wins against the first step judged."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    simulated = found.get("simulated", {})
    if not simulated:
        return False
    figure, (left, *others) = plt.subplots(1, 1 + len(simulated), figsize=(5 * (1 + len(simulated)), 4), dpi=110)
    for (setting, part), axes in zip(simulated.items(), others, strict=True):
        curve = 100 * np.array(part["median_curve"])
        left.plot(np.arange(1, len(curve) + 1) / len(curve), curve, label=setting)
        for rule, color in zip(RULES, ("tab:red", "tab:blue", "tab:gray"), strict=True):
            rows = [row for row in part["rows"] if row["rule"] == rule]
            steps = [row["start_step"] for row in rows]
            for key, name, style in (("saved", "epochs saved", "-"), ("same_winner", "same winner", "--")):
                axes.plot(steps, [row[key] for row in rows], style, color=color, label=f"{rule}: {name}", marker=".")
        axes.set(xlabel="start_step", ylabel="%", title=f"{setting}: {part['rows'][0]['trials']} random trials")
    left.set(xlabel="share of the epochs", ylabel="median validation accuracy, %", title="learning curves")
    for axes in (left, *others):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--searches", type=int, default=0, help="run so many real ones, instead of simulating")
    parser.add_argument("--trials", type=int, default=24, help="of a real search")
    parser.add_argument("--rule", choices=RULES, default="Medianstop", help="of a real search")
    parser.add_argument("--start-step", type=int, default=3, help="of a real search")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    if options.searches:
        run_searches(options.searches, options.trials, options.start_step, options.results, options.rule)
    else:
        run_simulations(SETTINGS, options.resamples, options.results)
    found = json.loads(options.results.read_text())
    drawn = draw(found, options.results.with_suffix(".png"))
    text = markdown(found, options.results.with_suffix(".png").name if drawn else None)
    options.results.with_suffix(".md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

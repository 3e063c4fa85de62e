"""The race with real trainings: random search, TPE, the flat GP and ours, on paired seeds, every training kept.

    python -m benchmarks.real_race digits --data-dir data --seeds 8 --workers 2 [--shard 0/2]
    python -m benchmarks.real_race digits --report

All optimizers of a seed begin with the same settings, trained with the same seed, so these cost once. At the end, and
after 30 trials, what the common recommender picks and the luckiest trial are trained 5 times again, with seeds that no
trial had and that are the same for all; of ours with more knowledge, a probe, also what it recommends itself. Interrupt
it at any time: a rerun asks the optimizers again, which propose the same, and takes every training that is in
``results/real_race_SETTING.jsonl`` from there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import race
from benchmarks.race_report import draw_recommendations, shortened
from benchmarks.rivals import Params, make_rival, recommended_by
from tuun_da.search.space import SearchSpace

HERE = Path(__file__).parent
OPTIMIZERS = ["random", "optuna_tpe", "flat_gp", "ours:gp"]
AT = (30, 60)  # trials, after which there are recommendations
RETRAININGS = 5
FIGURES = ("recommended", "own recommendation", "lucky")  # in the order of the table
FIRST_RETRAINING_SEED = 900_000

Train = Callable[[str, "Params | str", int], float]


@dataclass(frozen=True)
class Settings:
    """``train`` maps (setting, policy, seed) to an accuracy; it must be a function that a worker can import."""

    setting: str
    results: Path
    optimizers: tuple[str, ...]
    trials: int = 60
    concurrency: int = 1
    recommender: str = "{}"
    space: Mapping[str, Any] = field(default_factory=dict)
    lucky: bool = True  # retrain the luckiest trial, too


class Journal:
    """All trainings of one setting, by policy and seed, and what came out of each race."""

    def __init__(self, settings: Settings, train: Train) -> None:
        self._settings = settings
        self._train = train
        self._names = list(settings.space)
        self.records = [
            record if isinstance(record["policy"], str) else record | {"policy": self._named(record["policy"])}
            for record in race.read_lines(settings.results)
        ]
        self._known = {
            (_key(record["policy"]), record["training_seed"]): float(record["accuracy"])
            for record in self.records
            if record["kind"] == "training"
        }

    def _named(self, values: Sequence[Any]) -> Params:
        return dict(zip(self._names, values, strict=True))

    def accuracy(self, policy: Params | str, seed: int, **notes: Any) -> float:
        """Of a training, done now unless it is known."""
        key = _key(policy), seed
        if key not in self._known:
            begin = time.process_time()
            accuracy = self._train(self._settings.setting, policy, seed)
            record = {"kind": "training", "setting": self._settings.setting, "training_seed": seed, "policy": policy}
            record |= {"accuracy": accuracy, "seconds": round(time.process_time() - begin, 2), **notes}
            self.add(record)
            self._known[key] = accuracy
        return self._known[key]

    def add(self, record: dict[str, Any]) -> None:
        """Append ``record``; its policy is written as a list of values in the order of the space, a third as long."""
        self.records.append(record)
        policy = record["policy"]
        short = policy if isinstance(policy, str) else [policy[name] for name in self._names]
        race.append_line(self._settings.results, record | {"policy": short})


def train_baselines(settings: Settings, train: Train) -> None:
    """What costs no search: each of the ``BASELINES``, trained with the seeds of the recommendations' retrainings."""
    from benchmarks.real_trainings import BASELINES  # which loads torch: a report does not need it

    journal = Journal(settings, train)
    for name in BASELINES:
        for i in range(RETRAININGS):
            journal.accuracy(name, FIRST_RETRAINING_SEED + i, baseline=name)


def run_seed(settings: Settings, seed: int, train: Train) -> None:
    """All optimizers with one seed, and the retraining of what they recommend."""
    warnings.simplefilter("ignore")
    journal = Journal(settings, train)
    space = SearchSpace.from_nni(settings.space)
    initial = race.initial_settings(space, seed)
    for name in settings.optimizers:

        def observe(number: int, params: Params, name: str = name) -> float:
            return journal.accuracy(params, 1000 * seed + number, optimizer=name, race_seed=seed, trial=number)

        rival = make_rival(name, settings.space, seed, initial)
        trials = race.play(rival, observe, settings.trials, concurrency=settings.concurrency, seed=seed)
        for at in sorted({min(at, settings.trials) for at in AT}):
            _judge(journal, settings, name, seed, trials, at)
        print(f"{settings.setting}: {name}, seed {seed}: best seen {max(trials.values):.4f}", flush=True)


def _judge(journal: Journal, settings: Settings, name: str, seed: int, trials: race.Trials, at: int) -> None:
    """Retrain what the recommender picks of the first ``at`` trials and the luckiest of them, and note it."""
    space = SearchSpace.from_nni(settings.space)
    params, values = trials.params[:at], trials.values[:at]
    recommend = race.recommender(json.loads(settings.recommender))
    picked = [("recommended", recommend(space, params, values))]
    if settings.lucky:
        picked.append(("lucky", int(np.argmax(values))))
    if name.startswith("ours:gp,"):  # with a probe, say: what such an optimizer recommends knows of it, too
        picked.append(("own recommendation", recommended_by(name, settings.space, params, values)))
    for figure, index in picked:
        known = {"kind": "result", "optimizer": name, "race_seed": seed, "at": at, "figure": figure}
        known |= {"trials": settings.trials, "concurrency": settings.concurrency, "policy": params[index]}
        if any(all(record.get(key) == value for key, value in known.items()) for record in journal.records):
            continue
        retrained = [
            journal.accuracy(params[index], FIRST_RETRAINING_SEED + i, retraining=True) for i in range(RETRAININGS)
        ]
        journal.add(
            known
            | {
                "seen": values[index],
                "retrained": retrained,
                "last_ten": float(np.mean(values[-race.LAST :])),
                "seconds_per_suggestion": float(np.median(trials.seconds[race.INITIAL : at] or [0.0])),
                "recommender": settings.recommender,
                "code": race.code_of_ours(),
                "conditions": race.conditions(),
            }
        )


def _key(policy: Mapping[str, Any] | str) -> str:
    return json.dumps(policy, sort_keys=True)


@dataclass(frozen=True)
class RealTraining:
    """``train_policy`` with its folder; a class, so that worker processes can be sent one."""

    data_dir: str

    def __call__(self, setting: str, policy: Params | str, seed: int) -> float:
        import torch

        from benchmarks.real_trainings import train_policy

        torch.set_num_threads(1)
        return train_policy(setting, policy, seed, data_dir=self.data_dir)


def report(results: Path, reference: str) -> str:
    """The table and its Markdown file: retrained accuracies in percent, and differences paired by seed. And a plot."""
    found: dict[tuple[str, int, str], dict[int, dict[str, Any]]] = {}
    baselines: dict[str, list[float]] = {}
    for record in race.read_lines(results):
        if record["kind"] == "result":
            found.setdefault((record["optimizer"], record["at"], record["figure"]), {})[record["race_seed"]] = record
        elif "baseline" in record:
            baselines.setdefault(record["baseline"], []).append(float(record["accuracy"]))
    last = max((at for _, at, _ in found), default=0)
    head = ["optimizer", "after", "what", "seeds", "seen in the search", "retrained", f"less {reference}"]
    head += [f"less {reference} after {last}", "last ten"]
    lines = [f"# {results.stem}: accuracy in percent\n", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    order = sorted(found, key=lambda row: (-row[1], FIGURES.index(row[2]), -np.mean(list(_means(found[row]).values()))))
    for row in order:
        runs, means = found[row], _means(found[row])
        figure = "lucky" if row[2] == "lucky" else "recommended"
        cells = [shortened(row[0]), f"{row[1]} trials", row[2], str(len(runs))]
        cells += [f"{100 * np.mean([run['seen'] for run in runs.values()]):.2f}"]
        cells += [_with_interval(list(means.values()), signed=False)]
        for at in (row[1], last):
            other = _means(found.get((reference, at, figure), {}))
            paired = [means[seed] - other[seed] for seed in means if seed in other]
            is_itself = row[0] == reference and at == row[1]
            cells += ["" if is_itself else _with_interval(paired, signed=True)]
        cells += [f"{100 * np.mean([run['last_ten'] for run in runs.values()]):.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    lines.append(
        "\nIntervals are 95 % (Student's t over the seeds); every policy was trained again with 5 fresh seeds."
    )
    if baselines:
        lines.append(
            "\nWithout a search, trained with the same seeds:\n\n| policy | trainings | accuracy |\n|---|---|---|"
        )
        for name, values in sorted(baselines.items(), key=lambda item: -np.mean(item[1])):
            lines.append(f"| {name} | {len(values)} | {_with_interval(values, signed=False)} |")
    curves = {
        (name, at, figure): list(_means(runs).values())
        for (name, at, figure), runs in found.items()
        if figure != "lucky"
    }
    if draw_recommendations(curves, baselines, results.stem, results.with_suffix(".png")):
        lines.append(f"\n![{results.stem}]({results.stem}.png)")
    text = "\n".join(lines) + "\n"
    results.with_suffix(".md").write_text(text)
    return text


def _means(runs: Mapping[int, Mapping[str, Any]]) -> dict[int, float]:
    return {seed: float(np.mean(run["retrained"])) for seed, run in runs.items()}


def _with_interval(values: Sequence[float], *, signed: bool) -> str:
    """The mean in percent and the half width of its 95 % interval."""
    from scipy.stats import t

    if not values:
        return ""
    mean = f"{100 * np.mean(values):{'+' if signed else ''}.2f}"
    if len(values) < 2:
        return mean
    half = 100 * t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return f"{mean} ± {half:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("setting")
    parser.add_argument("--data-dir", default="data", help="where the archives were unpacked")
    parser.add_argument("--optimizers", nargs="+", default=OPTIMIZERS)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=8, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--recommender", default="{}", help="options of tuun_da's Optimizer, as JSON")
    parser.add_argument("--no-lucky", action="store_true", help="retrain what is recommended only")
    parser.add_argument("--workers", type=int, default=1, help="processes of one core, each with seeds of its own")
    parser.add_argument("--shard", default="0/1", help="i/n: the i-th (from 0) of n parts of the seeds")
    parser.add_argument("--results", type=Path, help="default: results/real_race_SETTING.jsonl")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--reference", default="optuna_tpe", help="optimizer that the others are compared with")
    options = parser.parse_args()
    results = options.results or HERE / "results" / f"real_race_{options.setting}.jsonl"
    if options.report:
        print(report(results, options.reference))
        return
    os.environ.update(race.ONE_CORE)  # for the workers, which are new processes
    settings = Settings(
        options.setting,
        results,
        tuple(options.optimizers),
        options.trials,
        options.concurrency,
        options.recommender,
        json.loads((race.ROOT / "search_spaces" / "tuun.json").read_text()),
        not options.no_lucky,
    )
    i, n = map(int, options.shard.split("/"))
    seeds = range(options.first_seed, options.first_seed + options.seeds)[i::n]
    train = RealTraining(options.data_dir)
    train_baselines(settings, train)
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(run_seed, settings, seed, train) for seed in seeds]):
            future.result()


if __name__ == "__main__":
    main()

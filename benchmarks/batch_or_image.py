"""Whether a policy that was searched with one sub-policy a mini-batch is as good when each image draws its own.

    python -m benchmarks.batch_or_image [digits cifar10_500] [--policies 12] [--seeds 6] [--data-dir data]
    python -m benchmarks.batch_or_image --report

Half of the policies are what searches recommended after 60 trials in real_race.py, where policies were applied per
batch; the others are random ones, its first trials, so that there is a range of accuracies to rank. Each is trained
from scratch both ways with the same seeds, which no trial of a search had. Every training is kept in
results/batch_or_image.jsonl, and a rerun goes on from there.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr, t

from benchmarks.race import append_line, conditions, initial_settings, read_lines
from benchmarks.real_trainings import named_setting, train_setting
from tuun_da.augment import Policy
from tuun_da.search.space import SearchSpace

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "batch_or_image.jsonl"
SPACE = HERE.parent / "search_spaces" / "tuun.json"
WAYS = ("batch", "image")
FIRST_SEED = 700_000


def policies_of(setting: str, count: int, results: Path = RESULTS) -> dict[str, Mapping[str, Any]]:
    """``count`` policies by name, as parameters: those in ``results``, or else half of them from the races."""
    chosen = {record["name"]: record["policy"] for record in read_lines(results) if record["setting"] == setting}
    if chosen:
        return dict(list(chosen.items())[:count])
    space = SearchSpace.from_nni(json.loads(SPACE.read_text()))
    records = read_lines(HERE / "results" / f"real_race_{setting}.jsonl")
    found = [
        record
        for record in records
        if record["kind"] == "result" and record["at"] == 60 and record["figure"] == "recommended"
    ]
    for record in sorted(found, key=lambda record: (record["race_seed"], record["optimizer"])):
        params = dict(zip((column.name for column in space.columns), record["policy"], strict=True))
        if len(chosen) < count // 2 and params not in chosen.values():
            chosen[f"{record['optimizer']}, seed {record['race_seed']}"] = params
    for number, params in enumerate(initial_settings(space, seed=12_345, n=count - len(chosen))):
        chosen[f"random {number}"] = params
    return chosen


def measure(setting: str, count: int, seeds: int, data_dir: str, results: Path) -> None:
    """Train what is missing, seed by seed, both ways one after the other."""
    records = read_lines(results)
    done = {(record["setting"], record["name"], record["per"], record["seed"]) for record in records}
    policies = policies_of(setting, count, results)
    left = [
        (name, per, seed)
        for seed in range(FIRST_SEED, FIRST_SEED + seeds)
        for name in policies
        for per in WAYS
        if (setting, name, per, seed) not in done
    ]
    for number, (name, per, seed) in enumerate(left, 1):
        policy = Policy(policies[name], per=per)
        accuracy = train_setting(named_setting(setting), policy, seed, data_dir=data_dir)
        record = {"setting": setting, "name": name, "per": per, "seed": seed, "accuracy": accuracy}
        append_line(results, record | {"policy": policies[name], "conditions": conditions()})
        print(f"{setting} {number}/{len(left)}: {name} per {per}, seed {seed}: {accuracy:.4f}", flush=True)


def report(results: Path) -> str:
    """The comparison as Markdown, written beside ``results``."""
    found: dict[str, dict[str, dict[str, dict[int, float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(dict))
    )
    for record in read_lines(results):
        found[record["setting"]][record["name"]][record["per"]][record["seed"]] = float(record["accuracy"])
    lines = ["# Policies searched per batch, applied per image\n"]
    for setting, policies in found.items():
        lines += [f"## {setting}\n", "| policy | seeds | per batch | per image | per image less per batch |"]
        lines += ["|---|---|---|---|---|"]
        batch, image, spreads = [], [], []
        for name, ways in sorted(policies.items(), key=lambda item: -np.mean(list(item[1]["batch"].values()))):
            seeds = sorted(ways["batch"].keys() & ways["image"].keys())
            a, b = (np.array([ways[way][seed] for seed in seeds]) for way in WAYS)
            batch.append(a.mean())
            image.append(b.mean())
            spreads.append(np.std(a, ddof=1))
            lines.append(
                f"| {name} | {len(seeds)} | {100 * a.mean():.2f} | {100 * b.mean():.2f} | {_with_interval(b - a)} |"
            )
        difference = _with_interval(np.array(image) - batch)
        correlation = spearmanr(batch, image).statistic
        lines.append(
            f"\nOver the {len(batch)} policies: per image less per batch {difference} points (95 % interval over "
            f"policies), rank correlation of the means {correlation:.2f}; standard deviation of one training "
            f"{100 * np.mean(spreads):.2f}.\n"
        )
    text = "\n".join(lines)
    results.with_suffix(".md").write_text(text)
    return text


def _with_interval(values: np.ndarray[Any, Any]) -> str:
    """The mean in points and the half width of its 95 % interval."""
    half = 100 * t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return f"{100 * np.mean(values):+.2f} ± {half:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", default=["digits", "cifar10_500"])
    parser.add_argument("--policies", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--data-dir", default="data", help="where the archives were unpacked")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    if not options.report:
        for setting in options.settings:
            measure(setting, options.policies, options.seeds, options.data_dir, options.results)
    print(report(options.results))


if __name__ == "__main__":
    main()

"""Policy, learning rate and weight decay together, against one after the other, at the same number of trainings.

    python -m benchmarks.joint_search [SETTING] [--trials 60] [--seeds 4] [--shard 0/2] [--data-dir data]
    python -m benchmarks.joint_search [SETTING] --report

``joint`` searches the whole space. ``policy, then rates`` spends half of the trials on the policy with the usual
rates, and the other half on the rates with the policy that it then recommends; ``rates, then policy`` the other way
round. Each search's recommendation is trained 5 times again, with seeds that no trial had. Real trainings, each kept in
results/joint_search_SETTING.jsonl; a rerun asks again and takes from there what is known.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.race import append_line, conditions, read_lines
from benchmarks.real_trainings import named_setting, train_setting
from tuun_da.policy_format import is_policy_parameter
from tuun_da.search.optimizer import Optimizer
from tuun_da.search.space import SearchSpace

HERE = Path(__file__).parent
WAYS = ("joint", "policy, then rates", "rates, then policy")
RETRAININGS = 5
FIRST_RETRAINING_SEED = 900_000

Params = dict[str, Any]


class Trainings:
    """Trainings of one setting with rates of their own, each kept on disk."""

    def __init__(self, setting: str, path: Path, data_dir: str) -> None:
        self._setting, self._path, self._data_dir = named_setting(setting), path, data_dir
        self._known = {
            (json.dumps(record["params"], sort_keys=True), record["seed"]): record["accuracy"]
            for record in read_lines(path)
            if "params" in record
        }

    def accuracy(self, params: Mapping[str, Any], seed: int) -> float:
        """Of a training with the policy and the rates in ``params``."""
        key = json.dumps(params, sort_keys=True), seed
        if key not in self._known:
            rates = {name: value for name, value in params.items() if not is_policy_parameter(name)}
            setting = replace(self._setting, learning_rate=rates["learning_rate"], weight_decay=rates["weight_decay"])
            policy = {name: value for name, value in params.items() if is_policy_parameter(name)}
            self._known[key] = train_setting(setting, policy or "none", seed, data_dir=self._data_dir)
            append_line(self._path, {"params": dict(params), "seed": seed, "accuracy": self._known[key]})
        return float(self._known[key])


def spaces() -> tuple[dict[str, Any], dict[str, Any]]:
    """The policy's part and the rates' part of search_spaces/joint.json."""
    whole = json.loads((HERE.parent / "search_spaces" / "joint.json").read_text())
    policy = {name: spec for name, spec in whole.items() if is_policy_parameter(name)}
    return policy, {name: spec for name, spec in whole.items() if name not in policy}


def search(trainings: Trainings, space: Mapping[str, Any], fixed: Params, seed: int, trials: range) -> Params:
    """What is recommended after ``trials`` with settings of ``space``, the rest being ``fixed``."""
    optimizer = Optimizer(SearchSpace.from_nni(space), seed=seed, n_initial=min(10, max(2, len(trials) // 3)))
    for number in trials:
        params = optimizer.ask(number)
        optimizer.tell(number, trainings.accuracy(fixed | params, 1000 * (seed + 1) + number))
    return fixed | optimizer.recommend()


def run(way: str, trainings: Trainings, usual: Params, seed: int, trials: int) -> Params:
    """What one search comes to, in one of the ``WAYS``."""
    policy, rates = spaces()
    first, second = range(trials // 2), range(trials // 2, trials)
    if way == "joint":
        return search(trainings, policy | rates, {}, seed, range(trials))
    if way == "policy, then rates":
        found = search(trainings, policy, usual, seed, first)
        return search(trainings, rates, {name: found[name] for name in policy}, seed, second)
    found = search(trainings, rates, {}, seed, first)
    return search(trainings, policy, {name: found[name] for name in rates}, seed, second)


def report(records: list[dict[str, Any]]) -> str:
    """Mean retrained accuracy of each way, and the difference from joint, seed by seed."""
    found = {(record["way"], record["search_seed"]): record["retrained"] for record in records if "way" in record}
    lines = ["| way | searches | accuracy, % | less than joint, points (standard error) |", "|---|---|---|---|"]
    for way in WAYS:
        values = {seed: 100 * np.mean(retrained) for (w, seed), retrained in found.items() if w == way}
        joint = {seed: 100 * np.mean(retrained) for (w, seed), retrained in found.items() if w == WAYS[0]}
        differences = np.array([joint[seed] - values[seed] for seed in values if seed in joint])
        if len(differences):
            error = differences.std(ddof=1) / np.sqrt(len(differences)) if len(differences) > 1 else float("nan")
            mean = np.mean(list(values.values()))
            lines.append(f"| {way} | {len(values)} | {mean:.2f} | {differences.mean():+.2f} ({error:.2f}) |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("setting", nargs="?", default="digits")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--shard", default="0/1", help="i/n: the i-th (from 0) of n parts of the seeds")
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    path = options.results or HERE / "results" / f"joint_search_{options.setting}.jsonl"
    if not options.report:
        index, count = map(int, options.shard.split("/"))
        trainings = Trainings(options.setting, path, options.data_dir)
        setting = named_setting(options.setting)
        usual = {"learning_rate": setting.learning_rate, "weight_decay": setting.weight_decay}
        done = {(r["way"], r["search_seed"], r["trials"]) for r in read_lines(path) if "way" in r}
        for seed in range(index, options.seeds, count):
            for way in WAYS:
                if (way, seed, options.trials) in done:
                    continue
                found = run(way, trainings, usual, seed, options.trials)
                retrained = [trainings.accuracy(found, FIRST_RETRAINING_SEED + i) for i in range(RETRAININGS)]
                record = {"way": way, "search_seed": seed, "trials": options.trials, "recommended": found}
                append_line(path, record | {"retrained": retrained, "conditions": conditions()})
                print(f"{way}, seed {seed}: {100 * np.mean(retrained):.2f} %", flush=True)
    print(report(read_lines(path)))


if __name__ == "__main__":
    main()

"""Do none, ETP, TrivialAugment and AutoAugment come in the same order as after a full-length training?

    python -m benchmarks.check_order digits [steel cifar10] --data-dir data/ [--seeds 3]

Takes the short trainings from results/trainings_{setting}.jsonl, trains the references (wider net, several times as
long) into results/references_{setting}.jsonl, and writes both orders to results/proxy_order.json. Resumable.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.collect_trainings import RESULTS, collect
from benchmarks.planned_policies import PlannedTraining
from benchmarks.real_trainings import BASELINES, REFERENCES, SETTINGS
from benchmarks.training_records import read_trainings
from tuun_da.errors import TuunDaError

CLEAR = 2.0  # standard errors of a difference, from which on an order is called clear


def order_of(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Accuracy of each baseline in percent (mean, standard deviation, number of seeds), best first."""
    accuracies = {name: [100 * r["accuracy"] for r in records if r["name"] == name] for name in BASELINES}
    found = {name: values for name, values in accuracies.items() if values}
    order = sorted(found, key=lambda name: -float(np.mean(found[name])))
    return {
        "net": records[0]["net"],
        "epochs": records[0]["epochs"],
        "order": order,
        "baselines": {
            name: {
                "mean": round(float(np.mean(found[name])), 2),
                "std": round(float(np.std(found[name], ddof=1)), 2) if len(found[name]) > 1 else None,
                "seeds": len(found[name]),
                "seconds": round(float(np.median([r["seconds"] for r in records if r["name"] == name])), 2),
            }
            for name in order
        },
    }


def compared(proxy: dict[str, Any], reference: dict[str, Any]) -> list[dict[str, Any]]:
    """For each pair of baselines the differences in points, and whether they agree.

    "tie" where the reference's difference is below ``CLEAR`` of its standard errors.
    """
    rows = []
    for first, second in itertools.combinations([name for name in BASELINES if name in reference["baselines"]], 2):
        (short, _), (full, error) = difference(proxy, first, second), difference(reference, first, second)
        verdict = "tie" if abs(full) < CLEAR * error else "same" if short * full > 0 else "reversed"
        rows.append({"pair": f"{first} - {second}", "proxy": short, "reference": full, "verdict": verdict})
    return rows


def difference(table: dict[str, Any], first: str, second: str) -> tuple[float, float]:
    """Of the means, and its standard error."""
    one, other = table["baselines"][first], table["baselines"][second]
    error = math.sqrt(sum((row["std"] or 0.0) ** 2 / row["seeds"] for row in (one, other)))
    return round(one["mean"] - other["mean"], 2), error


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare the order of the baselines with a full-length training.")
    parser.add_argument("settings", nargs="+", choices=list(SETTINGS))
    parser.add_argument("--data-dir", default="data", help="where the archives were unpacked")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each reference training")
    options = parser.parse_args(arguments)
    target = options.results / "proxy_order.json"
    try:
        for name in options.settings:
            path = options.results / f"references_{name}.jsonl"
            plan = [
                PlannedTraining(policy, policy, None, seed) for seed in range(options.seeds) for policy in BASELINES
            ]
            collect(REFERENCES[name], plan, path, data_dir=options.data_dir)
            records = read_trainings(path)
            proxy, reference = order_of(read_trainings(options.results / f"trainings_{name}.jsonl")), order_of(records)
            # read only now, because another process may have written its setting meanwhile
            tables = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {}
            tables[name] = {
                "hardware": records[-1]["hardware"],
                "versions": records[-1]["versions"],
                "proxy": proxy,
                "reference": reference,
                "pairs": compared(proxy, reference),
            }
            target.write_text(json.dumps(tables, indent=1) + "\n", encoding="utf-8")
            print(json.dumps(tables[name], indent=1))
    except TuunDaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Seconds for one suggestion on one core, and the peak memory, after 60, 300 and 1,000 trials on the policy space.

    python -m benchmarks.suggest_latency [--cases ours:gp ours:forest optuna_gp smac:retrain_after=1] [--report]

Each case (optimizer, number of trials) runs in a process of its own: all but the last trials are told as initial ones,
then some suggestions are timed, each with the learning of the value before it. One suggestion comes first as a warm-up.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import race
from benchmarks.rivals import make_rival, missing_packages
from tuun_da.search.space import SearchSpace

HERE = Path(__file__).parent
CASES = ["ours:gp", "ours:forest", "ours:stan_gp", "optuna_gp", "smac:retrain_after=1", "smac", "flat_gp"]
TRIALS = (60, 300, 1000)


def measure(name: str, trials: int, suggestions: int, seconds: float) -> dict[str, Any]:
    """Up to ``suggestions`` timed ones, fewer once they have taken ``seconds``."""
    warnings.simplefilter("ignore")
    nni_space = json.loads((race.ROOT / "search_spaces" / "tuun.json").read_text())
    space, rng = SearchSpace.from_nni(nni_space), np.random.default_rng(0)
    before = _peak_megabytes()
    rival = make_rival(name, nni_space, 0, space.sample(trials - 1, rng))

    def value(params: dict[str, Any]) -> float:
        """Cheap, with a structure to learn and noise: the share of geometric operations, as strong as they are."""
        places = [(i, j) for i in range(1, 6) for j in (1, 2)]
        good = ("rotate", "translateX", "translateY", "shearX", "randomHorizontalFlip")
        strength = sum(params[f"prob{i}_{j}"] for i, j in places if params[f"operation{i}_{j}"] in good)
        return float(0.6 + 0.02 * np.tanh(strength / 2) + 0.003 * rng.standard_normal())

    for _ in range(trials - 1):
        params = rival.ask()
        rival.tell(params, value(params))
    clocks: list[race.Clock] = []
    while len(clocks) < suggestions + 1 and sum(clock.seconds for clock in clocks) < seconds:
        clocks.append(race.Clock())
        with clocks[-1]:
            params = rival.ask()
        told = value(params)
        with clocks[-1]:
            rival.tell(params, told)
    timed = [clock.seconds for clock in clocks[1:] or clocks]
    return {
        "optimizer": name,
        "trials": trials,
        "median_seconds": float(np.median(timed)),
        "mean_seconds": float(np.mean(timed)),  # of smac, one in 8 suggestions costs and the others are free
        "quartiles_seconds": [float(q) for q in np.quantile(timed, (0.25, 0.75))],
        "median_cpu_seconds": float(np.median([clock.cpu_seconds for clock in clocks[1:] or clocks])),
        "suggestions": len(timed),
        "warmed_up": len(clocks) > 1,
        "peak_megabytes": round(_peak_megabytes()),
        "megabytes_before": round(before),
    }


def _peak_megabytes() -> float:
    """Of this process, or of the largest that it has started and that has ended: stan_gp's worker."""
    found = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return max(found) / 1024


def report(result: dict[str, Any]) -> str:
    head = ["optimizer", "trials", "seconds: median (quartiles)", "mean", "CPU s: median", "n", "peak memory, MB"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for case in result["cases"]:
        if "error" in case:
            lines.append(f"| {case['optimizer']} | {case['trials']} | {case['error']} | | | | |")
            continue
        low, high = case["quartiles_seconds"]
        lines.append(
            f"| {case['optimizer']} | {case['trials']} | {case['median_seconds']:.3f} ({low:.3f} to {high:.3f}) | "
            f"{case['mean_seconds']:.3f} | "
            f"{case['median_cpu_seconds']:.3f} | {case['suggestions']} | {case['peak_megabytes']} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=CASES)
    parser.add_argument("--trials", nargs="+", type=int, default=list(TRIALS))
    parser.add_argument("--suggestions", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=120.0, help="no further suggestion after that many seconds")
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds, after which a case is given up")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "suggest_latency.json")
    parser.add_argument("--report", action="store_true", help="only print the table of the results")
    parser.add_argument("--one", nargs=2, metavar=("OPTIMIZER", "TRIALS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.report:
        print(report(json.loads(options.results.read_text())))
        return
    if options.one:
        print(json.dumps(measure(options.one[0], int(options.one[1]), options.suggestions, options.seconds)))
        return
    for name in options.cases:
        for trials in options.trials:
            store(options.results, measured(name, trials, options))
    print(report(json.loads(options.results.read_text())))


def measured(name: str, trials: int, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one case, from a process of its own; with ``error`` where it gave none."""
    case = {"optimizer": name, "trials": trials, "load": os.getloadavg()[0], "conditions": race.conditions()}
    command = [sys.executable, "-m", "benchmarks.suggest_latency", "--one", name, str(trials)]
    command += ["--suggestions", str(options.suggestions), "--seconds", str(options.seconds)]
    if missing_packages(name):
        return case | {"error": f"{', '.join(missing_packages(name))} not installed"}
    try:
        done = subprocess.run(
            command, cwd=race.ROOT, env={**os.environ, **race.ONE_CORE}, capture_output=True, text=True,
            timeout=options.limit, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return case | {"error": f"not done after {options.limit:g} s"}
    text = done.stdout.strip().splitlines()
    error = (done.stderr.strip().splitlines() or ["no output"])[-1]
    case |= json.loads(text[-1]) if done.returncode == 0 and text else {"error": error}
    print({key: value for key, value in case.items() if key != "conditions"}, flush=True)
    return case


def store(path: Path, case: dict[str, Any]) -> None:
    """Put the case into the results, in the place of an earlier measurement of the same."""
    result = json.loads(path.read_text()) if path.exists() else {"space": "search_spaces/tuun.json", "cases": []}
    others = [old for old in result["cases"] if any(old[key] != case[key] for key in ("optimizer", "trials"))]
    result["cases"] = sorted([*others, case], key=lambda case: (case["trials"], case["optimizer"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""What happens to a search when many trials run at once: the real tuner, simulated trainings, a simulated clock.

    python -m benchmarks.scale [--concurrency 1 4 16 64] [--trials 256] [--seeds 3] [--report]

``TuunTuner`` is called as NNI calls it, with its journal on disk. A training takes a lognormal time (median
``--training-seconds``, log-deviation 0.15) on the simulated clock and comes to an emulator's score plus noise
(``emulators.py``). The tuner serves one request after the other: while it computes (its own CPU seconds, as measured,
which others on the machine do not lengthen), finished workers wait. Idle is the share of the workers' time that they
wait for their next parameters.

Each run is one (surrogate, concurrency, seed) and is kept as a line of JSON; what is there is not run again.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import race
from benchmarks.emulators import load_emulator
from tuun_da.policy_format import TRIAL_ID_KEY

RESULTS = Path(__file__).parent / "results"
EMULATOR = ("steel", "deepsets")
LOG_DEVIATION = 0.15
SPACE = race.ROOT / "search_spaces" / "tuun.json"


def simulate(surrogate: str, concurrency: int, trials: int, seed: int, training_seconds: float) -> dict[str, Any]:
    """One search on the simulated clock."""
    from tuun_da.engines.echo import final_metric
    from tuun_da.engines.export import recommend
    from tuun_da.engines.nni_tuner import JOURNAL_NAME, TuunTuner
    from tuun_da.search.history import read_journal

    emulator = load_emulator(*EMULATOR)
    rng = np.random.default_rng([seed, concurrency])
    durations = training_seconds * np.exp(LOG_DEVIATION * rng.standard_normal(trials))
    noises = emulator.noise * np.random.default_rng([seed, 7]).standard_normal(trials)
    with tempfile.TemporaryDirectory() as folder, _environment("NNI_CHECKPOINT_DIRECTORY", folder):
        tuner = TuunTuner(surrogate=surrogate, seed=seed)
        tuner.update_search_space(json.loads(SPACE.read_text()))
        served: list[float] = []  # CPU seconds of each suggestion, with the learning before it
        waited: list[float] = []  # simulated seconds from a worker's end of training to its next parameters
        free_at = 0.0  # simulated time at which the tuner has nothing to do
        running: list[tuple[float, int, dict[str, Any]]] = []  # (end, number, parameters)
        asked = ended = 0

        def hand_out(now: float, finished: tuple[int, dict[str, Any]] | None) -> None:
            """A worker has come free at ``now``: its result is told, and it gets new parameters, if there are any."""
            nonlocal free_at, asked
            began = time.process_time()
            if finished is not None:
                number, parameters = finished
                plain = {name: value for name, value in parameters.items() if name != TRIAL_ID_KEY}
                score = float(emulator.true_values([plain])[0] + noises[number])
                began = time.process_time()  # the emulator is not the tuner
                tuner.receive_trial_result(number, parameters, final_metric(parameters, score, curve=[score]))
                tuner.trial_end(number, True)
            if asked == trials:
                return
            parameters = tuner.generate_parameters(asked)
            seconds = time.process_time() - began
            served.append(seconds)
            free_at = max(free_at, now) + seconds
            waited.append(free_at - now)
            heapq.heappush(running, (free_at + durations[asked], asked, parameters))
            asked += 1

        for _ in range(min(concurrency, trials)):
            hand_out(0.0, None)
        while running:
            now, number, parameters = heapq.heappop(running)
            ended += 1
            hand_out(now, (number, parameters))
        content = read_journal(Path(folder, JOURNAL_NAME))
    assert ended == trials == len(content.trials)
    recommended = recommend(content)
    last = np.array(served[len(served) // 2 :])
    return {
        "surrogate": surrogate,
        "concurrency": concurrency,
        "trials": trials,
        "seed": seed,
        "training_seconds": training_seconds,
        "simulated_seconds": now,
        "suggestion_cpu_seconds": [float(q) for q in np.quantile(last, (0.25, 0.5, 0.75))],
        "suggestions_per_second": float(1.0 / np.mean(last)),
        "idle_share": float(sum(waited) / (sum(waited) + float(np.sum(durations)))),
        "recommended_true": float(emulator.true_values([dict(recommended.parameters)])[0]),
        "best_true": float(np.max(emulator.true_values([dict(trial.parameters) for trial in content.trials]))),
    }


@contextlib.contextmanager
def _environment(name: str, value: str) -> Any:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def summary(records: list[dict[str, Any]]) -> str:
    """The table over the seeds: mean and standard deviation."""
    head = "| surrogate | at once | suggestions/s | idle | simulated minutes | recommended, true score |"
    lines = [head, "|---|---|---|---|---|---|"]
    for surrogate, concurrency in sorted({(r["surrogate"], r["concurrency"]) for r in records}):
        rows = [r for r in records if (r["surrogate"], r["concurrency"]) == (surrogate, concurrency)]

        def cell(key: str, form: str, scale: float = 1.0, rows: list[dict[str, Any]] = rows) -> str:
            values = [scale * row[key] for row in rows]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            return f"{statistics.fmean(values):{form}} +- {spread:{form}}"

        lines.append(
            f"| {surrogate} | {concurrency} | {cell('suggestions_per_second', '.1f')} | "
            f"{cell('idle_share', '.1f', 100)} % | {cell('simulated_seconds', '.1f', 1 / 60)} | "
            f"{cell('recommended_true', '.2f', 100)} % |"
        )
    return "\n".join(lines)


def draw(records: list[dict[str, Any]], path: Path) -> None:
    """Idle share, suggestions a second and quality against the number of trials at once."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "scale"
    panels = (
        ("suggestions_per_second", 1.0, "suggestions a second"),
        ("idle_share", 100.0, "workers waiting, % of their time"),
        ("recommended_true", 100.0, "recommended policy, true score in %"),
    )
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    for axes, (key, scale, label) in zip(figure.subplots(1, 3), panels, strict=True):
        for surrogate in sorted({record["surrogate"] for record in records}):
            of = [record for record in records if record["surrogate"] == surrogate]
            at_once = sorted({record["concurrency"] for record in of})
            values = [[scale * r[key] for r in of if r["concurrency"] == k] for k in at_once]
            spread = [statistics.stdev(v) if len(v) > 1 else 0.0 for v in values]
            axes.errorbar(
                at_once, [statistics.fmean(v) for v in values], spread, marker="o", capsize=3, label=surrogate
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks(at_once, [str(k) for k in at_once])
        axes.set_xlabel("trials at once")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        if key == "suggestions_per_second":
            axes.set_yscale("log")
    figure.axes[0].legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surrogates", nargs="+", default=["gp", "random"])
    parser.add_argument("--concurrency", nargs="+", type=int, default=[1, 4, 16, 64])
    parser.add_argument("--trials", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--training-seconds", type=float, default=20.0)
    parser.add_argument("--results", type=Path, default=RESULTS / "scale.jsonl")
    parser.add_argument("--report", action="store_true", help="only write the table and the plot")
    parser.add_argument("--one", nargs=3, metavar=("SURROGATE", "CONCURRENCY", "SEED"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        logging.disable(logging.WARNING)
        surrogate, concurrency, seed = options.one
        print(json.dumps(simulate(surrogate, int(concurrency), options.trials, int(seed), options.training_seconds)))
        return
    wanted = {"trials": options.trials, "training_seconds": options.training_seconds}
    for seed in range(options.seeds):
        for surrogate in options.surrogates:
            for concurrency in options.concurrency:
                key = {"surrogate": surrogate, "concurrency": concurrency, "seed": seed, **wanted}
                if options.report or any(key.items() <= record.items() for record in race.read_lines(options.results)):
                    continue
                record = _in_a_process(surrogate, concurrency, seed, options)
                race.append_line(options.results, {**record, "conditions": race.conditions()})
                print({name: value for name, value in record.items() if name != "conditions"}, flush=True)
    records = [record for record in race.read_lines(options.results) if wanted.items() <= record.items()]
    text = summary(records)
    options.results.with_suffix(".md").write_text(
        f"Searches of {options.trials} trials of about {options.training_seconds:g} s on a simulated clock, "
        f"{len({record['seed'] for record in records})} seeds each (mean, standard deviation); scores are those of the "
        f"emulator {'_'.join(EMULATOR)} (`benchmarks/scale.py`). The tuner computes on one core; suggestions are those "
        f"of the second half of a search.\n\n{text}\n"
    )
    draw(records, options.results.with_suffix(".png"))
    print(text)


def _in_a_process(surrogate: str, concurrency: int, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """One run in a process of its own, on one core."""
    command = [sys.executable, "-m", "benchmarks.scale", "--one", surrogate, str(concurrency), str(seed)]
    command += ["--trials", str(options.trials), "--training-seconds", str(options.training_seconds)]
    done = subprocess.run(
        command, cwd=race.ROOT, env={**os.environ, **race.ONE_CORE}, capture_output=True, text=True, check=True
    )
    record: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return record


if __name__ == "__main__":
    main()

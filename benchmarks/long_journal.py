"""How long an experiment of thousands of trials takes to go on: reading its journal, the next suggestion, its report.

    python -m benchmarks.long_journal [--trials 1000 10000] [--repeats 3]

Each number of trials gets a journal of random policies from the published space, 50 epochs each, a tenth of them
failed. Each repetition is a process of its own on one core. Wanted for 10,000 trials: start within 5 s, a suggestion
under 10 s, the report under 30 s.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import race
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.search.history import Journal, Trial, TrialState
from tuun_da.search.space import SearchSpace
from tuun_da.space_file import policy_space

EPOCHS = 50
STEPS = ("start", "suggestion", "next_suggestion", "report")


def write_long_journal(path: Path, n_trials: int) -> None:
    """A journal of ``n_trials``: written as an engine does, but synced once."""
    space, rng = policy_space(), np.random.default_rng(0)
    settings = {**TunerSettings().to_dict(), "seed": 0}
    Journal.open(path, space=space, settings=settings, versions={}).close()
    with open(path, "a", encoding="utf-8") as file:
        for number, params in enumerate(SearchSpace.from_nni(space).sample(n_trials, rng), 1):
            failed = number % 10 == 0
            value = float(0.7 + 0.05 * rng.standard_normal())
            trial = Trial(
                id=number,
                parameters=params,
                state=TrialState.FAILED if failed else TrialState.SUCCEEDED,
                value=None if failed else value,
                curve=tuple(value * share for share in np.linspace(0.3, 1.0, EPOCHS)),
                started=1e9 + 20.0 * number,
                ended=1e9 + 20.0 * (number + 1),
                error="CUDA out of memory" if failed else None,
                details={"settings": {"train": {"model": "child_cnn", "epochs": EPOCHS}, "data": {"data": "digits"}}},
            )
            asked = {"kind": "asked", "id": number, "parameters": params, "time": 1e9 + 20.0 * number}
            file.write(json.dumps(asked) + "\n" + json.dumps(trial.to_record()) + "\n")


def measure(path: Path) -> dict[str, float]:
    """Seconds of each step, in this process."""
    from tuun_da.api.experiment_report import experiment_report, report_text
    from tuun_da.engines.echo import final_metric, read_metric
    from tuun_da.engines.study import Study
    from tuun_da.policy_format import TRIAL_ID_KEY

    times = [time.perf_counter()]
    study = Study.open(path, policy_space(), TunerSettings(seed=0))
    times.append(time.perf_counter())
    trial_id, params = study.ask()
    times.append(time.perf_counter())
    echo = read_metric(final_metric({**params, TRIAL_ID_KEY: trial_id}, 0.7))
    assert echo is not None
    study.finish(echo)
    study.ask()
    times.append(time.perf_counter())
    study.journal.close()
    text = report_text(experiment_report(path, images="none"), "html")
    times.append(time.perf_counter())
    return {**dict(zip(STEPS, np.diff(times).tolist(), strict=True)), "report_bytes": float(len(text))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", nargs="+", type=int, default=[1000, 3000, 10_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--results", type=Path, default=race.ROOT / "benchmarks" / "results" / "long_journal.json")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one)))
        return
    cases: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for n_trials in options.trials:
            journal = Path(folder, f"{n_trials}.jsonl")
            write_long_journal(journal, n_trials)
            found = [_measured(journal, Path(folder, "copy.jsonl")) for _ in range(options.repeats)]
            case = {
                "trials": n_trials,
                "journal_bytes": journal.stat().st_size,
                "load": os.getloadavg()[0],
                **{f"{step}_seconds": sorted(one[step] for one in found) for step in STEPS},
                "report_bytes": found[0]["report_bytes"],
            }
            cases.append(case)
            print(case, flush=True)
    text = json.dumps(
        {"conditions": race.conditions(), "wanted_seconds_at_10000": [5, 10, 30], "cases": cases}, indent=1
    )
    options.results.write_text(text + "\n")


def _measured(journal: Path, copy: Path) -> dict[str, float]:
    copy.write_bytes(journal.read_bytes())  # the study writes into it
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.long_journal", "--one", str(copy)],
        cwd=race.ROOT, env={**os.environ, **race.ONE_CORE}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


if __name__ == "__main__":
    main()

"""How far the emulators may be believed where searches go: what optimizers proposed on them, trained for real.

    python -m benchmarks.check_emulators steel cifar10 digits --data-dir data/
    python -m benchmarks.check_emulators --report

An emulator was fitted to random and structured policies, and a search looks for what it has not seen. Of each run in
the cache of search_race.py (60 trials) two of the last ten proposals are trained: the one that the emulator holds for
the best, and the last. The trainings go to results/proposed_SETTING.jsonl; the emulators are not fitted to them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from benchmarks.collect_trainings import RESULTS, collect
from benchmarks.emulators import CACHE, load_emulator
from benchmarks.planned_policies import PlannedTraining
from benchmarks.race import read_lines
from benchmarks.real_trainings import SETTINGS
from benchmarks.search_race import Places, Task, identity
from benchmarks.training_records import read_trainings

EMULATORS = ("deepsets", "trees")
OPTIMIZERS = ("ours:gp", "optuna_tpe", "flat_gp", "random")
SEEDS = 3
TRIALS = 60
LAST = 10
REPORT = RESULTS / "emulator_check.json"


def proposals(setting: str, places: Places, races: Path) -> Iterator[PlannedTraining]:
    """Two policies of each run that is in the results file ``races`` and whose trials are in the cache."""
    for kind in EMULATORS:
        emulator = load_emulator(setting, kind, places.data, places.cache)
        for optimizer in OPTIMIZERS:
            for seed in range(SEEDS):
                path = _trials_of(optimizer, f"{setting}/{kind}", seed, places, races)
                if path is None:
                    print(f"{optimizer} on {setting}/{kind}, seed {seed}: not in the cache, left out")
                    continue
                last = json.loads(path.read_text())["params"][-LAST:]
                best = last[int(np.argmax(emulator.true_values(last)))]
                for pick, policy in (("best", best), ("last", last[-1])):
                    yield PlannedTraining("proposed", f"{kind}|{optimizer}|{seed}|{pick}", policy, seed)


def _trials_of(optimizer: str, problem: str, seed: int, places: Places, races: Path) -> Path | None:
    """The file of a run in the cache, made with the code that the run in ``races`` was made with."""
    known = identity(Task(optimizer, problem, TRIALS, seed, 1, "{}"), places)
    for record in read_lines(races):
        if all(record.get(key) == value for key, value in known.items() if key != "code"):
            known["code"] = record["code"]
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:20]
    path = places.cache / "trials" / f"{digest}.json"
    return path if path.exists() else None


def report(settings: Sequence[str], places: Places) -> list[dict[str, object]]:
    """A row for each emulator and optimizer: emulated and real accuracy of what it proposed, and how they go together.

    A real accuracy is that of one training, so ``rank_correlation`` stays below 1 with the best emulator, too.
    """
    rows: list[dict[str, object]] = []
    for setting in settings:
        records = read_trainings(RESULTS / f"proposed_{setting}.jsonl")
        for kind in EMULATORS:
            emulator = load_emulator(setting, kind, places.data, places.cache)
            for optimizer in (*OPTIMIZERS, "all"):
                mine = [
                    record
                    for record in records
                    if record["name"].split("|")[0] == kind and optimizer in (record["name"].split("|")[1], "all")
                ]
                emulated = emulator.true_values([record["policy"] for record in mine])
                real = np.array([record["accuracy"] for record in mine])
                differences = emulated - real
                rows.append(
                    {
                        "setting": setting,
                        "emulator": kind,
                        "optimizer": optimizer,
                        "policies": len(mine),
                        "emulated": round(float(np.mean(emulated)), 4),
                        "real": round(float(np.mean(real)), 4),
                        "emulated_less_real": round(float(np.mean(differences)), 4),
                        "standard_error": round(float(np.std(differences, ddof=1) / np.sqrt(len(mine))), 4),
                        "rank_correlation": round(float(spearmanr(emulated, real).statistic), 3),
                        "noise_of_a_training": round(emulator.noise, 4),
                    }
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", choices=[*SETTINGS, []], help="settings to train for")
    parser.add_argument("--data-dir", default="data", help="where the archives were unpacked")
    parser.add_argument("--races", type=Path, default=RESULTS / "search_race.jsonl")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--report", action="store_true", help="write the comparison")
    options = parser.parse_args()
    places = Places(RESULTS, options.cache)
    for setting in options.settings:
        plan = list(proposals(setting, places, options.races))
        collect(SETTINGS[setting], plan, RESULTS / f"proposed_{setting}.jsonl", data_dir=options.data_dir)
    if options.report:
        settings = [path.stem.removeprefix("proposed_") for path in sorted(RESULTS.glob("proposed_*.jsonl"))]
        rows = report(settings, places)
        REPORT.write_text(json.dumps(rows, indent=1) + "\n")
        for row in rows:
            print(
                f"{row['setting']}/{row['emulator']:9s} {row['optimizer']:11s} {row['policies']:3d} policies: emulated "
                f"{row['emulated']:.3f}, real {row['real']:.3f}, too high by {row['emulated_less_real']:+.3f} ± "
                f"{row['standard_error']:.3f}, rank correlation {row['rank_correlation']:.2f}"
            )


if __name__ == "__main__":
    main()

"""The probes of the benchmark's three data sets: benchmarks/results/probe_SETTING.json.

    python -m benchmarks.make_probes --data-dir data/ [digits steel cifar10]

Images, net and training are those of ``collect_trainings.py``, without augmentation and with a seed that no training
there has; a probe costs one such training and 69 passes over at most 2,000 validation images.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.real_trainings import CPU, RACES, SETTINGS, Setting, setting_splits
from tuun_da.errors import TuunDaError
from tuun_da.probe_format import ProbeRecord
from tuun_da.training.probe import measure_probe

RESULTS = Path(__file__).parent / "results"
SEED = 77_000


def probe_setting(setting: Setting, data_dir: str) -> ProbeRecord:
    """The probe of ``setting``; its epochs are the setting's passes over the training images."""
    splits = setting_splits(setting.name, data_dir)
    repeated = replace(  # one epoch of all passes, as in train_setting, which validates once
        splits,
        train_images=splits.train_images.repeat(setting.passes, 1, 1, 1),
        train_labels=splits.train_labels.repeat(setting.passes),
    )
    record = measure_probe(replace(setting.train_config, seed=SEED), repeated, CPU)
    return replace(record, about={**record.about, "train_images": len(splits.train_labels), "passes": setting.passes})


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make the probes of the benchmark's data sets.")
    parser.add_argument("settings", nargs="*", default=list(SETTINGS), metavar="SETTING", help=", ".join(RACES))
    parser.add_argument("--data-dir", default="data", help="where the archives were unpacked")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the probes")
    options = parser.parse_args(arguments)
    if unknown := set(options.settings) - set(RACES):
        parser.error(f"settings are {', '.join(RACES)}; got {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    for name in options.settings:
        try:
            record = probe_setting(RACES[name], options.data_dir)
            record.save(options.results / f"probe_{name}.json")
        except TuunDaError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        print(f"{name}: accuracy {record.baseline[0]:.4f}, {record.about['seconds']:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

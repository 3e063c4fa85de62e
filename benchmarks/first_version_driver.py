"""One training by whichever version of tuun_da is on PYTHONPATH, timed around ``train`` alone: for first_version.py.

    python -P first_version_driver.py '{"train": {...}, "data": {...}, "policy": "trivialaugment"}'

It uses only what the first version had too, and imports nothing of the benchmarks, which belong to this version. A
training of one epoch comes first, because parts of torch are loaded by the first step, or by what a version imports.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace

import torch

import tuun_da
from tuun_da.augment.named import build_transform
from tuun_da.training.datasets import load_splits
from tuun_da.training.loop import train
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig


def main() -> None:
    wanted = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    splits = load_splits(DataConfig.from_mapping(wanted["data"]))
    transform = build_transform(wanted["policy"], None)
    config, device = TrainConfig.from_mapping(wanted["train"]), torch.device("cpu")
    train(replace(config, epochs=1), splits, transform, device)
    begin, cpu_begin = time.perf_counter(), time.process_time()
    result = train(config, splits, transform, device)
    found = {
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": time.process_time() - cpu_begin,
        "score": result.score,
        "package": tuun_da.__file__,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()

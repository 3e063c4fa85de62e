"""Real files of every kind, small ones, from which hostile ones are made."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from tuun_da.engines.bootstrap import Interval
from tuun_da.engines.confirmation import Confirmation, Row
from tuun_da.engines.readings import Readings
from tuun_da.operations import OPERATION_TYPES, Operation, SubPolicy
from tuun_da.policy_format import PolicyRecord
from tuun_da.probe_format import ProbeRecord

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "report"))
from made_journals import made_journal, made_space  # noqa: E402  # where the tests of the report have it

NUMBER = {"_type": "randint", "_value": [1, 4]}


@cache
def seeds() -> Mapping[str, tuple[bytes, ...]]:
    """By the reader's name."""
    from readers import FOLDER

    operation = Operation("rotate", 0.25, 0.5)
    record = PolicyRecord(
        (SubPolicy((operation, Operation("invert", 1.0, 0.0))), SubPolicy((operation,))),
        "image",
        0.25,
        {"dataset": "digits", "score": 0.5, "other_parameters": {"lr": 0.1}},
    )
    probe = ProbeRecord(
        (0.0, 1.0),
        (0.75, 0.5, 0.25, 0.0),
        {
            name: ((0.0, 0.0, 0.0, 0.0),) * (2 if OPERATION_TYPES[name].has_magnitude else 1)
            for name in ("rotate", "invert", "randomHorizontalFlip", "autocontrast", "translateX")
        },
        {"data": "digits"},
    )
    (FOLDER / "p.json").write_text(record.to_json())
    (FOLDER / "b.json").write_text(probe.to_json())
    (FOLDER / "images").mkdir(exist_ok=True)
    one = made_journal(
        FOLDER / "one.jsonl", n_trials=6, n_initial=5, failed=(3,), stopped=(5,),
        others={"lr": {"_type": "loguniform", "_value": [0.001, 0.1]},
                "net": {"_type": "choice", "_value": [{"_name": "a"}, {"_name": "b", "n": NUMBER}]}},
    )  # fmt: skip
    two = made_journal(
        FOLDER / "two.jsonl", n_trials=9, n_initial=9, failed=(), stopped=(), initial=[str(FOLDER / "p.json"), "none"],
        probe=str(FOLDER / "b.json"), optimize_mode="minimize",
    )  # fmt: skip
    confirmation = Confirmation(
        (
            Row("no augmentation", "baseline", (0.5, 0.25), (0.5, 0.25)),
            Row("best policy", "policy", (0.75, 0.5), (0.75, 0.5)),
        ),
        (Interval(0.25, 0.125, 0.5),), (1, 2), 100, 50, "accuracy", "no augmentation", Readings(1, 1e9),
    )  # fmt: skip
    archive = io.BytesIO()
    np.savez_compressed(archive, images=np.zeros((4, 4, 4), np.uint8), labels=np.arange(4))
    space = {"x": {"_type": "quniform", "_value": [0, 1, 0.25]}, "n": {"_type": "qlognormal", "_value": [0, 1, 0.5]}}
    tiny = (
        "trialCommand: python3 train.py\ntrialCodeDirectory: ../trials\ntrialConcurrency: 1\nmaxTrialNumber: 2\n"
        "searchSpace:\n  x: {_type: uniform, "
        "_value: [0, 1]}\ntuner: {className: tuun_da.engines.nni_tuner.TuunTuner, codeDirectory: ., classArgs: {seed: "
        "1}}\ntrainingService: {platform: local}\n"
    )
    return {
        "policy": (
            record.to_json().encode(),
            json.dumps({"version": 1, "sub_policies": [[["invert", 0, 0]]]}).encode(),
        ),
        "probe": (probe.to_json().encode(),),
        "space": (json.dumps(made_space()).encode(), json.dumps(space).encode()),
        "journal": (one.read_bytes(), two.read_bytes(), b"".join(one.read_bytes().splitlines(keepends=True)[:3])),
        "report": (b"".join(two.read_bytes().splitlines(keepends=True)[:7]),),
        "confirmation": (json.dumps(confirmation.to_dict()).encode(),),
        "config": ((REPOSITORY / "nni_configs" / "digits.yml").read_bytes(), tiny.encode()),
        "settings": (
            json.dumps(
                {
                    "train": {"model": "child_cnn", "epochs": 6, "learning_rate": 0.02, "seed": 3},
                    "data": {"data": "folder:images", "split_seed": 4, "test_size": 0.25},
                    "trial": {"repeats": 1},
                    "tuner": {"surrogate": "gp", "seed": 1, "beta": 2.0, "acquisition": "ucb", "n_initial": 3},
                }
            ).encode(),
        ),
        "npz": (archive.getvalue(),),
    }

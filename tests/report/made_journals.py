"""Journals for the tests: of cheap trials with learning curves, told to a real study."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from tuun_da.engines.bootstrap import Interval
from tuun_da.engines.confirmation import Choice, Confirmation, Row, Tried
from tuun_da.engines.echo import Echo
from tuun_da.engines.readings import Readings
from tuun_da.engines.study import Study
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.search.history import TrialState
from tuun_da.space_file import policy_space

TYPES = ("rotate", "invert", "randomHorizontalFlip", "autocontrast", "translateX")
HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
BEGAN = 1_790_000_000.0
SECONDS = 60.0  # of a trial


def made_space(**others: Any) -> dict[str, Any]:
    """Policies of two sub-policies of two operations, and ``others`` beside them."""
    return {**policy_space(TYPES, sub_policies=2, operations=2), **others}


def score_of(parameters: dict[str, Any]) -> float:
    """Rotation helps, inverting hurts."""
    score = 0.8
    for i in (1, 2):
        for j in (1, 2):
            share = parameters[f"prob{i}_{j}"] / 4
            score += share * {"rotate": 0.1, "invert": -0.2}.get(parameters[f"operation{i}_{j}"], 0.0)
    return round(score, 6)


def curve_of(score: float, epochs: int = 6) -> tuple[float, ...]:
    """Rises to the score."""
    return (*(score * (1 - math.exp(-epoch)) for epoch in range(1, epochs)), score)


def made_journal(
    path: Path,
    *,
    n_trials: int = 16,
    n_initial: int = 12,
    failed: tuple[int, ...] = (3,),
    stopped: tuple[int, ...] = (6,),
    left_running: int = 1,
    words: str = "folder:/nowhere/images",
    details: dict[str, Any] | None = None,
    others: dict[str, Any] | None = None,
    **settings: Any,
) -> Path:
    """A journal at ``path`` of ``n_trials`` that ended one after the other and some that are running.

    ``words`` stand for the data set, and in every text that comes from outside; ``others`` are further parameters.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    study = Study.open(
        path, made_space(**(others or {})), TunerSettings(**{"n_initial": n_initial, "seed": 0, **settings})
    )
    sign = 1.0 if settings.get("optimize_mode", "maximize") == "maximize" else -1.0
    for number in range(1, n_trials + 1):
        trial_id, parameters = study.ask()
        score = sign * score_of(parameters)
        state = (
            TrialState.FAILED if number in failed else TrialState.STOPPED if number in stopped else TrialState.SUCCEEDED
        )
        said = {
            "planned_epochs": 6,
            "settings": {
                "policy": "search",
                "train": {"model": "child_cnn", "epochs": 6, "learning_rate": 0.02, "seed": 3},
                "data": {"data": words, "split_seed": 4},
                "trial": {"repeats": 1},
                "image_size": 16,
            },
        }
        study.finish(
            Echo(
                id=trial_id,
                parameters=parameters,
                value=None if state is TrialState.FAILED else score,
                state=state,
                curve=() if state is TrialState.FAILED else curve_of(score),
                seed=3,
                started=BEGAN + SECONDS * number,
                ended=BEGAN + SECONDS * (number + 1),
                error=f"it broke: {words}" if state is TrialState.FAILED else None,
                details={**said, **(details or {})},
            )
        )
    for _ in range(left_running):
        study.ask()
    study.journal.close()
    return path


def made_confirmation(label: str = "no augmentation", **changes: Any) -> Confirmation:
    """Of three policies one was chosen, and it is better than ``label``, though not than TrivialAugment."""
    rows = (
        Row(label, "baseline", (0.91, 0.92, 0.90, 0.91, 0.91), (0.90, 0.91, 0.92, 0.91, 0.91)),
        Row("TrivialAugment", "baseline", (0.90, 0.89, 0.90, 0.90, 0.88), (0.95, 0.95, 0.94, 0.95, 0.96)),
        Row("best policy", "policy", (0.96, 0.95, 0.97, 0.96, 0.96), (0.95, 0.94, 0.96, 0.95, 0.95)),
    )
    tried = (Tried("trial 4", (0.91, 0.92), False), Tried(f"trial 7 of {label}", (0.94, 0.95), True))
    parts = {
        "rows": rows,
        "differences": (Interval(0.04, 0.031, 0.049), Interval(0.0, -0.012, 0.012)),
        "seeds": (1, 2, 3, 4, 5),
        "n_test": 500,
        "n_validation": 300,
        "metric": "accuracy",
        "best_baseline": label,
        "readings": Readings(2, BEGAN),
        "choice": Choice(tried, is_fresh=True),
    }
    return Confirmation(**{**parts, **changes})


def confirmation_file(path: Path, label: str = "no augmentation") -> Path:
    """As ``tuun-da confirm`` writes it."""
    path.write_text(json.dumps(made_confirmation(label).to_dict()))
    return path


def earlier_confirmation_file(path: Path) -> Path:
    """Of the first version: Student's t over the seeds, no validation scores, no verdict on the whole."""
    content = {
        "seeds": [1, 2, 3],
        "n_test": 500,
        "metric": "macro_f1",
        "rows": [
            {"label": "no augmentation", "mean": 0.6, "deviation": 0.1, "accuracies": [0.5, 0.6, 0.7]},
            {"label": "best policy", "mean": 0.8, "deviation": 0.01, "accuracies": [0.8, 0.81, 0.79]},
        ],
        "comparisons": [
            {
                "against": "no augmentation",
                "difference": 0.2,
                "low": None,
                "high": None,
                "verdict": "not distinguishable",
            }
        ],
    }
    path.write_text(json.dumps(content))
    return path

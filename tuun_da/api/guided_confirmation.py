"""The end of a guided search: its policy against what costs no search, on the test images, and what that says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tuun_da.api.guided_plan import ExperimentFolder, GuidedPlan
from tuun_da.data_files import write_atomically
from tuun_da.engines.confirm import confirm
from tuun_da.engines.local_trial import BASELINES
from tuun_da.policy_format import PolicyRecord

OnProgress = Callable[[str, int, int], None]
"""Hears of the stage in words, how many of its trainings are done, and how many there are."""


def confirm_guided(
    files: ExperimentFolder, plan: GuidedPlan, recommended: PolicyRecord, on_progress: OnProgress
) -> tuple[PolicyRecord, str]:
    """Compare the policy with the baselines, and write the folder's confirmation; the policy, and the tables in words.

    Raises what a training raises.
    """
    result = confirm(
        recommended,
        baselines=BASELINES,
        n_seeds=plan.search.seeds,
        workers=plan.search.n_workers,
        device=plan.device,
        overrides={"model": plan.train.model},  # the user named it to the search: code that may run
        on_progress=lambda done, total: on_progress("Training policy and baselines", done, total),
    )
    write_atomically(files.confirmation, json.dumps(result.to_dict(), indent=2) + "\n")
    return recommended, result.to_text()


def verdict_lines(confirmation: Mapping[str, Any]) -> list[str]:
    """What a confirmation's file says in a few lines: its own sentence, or else one for each baseline."""
    if isinstance(confirmation.get("sentence"), str):
        return [confirmation["sentence"]]
    words = {
        "better": "The policy is better than",
        "worse": "The policy is worse than",
        "not distinguishable": "It cannot be told whether the policy is better than",
    }
    lines = []
    for entry in confirmation["comparisons"]:
        interval = ""
        if entry["low"] is not None and entry["high"] is not None:
            interval = f" (95 % interval {100 * entry['low']:+.1f} to {100 * entry['high']:+.1f})"
        points = f"{100 * entry['difference']:+.1f} points"
        lines.append(f"{words[entry['verdict']]} {entry['against']}: {points}{interval}.")
    return lines

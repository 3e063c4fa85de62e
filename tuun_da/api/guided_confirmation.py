"""The end of a guided search: its policy against what costs no search, on the test images."""

from __future__ import annotations

import json
from collections.abc import Callable

from tuun_da.api.guided_plan import ExperimentFolder, GuidedPlan
from tuun_da.data_files import write_atomically
from tuun_da.engines.confirm import confirm_experiment
from tuun_da.policy_format import PolicyRecord
from tuun_da.search.history import JournalContent

OnProgress = Callable[[str, int, int], None]
"""Hears of the stage in words, how many of its trainings are done, and how many there are."""


def confirm_guided(
    files: ExperimentFolder, plan: GuidedPlan, content: JournalContent, workers: int, on_progress: OnProgress
) -> tuple[PolicyRecord, str]:
    """Choose among the recommended policies, compare with the baselines, and write policy and confirmation.

    ``workers`` trainings run side by side. Returns the policy that was chosen, and the tables in words. Raises what a
    training raises.
    """
    result = confirm_experiment(
        content,
        files.path,
        experiment=files.path.name,
        n_seeds=plan.search.seeds,
        workers=workers,
        device=plan.device,
        overrides={"model": plan.train.model},  # the user named it to the search: code that may run
        on_progress=on_progress,
    )
    assert result.record is not None  # space_of made sure that there is a policy
    result.record.save(files.policy)  # first, since with its confirmation there it counts as the confirmed one
    write_atomically(files.confirmation, json.dumps(result.to_dict(), indent=2) + "\n")
    return result.record, result.to_text()

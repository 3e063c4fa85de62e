"""What a guided search leaves behind: the policy's file, the report, and the last words."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuun_da.api.guided_call import GuidedCall
from tuun_da.api.guided_text import best_searched, next_commands
from tuun_da.data_files import write_atomically
from tuun_da.engines.confirm import LABELS
from tuun_da.engines.export import recommend
from tuun_da.engines.study import BASELINE_KEY
from tuun_da.errors import TuunDaError
from tuun_da.policy_format import PolicyRecord, describe
from tuun_da.search.history import JournalContent


def say_end(call: GuidedCall, confirmation: Mapping[str, Any] | None) -> None:
    """Whether to believe the policy, where all is, and what to do next. ``confirmation`` is what its file holds."""
    call.say("")
    if confirmation is not None:
        call.say(confirmation["sentence"])
    else:
        command = f"tuun-da confirm {shlex.quote(str(call.files.path))}"
        call.say(f"Not confirmed: the score of the search flatters its best trial; {command} compares.")
    say_files(call)


def write_policy(call: GuidedCall, content: JournalContent) -> PolicyRecord:
    """Show and save the policy that the trials recommend. Raises ExperimentError where none has come to a score."""
    recommendation = recommend(content, experiment=call.files.path.name)
    record = recommendation.record
    assert record is not None  # space_of made sure that there is a policy
    call.say(f"\nRecommended: trial {recommendation.trial.id}, which scored {recommendation.trial.value:.4f}")
    call.say(describe(record.sub_policies))
    save_policy(call, record)
    best, baselines = best_searched(content), [trial for trial in content.trials if BASELINE_KEY in trial.details]
    free = max(baselines, key=lambda trial: trial.value or 0.0, default=None)
    if best is not None and free is not None and free.value is not None and best <= free.value:
        name = LABELS[free.details[BASELINE_KEY]]
        call.say(f"No policy of the search scored more than {name} ({free.value:.4f}).")
    return record


def save_policy(call: GuidedCall, record: PolicyRecord) -> None:
    """Into the folder, and where else the user wants it."""
    record.save(call.files.policy)
    if call.request.output is not None:
        record.save(Path(call.request.output).resolve())  # through a link, not in its place


def write_report(call: GuidedCall) -> bool:
    """Write the report; whether that went well, because a search of hours must not fail for its report."""
    from tuun_da.api.experiment_report import experiment_report, report_text

    try:
        named, beside = str(call.files.path), (call.files.path,)
        try:
            made = experiment_report(call.files.journal, named=named, beside=beside)
        except ImportError:  # matplotlib, which draws the pictures of images
            made = experiment_report(call.files.journal, named=named, beside=beside, with_pictures=False)
        write_atomically(call.files.report, report_text(made, "html"))
    except (TuunDaError, OSError, ImportError) as error:
        call.say(
            f"No report could be written ({error}); tuun-da report {shlex.quote(str(call.files.path))} tries again."
        )
        return False
    return True


def say_files(call: GuidedCall) -> None:
    """Where all is, and what to do next."""
    policy = call.files.policy if call.request.output is None else Path(call.request.output).resolve()
    call.say(f"\nPolicy   {policy}")
    if call.files.report.exists():
        call.say(f"Report   {call.files.report}")
    call.say(f"Journal  {call.files.journal}")
    call.say("\nNext:")
    named = (str(call.files.path), str(policy), str(call.request.data))
    for line in next_commands(*map(shlex.quote, named)):
        call.say(f"  {line}")

"""Which policy of an experiment a confirmation beside it is about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tuun_da.engines.experiment_files import POLICY_NAME, confirmation_path
from tuun_da.errors import TuunDaError

if TYPE_CHECKING:
    from tuun_da.engines.export import Recommendation
    from tuun_da.search.history import JournalContent


def policy_places(journal: Path | None, *beside: Path) -> tuple[Path, ...]:
    """Where the policy file of the experiment with this journal may lie; of one kept in memory nowhere."""
    if journal is None:
        return ()
    return (*(folder / POLICY_NAME for folder in (Path(), journal.parent, *beside)), journal.with_suffix(".json"))


def confirmation_of(content: JournalContent, policies: tuple[Path, ...]) -> tuple[str | None, int | None]:
    """The confirmation beside a policy file of this experiment, and the trial whose policy it is.

    A policy file that was written since, with another policy than the one that the confirmation chose, has none.
    """
    from tuun_da.policy_format import PolicyRecord, split_parameters, sub_policies_from_parameters
    from tuun_da.report.confirmation import read_confirmation

    for policy in policies:
        beside = confirmation_path(str(policy))
        if not policy.is_file() or not Path(beside).is_file():
            continue
        try:
            record = PolicyRecord.load(policy)
        except TuunDaError:
            continue
        for trial in content.trials:
            if trial.id != record.searched.get("trial"):
                continue
            try:
                if sub_policies_from_parameters(split_parameters(trial.parameters)[0]) != record.sub_policies:
                    continue
            except TuunDaError:
                continue
            chosen = [label for label, _, is_chosen in read_confirmation(beside).tried if is_chosen]
            if chosen in ([], [f"trial {trial.id}"]):
                return beside, trial.id
    return None, None


def chosen_recommendation(content: JournalContent, journal: Path, *, experiment: str | None = None) -> Recommendation:
    """What the journal recommends, or of the policies that it does the one that a confirmation beside it has chosen.

    Raises ExperimentError where no trial has come to a score, ConfigError for a confirmation that is damaged.
    """
    from tuun_da.engines.export import recommend

    recommendation = recommend(content, experiment=experiment)
    confirmation, trial = confirmation_of(content, (journal.with_name(POLICY_NAME), journal.with_suffix(".json")))
    return chosen_of(content, recommendation, confirmation, trial, experiment)


def chosen_of(
    content: JournalContent,
    recommendation: Recommendation,
    confirmation: str | None,
    confirmed_trial: int | None,
    experiment: str | None,
) -> Recommendation:
    """``recommendation``, or that of the confirmed trial if the confirmation has chosen between the two."""
    from tuun_da.engines.export import recommendation_of
    from tuun_da.report.confirmation import read_confirmation

    if confirmation is None:
        return recommendation
    if f"trial {recommendation.trial.id}" not in [label for label, _, _ in read_confirmation(confirmation).tried]:
        return recommendation
    for trial in content.trials:
        if trial.id == confirmed_trial:
            return recommendation_of(content, trial.parameters, experiment=experiment)
    return recommendation

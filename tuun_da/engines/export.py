"""The policy that an experiment recommends, made from its journal."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tuun_da import __version__
from tuun_da.engines.known import KNOWN
from tuun_da.engines.policy_identity import policy_key
from tuun_da.engines.replay import optimizer_from_journal
from tuun_da.engines.study import BASELINE_KEY
from tuun_da.errors import ExperimentError, TuunDaError
from tuun_da.policy_format import PolicyRecord, split_parameters, sub_policies_from_parameters
from tuun_da.search.history import JournalContent, Trial, TrialState

_logger = logging.getLogger(__name__)

NEEDS_COMPILER, STANDS_IN = "stan_gp", "gp"


@dataclass(frozen=True)
class Recommendation:
    """What an experiment recommends: ``record`` is None where the search space holds no policy."""

    parameters: Mapping[str, Any]
    trial: Trial
    record: PolicyRecord | None


def recommend(content: JournalContent, *, experiment: str | None = None) -> Recommendation:
    """The trial with the best mean under the surrogate: the luckiest one flatters. Raises ExperimentError.

    Stopped and failed trials are never recommended. Where ``stan_gp`` cannot run, ``gp``, the same model, stands in.
    """
    return recommend_several(content, 1, experiment=experiment)[0]


def recommend_several(content: JournalContent, count: int, *, experiment: str | None = None) -> list[Recommendation]:
    """The ``count`` best trials by their mean under the surrogate, best first; fewer where there are no more.

    No two are the same policy, however it is written, with the same other parameters. What ran as a baseline of the
    search is none of its finds: the model learns from it, but it is never recommended. Raises as ``recommend`` does.
    """
    scored = [trial for trial in content.trials if trial.state is TrialState.SUCCEEDED and trial.value is not None]
    baselines = [dict(trial.parameters) for trial in scored if BASELINE_KEY in trial.details]
    if len(scored) == len(baselines):
        besides = " besides the baselines" if baselines else ""
        raise ExperimentError(f"no trial has come to a score yet{besides}, so there is nothing to recommend")
    stands_in = False
    try:
        ranking = optimizer_from_journal(content).ranking()
    except TuunDaError as error:
        if content.settings.get("surrogate") != NEEDS_COMPILER:
            raise
        other = replace(content, settings={**content.settings, "surrogate": STANDS_IN})
        ranking = optimizer_from_journal(other).ranking()
        _logger.warning("%s recommends in place of %s, which cannot run here: %s", STANDS_IN, NEEDS_COMPILER, error)
        stands_in = True
    found: list[Recommendation] = []
    known: list[object] = []
    for parameters in ranking:
        if len(found) == count:
            break
        if dict(parameters) in baselines:
            continue
        policy_parameters, others = split_parameters(parameters)
        policy = policy_key(sub_policies_from_parameters(policy_parameters)) if policy_parameters else None
        if (policy, others) not in known:
            known.append((policy, others))
            found.append(recommendation_of(content, parameters, stands_in=stands_in, experiment=experiment))
    return found


def recommendation_of(
    content: JournalContent, parameters: Mapping[str, Any], *, stands_in: bool = False, experiment: str | None = None
) -> Recommendation:
    """The last complete trial with these ``parameters``, as a recommendation. ``stands_in``: by another surrogate."""
    trial = next(
        trial
        for trial in reversed(content.trials)
        if trial.state is TrialState.SUCCEEDED and dict(trial.parameters) == dict(parameters)
    )
    policy_parameters, others = split_parameters(trial.parameters)
    if not policy_parameters:
        return Recommendation(parameters, trial, None)
    settings = _mapping(trial.details.get("settings"))
    n_scores = sum(other.state is TrialState.SUCCEEDED for other in content.trials)
    searched: dict[str, Any] = {
        "score": trial.value,
        "trial": trial.id,
        "n_trials": n_scores,
        "experiment": experiment,
        "dataset": _mapping(settings.get("data")).get("data"),
        "image_size": settings.get("image_size"),
        "other_parameters": others,
        "search": {name: value for name, value in content.settings.items() if name != KNOWN},
        "settings": settings,
        "tuun_da": __version__,
    }
    if stands_in:
        searched["recommended_by"] = STANDS_IN
    how = {name: settings[name] for name in ("per", "unchanged_share") if name in settings}
    return Recommendation(
        parameters, trial, PolicyRecord(sub_policies_from_parameters(policy_parameters), **how, searched=searched)
    )


def _mapping(value: object) -> dict[str, Any]:
    """Trials other than ours may report something else, or nothing."""
    return dict(value) if isinstance(value, Mapping) else {}

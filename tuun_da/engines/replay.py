"""An optimizer rebuilt from a journal, for an experiment that goes on and for one that is looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from tuun_da.engines.known import KNOWN, optimizer_arguments
from tuun_da.errors import SearchSpaceError
from tuun_da.search.history import JournalContent, Trial, TrialState
from tuun_da.search.optimizer import Optimizer
from tuun_da.search.space import SearchSpace

OPTIMIZER_SETTINGS = ("surrogate", "acquisition", "beta", "n_initial", "seed")


def optimizer_from_journal(content: JournalContent, space: SearchSpace | None = None) -> Optimizer:
    """The optimizer as it stood at the last event. ``space`` where it has changed since the journal began."""
    settings: Mapping[str, Any] = {key: content.settings[key] for key in OPTIMIZER_SETTINGS if key in content.settings}
    space = space or SearchSpace.from_nni(content.space)
    known = optimizer_arguments(content.settings.get(KNOWN, {}), space)
    optimizer = Optimizer(space, **settings, **known)
    running = content.running
    for event in content.events:
        if event.trial is None:
            if event.id in running:
                with contextlib.suppress(SearchSpaceError):  # asked for when the space was another
                    optimizer.restore_running(event.id, event.parameters)
        else:
            tell_trial(optimizer, event.trial, maximize=content.maximize)
    optimizer.restore(asked=content.n_asked)
    return optimizer


def tell_trial(optimizer: Optimizer, trial: Trial, *, maximize: bool) -> bool:
    """Tell the optimizer how a trial ended. Returns whether it came to a score.

    A stopped trial is told by what it reported last, or forgotten if it had not reported anything. The sign is turned
    here and nowhere else: the optimizer always maximizes.
    """
    sign = 1.0 if maximize else -1.0
    reported = [value for value in trial.curve if value is not None]
    try:
        if trial.state is TrialState.STOPPED and reported:
            optimizer.tell_stopped(trial.id, sign * reported[-1], trial.parameters)
            return False
        if trial.state is TrialState.FAILED:
            optimizer.tell_failed(trial.id, trial.parameters)
            return False
        if trial.state is not TrialState.SUCCEEDED or trial.value is None:
            optimizer.forget(trial.id)
            return False
        value = sign * trial.value
        if trial.imported:
            optimizer.add(trial.parameters, value)
        else:
            optimizer.tell(trial.id, value, trial.parameters)
    except SearchSpaceError:  # ran with parameters from outside of the space as it is now
        optimizer.forget(trial.id)
        return False
    return True


def best_trial(content: JournalContent) -> Trial | None:
    """The succeeded trial with the best score seen, None before there is one."""
    succeeded = [trial for trial in content.trials if trial.state is TrialState.SUCCEEDED and trial.value is not None]
    if not succeeded:
        return None
    sign = 1.0 if content.maximize else -1.0
    return max(succeeded, key=lambda trial: sign * (trial.value or 0.0))

"""An optimizer rebuilt from a journal is the one that made it."""

from __future__ import annotations

import pytest
from nni_simulation import SPACE, score_of

from tuun_da.engines.replay import best_trial, optimizer_from_journal, tell_trial
from tuun_da.errors import TuunDaError
from tuun_da.search.history import Journal, Trial, TrialState
from tuun_da.search.optimizer import Optimizer
from tuun_da.search.space import SearchSpace

STATES = [TrialState.SUCCEEDED, TrialState.FAILED, TrialState.STOPPED, TrialState.SUCCEEDED, TrialState.SUCCEEDED]
STRANGE = {"operation1_1": "invert", "prob1_1": 7.0, "magnitude1_1": 0.5}
FOREIGN = {"operation1_1": "invert", "prob1_1": 0.5, "magnitude1_1": 0.5}


def finished(number, parameters, state=TrialState.SUCCEEDED, **more):
    value = None if state is TrialState.FAILED else score_of(parameters)
    if state is TrialState.STOPPED:
        more = {"curve": (0.1, None, 0.4 * value)} | more
    return Trial(id=number, parameters=parameters, state=state, value=value, **more)


def in_memory(settings, space=SPACE):
    return Journal.open(None, space=space, settings={"optimize_mode": "maximize"} | settings, versions={})


@pytest.mark.parametrize("surrogate", ["gp", "forest", "random"])
@pytest.mark.parametrize("mode", ["maximize", "minimize"])
def test_it_has_learned_the_same_and_proposes_the_same(surrogate, mode):
    """Two at a time, of which the earlier one comes back later; one fails, one is stopped, one is from elsewhere."""
    settings = {"surrogate": surrogate, "acquisition": "logei", "n_initial": 2, "seed": 5}
    sign = 1 if mode == "maximize" else -1
    live = Optimizer(SearchSpace.from_nni(SPACE), **settings)
    journal = in_memory(settings | {"optimize_mode": mode})
    for number, state in enumerate(STATES):
        for trial_id in (2 * number, 2 * number + 1):
            journal.record_asked(trial_id, live.ask(trial_id))
        last = 2 * number + 1
        trial = finished(last, dict(live.running[last]), state)
        journal.record_finished(trial)
        if state is TrialState.SUCCEEDED:
            live.tell(last, sign * trial.value)
        elif state is TrialState.STOPPED:
            live.tell_stopped(last, sign * 0.4 * trial.value)
        else:
            live.tell_failed(last)
        if number == 2:
            journal.record_finished(finished(100, FOREIGN, imported=True))
            live.add(FOREIGN, sign * score_of(FOREIGN))
    rebuilt = optimizer_from_journal(journal.content)
    assert rebuilt.observations == live.observations
    assert list(rebuilt.running.items()) == list(live.running.items())
    assert rebuilt.recommend() == live.recommend()
    assert [rebuilt.ask(200), rebuilt.ask(201)] == [live.ask(200), live.ask(201)]


def test_only_a_complete_score_inside_of_the_space_is_learned_and_every_end_frees_the_point():
    optimizer = Optimizer(SearchSpace.from_nni(SPACE), surrogate="random", seed=0)
    trials = {
        1: finished(1, FOREIGN),
        2: finished(2, FOREIGN, TrialState.STOPPED),
        3: finished(3, FOREIGN, TrialState.FAILED),
        4: finished(4, STRANGE),
    }
    for number in trials:
        optimizer.ask(number)
    learned = [number for number, trial in trials.items() if tell_trial(optimizer, trial, maximize=True)]
    assert learned == [1]
    assert [observation.params for observation in optimizer.observations] == [FOREIGN]
    assert dict(optimizer.running) == {}


@pytest.mark.parametrize(("mode", "best"), [("maximize", 2), ("minimize", 1)])
def test_the_best_trial_is_a_complete_one(mode, best):
    journal = in_memory({"optimize_mode": mode})
    assert best_trial(journal.content) is None
    for number, state, value in [
        (1, TrialState.SUCCEEDED, -0.5),
        (2, TrialState.SUCCEEDED, 0.25),
        (3, TrialState.STOPPED, 100.0),
        (4, TrialState.STOPPED, -100.0),
        (5, TrialState.FAILED, 100.0),
    ]:
        journal.record_finished(Trial(id=number, parameters=FOREIGN, state=state, value=value))
    assert best_trial(journal.content).id == best


def test_settings_in_a_journal_that_cannot_be_are_an_error_of_ours():
    for settings in ({"surrogate": "x"}, {"seed": "x"}, {"n_initial": []}):
        with pytest.raises(TuunDaError, match=next(iter(settings))):
            optimizer_from_journal(in_memory(settings).content)

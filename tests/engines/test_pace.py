"""A search that has to end in time: no trial begins that could not, but a few always do."""

from __future__ import annotations

from tuun_da.engines.local import run_search
from tuun_da.engines.local_trial import TrialPlan
from tuun_da.engines.pace import Pace, seconds_of_trial
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.search.history import Event, JournalContent, Trial, TrialState
from tuun_da.space_file import policy_space
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def content_of(*seconds, state=TrialState.SUCCEEDED):
    trials = [
        Trial(id=i, parameters={}, state=state, value=0.5, started=100.0 * i, ended=100.0 * i + s)
        for i, s in enumerate(seconds, 1)
    ]
    return JournalContent({}, {}, {}, tuple(Event(t.id, {}, t) for t in trials))


def made(clock, **changes):
    settings = {"ends": 100.0, "least": 2, "most": 50, "planned_seconds": 10.0, "after": lambda seconds: 3 * seconds}
    return Pace(**settings | changes, clock=clock)


def test_a_trial_begins_as_long_as_all_that_follows_it_can_end_in_time():
    clock = Clock()
    pace = made(clock)
    for now, may in ((0.0, True), (60.0, True), (60.1, False), (99.0, False)):  # 10 + 3 * 10 before 100
        clock.now = now
        assert pace.may_begin(5, content_of()) is may


def test_the_trials_that_ended_tell_how_long_the_next_one_takes():
    clock = Clock()
    clock.now = 50.0
    assert made(clock).may_begin(5, content_of(12.0, 12.0, 90.0))  # a median, so one that waited does not count
    assert not made(clock).may_begin(5, content_of(13.0, 13.0, 13.0))
    assert made(clock).may_begin(5, content_of(13.0, 13.0, 13.0, state=TrialState.FAILED))  # it broke off
    assert seconds_of_trial(content_of(*[50.0] * 20, *[2.0] * 12), 10.0) == 2.0  # only the latest


def test_the_fewest_begin_however_late_it_is_and_the_most_end_it_however_early():
    clock = Clock()
    clock.now = 1_000.0
    assert [made(clock).may_begin(n, content_of(10.0)) for n in (0, 1, 2)] == [True, True, False]
    clock.now = 0.0
    assert not made(clock, most=4).may_begin(4, content_of(0.1))


def test_the_time_left_is_that_of_the_plan_unless_it_ends_before_and_never_less_than_what_must_be():
    clock = Clock()
    pace = made(clock)
    done = content_of(10.0)
    assert pace.seconds_left(5, 2, done) == 4 * 10 / 2 + 30  # four more by two workers, and what follows
    assert pace.seconds_left(40, 2, done) == 100.0  # there is no time for so many
    clock.now = 95.0
    assert (
        pace.seconds_left(40, 2, done) == 1 * 10 / 2 + 30
    )  # it is late, but the fewest and what follows come all the same


def test_a_search_hands_out_no_trial_past_its_deadline():
    """Each trial takes 10 s of a clock that only they move: 4 of them, and 30 s of what follows, make 70."""
    clock = Clock()
    pace = made(clock, ends=75.0, least=1, after=lambda seconds: 30.0)
    plan = TrialPlan(
        train=TrainConfig(model="child_cnn", epochs=1, batch_size=16, learning_rate=0.02),
        data=DataConfig(data="digits", train_per_class=2, validation_size=20),
        device="cpu",
        threads=1,
    )

    def on_trial(trial, content):
        clock.now += 10.0

    def may_begin(n_begun, content):
        return pace.may_begin(n_begun, content_of(*[10.0] * len(content.trials)))

    content, interrupted = run_search(
        plan, policy_space(), TunerSettings(surrogate="random", seed=0), 30, may_begin=may_begin, on_trial=on_trial
    )
    assert not interrupted
    assert len(content.trials) == 4
    assert content.running == {}

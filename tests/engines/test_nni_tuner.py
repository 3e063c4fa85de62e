"""TuunTuner against what NNI 3.0 does: pairs are those that ran, nothing is lost, and no callback lets an error out."""

from __future__ import annotations

import json
import logging
import math
import random
import sys
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_probes import made_probe
from nni import NoMoreTrialError
from nni_simulation import SPACE, UNIT, SimulatedNni, echo_of, score_of, without_id

from tuun_da.engines.nni_tuner import ERROR_NAME, JOURNAL_NAME, TuunTuner
from tuun_da.engines.study import NO_RESULT
from tuun_da.errors import ConfigError, JournalError
from tuun_da.policy_format import TRIAL_ID_KEY
from tuun_da.probe_format import ProbeRecord
from tuun_da.search.history import Journal, TrialState
from tuun_da.search.space import SearchSpace

SURROGATES = ["gp", "forest", "random"]


def states(nni):
    return {trial.id: trial.state.value for trial in nni.journal.trials}


# ---- pairs ----


def test_swapped_parameters_are_journaled_as_they_ran(nni):
    one = nni()
    first, second = one.start(), one.start()
    one.take(second)  # the second process asks first, so it gets the first one's point
    one.take(first)
    assert second.taken == first.bound != second.bound == first.taken
    for job in (first, second):
        one.report(job, echo_of(job.taken))
        one.end(job)
    assert one.pairs == {
        job.taken[TRIAL_ID_KEY]: (without_id(job.taken), score_of(without_id(job.taken))) for job in (first, second)
    }


def test_parameters_that_the_trial_changed_are_journaled_as_it_ran_them(nni):
    one = nni()
    job = one.start()
    ran = one.take(job) | {"magnitude1_1": 0.125}
    one.report(job, echo_of(ran))
    assert one.pairs == {1: (without_id(ran), score_of(without_id(ran)))}


def test_of_a_final_result_reported_twice_the_first_counts(nni):
    one = nni()
    job = one.start()
    one.take(job)
    for value in (0.25, 0.75):
        one.report(job, echo_of(job.taken, value))
    one.end(job)
    one.report(job, echo_of(job.taken, 0.9))
    assert one.pairs == {1: (without_id(job.taken), 0.25)}


def test_without_an_echo_the_pairing_of_nni_has_to_do_and_a_warning_says_so(nni, caplog):
    one = nni()
    for _ in range(2):
        job = one.start()
        one.report(job, 0.5)
        one.end(job)
    assert one.pairs[1] != one.pairs[2]
    assert {value for _, value in one.pairs.values()} == {0.5}
    assert sum("report no echo" in record.message for record in caplog.records) == 1


def test_the_other_direction_is_journaled_as_reported_and_searched_in(nni):
    one = nni(optimize_mode="minimize", surrogate="gp", n_initial=4)

    def cost(parameters):
        """From 0, where 8 in 10 images are rotated and nothing else happens, to 1.8: a matter of what a policy does."""
        rotated = parameters["prob1_1"] * (parameters["operation1_1"] == "rotate")
        return round(abs(rotated - 0.8) + parameters["prob1_1"] - rotated, 12)

    for _ in range(20):
        job = one.start()
        one.report(job, echo_of(one.take(job), cost(job.taken)))
        one.end(job)
    values = [trial.value for trial in one.journal.trials]
    assert values == [cost(trial.parameters) for trial in one.journal.trials]
    assert min(values) < 0.25  # 4 of 20 come from the design
    assert sum(value < 0.5 for value in values[10:]) > 5


# ---- running trials ----


@pytest.mark.parametrize("ends", [1, 2, 3])
def test_trial_end_alone_drops_no_running_point(nni, ends):
    """A trial that died before it asked leaves its point in the queue, and the next one runs it."""
    one = nni()
    jobs = [one.start() for _ in range(3)]
    for job in jobs[:ends]:
        one.end(job, success=False)
    assert set(one.journal.running) == {1, 2, 3}
    assert one.journal.trials == ()


def test_the_trial_after_one_that_died_before_it_asked_runs_its_point(nni):
    one = nni()
    one.end(one.start(), success=False)
    for number in range(1, 6):
        job = one.start()
        assert one.take(job)[TRIAL_ID_KEY] == number
        one.report(job, echo_of(job.taken))
        one.end(job)
        assert set(states(one).values()) == {"succeeded"}
        assert set(one.journal.running) == {number + 1}  # it waits


def test_a_point_that_was_taken_is_written_off_when_nothing_runs_any_more(nni):
    one = nni()
    died, lives, slow = one.start(), one.start(), one.start()
    for job in (died, lives, slow):
        one.take(job)
    one.end(died, success=False)
    one.report(lives, echo_of(lives.taken))
    one.end(lives)
    assert set(one.journal.running) == {1, 3}  # either of them may be the one that runs
    one.report(slow, echo_of(slow.taken))
    one.end(slow)
    assert states(one) == {1: "failed", 2: "succeeded", 3: "succeeded"}
    [failed] = [trial for trial in one.journal.trials if trial.id == 1]
    assert (failed.error, failed.value) == (NO_RESULT, None)
    assert one.journal.running == {}


def test_a_result_after_the_write_off_counts(nni):
    one = nni()
    jobs = [one.start() for _ in range(2)]
    for job in jobs:
        one.take(job)
    one.report(jobs[1], echo_of(jobs[1].taken))
    for job in jobs:
        one.end(job)  # NNI tells it on another thread, so that it can come before the result
    assert states(one)[1] == "failed"
    one.report(jobs[0], echo_of(jobs[0].taken))
    assert one.pairs[1] == (without_id(jobs[0].taken), score_of(without_id(jobs[0].taken)))
    again = nni()
    assert states(again) == {1: "succeeded", 2: "succeeded"}


def test_a_result_after_the_write_off_counts_even_after_a_resume(nni):
    one = nni()
    jobs = [one.start() for _ in range(2)]
    for job in jobs:
        one.take(job)
    one.report(jobs[1], echo_of(jobs[1].taken))
    for job in jobs:
        one.end(job)
    again = nni()
    again.tuner.import_data([{"parameter": jobs[0].bound, "value": echo_of(jobs[0].taken)}])
    assert states(again) == {1: "succeeded", 2: "succeeded"}


def test_the_end_of_a_trial_that_a_person_added_is_none_of_ours(nni):
    one = nni()
    jobs = [one.start() for _ in range(2)]
    for job in jobs:
        one.take(job)
    one.report(jobs[1], echo_of(jobs[1].taken))
    one.end(jobs[1])
    one.tuner.trial_end(1_000_000, False)
    one.end(jobs[1])  # and nothing counts twice
    assert set(one.journal.running) == {1}


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_running_points_are_never_proposed_again(nni, surrogate):
    space = {"n": {"_type": "randint", "_value": [0, 6]}, "kind": {"_type": "choice", "_value": ["a", "b"]}}
    one = nni(space=space, surrogate=surrogate, n_initial=3)
    jobs = [one.start() for _ in range(3)]
    one.report(jobs[1], echo_of(jobs[1].bound, 0.5))
    one.end(jobs[1])
    jobs += [one.start() for _ in range(9)]
    points = [json.dumps(without_id(job.bound), sort_keys=True) for job in jobs]
    assert len(set(points)) == 12  # of 12 that there are


# ---- a randomized simulation ----


class Chaos:
    """Trials in random order: some die before they ask, some after, some report late, twice, failure or a stop."""

    def __init__(self, nni: SimulatedNni, seed: int, concurrency: int) -> None:
        self.nni, self.concurrency, self.random = nni, concurrency, random.Random(seed)
        self.alive = []
        self.reported = {}  # id -> (parameters, value, state)
        self.late = []
        self.dead_ids = set()

    def step(self, may_start=True):
        if may_start and len(self.alive) < self.concurrency:
            self.alive.append(self.nni.start())
            return
        if not self.alive:
            return
        job = self.random.choice(self.alive)
        what = self.random.random()
        if job.taken is None:
            if what < 0.1:
                self.end(job)
            else:
                self.nni.take(job)
        elif what < 0.2:
            self.dead_ids.add(job.taken[TRIAL_ID_KEY])
            self.end(job)
        elif what < 0.3:  # its result comes after its end: two threads
            self.end(job)
            self.late.append(job)
        elif what < 0.7:
            self.report(job)
            self.end(job)
        if self.late and self.random.random() < 0.5:
            self.report(self.late.pop(0))
        self.check()

    def report(self, job):
        state, value = self.random.choice(
            [("succeeded", None), ("succeeded", None), ("stopped", 100.0), ("failed", math.nan)]
        )
        metric = echo_of(job.taken, value, state=state)
        for _ in range(self.random.choice([1, 1, 1, 2])):
            self.nni.report(job, metric)
        parameters = without_id(job.taken)
        self.reported[job.taken[TRIAL_ID_KEY]] = (
            parameters, score_of(parameters) if value is None else None if math.isnan(value) else value, state,
        )  # fmt: skip

    def end(self, job):
        self.alive.remove(job)
        self.nni.end(job, self.random.random() < 0.5)

    def check(self):
        content = self.nni.journal
        journaled = {t.id: (dict(t.parameters), t.value, t.state.value) for t in content.trials if t.error != NO_RESULT}
        assert journaled == self.reported
        running = {job.taken[TRIAL_ID_KEY] for job in self.alive if job.taken is not None}
        waiting = {point[TRIAL_ID_KEY] for point in self.nni.queue}
        assert running | waiting <= set(content.running)
        written_off = {trial.id for trial in content.trials if trial.error == NO_RESULT}
        assert written_off <= self.dead_ids | {job.taken[TRIAL_ID_KEY] for job in self.late}
        if not self.alive and not self.late and self.nni.tuner._alive == set() and content.trials:
            # Nothing runs: whatever was taken before the last that came back is known to be dead.
            last = max((number for number in self.reported), default=0)
            assert {number for number in self.dead_ids if number < last} <= written_off

    def drain(self):
        while self.alive or self.late:
            self.step(may_start=False)
            if not self.alive:
                while self.late:
                    self.report(self.late.pop(0))
        self.check()


@pytest.mark.parametrize("concurrency", range(1, 9))
@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_the_journal_has_what_ran_and_nothing_that_lives_is_given_up(nni, concurrency, seed):
    one = nni()
    chaos = Chaos(one, seed, concurrency)
    for _ in range(120):
        chaos.step()
    chaos.drain()
    assert len(chaos.reported) > 15
    assert chaos.dead_ids
    left = {number for number in chaos.dead_ids if number in one.journal.running}
    assert all(number > max(chaos.reported) for number in left)


# ---- resume ----


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_a_resumed_run_proposes_what_the_uninterrupted_one_would_have(tmp_path_factory, monkeypatch, surrogate):
    def points(interruptions):
        folder = tmp_path_factory.mktemp("run")
        monkeypatch.setenv("NNI_CHECKPOINT_DIRECTORY", str(folder))
        nni = SimulatedNni(folder, surrogate=surrogate, n_initial=3)
        made = []
        for number in range(9):
            if number in interruptions:
                nni.interrupt()
                nni = SimulatedNni(folder, surrogate=surrogate, n_initial=3)
                # What NNI replays is wrongly paired, and has no say.
                nni.tuner.import_data(
                    [{"parameter": made[0], "value": echo_of(made[-1])}, {"parameter": made[-1], "value": 1.0}]
                )
            made.append(nni.run().taken)
        nni.interrupt()
        return made

    uninterrupted = points(())
    assert points((1, 2, 4, 7, 8)) == uninterrupted
    assert len({json.dumps(without_id(point)) for point in uninterrupted}) == 9


def test_a_seed_that_was_drawn_is_kept_by_the_journal(nni):
    one = nni(seed=None)
    one.run()
    drawn = one.journal.settings["seed"]
    again = nni(seed=None)
    again.run()
    assert again.journal.settings["seed"] == drawn
    assert len({json.dumps(pair[0]) for pair in again.pairs.values()}) == 2


def test_interrupted_trials_run_again_and_their_results_come_by_import_data(nni):
    one = nni()
    one.run()
    jobs = [one.start() for _ in range(2)]
    again = nni()
    assert set(again.journal.running) == {2, 3}
    for job, other in zip(jobs, reversed(jobs), strict=True):  # rerun, and swapped
        again.tuner.import_data([{"parameter": other.bound, "value": echo_of(job.bound)}])
    assert again.pairs | one.pairs == again.pairs
    for job in jobs:
        assert again.pairs[job.bound[TRIAL_ID_KEY]] == (without_id(job.bound), score_of(without_id(job.bound)))
    assert again.start().bound[TRIAL_ID_KEY] == 4


def test_trials_that_a_shutdown_stopped_are_handed_out_again_once(nni):
    one = nni()
    jobs = [one.start() for _ in range(3)]
    again = nni()
    stopped = [
        {"parameter": job.bound, "value": echo_of(job.bound, 100.0, state="stopped", stopped_at_epoch=1)}
        for job in jobs[:2]
    ]
    for _ in range(2):
        again.tuner.import_data(stopped)
    assert again.journal.trials == ()
    handed_out = [again.start().bound for _ in range(2)]
    assert handed_out == [job.bound for job in jobs[:2]]
    again.tuner.import_data(stopped)
    assert again.start().bound[TRIAL_ID_KEY] == 4


def test_a_stopped_trial_whose_result_came_after_all_is_not_handed_out_again(nni):
    one = nni()
    job = one.start()
    again = nni()
    again.tuner.import_data([{"parameter": job.bound, "value": echo_of(job.bound, 1.0, state="stopped")}])
    again.tuner.import_data([{"parameter": job.bound, "value": echo_of(job.bound)}])
    assert again.start().bound[TRIAL_ID_KEY] == 2
    assert states(again) == {1: "succeeded"}


def test_trials_handed_out_again_that_die_are_written_off(nni):
    one = nni()
    jobs = [one.start() for _ in range(2)]
    again = nni()
    again.tuner.import_data(
        [{"parameter": job.bound, "value": echo_of(job.bound, 1.0, state="stopped")} for job in jobs]
    )
    first, second = again.start(), again.start()
    for job in (first, second):
        again.take(job)
    again.report(second, echo_of(second.taken))
    again.end(second)
    assert states(again) == {2: "succeeded"}
    again.end(first)
    assert states(again) == {1: "failed", 2: "succeeded"}


def test_an_old_trial_that_runs_again_is_not_given_up_for_those_that_came_before_the_interruption(nni):
    one = nni()
    slow = one.start()
    for _ in range(30):
        one.queue.clear()  # the slow one has its point
        one.run()
    again = nni()
    assert set(again.journal.running) == {1}
    again.tuner.import_data([{"parameter": {"x": 1}, "value": 0.5}])
    again.queue.clear()
    again.run()
    assert set(again.journal.running) == {1}
    again.tuner.import_data([{"parameter": slow.bound, "value": echo_of(slow.bound)}])
    assert states(again)[1] == "succeeded"


def test_replayed_results_change_nothing_however_often_and_wrongly_paired(nni):
    one = nni()
    jobs = [one.run() for _ in range(4)]
    again = nni()
    before = (again.folder / JOURNAL_NAME).read_bytes()
    replay = [{"parameter": jobs[(i + 1) % 4].bound, "value": echo_of(job.taken)} for i, job in enumerate(jobs)]
    for _ in range(2):
        again.tuner.import_data(replay)
    assert (again.folder / JOURNAL_NAME).read_bytes() == before


POINT = {"operation1_1": "invert", "prob1_1": 0.5, "magnitude1_1": 0.25}


@pytest.mark.parametrize("metric", [0.75, {"default": 0.75}, {"default": 0.75, "loss": 1.0}])
def test_results_from_elsewhere_are_learned_once(nni, metric):
    one = nni()
    entries = [{"parameter": dict(POINT), "value": metric}]
    for _ in range(2):
        one.tuner.import_data(entries)
    again = nni()
    again.tuner.import_data(entries)
    [trial] = again.journal.trials
    assert (dict(trial.parameters), trial.value, trial.imported) == (POINT, 0.75, True)
    assert again.start().bound[TRIAL_ID_KEY] == 2


def test_a_result_of_another_experiment_with_our_number_is_not_ours(nni):
    """Another experiment's trials count from 1, too."""
    one = nni()
    job = one.start()
    foreign = POINT | {TRIAL_ID_KEY: job.bound[TRIAL_ID_KEY]}
    for _ in range(2):
        one.tuner.import_data([{"parameter": foreign, "value": echo_of(foreign)}])
    one.tuner.import_data([{"parameter": POINT | {TRIAL_ID_KEY: 7}, "value": 0.875}])
    assert set(one.journal.running) == {1}
    one.report(job, echo_of(job.bound))
    assert one.pairs[1] == (without_id(job.bound), score_of(without_id(job.bound)))
    assert {trial.value for trial in one.journal.trials if trial.imported} == {score_of(POINT), 0.875}


@pytest.mark.parametrize(
    "entry",
    [
        {"parameter": {"x": 1}, "value": 0.5},
        {"parameter": POINT | {"operation1_1": "rotat"}, "value": 0.5},
        {"parameter": POINT, "value": math.nan},
        {"parameter": POINT, "value": "best"},
        {"parameter": POINT, "value": None},
        {"parameter": "x", "value": 0.5},
        {"parameter": None, "value": 0.5},
        {"value": 0.5},
        {"parameter": POINT},
        None,
    ],
)
def test_a_result_from_elsewhere_that_cannot_be_used_harms_no_other(nni, entry):
    one = nni()
    one.tuner.import_data([entry, {"parameter": dict(POINT), "value": 0.75}])
    assert list(one.pairs.values()) == [(POINT, 0.75)]


# ---- arguments ----


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"surogate": "gp"}, "no argument 'surogate'; did you mean 'surrogate'?"),
        ({"sed": 1, "nonsense": 2}, "no argument 'nonsense'. the tuner has no argument 'sed'; did you mean 'seed'?"),
        ({"optimize_mode": "max"}, "optimize_mode must be one of maximize, minimize; got 'max'"),
        ({"optimize_mode": None}, "optimize_mode must"),
        ({"surrogate": "tpe"}, "surrogate must be one of gp, stan_gp, forest, random; got 'tpe'"),
        ({"surrogate": ["gp"]}, "surrogate must"),
        ({"acquisition": "ei"}, "acquisition must be one of logei, ucb, pi, thompson; got 'ei'"),
        ({"acquisition": {}}, "acquisition must"),
        ({"n_initial": 0}, "n_initial must be an integer from 1 to 10000, got 0"),
        ({"n_initial": "10"}, "n_initial must"),
        ({"n_initial": True}, "n_initial must"),
        ({"n_initial": 2.0}, "n_initial must"),
        ({"seed": -1}, "seed must be an integer of at least 0 or None, got -1"),
        ({"seed": 1.5}, "seed must"),
        ({"seed": "0"}, "seed must"),
        ({"seed": False}, "seed must"),
    ],
)
def test_a_bad_argument_is_named(arguments, expected):
    with pytest.raises(ConfigError) as caught:
        TuunTuner(**arguments)
    assert expected in str(caught.value)


def test_relative_names_are_looked_for_in_the_code_directory(tmp_path, monkeypatch):
    """NNI puts the tuner's behind sys.path before it makes the tuner, and an assessor's after that."""
    code, checkpoint = tmp_path / "code", tmp_path / "checkpoint"
    code.mkdir()
    checkpoint.mkdir()
    made_probe(data="digits").save(code / "probe.json")
    monkeypatch.setenv("NNI_CHECKPOINT_DIRECTORY", str(checkpoint))
    monkeypatch.setattr("sys.path", [*sys.path, str(code)])
    tuner = TuunTuner(seed=0, surrogate="random", probe="probe.json")
    monkeypatch.setattr("sys.path", [*sys.path, str(tmp_path / "assessor")])
    tuner.update_search_space(SPACE)
    assert TRIAL_ID_KEY in tuner.generate_parameters(0)
    known = tuner._study.journal.content.settings["known"]
    assert ProbeRecord.from_json(known["probe"]).about == {"data": "digits"}
    tuner._study.journal.close()


def test_a_file_that_is_not_there_ends_the_experiment_and_is_named(nni):
    one = nni(warm_start=["nowhere"])
    with pytest.raises(NoMoreTrialError):
        one.start()
    assert "warm_start: 'nowhere' cannot be used" in (one.folder / ERROR_NAME).read_text()


def test_a_compiler_that_fails_ends_the_experiment_before_its_first_trial(nni, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", "false")
    one = nni(surrogate="stan_gp")
    with pytest.raises(NoMoreTrialError):
        one.start()
    assert "while compiling gp.stan" in (one.folder / ERROR_NAME).read_text()
    assert "the surrogate `gp` is the same model" in (one.folder / ERROR_NAME).read_text()
    assert not (one.folder / JOURNAL_NAME).exists()
    assert nni().start().bound  # with another surrogate the same folder does


def test_seed_zero_is_a_seed(nni):
    one = nni(seed=0)
    assert one.journal.settings["seed"] == 0


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"surrogate": "forest"}, {"n_initial": 3}, {"optimize_mode": "minimize"}]
)
def test_other_arguments_on_a_resume_end_the_experiment_and_name_the_argument(nni, change):
    nni().run()
    again = nni(**change)
    with pytest.raises(NoMoreTrialError):
        again.start()
    [name] = change
    assert f"begun with {name} =" in (again.folder / ERROR_NAME).read_text()


# ---- nothing gets out ----

BAD_SPACES = [
    {},
    [],
    None,
    {"x": 3},
    {"operation1_1": {"_type": "choice", "_value": ["rotat"]}, "magnitude1_1": UNIT},
    {"operation1_1": SPACE["operation1_1"], "operation2_1": SPACE["operation1_1"], "magnitude1_1": UNIT},
    {"x": {"_type": "uniform", "_value": [1, 0]}},
]


@pytest.mark.parametrize("space", BAD_SPACES, ids=repr)
def test_a_space_that_cannot_be_used_ends_the_experiment_and_is_explained(nni, space):
    one = nni(space=space)
    for _ in range(2):
        with pytest.raises(NoMoreTrialError):
            one.tuner.generate_parameters(0)
    assert one.tuner.generate_multiple_parameters([0, 1]) == []  # how NNI asks
    assert (one.folder / ERROR_NAME).read_text().strip()
    one.tuner.receive_trial_result(0, {}, 0.5)
    one.tuner.trial_end(0, True)
    one.tuner.import_data([{"parameter": {}, "value": 1}])
    assert not (nni().folder / ERROR_NAME).exists()  # once it is right, nothing is left of it


def test_a_checkpoint_folder_that_is_not_there_ends_the_experiment(tmp_path, monkeypatch):
    monkeypatch.setenv("NNI_CHECKPOINT_DIRECTORY", str(tmp_path / "missing"))
    tuner = TuunTuner(seed=0)
    tuner.update_search_space(SPACE)
    with pytest.raises(NoMoreTrialError):
        tuner.generate_parameters(0)


def test_without_a_checkpoint_folder_the_journal_is_in_memory(monkeypatch):
    monkeypatch.delenv("NNI_CHECKPOINT_DIRECTORY", raising=False)
    tuner = TuunTuner(seed=0)
    tuner.update_search_space(SPACE)
    point = tuner.generate_parameters(0)
    tuner.receive_trial_result(0, point, echo_of(point))
    assert [trial.value for trial in tuner._study.journal.content.trials] == [score_of(without_id(point))]


class Odd:
    """Nothing that a tuner expects."""

    def __repr__(self):
        return "odd"  # in the names of tests, which must be the same in every process


ODD = [None, True, "", "0.5", "NaN", [], [0.5], {}, {"default": None}, {"default": "x"}, {"default": [1]}, Odd(),
       {"tuun_da": {}}, {"tuun_da": {"parameters": {}}}, math.nan, math.inf, -math.inf, 10**400, b"0.5"]  # fmt: skip


@pytest.mark.parametrize("metric", ODD, ids=repr)
def test_a_metric_without_a_finite_number_is_a_failed_trial_and_the_search_goes_on(nni, metric):
    one = nni()
    job = one.start()
    one.take(job)
    one.report(job, metric)
    one.end(job)
    one.run()
    assert states(one) == {1: "failed", 2: "succeeded"}
    assert "not a finite number" in one.journal.trials[0].error


def test_details_that_json_cannot_hold_block_neither_this_record_nor_later_ones(nni):
    """A loss of nan among the details must not cost the score."""
    one = nni()
    job = one.start()
    one.take(job)
    one.report(job, echo_of(job.bound, loss=math.nan, what=Odd(), deep=[[{1: {2}}]]))
    one.run()
    assert states(one) == {1: "succeeded", 2: "succeeded"}
    assert one.journal.trials[0].details["loss"] is None


metrics = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        | st.fixed_dictionaries(
            {},
            optional={
                "default": inner,
                "tuun_da": st.fixed_dictionaries(
                    {"parameters": st.dictionaries(st.sampled_from([*SPACE, "x"]), inner) | inner},
                    optional={
                        "id": st.integers(-2, 12) | inner,
                        "state": st.sampled_from(["succeeded", "stopped", "failed"]) | inner,
                        "curve": inner,
                        "seed": inner,
                        "started": inner,
                        "ended": inner,
                        "error": inner,
                        "details": inner,
                    },
                ),
            },
        )
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["report", "import", "end", "space"]), metrics), max_size=6))
def test_whatever_nni_says_nothing_gets_out_and_the_next_trial_is_served(tmp_path_factory, monkeypatch, said):
    folder = tmp_path_factory.mktemp("said")
    monkeypatch.setenv("NNI_CHECKPOINT_DIRECTORY", str(folder))
    one = SimulatedNni(folder)
    for what, content in said:
        job = one.start()
        if what == "report":
            one.report(job, content)
        elif what == "import":
            one.tuner.import_data([{"parameter": job.bound, "value": content}, content])
        elif what == "end":
            one.tuner.trial_end(content, True)
        else:
            one.tuner.update_search_space(content)
    one.queue.clear()
    job = one.run()
    assert one.pairs[job.bound[TRIAL_ID_KEY]] == (without_id(job.bound), score_of(without_id(job.bound)))
    one.interrupt()
    again = SimulatedNni(folder)
    assert again.start().bound[TRIAL_ID_KEY] not in one.pairs
    again.interrupt()


def test_when_the_surrogate_fails_a_random_point_is_handed_out(nni, monkeypatch):
    one = nni()
    monkeypatch.setattr("tuun_da.search.optimizer.Optimizer.ask", lambda *_: 1 / 0)
    points = [one.run().taken for _ in range(3)]
    space = SearchSpace.from_nni(SPACE)
    for point in points:
        space.validate(without_id(point))
    assert len({json.dumps(without_id(point)) for point in points}) == 3
    assert len(one.pairs) == 3


def test_a_full_disk_loses_no_result_that_the_tuner_lives_to_write(nni, monkeypatch, caplog):
    one = nni()

    def refuse(*_):
        raise JournalError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("tuun_da.search.history._write", refuse)
        one.run()
        one.run()
        assert "not on disk" in caplog.text
    assert one.journal.trials == ()
    one.run()
    assert states(one) == dict.fromkeys((1, 2, 3), "succeeded")


# ---- changes of the space ----

OTHER = SPACE | {"magnitude1_1": {"_type": "uniform", "_value": [0, 0.25]}}


def test_a_changed_space_is_searched_from_then_on_and_after_a_resume(nni):
    one = nni()
    for _ in range(6):
        one.run()
    before = one.pairs
    one.tuner.update_search_space(OTHER)
    magnitudes = [one.run().taken["magnitude1_1"] for _ in range(6)]
    again = nni(space=OTHER)
    magnitudes += [again.run().taken["magnitude1_1"] for _ in range(2)]
    assert max(magnitudes) <= 0.25 < max(pair[0]["magnitude1_1"] for pair in before.values())
    assert before.items() <= again.pairs.items()
    assert len(again.pairs) == 14


@pytest.mark.parametrize("space", BAD_SPACES, ids=repr)
def test_a_change_to_a_space_that_cannot_be_used_is_refused_and_the_old_one_stays(nni, space, caplog):
    one = nni()
    one.tuner.update_search_space(space)
    assert "the old one stays" in caplog.text
    one.run()
    assert len(one.pairs) == 1
    assert one.journal.space == SPACE


def test_a_change_of_the_space_forgets_no_running_trial_that_fits_it(nni):
    one = nni(space=OTHER)
    job = one.start()
    one.tuner.update_search_space(SPACE)
    assert set(one.tuner._study._optimizer.running) == {1}
    one.report(job, echo_of(job.bound))
    assert states(one) == {1: "succeeded"}


# ---- threads ----


def test_callbacks_on_many_threads_at_once(nni):
    one = nni(surrogate="gp", n_initial=4)
    errors, points, lock = [], [], threading.Lock()

    def work(first):
        try:
            for number in range(first, first + 6):
                point = one.tuner.generate_parameters(number)
                with lock:
                    points.append(point)
                one.tuner.import_data([])
                one.tuner.receive_trial_result(number, {}, echo_of(point))
                one.tuner.receive_trial_result(number, {}, echo_of(point, 77.0))
                one.tuner.trial_end(number, True)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(100 * i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(point[TRIAL_ID_KEY] for point in points) == list(range(1, 37))
    assert one.pairs == {point[TRIAL_ID_KEY]: (without_id(point), score_of(without_id(point))) for point in points}
    assert one.journal.running == {}


def test_two_tuners_never_write_one_journal(nni, monkeypatch, caplog):
    one = nni()
    original = Journal.open.__func__
    monkeypatch.setattr(
        Journal, "open", classmethod(lambda cls, path, **options: original(cls, path, patience_seconds=0.1, **options))
    )
    caplog.set_level(logging.CRITICAL)
    second = SimulatedNni(one.folder)
    with pytest.raises(NoMoreTrialError):
        second.start()
    assert "written by another process" in (one.folder / ERROR_NAME).read_text()
    one.run()
    assert one.journal.trials[0].state is TrialState.SUCCEEDED

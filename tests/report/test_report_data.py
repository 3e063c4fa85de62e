"""What a report knows of a journal, counted by hand."""

from __future__ import annotations

import dataclasses
import json

import pytest
from made_journals import BEGAN, SECONDS, made_journal

from tuun_da.api.experiment_report import experiment_report, report_text
from tuun_da.errors import ConfigError
from tuun_da.search.history import Journal, Trial, TrialState, read_journal
from tuun_da.search.space import SearchSpace


def test_counts_best_and_recommended(plain_report, experiment):
    content = read_journal(experiment / "checkpoint" / "journal.jsonl")
    values = {t.id: t.value for t in content.trials if t.state is TrialState.SUCCEEDED}
    assert len(plain_report.points) == 16
    assert (len(plain_report.succeeded), len(plain_report.failed), plain_report.n_stopped) == (14, 1, 1)
    assert plain_report.n_running == 1
    assert plain_report.n_asked == 17
    assert plain_report.best.value == max(values.values())
    assert plain_report.recommended.id in values
    best = None
    for point in plain_report.points:
        if point.succeeded:
            best = max(best or 0.0, point.trial.value)
        assert point.best == best
    assert [trial.value for trial in plain_report.ranked] == sorted(values.values(), reverse=True)


def test_the_first_policies_are_known_then_random_then_proposed(plain_report):
    kinds = [point.kind for point in plain_report.points]
    # twelve of the beginning, of which the first is a baseline, and one more since one failed and does not count
    assert kinds == ["baseline"] + ["random"] * 12 + ["proposed"] * 3
    assert [point.label for point in plain_report.baselines] == ["no augmentation"]


def test_what_counts_as_random_is_what_the_optimizer_drew_from_its_design(plain_report, experiment):
    """The optimizer's own design, asked again: after it, suggestions depend on the values."""
    content = read_journal(experiment / "checkpoint" / "journal.jsonl")
    turned = dataclasses.replace(
        content,
        events=tuple(
            e if e.trial is None or e.trial.value is None
            else dataclasses.replace(e, trial=dataclasses.replace(e.trial, value=1 - e.trial.value))
            for e in content.events
        ),
    )  # fmt: skip
    from tuun_da.engines.replay import optimizer_from_journal

    space = SearchSpace.from_nni(content.space)

    def asked_again(journal, n_events):
        cut = dataclasses.replace(journal, events=journal.events[:n_events])
        return optimizer_from_journal(cut, space).ask(1000)

    for point in plain_report.points[11:]:  # where the one passes into the other
        place = next(i for i, e in enumerate(content.events) if e.id == point.trial.id and e.trial is None)
        same = asked_again(content, place) == asked_again(turned, place)
        assert same == (point.kind == "random")


def test_of_random_search_every_trial_is_random(tmp_path):
    path = made_journal(tmp_path / "j", surrogate="random", n_initial=2, n_trials=8)
    kinds = {point.kind for point in experiment_report(path, images="none").points}
    assert kinds == {"random"}


def test_times_leave_out_pauses_and_cost_is_by_the_hour(plain_report, tmp_path):
    assert plain_report.times.busy == pytest.approx(16 * SECONDS)
    assert plain_report.times.trials == pytest.approx(16 * SECONDS)
    assert plain_report.times.median == pytest.approx(SECONDS)
    assert plain_report.times.cost == pytest.approx(3.0 * 16 * SECONDS / 3600)
    space = {"x": {"_type": "uniform", "_value": [0, 1]}}
    with Journal.open(tmp_path / "j", space=space, settings={}, versions={}) as journal:
        for number, (start, end) in enumerate([(0, 100), (50, 120), (60, 70), (1000, 1100)], 1):
            journal.record_finished(
                Trial(id=number, parameters={"x": number / 9}, state=TrialState.SUCCEEDED, value=0.1 * number,
                      started=BEGAN + start, ended=BEGAN + end)
            )  # fmt: skip
    times = experiment_report(tmp_path / "j").times
    assert times.busy == pytest.approx(220)
    assert times.trials == pytest.approx(280)
    assert times.cost is None


def test_minimizing_turns_everything_around(tmp_path):
    path = made_journal(tmp_path / "j", optimize_mode="minimize", n_trials=14, failed=(), stopped=())
    made = experiment_report(path, images="none")
    values = [point.trial.value for point in made.points]
    assert made.best.value == min(values)
    assert [point.best for point in made.points] == [min(values[: i + 1]) for i in range(len(values))]
    assert made.expectation.best[0] > made.expectation.best[-1]
    assert not made.percent
    assert made.effects.types[-1].type == "invert"  # it hurts here, too: the score is turned


def test_a_space_without_a_policy_has_parameters_and_says_why_there_are_no_effects(tmp_path):
    space = {"x": {"_type": "uniform", "_value": [0, 1]}}
    with Journal.open(tmp_path / "j", space=space, settings={}, versions={}) as journal:
        journal.record_finished(Trial(id=1, parameters={"x": 0.5}, state=TrialState.SUCCEEDED, value=12.0))
    made = experiment_report(tmp_path / "j")
    assert made.record is None
    assert made.effects is None
    assert "no augmentation policy" in made.effects_why_none
    for form in ("html", "md"):
        text = report_text(made, form)
        assert "holds no augmentation policy" in text
        assert "Use it" not in text
    assert json.loads(report_text(made, "json"))["policy"] is None


def test_the_json_has_every_trial_and_all_numbers(plain_report, experiment):
    content = json.loads(report_text(plain_report, "json"))
    trials = read_journal(experiment / "checkpoint" / "journal.jsonl").trials
    assert [(t["id"], t["value"], t["state"]) for t in content["trials"]] == [
        (t.id, t.value, t.state.value) for t in trials
    ]
    assert content["recommended_trial"] == plain_report.recommended.id
    assert content["effects"]["types"][0]["overall"].keys() == {"mean", "low", "high"}
    assert len(content["expectation"]["best"]) == 14
    assert content["confirmation"]["rows"][-1]["scores"] == [0.95, 0.94, 0.96, 0.95, 0.95]
    assert content["times"]["cost_per_hour"] == 3.0
    assert len(content["policy"]["sub_policies"]) == 2


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_a_price_must_be_a_number_that_can_be(experiment, wrong):
    with pytest.raises(ConfigError, match="cost per hour must be a number of at least 0, got"):
        experiment_report(experiment / "checkpoint" / "journal.jsonl", images="none", cost_per_hour=wrong)


def test_hardware_is_what_the_trials_said(tmp_path):
    path = made_journal(tmp_path / "a", n_trials=3, n_initial=5, failed=(), details={"hardware": "NVIDIA H200"})
    assert experiment_report(path, images="none").hardware == {"of the trials": "NVIDIA H200"}
    path = made_journal(tmp_path / "b", n_trials=3, n_initial=5, failed=())
    [name] = experiment_report(path, images="none").hardware
    assert "did not say" in name

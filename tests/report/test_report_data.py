"""What a report knows of a journal, counted by hand."""

from __future__ import annotations

import dataclasses
import json

import pytest
from made_journals import BEGAN, SECONDS, made_journal

from tuun_da.api.experiment_report import experiment_report, report_text
from tuun_da.errors import ConfigError
from tuun_da.operations import Operation, SubPolicy
from tuun_da.report.summary import data_name, verdict
from tuun_da.report.wording import does_nothing
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


def test_a_machine_has_a_row_for_each_part_and_several_machines_a_row_each(tmp_path):
    parts = {"device": "NVIDIA H200", "cores": 16}
    path = made_journal(tmp_path / "a", n_trials=3, n_initial=5, failed=(), details={"hardware": parts})
    assert experiment_report(path, images="none").hardware == parts
    lines = path.read_text().splitlines()
    last = json.loads(lines[-2])  # of the last trial that ended
    del last["crc"]
    lines[-2] = json.dumps(last).replace('"cores": 16', '"cores": 8')
    path.write_text("\n".join(lines) + "\n")
    assert experiment_report(path, images="none").hardware == {
        "machine 1, 2 trials": "device NVIDIA H200, cores 16",
        "machine 2, 1 trial": "device NVIDIA H200, cores 8",
    }


@pytest.mark.parametrize(
    ("operations", "nothing"),
    [
        ([Operation("rotate", 0.0, 0.9), Operation("invert", 0.004, 0.0)], True),
        ([Operation("randomHorizontalFlip", 1.0, 0.0), Operation("verticalFlip", 1.0, 0.001)], True),
        ([Operation("rotate", 0.0, 0.9), Operation("invert", 0.02, 0.0)], False),
        ([Operation("randomHorizontalFlip", 1.0, 0.5)], False),
    ],
)
def test_a_policy_that_does_nothing_is_told_from_others(operations, nothing):
    assert does_nothing((SubPolicy(tuple(operations)),)) is nothing


def test_the_verdict_says_that_no_augmentation_is_recommended(plain_report):
    record = dataclasses.replace(plain_report.record, sub_policies=(SubPolicy((Operation("rotate", 0.0, 0.5),)),))
    still = dataclasses.replace(plain_report, record=record, confirmation=None)
    assert "In effect it leaves the images as they are" in verdict(still)
    assert "leaves the images as they are" not in verdict(plain_report)
    known = dataclasses.replace(still, recommended=still.baselines[0].trial)
    assert f"trial {known.recommended.id}, no augmentation, which scored" in verdict(known)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("digits", "digits"),
        ("folder:/data/steel/all", "steel/all"),
        ("folder:/data/pawprints", "pawprints"),
        ("folder:/images", "images"),
        ("npz:/x/arrays-0123456789abcdef.npz", "images in arrays"),
        ("npz:/x/cells.npz", "cells.npz"),
    ],
)
def test_a_data_set_has_a_name_that_says_something(data, name):
    assert data_name(data) == name

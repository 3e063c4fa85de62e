"""What an experiment recommends: a complete trial, its policy as a file, and how it was trained."""

from __future__ import annotations

import json

import pytest
from made_probes import made_probe
from nni_simulation import SPACE

from tuun_da.engines.export import recommend, recommend_several
from tuun_da.engines.known import KNOWN
from tuun_da.errors import ExperimentError, TuunDaError
from tuun_da.operations import Operation
from tuun_da.policy_format import PolicyRecord
from tuun_da.search.history import Journal, Trial, TrialState

SETTINGS = {"optimize_mode": "maximize", "surrogate": "gp", "acquisition": "logei", "n_initial": 4, "seed": 0}
TRAINING = {
    "policy": "search",
    "train": {"epochs": 3},
    "data": {"data": "digits"},
    "image_size": 8,
}


def point(magnitude, kind="rotate", **more):
    return {"operation1_1": kind, "prob1_1": 0.5, "magnitude1_1": magnitude, **more}


def journal_of(trials, *, space=SPACE, **settings):
    journal = Journal.open(None, space=space, settings=SETTINGS | settings, versions={})
    for number, (parameters, state, value, details) in enumerate(trials, 1):
        journal.record_finished(
            Trial(id=number, parameters=parameters, state=TrialState(state), value=value, details=details)
        )
    return journal.content


def hill(best, **details):
    """Scores of a parabola over 19 magnitudes, with its top at ``best``."""
    return [(point(m / 20), "succeeded", 1 - 4 * (m / 20 - best) ** 2, details) for m in range(1, 20)]


@pytest.mark.parametrize("state", ["stopped", "failed"])
@pytest.mark.parametrize("mode", ["maximize", "minimize"])
def test_a_trial_without_a_complete_score_is_never_recommended(state, mode):
    sign = 1 if mode == "maximize" else -1
    trials = [(parameters, done, sign * value, details) for parameters, done, value, details in hill(0.6)]
    trials[2:2] = [(point(0.9, "invert"), state, sign * 1000.0, {"stopped_at_epoch": 1})] * 5
    recommendation = recommend(journal_of(trials, optimize_mode=mode))
    assert recommendation.trial.state is TrialState.SUCCEEDED
    assert recommendation.parameters == point(0.6)
    assert recommendation.record.searched["n_trials"] == 19
    assert abs(recommendation.record.searched["score"]) <= 1


def test_the_luckiest_of_many_equal_trials_does_not_win_by_its_luck():
    """One lucky outlier at the foot of a smooth hill, at a point that was run five times: the model knows better."""
    trials = hill(0.6) + [(point(0.1), "succeeded", value, {}) for value in (-0.03, 0.05, 1.02, 0.0, 0.04)]
    assert recommend(journal_of(trials)).parameters["magnitude1_1"] == pytest.approx(0.6, abs=0.11)


def test_the_file_says_what_was_found_and_how_it_was_trained(tmp_path):
    recommendation = recommend(journal_of(hill(0.6, settings=TRAINING)), experiment="abc")
    recommendation.record.save(tmp_path / "p.json")
    loaded = PolicyRecord.load(tmp_path / "p.json")
    assert loaded == recommendation.record
    [[operation]] = [sub_policy.operations for sub_policy in loaded.sub_policies]
    assert operation == Operation("rotate", 0.5, 0.6)
    searched = loaded.searched
    assert (searched["score"], searched["trial"], searched["n_trials"]) == (1.0, 12, 19)
    assert (searched["experiment"], searched["dataset"], searched["image_size"]) == ("abc", "digits", 8)
    assert searched["settings"] == TRAINING
    assert searched["search"] == SETTINGS


def test_the_file_does_not_grow_with_what_the_search_knew_before(tmp_path):
    earlier = [[point(m / 1000, "invert", z=0.5), m / 7] for m in range(60)]
    probe = made_probe().to_json()
    sizes = []
    for known in ({}, {KNOWN: {"probe": probe, "initial": [], "warm_start": [["old.jsonl", earlier]]}}):
        record = recommend(journal_of(hill(0.6), warm_start=["old.jsonl"], **known)).record
        record.save(tmp_path / "p.json")
        sizes.append((tmp_path / "p.json").stat().st_size)
        assert record.searched["search"] == {**SETTINGS, "warm_start": ["old.jsonl"]}
    assert sizes[0] == sizes[1] < 2000


@pytest.mark.parametrize("compiler", ["false", "no_such_command"])
def test_a_journal_of_stan_gp_needs_no_compiler_to_be_looked_at(tmp_path, monkeypatch, caplog, compiler):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", compiler)
    if compiler != "false":
        monkeypatch.setenv("PATH", "")
    expected = recommend(journal_of(hill(0.6)))
    assert "recommended_by" not in expected.record.searched
    found = recommend(journal_of(hill(0.6), surrogate="stan_gp"))
    assert found.parameters == expected.parameters
    assert found.record.searched["search"]["surrogate"] == "stan_gp"
    assert found.record.searched["recommended_by"] == "gp"
    assert "gp recommends in place of stan_gp, which cannot run here: surrogate stan_gp" in caplog.text


def test_of_a_joint_space_the_policy_is_a_policy_and_the_rest_is_beside_it():
    space = SPACE | {"learning_rate": {"_type": "loguniform", "_value": [0.001, 1]}}
    trials = [
        (p | {"learning_rate": 0.01 * (i + 1)}, done, value, details)
        for i, (p, done, value, details) in enumerate(hill(0.6))
    ]
    recommendation = recommend(journal_of(trials, space=space))
    assert recommendation.parameters["learning_rate"] == pytest.approx(0.12)
    assert recommendation.record.searched["other_parameters"] == {"learning_rate": pytest.approx(0.12)}
    assert len(recommendation.record.sub_policies) == 1


def test_a_space_without_a_policy_has_parameters_only():
    unit = SPACE["prob1_1"]
    trials = [({"x": m / 10}, "succeeded", m / 10, {}) for m in range(1, 9)]
    recommendation = recommend(journal_of(trials, space={"x": unit}))
    assert (recommendation.parameters, recommendation.record) == ({"x": 0.8}, None)


@pytest.mark.parametrize("trials", [[], [(point(0.5), "stopped", 1.0, {}), (point(0.4), "failed", None, {})]])
def test_without_a_complete_trial_there_is_nothing_to_recommend(trials):
    with pytest.raises(ExperimentError, match="nothing to recommend"):
        recommend(journal_of(trials))


def test_only_trials_outside_of_the_space_are_an_error_of_ours():
    with pytest.raises(TuunDaError):
        recommend(journal_of([(point(7.0), "succeeded", 1.0, {})]))


@pytest.mark.parametrize("settings", [None, "text", 3, [1], {"data": "digits"}, {"data": [1]}, {"image_size": "x"}])
def test_trials_may_report_other_settings_than_ours(settings):
    recommendation = recommend(journal_of(hill(0.6, settings=settings)))
    assert recommendation.record.searched["dataset"] is None
    json.loads(recommendation.record.to_json())


def test_several_are_recommended_in_the_order_of_the_model_and_each_policy_once():
    """On a smooth hill that is its own order; the top was tried three times, twice in other words."""
    trials = [*hill(0.6), (point(0.6), "succeeded", 1.0, {}), (point(0.9, "invert"), "succeeded", -1.0, {})]
    trials += [(point(0.1, "invert"), "succeeded", -1.0, {})]
    found = recommend_several(journal_of(trials), 3)
    assert [one.parameters["magnitude1_1"] for one in found] == pytest.approx([0.6, 0.55, 0.65], abs=0.051)
    assert len({one.parameters["magnitude1_1"] for one in found}) == 3
    assert found[0] == recommend(journal_of(trials))
    everything = recommend_several(journal_of(trials), 100)
    assert len(everything) == 20  # 19 magnitudes of rotate, and invert, which has none
    assert everything[-1].parameters["operation1_1"] == "invert"

"""Searches with Medianstop are the searches without it, cut short by NNI's own class."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import early_stopping
from benchmarks.early_stopping import (
    Curves,
    Medianstop,
    Trainings,
    draw,
    epochs_run,
    markdown,
    predictive,
    read_curves,
    run_searches,
    search,
    simulate,
)

EPOCHS = 12


def curves(n, seed=0, noise=0.05):
    rng = np.random.default_rng(seed)
    level = rng.uniform(0.3, 0.9, (n, 1))
    validation = level * np.linspace(0.3, 1, EPOCHS) + noise * rng.standard_normal((n, EPOCHS))
    return Curves(validation, level[:, 0], np.full(n, np.nan))


def published_rule(table, start_step):
    """Golovin et al. 2017: stop where the best so far is below the median of the completed trials' running means."""
    completed, allowed = [], []
    for curve in table:
        epochs = len(curve)
        for t in range(max(start_step, 1), len(curve)):
            means = sorted(np.mean(other[:t]) for other in completed)
            if means and max(curve[:t]) < means[(len(means) - 1) // 2]:
                epochs = t
                break
        if epochs == len(curve):
            completed.append(curve)
        allowed.append(epochs)
    return allowed


@pytest.mark.parametrize("start_step", [0, 1, 5, 11])
def test_trials_run_as_long_as_the_published_rule_lets_them(start_step):
    table = curves(25, noise=0.15).validation
    allowed = epochs_run(table, start_step)
    assert allowed.tolist() == published_rule(table.tolist(), start_step)
    assert (allowed < EPOCHS).any()
    assert (allowed >= min(max(start_step, 1), EPOCHS)).all()


def test_the_first_trial_is_never_stopped_and_a_hopeless_one_at_the_first_step_judged():
    table = np.stack([np.full(EPOCHS, 0.8), np.full(EPOCHS, 0.1), np.full(EPOCHS, 0.9)])
    assert epochs_run(table, 4).tolist() == [EPOCHS, 4, EPOCHS]


def test_the_last_epoch_is_not_assessed_because_nothing_is_left_to_save():
    table = np.stack([np.full(EPOCHS, 0.8), np.full(EPOCHS, 0.1)])
    assert epochs_run(table, EPOCHS).tolist() == [EPOCHS, EPOCHS]


def test_the_rules_for_comparison_stop_their_share_of_the_trials_and_the_worst_of_them():
    level = np.random.default_rng(0).random(400)
    table = np.repeat(level[:, None], EPOCHS, axis=1)
    for rule, share in (("once, below the median", 0.5), ("once, in the lower quartile", 0.25)):
        allowed = epochs_run(table, 4, rule)
        assert np.mean(allowed < EPOCHS) == pytest.approx(share, abs=0.06)
        assert set(allowed.tolist()) == {4, EPOCHS}
        assert (allowed[: early_stopping.STARTUP] == EPOCHS).all()
        assert level[allowed == 4].mean() < level[allowed == EPOCHS].mean() - 0.3


def test_a_stopped_trial_takes_no_part_in_the_median():
    medianstop = Medianstop(1, EPOCHS)
    for trial, (value, stopped) in enumerate([(0.5, False), (0.1, True), (0.1, True), (0.1, True)]):
        assert medianstop.stops(trial, [value]) is stopped
        medianstop.ended(trial, stopped=stopped)
    assert medianstop.stops(9, [0.3])  # below 0.5, the only complete one


def test_without_stops_the_same_wins_and_nothing_is_saved():
    row = simulate(curves(40), EPOCHS, 20, 10)
    assert (row["saved"], row["stopped"], row["same_winner"], row["truth_difference"]) == (0, 0, 100, 0)


def test_a_start_that_is_earlier_saves_more():
    rows = [simulate(curves(40), step, 30, 20) for step in (0, 6, 10)]
    saved = [row["saved"] for row in rows]
    assert saved[0] > saved[1] > saved[2] > 0


def test_a_winner_that_is_slow_at_first_is_lost_by_an_early_start_only():
    level = np.linspace(0.4, 0.6, 29)
    table = np.vstack([level[:, None] * np.ones(EPOCHS), [0.0] * 6 + [0.9] * 6])
    slow = Curves(table, table[:, -1], table[:, -1])
    early, late = (simulate(slow, step, 30, 30) for step in (2, 7))
    assert late["same_winner"] == 100
    assert late["different_winners"] == early["different_winners"] == 1
    assert early["same_winner"] < 10  # kept only where it is the first trial
    assert early["truth_difference"] < -20
    assert early["again_difference"] == pytest.approx(early["truth_difference"])


def test_the_best_so_far_predicts_the_end_better_the_later_it_is():
    some = curves(60, noise=0.1)
    assert predictive(some, 1) < predictive(some, EPOCHS)
    assert predictive(curves(60, noise=0.0), 5) == pytest.approx(1)


def test_the_file_of_curves_is_read_with_the_truth_of_a_second_training(tmp_path):
    lines = [
        {"policy": 4, "repeat": 0, "curve": [0.1, 0.2], "truth": 0.3},
        {"policy": 2, "repeat": 0, "curve": [0.2, 0.4], "truth": 0.5},
        {"policy": 2, "repeat": 1, "curve": [0.0, 0.0], "truth": 0.6},
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = read_curves(tmp_path / "t.jsonl")
    assert found.validation.tolist() == [[0.1, 0.2], [0.2, 0.4]]
    np.testing.assert_array_equal(found.again, [np.nan, 0.6])


@pytest.fixture
def fake(monkeypatch):
    """Trainings that follow from the policy and the seed; gives the list of those done."""
    done = []

    class Config:
        epochs = EPOCHS

    def train(params, seed, medianstop, trial):
        level = sum(value for name, value in params.items() if name.startswith("prob")) / 10
        full = [level] * EPOCHS
        done.append((json.dumps(params, sort_keys=True), seed))
        curve = []
        for value in full:
            curve.append(value)
            if medianstop is not None and medianstop.stops(trial, curve):
                return {"params": params, "seed": seed, "curve": curve, "truth": None}
        return {"params": params, "seed": seed, "curve": curve, "truth": level}

    monkeypatch.setattr(early_stopping, "config_of", lambda setting: Config)
    monkeypatch.setattr(Trainings, "_train", staticmethod(train))
    return done


def test_a_real_search_stops_trials_and_recommends_one_that_ended(tmp_path, fake):
    never = search(0, 14, None, Trainings(tmp_path / "a.jsonl"))
    stops = search(0, 14, 3, Trainings(tmp_path / "b.jsonl"))
    assert (never["stopped"], never["epochs"]) == (0, 14 * EPOCHS)
    assert stops["stopped"] > 0
    assert stops["epochs"] < never["epochs"] == stops["epochs_in_all"]
    assert len(stops["truths"]) == 3
    assert None not in stops["truths"]


def test_a_known_training_is_replayed_and_gives_the_same_search(tmp_path, fake):
    fresh = search(1, 13, 3, Trainings(tmp_path / "a.jsonl"))
    path = tmp_path / "b.jsonl"
    search(1, 13, None, Trainings(path))
    count = len(fake)
    again = search(1, 13, 3, Trainings(path))
    assert again == fresh
    initial = 10  # trials, which are the same whether there are stops or not
    assert len(fake) - count <= 13 - initial + 3
    count = len(fake)
    assert search(1, 13, 3, Trainings(path)) == fresh
    assert len(fake) == count


def test_a_training_that_was_cut_short_is_done_anew_where_its_end_is_wanted(tmp_path, fake):
    trainings = Trainings(tmp_path / "a.jsonl")
    good = {f"prob{i}": 1.0 for i in range(10)}
    bad = {f"prob{i}": 0.1 for i in range(10)}
    medianstop = Medianstop(2, EPOCHS)
    trainings.curve(good, 0, medianstop, 0)
    medianstop.ended(0, stopped=False)
    curve, stopped, truth = trainings.curve(bad, 1, medianstop, 1)
    assert (len(curve), stopped, truth) == (2, True, None)
    curve, stopped, truth = Trainings(tmp_path / "a.jsonl").curve(bad, 1, None, 1)
    assert (len(curve), stopped, truth) == (EPOCHS, False, pytest.approx(0.1))


def test_results_of_both_kinds_are_kept_side_by_side_and_reported(tmp_path, fake):
    path = tmp_path / "e.json"
    some = curves(20)
    simulated = {"x": {"policies": 20, "resamples": 3, "median_curve": [0.1] * EPOCHS}}
    simulated["x"]["rows"] = [simulate(some, step, 10, 3) | {"predicts": 0.5} for step in (0, 6)]
    path.write_text(json.dumps({"simulated": simulated}))
    for step in (3, 6, 3):
        run_searches(1, 12, step, path)
    found = json.loads(path.read_text())
    assert sorted(str(row["start_step"]) for row in found["searches"]) == ["3", "6", "None"]
    assert found["simulated"] == simulated
    text = markdown(found, None)
    assert "## x: 3 random searches of 10 trials" in text
    assert "| 12 | never stops | | 0 |" in text
    assert "| 12 | Medianstop | 6 | 0 |" in text
    assert draw(found, tmp_path / "e.png")

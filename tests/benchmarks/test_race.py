"""The races: paired, resumable, and honest about what they report."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import emulator_models, race, race_report, real_race, search_race
from benchmarks.emulators import fit_emulator, load_trainings, triples_of
from benchmarks.functions import FUNCTIONS
from benchmarks.rivals import make_rival
from tuun_da.search.space import SearchSpace

POLICY = json.loads((Path(__file__).parents[2] / "search_spaces" / "tuun.json").read_text())
SPACE = SearchSpace.from_nni(POLICY)
NOISE = 0.01


def true_accuracy(policy):
    """Rotation helps, inversion hurts."""
    places = [(i, j) for i in range(1, 6) for j in (1, 2)]
    strength = {
        kind: sum(policy[f"prob{i}_{j}"] for i, j in places if policy[f"operation{i}_{j}"] == kind)
        for kind in ("rotate", "invert")
    }
    return 0.6 + 0.1 * np.tanh(strength["rotate"]) - 0.1 * np.tanh(strength["invert"])


@pytest.fixture
def trainings(tmp_path):
    """120 policies, 20 of them trained three times."""
    rng = np.random.default_rng(0)
    lines = [{"header": {"setting": "toy"}}]
    for i, policy in enumerate(SPACE.sample(120, rng)):
        for seed in range(3 if i < 20 else 1):
            accuracy = true_accuracy(policy) + NOISE * rng.standard_normal()
            lines.append({"kind": "random", "name": f"p{i}", "seed": seed, "policy": policy, "accuracy": accuracy})
    lines.append({"kind": "baseline", "name": "none", "seed": 0, "policy": None, "accuracy": 0.5})
    path = tmp_path / "trainings_toy.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"kind": "cut sh')
    return path


def test_trainings_are_averaged_and_the_noise_is_that_of_a_repeat(trainings):
    data = load_trainings(trainings)
    assert len(data.policies) == 120
    assert sorted(set(data.repeats)) == [1, 3]
    assert data.noise == pytest.approx(NOISE, rel=0.35)


def test_trainings_without_a_repeat_are_refused(tmp_path):
    path = tmp_path / "trainings_toy.jsonl"
    path.write_text(json.dumps({"policy": SPACE.sample(1, np.random.default_rng(0))[0], "accuracy": 0.5}) + "\n")
    with pytest.raises(ValueError, match="noise"):
        load_trainings(path)


@pytest.mark.parametrize("kind", ["deepsets", "trees"])
def test_an_emulator_learns_and_knows_what_changes_nothing(kind, trainings, tmp_path, monkeypatch):
    monkeypatch.setattr(emulator_models, "STEPS", 150)
    monkeypatch.setattr("benchmarks.emulators.FOLDS", 2)
    monkeypatch.setattr("benchmarks.emulators.SHUFFLES", 1)
    emulator = fit_emulator(load_trainings(trainings), f"toy/{kind}", kind, tmp_path / "cache")
    assert emulator.cross_validated_r2 > 0.4
    [policy] = SPACE.sample(1, np.random.default_rng(5))
    swapped = {
        f"{name[:-3]}{6 - int(name[-3])}_{3 - int(name[-1])}": value for name, value in policy.items()
    }  # sub-policies and operations in reverse
    assert triples_of([swapped]) != pytest.approx(triples_of([policy]))
    never = policy | {"prob1_1": 0.0}
    other = never | {"operation1_1": "invert", "magnitude1_1": 0.123}
    values = emulator.true_values([policy, swapped, never, other])
    assert values[0] == pytest.approx(values[1])
    assert values[2] == pytest.approx(values[3])
    again = fit_emulator(load_trainings(trainings), f"toy/{kind}", kind, tmp_path / "cache")
    assert np.array_equal(again.true_values([policy]), emulator.true_values([policy]))


def toy_problem():
    return race.Problem("toy", POLICY, lambda settings: np.array([true_accuracy(p) for p in settings]), NOISE, "1")


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_run_repeats_itself_and_shares_initial_settings_and_noise(concurrency):
    first, again = (race.run("random", toy_problem(), 3, 25, concurrency) for _ in range(2))
    other = race.run("ours:forest", toy_problem(), 3, 25, concurrency)
    assert (first.params, first.values) == (again.params, again.values)
    shared = race.initial_settings(SPACE, 3)
    seen = [{SPACE.key(p): v for p, v in zip(t.params, t.values, strict=True)} for t in (first, other)]
    assert [seen[0][SPACE.key(p)] for p in shared] == [seen[1][SPACE.key(p)] for p in shared]


def test_four_at_once_are_asked_for_before_the_first_value_comes():
    rival = make_rival("random", POLICY, 0, [])
    most = []
    race.play(rival, lambda number, params: most.append(rival.pending) or 0.0, 12, concurrency=4)
    assert max(most) == 4
    assert len(most) == 12


def test_the_judge_reports_true_values_not_seen_ones():
    problem = toy_problem()
    trials = race.run("random", problem, 0, 20)
    judged = race.judge(problem, trials, lambda space, params, values: 0)
    assert judged["trials_at"] == [10, 15, 20]
    assert judged["recommended"] == [true_accuracy(trials.params[0])] * 3
    assert judged["lucky"][-1] == true_accuracy(trials.params[int(np.argmax(trials.values))])
    assert judged["best_true"][-1] == max(map(true_accuracy, trials.params)) >= judged["lucky"][-1]


def test_the_common_recommender_names_a_trial():
    trials = race.run("random", toy_problem(), 0, 12)
    assert 0 <= race.recommender()(SPACE, trials.params, trials.values) < 12


def test_a_task_is_run_once_and_then_only_judged_again(tmp_path, monkeypatch):
    places = search_race.Places(tmp_path, tmp_path / "cache")
    task = search_race.Task("random", "branin", 12, 0, 1, "{}")
    first = search_race.do(task, places)
    options = argparse.Namespace(ignore_code=False)
    assert search_race._is_result_of(json.loads(json.dumps(first)), task, places, options)
    assert not search_race._is_result_of(first | {"data": "other"}, task, places, options)
    monkeypatch.setattr(race, "run", lambda *args: pytest.fail("ran again"))
    again = search_race.do(task, places)
    assert again == first


def test_the_report_pairs_by_seed_and_moves_a_curve_by_its_probe(tmp_path):
    def record(name, seed, value):
        figures = {figure: [value, value + 1] for figure in ("lucky", "recommended", "best_true", "last_ten")}
        known = {"optimizer": name, "problem": "toy", "trials": 60, "concurrency": 1, "seed": seed}
        return known | {"trials_at": [30, 60], "mean_cpu_seconds_per_suggestion": 0.1} | figures

    records = [record("random", s, s) for s in range(4)] + [record("ours:gp", s, s + 0.5) for s in range(4)]
    text = race_report.write_report(records, tmp_path / "race.jsonl", "random", {"ours:gp": 5})
    assert "+0.500 [+0.500, +0.500]" in text
    assert "ours:gp + 5 trials of probe" in text
    assert (tmp_path / "race.md").read_text() == text


def test_the_interval_holds_the_mean_and_narrows_with_the_number_of_seeds():
    rng = np.random.default_rng(0)
    few, many = rng.standard_normal(10) + 1, rng.standard_normal(1000) + 1
    low, high = race_report.paired_interval(few)
    assert low < few.mean() < high
    assert np.diff(race_report.paired_interval(many)) < (high - low) / 3


HARTMANN_BEST = (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573)
MIXED_BEST = {"rate": 0.1, "momentum": 0.9, "dropout": 0.15, "layers": 8, "width": 256, "optimizer": "sgd"}


@pytest.mark.parametrize(
    ("name", "best"),
    [
        ("branin", {"x": np.pi, "y": 2.275}),
        ("hartmann6", {f"x{i}": value for i, value in enumerate(HARTMANN_BEST, 1)}),
        ("mixed", MIXED_BEST | {"activation": "gelu"}),
        ("nested", {"decay": 10**-3.5, "net": {"_name": "transformer", "blocks": 6, "heads": 8, "rate": 1e-3}}),
    ],
)
def test_the_best_value_of_a_function_is_zero(name, best):
    problem = FUNCTIONS[name]
    space = SearchSpace.from_nni(problem.nni_space)
    space.validate(best)
    assert problem.true_values([best])[0] == pytest.approx(0.0, abs=1e-4)
    assert np.all(problem.true_values(space.sample(2000, np.random.default_rng(0))) <= 1e-4)


def test_a_real_race_shares_initial_trainings_and_resumes_where_it_was_cut(tmp_path):
    trained = []

    def train(setting, policy, seed, limit=None):
        if limit is not None and len(trained) == limit:
            raise KeyboardInterrupt
        trained.append((json.dumps(policy, sort_keys=True), seed))
        return float(true_accuracy(policy) + 0.001 * np.sin(seed))

    names = ("random", "ours:gp,acquisition=ucb")
    whole = real_race.Settings("toy", tmp_path / "whole.jsonl", names, trials=14, space=POLICY)
    real_race.run_seed(whole, 0, train)
    assert len(trained) == len(set(trained))
    first = list(trained)
    assert len(first) <= 10 + 2 * 4 + (2 + 3) * 5
    trained.clear()
    cut = real_race.Settings("toy", tmp_path / "cut.jsonl", names, trials=14, space=POLICY)
    with pytest.raises(KeyboardInterrupt):
        real_race.run_seed(cut, 0, lambda *args: train(*args, limit=12))
    with (tmp_path / "cut.jsonl").open("a") as file:
        file.write('{"kind": "training", "pol')
    real_race.run_seed(cut, 0, train)
    assert trained == first
    results = [[r for r in race.read_lines(s.results) if r["kind"] == "result"] for s in (whole, cut)]
    assert [r["retrained"] for r in results[0]] == [r["retrained"] for r in results[1]]
    real_race.train_baselines(cut, lambda setting, name, seed: {"none": 0.5, "etp": 0.8}.get(name, 0.6))
    text = real_race.report(cut.results, "random")
    assert "| random | 14 trials | recommended | 1 |" in text
    assert "| ours:gp,acquisition=ucb | 14 trials | own recommendation | 1 |" in text
    assert text.index("| etp | 5 | 80.00 ± 0.00 |") < text.index("| none | 5 | 50.00 ± 0.00 |")

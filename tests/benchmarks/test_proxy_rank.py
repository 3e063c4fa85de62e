"""Cheap trainings are compared with full ones by rank, on the same policies, and no training is done twice."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from scipy.stats import spearmanr

from benchmarks import proxy_rank, proxy_rank_report
from benchmarks.proxy_rank import (
    FIRST_RETRAINING_SEED,
    LADDERS,
    Rung,
    all_trainings,
    earlier_trainings,
    open_trainings,
    policies_of,
    rung_splits,
)
from benchmarks.proxy_rank_report import Scores, ceiling, intervals, judge, pairs_kept, rank_correlation, write_report
from benchmarks.real_trainings import BASELINES, REFERENCES, setting_splits
from tuun_da.augment.policy import Policy

FULL = LADDERS["digits"][-1]


def scores(table, seconds=1.0):
    """Of {name: values}, the seeds 0, 1, ..."""
    return Scores({name: dict(enumerate(values)) for name, values in table.items()}, seconds)


def records_of(table):
    """Of {rung: {name: accuracies in percent}}."""
    return [
        {"data": "digits", "rung": rung, "name": name, "seed": seed, "accuracy": value / 100, "seconds": 1.0}
        | {"earlier": False}
        for rung, names in table.items()
        for name, values in names.items()
        for seed, value in enumerate(values)
    ]


@pytest.mark.parametrize("data", LADDERS)
def test_a_ladder_ends_with_the_full_training_and_names_each_rung_once(data):
    *cheap, full = LADDERS[data]
    assert len({rung.name for rung in LADDERS[data]}) == len(LADDERS[data]) >= 4
    assert full.model == f"benchmarks.nets:{REFERENCES[data].net}"
    for rung in cheap:
        assert rung.passes * rung.images_per_class <= full.passes * full.images_per_class / 2
        assert rung.train_config.precision == full.train_config.precision == "float32"


@pytest.mark.parametrize("data", LADDERS)
def test_the_policies_are_twelve_or_more_and_all_different(data):
    policies = policies_of(data)
    assert len(policies) >= 12
    assert len({json.dumps(policy, sort_keys=True) for policy in policies.values()}) == len(policies)
    assert [name for name in policies if policies[name] == name] == list(BASELINES)
    assert sum(name.startswith("found by") for name in policies) == len(proxy_rank.FOUND)
    for policy in policies.values():
        if not isinstance(policy, str):
            Policy(policy)


def test_only_earlier_trainings_of_the_same_settings_count():
    small = next(rung for rung in LADDERS["digits"] if rung.name == "small net, 120 passes")
    found = list(earlier_trainings(small))
    assert len(found) > 300
    for passes, per_class in ((30, None), (120, 5)):
        other = Rung(name="x", images="digits", model=small.model, passes=passes, per_class=per_class, seeds=1)
        assert list(earlier_trainings(other)) == []
    assert list(earlier_trainings(Rung(name="x", images="digits", model=small.model, passes=120, seeds=1))) == found
    faster = Rung(name="x", images="digits", model=small.model, passes=120, seeds=1, learning_rate=0.1)
    assert list(earlier_trainings(faster)) == []


def test_the_trials_of_a_race_do_not_count_because_their_luck_chose_the_policy(tmp_path):
    quarter = next(rung for rung in LADDERS["cifar10"] if rung.images == "cifar10_500" and rung.model != "child_cnn")
    lines = [
        {"kind": "training", "training_seed": seed, "policy": "etp", "accuracy": 0.4, "seconds": 2.0}
        for seed in (3, FIRST_RETRAINING_SEED)
    ]
    path = tmp_path / "real_race_cifar10_500.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [record["seed"] for record in earlier_trainings(quarter, tmp_path)] == [FIRST_RETRAINING_SEED]


def test_every_policy_is_trained_once_before_any_is_trained_again_and_nothing_is_repeated():
    names = ["none", "etp"]
    done = [{"rung": FULL.name, "name": "none", "seed": 0}]
    plan = open_trainings("digits", done, names)
    keys = [(rung.name, name, seed) for rung, name, seed in plan]
    assert len(set(keys)) == len(keys) == sum(rung.seeds for rung in LADDERS["digits"]) * 2 - 1
    assert (FULL.name, "none", 0) not in keys
    rounds = [seed for _, _, seed in keys]
    assert rounds == sorted(rounds)
    assert open_trainings("digits", done, names, rounds=1) == [entry for entry in plan if entry[2] == 0]
    assert open_trainings("digits", done, names, rungs=["full", "child"]) == [
        entry for entry in plan if entry[0].name.startswith(("full", "child"))
    ]


def test_a_known_training_with_another_seed_saves_one_and_its_seed_is_not_taken_again():
    done = [{"rung": FULL.name, "name": "none", "seed": seed} for seed in (1, FIRST_RETRAINING_SEED)]
    seeds = [seed for rung, _, seed in open_trainings("digits", done, ["none"]) if rung == FULL]
    assert seeds == [0]


def test_fewer_images_are_some_of_the_same_ones_as_many_of_each_class():
    few, all_of_them = rung_splits("digits", 5, "data"), setting_splits("digits", "data")
    assert few.train_labels.bincount().tolist() == [5] * 10
    known = {image.numpy().tobytes() for image in all_of_them.train_images}
    assert {image.numpy().tobytes() for image in few.train_images} < known
    assert few.validation_images is all_of_them.validation_images


def test_a_rerun_trains_nothing_that_is_there(tmp_path, monkeypatch):
    rungs = (Rung(name="a", images="digits", model="benchmarks.nets:digits_net", passes=3, seeds=2), FULL)
    monkeypatch.setattr(proxy_rank, "LADDERS", {"digits": rungs})
    trained = []

    def train_rung(rung, policy, seed, data_dir):
        trained.append((rung.name, json.dumps(policy, sort_keys=True), seed))
        if len(trained) == 5:
            raise KeyboardInterrupt
        return 0.5

    monkeypatch.setattr(proxy_rank, "train_rung", train_rung)
    path = tmp_path / "p.jsonl"
    with pytest.raises(KeyboardInterrupt):
        proxy_rank.measure("digits", "data", path, 1)
    proxy_rank.measure("digits", "data", path, 1)
    assert trained.pop(4) == trained[4]
    assert len(set(trained)) == len(trained)
    count = len(trained)
    proxy_rank.measure("digits", "data", path, 1)
    assert len(trained) == count
    known = {(record["rung"], record["name"]) for record in all_trainings("digits", path)}
    assert {("a", name) for name in policies_of("digits")} <= known


def test_a_cheap_training_is_repeatable_and_better_than_guessing():
    rung = Rung(name="a", images="digits", model="child_cnn", passes=10, seeds=1, learning_rate=0.02, batch_size=16)
    accuracy = proxy_rank.train_rung(rung, "none", 3, "data")
    assert accuracy == proxy_rank.train_rung(rung, "none", 3, "data")
    assert 0.3 < accuracy < 1.0


@pytest.mark.parametrize("ties", [False, True])
def test_the_rank_correlation_is_that_of_scipy(ties):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 14))
    if ties:
        a, b = a.round(0), b.round(0)
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    both = rank_correlation(np.stack([a, b]), np.stack([b, b]))  # row by row
    assert both == pytest.approx([spearmanr(a, b).statistic, 1.0])


def test_other_luck_moves_a_mean_by_the_standard_error_of_one_training_over_the_root_of_their_number():
    rng = np.random.default_rng(1)
    one, count = 0.7, 3
    table = {str(i): rng.normal(90, one, count) for i in range(400)}
    found, names = scores(table), list(table)
    assert found.noise(names) == pytest.approx(one, rel=0.1)
    moved = found.resampled(names, 50, rng) - found.means(names)
    assert moved.std() == pytest.approx(one / count**0.5, rel=0.1)
    assert abs(moved.mean()) < 0.02


def test_an_interval_is_narrow_where_trainings_are_alike_and_wide_where_luck_is_as_large_as_the_differences():
    rng = np.random.default_rng(2)
    true = np.arange(14.0)
    narrow, wide = (
        intervals(
            *(scores({str(i): rng.normal(true[i], sd, 3) for i in range(14)}) for _ in "ab"), list(map(str, range(14)))
        )
        for sd in (0.01, 5.0)
    )
    assert narrow["over_seeds"] == pytest.approx([1, 1], abs=0.02)
    assert wide["over_seeds"][1] - wide["over_seeds"][0] > 0.2
    assert wide["over_policies_and_seeds"][1] - wide["over_policies_and_seeds"][0] > 0.2


def test_only_pairs_that_are_clear_in_full_are_held_against_a_cheap_training():
    full = scores({"none": [50, 51], "etp": [60, 61], "trivialaugment": [60.2, 61.2]})
    cheap = scores({"none": [40], "etp": [35], "trivialaugment": [45]})
    kept, clear, wrong = pairs_kept(cheap, full, ["none", "etp", "trivialaugment"])
    assert (kept, clear) == (1, 2)
    assert wrong == ["etp > none"]
    same = pairs_kept(full, full, ["none", "etp", "trivialaugment"])
    assert same == (2, 2, [])


def test_the_ceiling_is_one_without_noise_and_near_zero_where_all_is_noise():
    rng = np.random.default_rng(3)
    names = [str(i) for i in range(300)]
    assert ceiling(scores({name: [float(name)] * 3 for name in names}), names) == pytest.approx(1)
    assert abs(ceiling(scores({name: rng.normal(size=3) for name in names}), names)) < 0.15


def made_up(short_prefers_none):
    """Four known policies and ten others, whose order the middle rung keeps; the shortest as it is told."""
    names = [*BASELINES, *(f"random {i}" for i in range(10))]
    full = {name: [80 + 2 * i, 80.1 + 2 * i] for i, name in enumerate(names)}
    short = dict(full) | ({"none": [99.0, 99.1]} if short_prefers_none else {})
    rungs = [rung.name for rung in LADDERS["digits"]]
    return {rungs[0]: short} | dict.fromkeys(rungs[1:], full)


def test_the_cheapest_that_keeps_the_known_policies_in_order_is_named():
    records = records_of(made_up(short_prefers_none=True))
    for record in records:
        record["seconds"] = 1.0 + [rung.name for rung in LADDERS["digits"]].index(record["rung"])
    found = judge("digits", records)
    assert found["cheapest_that_keeps_the_baselines"] == LADDERS["digits"][1].name
    assert found["rungs"][0]["order_of_baselines"][0] == "none"
    assert len(found["rungs"][0]["reversed_pairs_of_baselines"]) == 3
    assert found["rungs"][1]["rank_correlation"] == pytest.approx(1)
    assert found["rungs"][1]["full_accuracy_of_its_best"] == found["full_accuracy_of_the_best"]
    kept = judge("digits", records_of(made_up(short_prefers_none=False)))
    assert kept["cheapest_that_keeps_the_baselines"] == LADDERS["digits"][0].name


def test_as_long_as_trainings_are_missing_the_rest_is_judged():
    table = made_up(short_prefers_none=False)
    table[FULL.name] = {name: values for name, values in table[FULL.name].items() if name != "random 9"}
    first, second = (rung.name for rung in LADDERS["digits"][:2])
    table[second] = {name: values for name, values in table[second].items() if name != "random 0"}
    found = judge("digits", records_of(table))
    assert "random 9" not in found["policies"]
    assert "random 0" in found["policies"]
    rungs = [row["rung"] for row in found["rungs"]]
    assert first in rungs
    assert second not in rungs
    assert judge("digits", records_of({first: table[first]})) == {}


def test_the_report_is_written_in_three_forms(tmp_path, monkeypatch):
    records = records_of(made_up(short_prefers_none=True))
    monkeypatch.setattr(proxy_rank_report, "all_trainings", lambda data, *_: records if data == "digits" else [])
    text = write_report(tmp_path / "p.jsonl", tmp_path)
    assert (tmp_path / "p.md").read_text() == text
    for rung, name in itertools.product(LADDERS["digits"], BASELINES):
        assert rung.name in text
        assert f"| {name} |" in text
    assert set(json.loads((tmp_path / "p.json").read_text())) == {"digits"}
    assert (tmp_path / "p.png").stat().st_size > 1000

"""Searches on a fixed sample of the validation images and on fresh ones differ in nothing but the sample."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import validation_overfitting
from benchmarks.trial_curves import POOL_IMAGES, pack
from benchmarks.validation_overfitting import (
    SCORES,
    Trainings,
    draw,
    fixed_scores,
    fresh_scores,
    markdown,
    noise_of,
    read_trainings,
    search,
    simulate,
    simulate_models,
)


def trainings(n, *, alike, seed=0, images=500, truth=None):
    """Networks that are right about an image with its own chance, ``alike`` of them together."""
    rng = np.random.default_rng(seed)
    easy = rng.random((10, images))  # right where this is below the accuracy: the same images for all
    own = rng.random((n, 10, images))
    hits = np.where(rng.random((n, 10, images)) < alike, easy, own) < 0.6
    true = hits.mean((1, 2)) if truth is None else truth
    return Trainings(hits, true, np.full(n, np.nan), tuple(range(n)))


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("size", [50, 1000])
def test_a_score_is_distributed_as_the_accuracy_on_a_stratified_sample(kind, size):
    some = trainings(1, alike=0.0, images=500)
    rng = np.random.default_rng(1)
    found = np.array([SCORES[kind](some.hits, size, rng)[0] for _ in range(4000)])
    # the oracle: with and by class, without replacement; the variance is that of sampling from a finite population
    p, k, m = some.hits[0].mean(1), size // 10, 500
    variance = (p * (1 - p) / k * (m - k) / (m - 1)).sum() / 100
    assert found.mean() == pytest.approx(p.mean(), abs=4 * (variance / 4000) ** 0.5)
    assert found.var() == pytest.approx(variance, rel=0.1)


@pytest.mark.parametrize("kind", SCORES)
def test_on_all_images_a_score_is_the_accuracy(kind):
    some = trainings(5, alike=0.5, images=20)
    np.testing.assert_allclose(SCORES[kind](some.hits, 200, np.random.default_rng(0)), some.hits.mean((1, 2)))


def test_networks_that_are_right_about_the_same_images_score_the_same_on_a_fixed_sample_only():
    some = trainings(1, alike=1.0)
    twins = np.repeat(some.hits, 8, axis=0)
    rng = np.random.default_rng(0)
    assert np.ptp(fixed_scores(twins, 100, rng)) == 0
    assert np.ptp(fresh_scores(twins, 100, rng)) > 0


def test_the_noise_of_a_fixed_sample_has_a_common_part_as_far_as_the_networks_are_alike():
    rng = np.random.default_rng(0)
    for alike, low, high in ((0.0, 0.0, 0.25), (0.9, 0.7, 1.0)):
        noise = noise_of(trainings(30, alike=alike).hits, 100, rng, 500)
        assert low <= noise["common"] / noise["score"] <= high
        assert noise["common"] ** 2 + noise["own"] ** 2 == pytest.approx(noise["score"] ** 2)


def test_where_all_are_equally_good_optimism_is_the_expected_maximum_of_the_noise():
    some = trainings(40, alike=0.0, images=2000, truth=np.full(40, 0.6))
    rows = {row["kind"]: row for row in simulate(some, [100], [40], 800)}
    one = 100 * (0.6 * 0.4 / 100) ** 0.5
    normal = np.random.default_rng(0).standard_normal((20_000, 40)).max(1).mean()
    assert rows["fresh"]["optimism"] == pytest.approx(normal * one, rel=0.1)
    assert rows["fresh"]["truth"] == pytest.approx(60)


def test_images_that_are_easier_for_all_are_not_optimism():
    some = trainings(30, alike=0.5)
    harder = Trainings(some.hits, some.truth - 0.1, some.again, some.policies)
    a, b = (simulate(found, [100], [20], 100) for found in (some, harder))
    assert [row["optimism"] for row in a] == pytest.approx([row["optimism"] for row in b])
    assert [row["truth"] - 10 for row in a] == pytest.approx([row["truth"] for row in b])


def test_a_fixed_sample_is_less_optimistic_and_chooses_better_where_networks_are_alike():
    some = trainings(60, alike=0.9, seed=3)
    rows = {row["kind"]: row for row in simulate(some, [50], [60], 1500)}
    assert rows["fixed"]["optimism"] < rows["fresh"]["optimism"] - 1
    assert rows["fixed"]["truth"] > rows["fresh"]["truth"]


def test_more_trials_are_more_optimistic_and_more_images_less():
    rows = {
        (row["size"], row["trials"]): row["optimism"]
        for row in simulate(trainings(60, alike=0.5), [50, 500], [10, 60], 600)
        if row["kind"] == "fixed"
    }
    assert rows[50, 10] < rows[50, 60]
    assert rows[500, 60] < rows[50, 60]


def test_the_winner_is_the_one_with_the_best_score_and_its_own_truth_is_noted():
    some = trainings(10, alike=0.5, images=20)
    some = Trainings(some.hits, np.arange(10.0), 100 + np.arange(10.0), some.policies)
    accuracy = some.hits.mean((1, 2))
    ((seen, truth, again, best),) = search(some, 200, "fixed", [10], np.random.default_rng(0))
    assert seen == pytest.approx(accuracy.max())
    assert accuracy[int(truth)] == accuracy.max()
    assert (again, best) == (100 + truth, 9)


def test_the_file_of_trainings_is_read_by_class(tmp_path):
    hit = np.arange(POOL_IMAGES) % 10 == 3  # right about one class
    lines = [
        {"policy": 1, "repeat": 0, "pool": pack(~hit), "truth": 0.2},
        {"policy": 0, "repeat": 0, "pool": pack(hit), "truth": 0.1},
        {"policy": 0, "repeat": 1, "pool": pack(hit), "truth": 0.15},
    ]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = read_trainings(path)
    assert found.policies == (0, 1)
    assert found.hits[0].mean(1).tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert found.truth.tolist() == [0.1, 0.2]
    np.testing.assert_array_equal(found.again, [0.15, np.nan])


def test_the_model_recommends_one_of_the_trials_and_is_compared_with_the_luckiest(monkeypatch):
    asked = []

    def recommender(options):
        def recommend(space, params, values):
            asked.append((len(params), len(values)))
            return int(np.argmin(values))

        return recommend

    monkeypatch.setattr(validation_overfitting, "recommender", recommender)
    some = trainings(12, alike=0.5)
    some = Trainings(some.hits, some.hits.mean((1, 2)), some.truth, some.policies)
    rows = simulate_models(some, [200], 10, 5)
    assert asked == [(10, 10)] * 10
    for row in rows:
        assert row["truth"]["gain"] < 0
        assert row["truth"]["gain"] == pytest.approx(row["truth"]["model"] - row["truth"]["lucky"])


def test_the_report_holds_every_size(tmp_path, monkeypatch):
    monkeypatch.setattr(validation_overfitting, "SIZES", (50, 100))
    some = trainings(12, alike=0.5)
    found = {
        "setting": "x", "policies": 12, "mean_truth": 60.0, "resamples": 20, "models": [], "pool_is_easier": 0.0,
        "spread": {"of_trainings": 1.0, "of_policies": None},
        "noise": {str(size): noise_of(some.hits, size, np.random.default_rng(0), 20) for size in (50, 100)},
        "searches": simulate(some, (50, 100), [10, 12], 20),
    }  # fmt: skip
    text = markdown(found, "x.png")
    for size in (50, 100):
        for count in (10, 12):
            assert f"| {size} | {count} |" in text
    assert draw(found, tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 1000

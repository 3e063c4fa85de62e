"""The plan of a search in a given time: it fits, it says so where nothing does, and more time is never worth less."""

from __future__ import annotations

import itertools
import json
import statistics
from dataclasses import replace

import numpy as np
import pytest

from tuun_da.engines.time_plan import (
    FEWEST_TRIALS,
    LEAST_SHARE_OF_PASSES,
    MOST_TRIALS,
    PROBE_SHARE,
    DataSize,
    SearchPlan,
    Speed,
    Wishes,
    batch_size_for,
    best_plan,
    enough_passes,
    expected_largest,
    image_sizes,
    makespan,
    plans,
    rank_correlation,
)
from tuun_da.errors import ConfigError
from tuun_da.training.datasets import load_splits
from tuun_da.training.options import PROBE_DEFAULTS
from tuun_da.training.settings import DataConfig

STEEL = DataSize(
    train=1152, validation=288, test=360, classes=6, channels=1, image_size=64, smallest_class=192, largest_class=192
)
MINUTES = (3, 6, 10, 20, 30, 60, 120, 480)


def speeds_of(rng, data=STEEL):
    """Of a machine: seconds of an image grow with the area, and the second network is slower."""
    image, step = 10 ** rng.uniform(-7, -3.3), 10 ** rng.uniform(-3.3, -1.5)
    slower = rng.uniform(1, 25)
    return {
        (network, size): Speed(step * factor, image * factor * (size / 16) ** 2)
        for network, factor in (("child_cnn", 1.0), ("basenet_resnet18", slower))
        for size in image_sizes(data, Wishes())
    }


def data_of(rng):
    train = int(10 ** rng.uniform(1.8, 5))
    classes = int(rng.integers(2, 12))
    return DataSize(
        train=train,
        validation=train // 4 + 1,
        test=train // 3 + 1,
        classes=classes,
        channels=3,
        image_size=int(rng.choice([8, 28, 32, 64])),
        smallest_class=train // classes,
        largest_class=train // classes,
    )


def all_plans(data, speeds, wishes=None, n_workers=2):
    return list(plans(data, speeds, wishes or Wishes(), n_workers, start_seconds=6.0, spent_seconds=15.0))


def plan_or_none(found, minutes):
    try:
        return best_plan(found, minutes)
    except ConfigError:
        return None


@pytest.mark.parametrize("seed", range(12))
def test_a_plan_fits_into_its_minutes_and_more_minutes_are_never_worth_less(seed):
    rng = np.random.default_rng(seed)
    data = data_of(rng)
    found = all_plans(data, speeds_of(rng, data), n_workers=int(rng.integers(1, 9)))
    chosen = [(minutes, plan_or_none(found, minutes)) for minutes in MINUTES]
    for minutes, plan in chosen:
        if plan is None:
            continue
        assert plan.total_seconds <= 60 * minutes
        assert plan.seconds["probe"] <= PROBE_SHARE * 60 * minutes
        assert FEWEST_TRIALS <= plan.n_trials <= MOST_TRIALS
        images = plan.train_size or data.train
        assert plan.epochs >= LEAST_SHARE_OF_PASSES * enough_passes(images)
        assert plan.image_size <= data.image_size
        assert images <= data.train
    worths = [0.0 if plan is None else plan.worth for _, plan in chosen]
    assert worths == sorted(worths)


@pytest.mark.parametrize("seed", range(6))
def test_the_minutes_that_a_refusal_names_would_do_and_a_minute_less_would_not(seed):
    rng = np.random.default_rng(seed)
    found = all_plans(STEEL, speeds_of(rng))
    with pytest.raises(ConfigError, match=r"^--minutes 0\.2 is too short") as refusal:
        best_plan(found, 0.2)
    wanted = int(str(refusal.value).partition("Say --minutes ")[2].partition(",")[0])
    assert best_plan(found, wanted).total_seconds <= 60 * wanted
    assert plan_or_none(found, wanted - 1) is None


def test_a_faster_machine_gets_a_plan_that_is_worth_no_less():
    rng = np.random.default_rng(0)
    slow = speeds_of(rng)
    fast = {key: Speed(s.step_seconds / 3, s.image_seconds / 3) for key, s in slow.items()}
    of_slow, of_fast = all_plans(STEEL, slow), all_plans(STEEL, fast)
    for minutes in MINUTES:
        before, after = plan_or_none(of_slow, minutes), plan_or_none(of_fast, minutes)
        assert before is None or after.worth >= before.worth


WISHES = {
    "trials": 7,
    "model": "child_cnn",
    "epochs": 3,
    "image_size": 24,
    "batch_size": 8,
    "learning_rate": 0.3,
    "train_size": 100,
    "validation_size": 50,
    "metric": "macro_f1",
    "sampling": "balanced",
    "seeds": 2,
}


def test_every_wish_is_kept_by_every_plan():
    speeds = {("child_cnn", 24): Speed(0.001, 0.0001)}
    found = all_plans(replace(STEEL, validation=50), speeds, Wishes(**WISHES, probe=False, confirm=False))
    for plan in found:
        kept = plan.to_dict() | {"trials": plan.n_trials}
        assert {name: kept[name] for name in WISHES} == WISHES
        assert (plan.probe, plan.confirm, plan.seconds["probe"], plan.seconds["confirmation"]) == (False, False, 0, 0)
    assert len(found) == 1  # nothing was left to choose
    assert image_sizes(STEEL, Wishes(image_size=24)) == [24]


def test_the_estimate_is_that_of_a_simulated_search():
    """An independent count: every training by itself, handed to the worker that is free first."""
    data, speeds = STEEL, {("child_cnn", 16): Speed(0.002, 0.0004)}
    for plan in itertools.islice(all_plans(data, speeds, n_workers=3), 0, None, 17):
        images = plan.train_size or data.train
        steps = plan.epochs * (images // plan.batch_size)
        training = 0.3 + steps * (0.002 + plan.batch_size * 0.0004) + plan.epochs * data.validation * 0.0004 / 3
        free = [0.0, 0.0, 0.0]
        for _ in range(plan.n_trials):
            free.sort()
            free[0] += training + 0.3
        assert plan.training_seconds == pytest.approx(training)
        assert plan.seconds["search"] == pytest.approx(1.15 * max(free))


def test_enough_passes_are_those_that_were_measured():
    assert [round(enough_passes(n)) for n in (20, 150, 2_000, 50_000)] == [120, 120, 30, 30]
    assert 30 < enough_passes(600) < 120
    # rank correlations of proxy_rank.md: 30 and 120 passes of the digits, 30 of CIFAR-10
    assert rank_correlation(0.25) == pytest.approx(0.38, abs=0.07)
    assert rank_correlation(1.0) == pytest.approx(0.86, abs=0.05)
    shares = [rank_correlation(x) for x in np.linspace(0.05, 4, 100)]
    assert shares == sorted(shares)


@pytest.mark.parametrize("n", [1, 5, 20, 60])
def test_the_expected_largest_is_that_of_draws(n):
    draws = np.random.default_rng(0).normal(size=(20_000, n)).max(axis=1)
    assert expected_largest(n) == pytest.approx(draws.mean(), abs=0.03)


def test_the_time_of_a_step_is_told_apart_from_that_of_its_images():
    true = Speed(0.003, 0.0002)
    steps = [(n, true.step_seconds + n * true.image_seconds) for n in (16, 64)]
    found = Speed.of_steps(*steps)
    assert (found.step_seconds, found.image_seconds) == pytest.approx((true.step_seconds, true.image_seconds))
    odd = Speed.of_steps((16, 0.02), (64, 0.01))  # something else ran beside the first
    assert odd.image_seconds > 0
    assert odd.step_seconds >= 0


@pytest.mark.parametrize(("smallest", "metric"), [(100, "accuracy"), (34, "accuracy"), (33, "balanced_accuracy")])
def test_uneven_classes_are_scored_by_balanced_accuracy(smallest, metric):
    data = replace(STEEL, smallest_class=smallest, largest_class=100)
    speeds = {("child_cnn", 16): Speed(0.001, 1e-5)}
    assert {plan.metric for plan in all_plans(data, speeds)} == {metric}
    assert {plan.metric for plan in all_plans(data, speeds, Wishes(metric="accuracy"))} == {"accuracy"}


def test_large_data_are_cut_to_what_the_time_allows():
    data = replace(STEEL, train=40_000, validation=10_000, test=10_000)
    speeds = {("child_cnn", 32): Speed(0.001, 0.0005)}
    plan = best_plan(all_plans(data, speeds), 60)
    assert plan.train_size is not None
    assert plan.train_size < 40_000
    assert plan.validation_size == 2_000
    assert best_plan(all_plans(STEEL, speeds), 60).validation_size is None  # the data's own share


def test_a_search_trains_on_as_many_images_as_its_plan_has_counted(tmp_path):
    """A plan takes fewer validation images than the usual share of many; what that leaves was not in its estimate."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (14_000, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "many.npz", images=images, labels=np.arange(14_000) % 2)
    config = DataConfig(data=f"npz:{tmp_path / 'many.npz'}")
    splits = load_splits(config)
    sizes = {"train": len(splits.train_labels), "validation": len(splits.validation_labels)}
    data = replace(STEEL, **sizes, classes=2, test=len(splits.test_labels), image_size=8)
    assert data.validation > 2_000  # or this would tell nothing
    found = all_plans(data, {("child_cnn", 8): Speed(0.001, 0.0)})
    chosen = {(plan.train_size, plan.validation_size) for plan in found}
    counted = max(size or data.train for size, _ in chosen)
    [largest] = [pair for pair in chosen if (pair[0] or data.train) == counted]
    real = load_splits(replace(config, train_size=largest[0], validation_size=largest[1]))
    assert (len(real.train_labels), len(real.validation_labels)) == (counted, 2_000)


def test_batches_and_learning_rates_start_from_settings_that_work():
    sizes = [batch_size_for(n) for n in (50, 299, 300, 2_000, 8_000, 10**6)]
    assert sizes == [16, 16, 32, 64, 128, 128]
    [small] = {p.learning_rate for p in all_plans(replace(STEEL, train=150), {("child_cnn", 16): Speed(0.001, 1e-5)})}
    assert small == PROBE_DEFAULTS["learning_rate"]


def test_the_makespan_of_equal_jobs_is_that_of_full_rounds():
    assert makespan([2.0] * 7, 3) == 6.0
    assert makespan([], 3) == 0.0
    assert makespan([1, 1, 1, 5], 2) == 6


def test_what_follows_the_search_takes_longer_where_trainings_do():
    plan = all_plans(STEEL, {("child_cnn", 16): Speed(0.001, 1e-4)})[0]
    usual = plan.after_search(plan.training_seconds)
    assert usual == pytest.approx(plan.seconds["confirmation"] + plan.seconds["report"])
    assert plan.after_search(2 * plan.training_seconds) == pytest.approx(usual + plan.seconds["confirmation"])
    assert replace(plan, confirm=False).after_search(99.0) == plan.seconds["report"]


def test_a_plan_is_the_same_after_a_file():
    plan = all_plans(STEEL, {("child_cnn", 16): Speed(0.001, 1e-4)})[0]
    assert SearchPlan.from_mapping(json.loads(json.dumps(plan.to_dict()))) == plan
    assert statistics.fmean(plan.seconds.values()) * len(plan.seconds) == pytest.approx(plan.total_seconds)

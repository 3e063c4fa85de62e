"""Intervals of test scores, against a bootstrap in plain loops, Student's t, the normal interval, and the truth."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from tuun_da.engines.bootstrap import Interval, intervals, scores_of, scores_of_resampled_images, stretch

METRIC_NAMES = ("accuracy", "balanced_accuracy", "macro_f1")
ORACLES = {
    "accuracy": sklearn_metrics.accuracy_score,
    "balanced_accuracy": sklearn_metrics.balanced_accuracy_score,
    "macro_f1": lambda truth, found: sklearn_metrics.f1_score(truth, found, average="macro"),
}


def made_predictions(rng, *, rows=3, seeds=4, n=60, classes=4, right=0.7):
    labels = rng.integers(0, classes, n)
    is_right = rng.random((rows, seeds, n)) < right
    return labels, np.where(is_right, labels, rng.integers(0, classes, (rows, seeds, n)))


@pytest.mark.parametrize("metric", METRIC_NAMES)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_resampled_scores_are_distributed_as_those_of_a_plain_loop(metric):
    """The same mean and the same covariance of all trainings, by scikit-learn on images drawn one by one."""
    rng = np.random.default_rng(1)
    labels, predictions = made_predictions(rng, rows=2, seeds=2)
    fast = scores_of_resampled_images(labels, predictions, metric, draws=4000, rng=rng).reshape(4000, 4)
    slow = []
    for _ in range(400):
        chosen = rng.integers(0, len(labels), len(labels))
        slow.append([ORACLES[metric](labels[chosen], found[chosen]) for found in predictions.reshape(4, -1)])
    slow = np.array(slow)
    error = 5 * slow.std(axis=0) * np.sqrt(1 / 4000 + 1 / 400)
    assert np.all(np.abs(fast.mean(axis=0) - slow.mean(axis=0)) < error)
    assert np.cov(fast.T) == pytest.approx(np.cov(slow.T), abs=0.25 * float(np.var(slow[:, 0])))
    for share in (0.025, 0.975):
        assert np.quantile(fast, share, axis=0) == pytest.approx(np.quantile(slow, share, axis=0), abs=0.03)


@pytest.mark.parametrize("metric", METRIC_NAMES)
def test_scores_are_those_of_scikit_learn(metric):
    labels, predictions = made_predictions(np.random.default_rng(0))
    found = scores_of(labels, predictions, metric, 4)
    for i, row in enumerate(predictions):
        for k, one in enumerate(row):
            assert found[i, k] == pytest.approx(ORACLES[metric](labels, one))


def test_where_only_seeds_matter_the_interval_is_students():
    """Very many images, and in each training another share of errors: the images hardly say anything."""
    rng = np.random.default_rng(0)
    n, right = 40_000, np.array([[0.80, 0.83, 0.78, 0.81, 0.84], [0.86, 0.85, 0.83, 0.88, 0.85]])
    labels = np.zeros(n, dtype=int)
    predictions = (rng.random((2, 5, n)) >= right[:, :, None]).astype(int)
    [made] = intervals(labels, predictions, "accuracy", 2)
    accuracies = (predictions == 0).mean(axis=2)
    expected = stats.ttest_rel(accuracies[1], accuracies[0]).confidence_interval(0.95)
    assert made.difference == pytest.approx(accuracies[1].mean() - accuracies[0].mean())
    width = expected.high - expected.low
    assert made.low == pytest.approx(expected.low, abs=0.12 * width)
    assert made.high == pytest.approx(expected.high, abs=0.12 * width)


def test_where_only_images_matter_the_interval_is_that_of_paired_shares():
    """All seeds say the same: the difference is a mean over images of -1, 0 and 1, with the normal interval."""
    rng = np.random.default_rng(0)
    n = 1000
    one = rng.random((2, 1, n)) < np.array([0.25, 0.2])[:, None, None]
    predictions = np.repeat(one.astype(int), 5, axis=1)
    [made] = intervals(np.zeros(n, dtype=int), predictions, "accuracy", 2)
    by_image = one[0, 0].astype(float) - one[1, 0]
    half = 1.96 * by_image.std() / np.sqrt(n)
    assert made.difference == pytest.approx(by_image.mean())
    assert (made.low, made.high) == pytest.approx((by_image.mean() - half, by_image.mean() + half), abs=0.1 * half)


def coverage(*, seeds, n, of_seed, of_image, repeats=250):
    """How often the interval holds 0 between two rows that are equally good in the long run.

    A training gets an image right by its luck, by its row's luck with that image, and by its own level.
    """
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(repeats):
        level = 1.0 + of_seed * rng.standard_normal((2, seeds, 1))
        by_image = of_image * rng.standard_normal((2, 1, n)) + rng.standard_normal((1, 1, n))
        wrong = level + by_image + rng.standard_normal((2, seeds, n)) < 0
        [made] = intervals(np.zeros(n, dtype=int), wrong.astype(int), "accuracy", 2, draws=400)
        held += made.low <= 0 <= made.high
    return held / repeats


@pytest.mark.parametrize(
    ("of_seed", "of_image"), [(0.0, 0.0), (0.3, 0.0), (0.0, 1.0), (0.1, 0.5)],
    ids=["luck", "seeds", "images", "both"],
)  # fmt: skip
def test_the_interval_holds_the_truth_about_as_often_as_it_says(of_seed, of_image):
    """95 %; of 250 repetitions a correct interval is outside of these bounds once in ten thousand tests."""
    assert 0.89 < coverage(seeds=5, n=120, of_seed=of_seed, of_image=of_image) < 0.996


def test_an_interval_that_forgets_the_images_would_be_too_narrow():
    """What the bootstrap is for: Student's t over the seeds misses that another test split would say something else."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(100):
        by_image = rng.standard_normal((2, 1, 120)) + rng.standard_normal((1, 1, 120))
        right = 1.0 + by_image + 0.5 * rng.standard_normal((2, 5, 120)) >= 0
        low, high = stats.ttest_rel(*right.mean(axis=2)).confidence_interval(0.95)
        held += low <= 0 <= high
    assert held < 75


def test_it_repeats_and_needs_two_seeds():
    labels, predictions = made_predictions(np.random.default_rng(0))
    assert intervals(labels, predictions, "macro_f1", 4) == intervals(labels, predictions, "macro_f1", 4)
    alone = intervals(labels, predictions[:, :1], "accuracy", 4)
    assert all(isinstance(one, Interval) and (one.low, one.high) == (None, None) for one in alone)


def test_seeds_are_paired():
    """Both rows rise and fall with the seed, so their difference is known although neither is."""
    n, errors = 2000, [100, 300, 500, 700, 900]
    labels = np.zeros(n, dtype=int)
    predictions = np.array([[np.arange(n) < e + extra for e in errors] for extra in (20, 0)]).astype(int)
    [made] = intervals(labels, predictions, "accuracy", 2)
    assert made.difference == pytest.approx(0.01)
    assert made.low > 0
    [shuffled] = intervals(labels, [predictions[0], predictions[1, [2, 4, 0, 1, 3]]], "accuracy", 2)
    assert shuffled.low < 0 < shuffled.high


def test_the_stretch_is_that_of_students_t():
    assert stretch(5) == pytest.approx(2.7764 / 1.95996 * np.sqrt(5 / 4), rel=1e-4)
    assert stretch(200) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("metric", METRIC_NAMES)
def test_ten_thousand_images_and_five_seeds_take_seconds(metric):
    labels, predictions = made_predictions(np.random.default_rng(0), rows=5, seeds=5, n=10_000, classes=10, right=0.95)
    intervals(labels[:100], predictions[:, :, :100], metric, 10)  # scipy is loaded
    begin = time.process_time()
    intervals(labels, predictions, metric, 10)
    assert time.process_time() - begin < 10

"""What random search is expected to have: counted out, and drawn."""

from __future__ import annotations

import itertools
import random
import statistics

import pytest

from tuun_da.report.random_search import FEWEST, NormalModel, expected_best, order_statistic

VALUES = [0.61, 0.7, 0.7, 0.74, 0.55, 0.9, 0.43]


@pytest.mark.parametrize("n", range(1, 8))
def test_an_order_statistic_is_the_mean_over_all_draws(n):
    drawn = [max(chosen) for chosen in itertools.combinations(VALUES, n)]
    assert order_statistic(sorted(VALUES), n) == pytest.approx(statistics.fmean(drawn), rel=1e-12)


def test_what_is_seen_comes_from_the_trials_and_more_trials_are_never_worse():
    found = expected_best(VALUES, 40)
    assert found.seen == 7
    assert found.best[0] == pytest.approx(statistics.fmean(VALUES))
    assert found.best[6] == max(VALUES)
    assert len(found.best) == 40
    assert all(a <= b for a, b in itertools.pairwise(found.best))
    assert found.best[-1] < 1.0
    assert found.scale == "log odds"


def test_fewer_trials_than_were_random_are_enough():
    assert expected_best(VALUES, 3).best == expected_best(VALUES, 40).best[:3]


def test_minimizing_mirrors_maximizing():
    up = expected_best([value - 2 for value in VALUES], 30)
    down = expected_best([2 - value for value in VALUES], 30, maximize=False)
    assert down.best == pytest.approx([-value for value in up.best])
    assert up.scale == "score"
    shares, turned = expected_best(VALUES, 30), expected_best([1 - value for value in VALUES], 30, maximize=False)
    assert turned.best == pytest.approx([1 - value for value in shares.best])


@pytest.mark.parametrize("log_odds", [True, False])
def test_beyond_what_was_seen_it_is_the_mean_of_draws_from_the_normal_distribution(log_odds):
    import math

    rng = random.Random(0)
    model = NormalModel(0.5, 0.8, log_odds, 1.0)

    def draw():
        number = rng.gauss(0.5, 0.8)
        return 1 / (1 + math.exp(-number)) if log_odds else number

    drawn = statistics.fmean(max(draw() for _ in range(20)) for _ in range(4000))
    assert model.expected_best(20) == pytest.approx(drawn, abs=0.02)


def test_between_computed_numbers_it_is_close_and_thousands_take_no_time():
    rng = random.Random(1)
    values = [rng.random() for _ in range(2000)]
    found = expected_best(values, 5000)
    for n in (70, 333, 1999):
        assert found.best[n - 1] == pytest.approx(order_statistic(sorted(values), n), abs=1e-4)


def test_too_few_or_equal_values_are_no_trouble():
    assert expected_best(VALUES[: FEWEST - 1], 10) is None
    assert set(expected_best([0.5] * 5, 10).best) == {0.5}
    assert set(expected_best([1.0] * 5, 10).best) == {1.0}


@pytest.mark.parametrize("maximize", [True, False])
def test_the_expected_best_of_shares_is_a_share_even_where_one_of_them_is_at_its_end(maximize):
    values = [0.9, 0.95, 0.97, 1.0] if maximize else [0.1, 0.05, 0.03, 0.0]
    expectation = expected_best(values, 200, maximize=maximize)
    assert expectation.scale == "score"
    assert all(0.0 <= value <= 1.0 for value in expectation.best)
    assert expectation.best[-1] == (1.0 if maximize else 0.0)

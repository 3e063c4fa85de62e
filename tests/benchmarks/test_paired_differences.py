"""The paired difference of two rows, against scipy's paired t-test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.paired_differences import compare

accuracies = st.floats(0, 1)


@given(st.lists(st.tuples(accuracies, accuracies), min_size=2, max_size=12))
def test_difference_and_interval_are_those_of_the_paired_t_test(pairs):
    first, second = np.array(pairs).T
    assume(np.std(first - second) > 1e-6)
    made = compare(first.tolist(), second.tolist())
    low, high = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert made.difference == pytest.approx(np.mean(first) - np.mean(second), abs=1e-9)
    assert (made.low, made.high) == pytest.approx((low, high), abs=1e-9)


def test_one_pair_alone_tells_nothing():
    made = compare([0.9], [0.1])
    assert (made.difference, made.low, made.high) == (0.8, -math.inf, math.inf)

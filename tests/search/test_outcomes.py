"""Values below the median are drawn in: none changes places, and those above stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuun_da.search.outcomes import drawn_in

_values = st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 3)), min_size=1, max_size=12).map(np.array)


@given(_values, _values)
def test_the_order_stays_and_so_do_the_values_above_the_median(values, new):
    warp = drawn_in(values)
    found = warp(np.sort(new))
    assert np.all(np.diff(found) >= 0)
    high = new >= np.median(values)
    np.testing.assert_array_equal(warp(new)[high], new[high])
    assert np.all(warp(new) >= new - 1e-9)


@given(_values, st.floats(-100, 100), st.sampled_from([0.25, 2.0, 1024.0]))
def test_it_moves_with_the_scale_of_the_objective(values, shift, factor):
    moved = drawn_in(factor * values + shift)(factor * values + shift)
    np.testing.assert_allclose(moved, factor * drawn_in(values)(values) + shift, rtol=1e-6, atol=1e-5)


def test_it_has_no_kink_at_the_median_and_draws_in_the_more_the_farther():
    values = np.array([-30.0, -2.0, 0.0, 1.0, 2.0])
    warp = drawn_in(values)
    step = 1e-6
    slopes = (warp(np.array([-step, step])) - warp(np.array([0.0]))) / np.array([-step, step])
    np.testing.assert_allclose(slopes, 1.0, rtol=1e-4)
    drawn = warp(values)
    assert drawn[0] > -8
    assert -2 < drawn[1] < drawn[2] == 0


@pytest.mark.filterwarnings("error")
def test_the_largest_floats_stay_finite():
    for values in (
        [-1e308, -1e-300, 0.0, 1e-300],
        [-1e300, 0.1, 0.2, 0.3],
        [-1e150, 1e150, 1e150],
        [5.0],
        [1.0, 1.0, 0.0],
    ):
        found = drawn_in(np.array(values))(np.array(values))
        assert np.all(np.isfinite(found))
        assert np.all(np.diff(found) >= 0) or values[-1] == 0

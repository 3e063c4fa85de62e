"""R-hat against ArviZ, and against what it is for."""

from __future__ import annotations

import numpy as np
import pytest

from tuun_da.search.convergence import r_hat


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (41, [0.9911225993211518, 1.1898479562352013, 1.1695561732808788]),
        (40, [0.9875962633942765, 1.190171717708232, 1.1728085598270601]),
    ],
)
def test_it_is_the_r_hat_of_arviz(n, expected):
    """ArviZ 0.23.4, ``arviz.rhat``: a quantity that has mixed, one of another mean and one of another spread."""
    draws = np.sin(np.arange(246.0) ** 2).reshape(2, 41, 3)
    draws[1, :, 1] += 0.7
    draws[0, :, 2] *= 2.5
    np.testing.assert_allclose(r_hat(draws[:, :n]), expected, rtol=1e-12)


def test_it_sees_a_drift_that_both_chains_share():
    drift = np.linspace(0, 6, 100)[None, :, None] + np.random.default_rng(0).standard_normal((2, 100, 1))
    assert r_hat(drift)[0] > 1.5


def test_monotone_transformations_and_heavy_tails_change_nothing_or_little():
    draws = np.random.default_rng(0).standard_cauchy((2, 200, 2))
    assert np.all(r_hat(draws) < 1.03)
    np.testing.assert_allclose(r_hat(np.exp(3 * np.arctan(draws)))[0], r_hat(draws)[0], atol=0.02)


def test_chains_that_never_move_have_not_mixed():
    assert np.all(r_hat(np.ones((2, 20, 3))) == np.inf)

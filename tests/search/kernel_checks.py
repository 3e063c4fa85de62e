"""Checks that hold for every kernel."""

from __future__ import annotations

import numpy as np


def check_pullback(kernel, theta, x, rng, **tolerances):
    """The pullback of ``kernel`` at ``theta`` is the gradient that differences of its matrix give."""
    n = len(kernel.matrix(theta, x, x))
    w = rng.standard_normal((n, n))
    w += w.T
    _, pullback = kernel.matrix_and_pullback(theta, x)
    step = 1e-5
    numeric = [
        np.sum(w * (kernel.matrix(theta + e, x, x) - kernel.matrix(theta - e, x, x))) / (2 * step)
        for e in step * np.eye(len(theta))
    ]
    assert np.any(np.abs(numeric) > 1e-3)
    np.testing.assert_allclose(pullback(w), numeric, **tolerances)

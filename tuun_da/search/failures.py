"""What failed trials say: how likely a setting is to fail like those near it.

A failure has no value. Counted as a bad one, an arbitrary number would bend the model of the objective; forgotten, the
same setting would be proposed again. It is the chance of success that failures teach, and an improvement is worth that
share of itself (Gelbart et al. 2014, constrained expected improvement).

The chance is a kernel-weighted share of failures with a prior of the weight of one trial:

    P(failure at x) = (r + sum over failed of k(x, x_i)) / (1 + sum over all of k(x, x_i)),   r = failed / (2 + all)

so that one failure among many successes, a machine that died, costs a neighbour about half, and a setting that failed
again and again is left alone.
"""

from __future__ import annotations

import numpy as np

from tuun_da.search.domains import Floats
from tuun_da.search.kernels import Kernel


class FailureModel:
    """``succeeded`` (n, d) and ``failed`` (m, d) are points; length scales are half of what the kernel's prior expects.

    So only near neighbours count, and a hundred successes elsewhere do not outvote a failure here.
    """

    def __init__(self, kernel: Kernel, succeeded: Floats, failed: Floats) -> None:
        self._kernel, self._failures = kernel, len(failed)
        self._trials = kernel.features(np.concatenate([failed, succeeded]))
        self._rate = len(failed) / (2 + len(failed) + len(succeeded))

    def log_success(self, points: Floats) -> Floats:
        """Logarithm (n,) of the chance that a trial at each of points (n, d) succeeds."""
        weights = self._kernel.nearness(self._kernel.features(points), self._trials)
        failed = self._rate + np.sum(weights[:, : self._failures], axis=1)
        return np.asarray(np.log1p(-failed / (1 + np.sum(weights, axis=1))))

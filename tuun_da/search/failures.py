"""What failed trials say: how likely a setting is to fail like those near it.

A failure has no value. Counted as a bad one, an arbitrary number would bend the model of the objective; forgotten, the
same setting would be proposed again. It is the chance of success that failures teach, and an improvement is worth that
share of itself (Gelbart et al. 2014, constrained expected improvement).

The chance comes from a Gaussian process over the labels, 1 for a success and 0 for a failure, cut at one half:

    P(success at x) = Phi((mean(x) - 1/2) / sqrt(variance(x) + noise))

It goes to 0 as fast as a normal tail where trials fail again and again. A share of failures among the neighbours, which
stays at some hundredths, does not keep a search away: far from the best, the expected improvement falls without bound.
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr

from tuun_da.search.domains import Floats
from tuun_da.search.gaussian_process import GaussianProcess
from tuun_da.search.kernels import Kernel

LOG_NOISE = -1.5  # of the noise variance as a share of the labels' variance: a machine that died says little


class FailureModel:
    """``succeeded`` (n, d) and ``failed`` (m, d), together at least one, are points of the space of ``kernel``.

    Its hyperparameters are those expected before any trial: a handful of labels does not tell them, and fitted, the
    noise goes to 0 and the chance with it.
    """

    def __init__(self, kernel: Kernel, succeeded: Floats, failed: Floats) -> None:
        process = GaussianProcess(kernel)
        expected = process.prior_mean.copy()
        expected[-1] = LOG_NOISE
        labels = np.concatenate([np.ones(len(succeeded)), np.zeros(len(failed))])
        self._posterior = process.posterior(np.concatenate([succeeded, failed]), labels, [expected])

    def log_success(self, points: Floats) -> Floats:
        """Logarithm (n,) of the chance that a trial at each of points (n, d) succeeds."""
        prediction = self._posterior.predict(points)
        spread = np.sqrt(prediction.std[0] ** 2 + self._posterior.noise_std**2)
        return np.asarray(log_ndtr((prediction.mean[0] - 0.5) / spread))

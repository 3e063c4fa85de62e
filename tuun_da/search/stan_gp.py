"""The Gaussian process of gaussian_process.py with its hyperparameters drawn by NUTS: gp.stan, through pystan.

Where ``gp`` takes the most probable hyperparameters, this one averages over draws of them: it knows how little sixty
trials say of a length scale. It costs some seconds instead of tenths.

Notation: n points; q length scales; p hyperparameters (theta, log s, log v), as in gaussian_process.py.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np

from tuun_da.search.convergence import r_hat
from tuun_da.search.domains import Floats
from tuun_da.search.gaussian_process import GaussianProcess, GaussianProcessPosterior, location_and_scale
from tuun_da.search.kernels import MISMATCH, Kernel, MixedKernel
from tuun_da.search.policy_kernel import PolicyKernel
from tuun_da.search.stan_process import Chains, check_stan, sample
from tuun_da.search.trend_kernel import TrendKernel

CHAINS = 2
WARMUP = 200
SAMPLES = 300  # of each chain
KEPT = 12  # of each chain, evenly spaced: neighbours are alike, and each costs a prediction of its own
LONGER = 3  # times as long is the second run, where the first one has not mixed
# Vehtari et al. 2021 ask for 1.01 where a quantile is to be published. Here predictions are averaged over a few draws:
# at 1.05 the spread between the chains adds 5 % to a deviation, less than 24 draws do by chance.
LARGEST_R_HAT = 1.05
LARGEST_FIT = 100  # observations from which hyperparameters come
MAX_DEPTH = 7  # at most 127 steps for a draw
SECONDS = 1800.0  # after which the worker is taken to hang

_logger = logging.getLogger(__name__)


class StanGaussianProcess:
    """Fits hyperparameters by NUTS in a worker process. Raises ConfigError without pystan or a compiler.

    The posterior is exact given the hyperparameters. Those come from 100 of the observations, drawn at random, where
    there are more: a step of NUTS costs n^3.

    The chains start at draws from the prior. If R-hat is above 1.05, they run again, three times as long; if it still
    is, that is logged, and the draws are used as they are: unmixed draws around several modes are no worse than the one
    mode that ``gp`` would take.
    """

    def __init__(self, kernel: Kernel) -> None:
        check_stan()
        self.process = GaussianProcess(kernel)

    def fit(self, points: Floats, values: Floats, rng: np.random.Generator) -> GaussianProcessPosterior:
        """The posterior at 24 draws of the hyperparameters. Raises TuunDaError if the worker fails."""
        location, scale = location_and_scale(values)
        chosen = np.arange(len(values))
        if len(values) > LARGEST_FIT:
            chosen = np.sort(rng.choice(len(values), LARGEST_FIT, replace=False))
        data = program_data(self.process, points[chosen], (values[chosen] - location) / scale)
        draws = self._draw(data, rng)
        kept = np.linspace(0, draws.shape[1] - 1, KEPT).round().astype(int)
        return self.process.posterior(points, values, list(draws[:, kept].reshape(-1, draws.shape[2])))

    def _draw(self, data: dict[str, Any], rng: np.random.Generator) -> Floats:
        """Draws of the hyperparameters (chains, n, p)."""
        found = run_chains(data, rng, warmup=WARMUP, samples=SAMPLES)
        if worst(found) > LARGEST_R_HAT:
            found = run_chains(data, rng, warmup=LONGER * WARMUP, samples=LONGER * SAMPLES)
            if worst(found) > LARGEST_R_HAT:
                _logger.warning(
                    "the chains of stan_gp have not mixed: R-hat is %.3f, wanted at most %g; going on with their draws",
                    worst(found),
                    LARGEST_R_HAT,
                )
        _logger.debug("R-hat %.3f, %d divergences", worst(found), found.divergences)
        return found.draws


def worst(chains: Chains) -> float:
    """The largest R-hat of any hyperparameter."""
    return float(np.max(r_hat(chains.draws)))


def run_chains(data: dict[str, Any], rng: np.random.Generator, *, warmup: int, samples: int) -> Chains:
    """Chains that start at draws from the prior. Raises as ``sample`` does."""
    init = list(rng.standard_normal((CHAINS, data["p"])))
    settings = {"num_warmup": warmup, "num_samples": samples, "max_depth": MAX_DEPTH}
    return sample(data, init, int(rng.integers(2**31 - 1)), settings, SECONDS)


def program_data(process: GaussianProcess, points: Floats, y: Floats) -> dict[str, Any]:
    """The data of gp.stan for standardised values y (n,) at points (n, d): this is where it learns of the kernel.

    Each feature has the number of the length scale that it shares, from 1 to q. Squared differences of the features of
    a categorical column sum to MISMATCH where the categories differ.
    """
    kernel, x = process.kernel, process.kernel.features(points)
    trends = np.empty((len(y), 0))
    if isinstance(kernel, TrendKernel):
        kernel, x, trends = kernel.base, x.base, x.trends
    policy = reals = categoricals = 0
    features, scales = [np.empty((len(y), 0))], [np.empty(0, dtype=int)]
    rest: Kernel | None = kernel
    if isinstance(kernel, PolicyKernel):
        policy = len(kernel.blocks)
        features, scales = [x.policy], [kernel.owner]
        rest, x = kernel.rest, x.rest
    if rest is not None:
        if not isinstance(rest, MixedKernel):
            raise TypeError(f"gp.stan knows no {type(rest).__name__}")
        reals, categoricals = x.real.shape[1], len(np.unique(rest.owner))
        features += [x.real, math.sqrt(MISMATCH / 2) * x.indicators]
        scales += [policy + np.arange(reals), policy + reals + rest.owner]
    return {
        "n": len(y),
        "y": y,
        "policy_scales": policy,
        "real_scales": reals,
        "categorical_scales": categoricals,
        "features": sum(len(each) for each in scales),
        "x": np.hstack(features),
        "scale": np.concatenate(scales) + 1,
        "trends": trends.shape[1],
        "h": trends,
        "p": len(process.prior_mean),
        "prior_mean": process.prior_mean,
        "prior_std": process.prior_std,
    }

"""Whether chains of a Markov chain Monte Carlo sampler have reached the same distribution: R-hat."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from tuun_da.search.domains import Floats


def r_hat(draws: Floats) -> Floats:
    """The rank-normalised split R-hat (p,) of ``draws`` (chains, n, p), n >= 4: near 1 for chains that have mixed.

    Vehtari et al. 2021 (Rank-normalization, folding, and localization: an improved R-hat), section 3: the larger one of
    the R-hat of the normalised ranks and of that of the ranks of the distances from the median, which sees chains of
    different spread. It is inf for a quantity that never changes within the halves of its chains.
    """
    half = draws.shape[1] // 2
    # an odd number of draws leaves out the one in the middle
    split = np.concatenate([draws[:, :half], draws[:, -half:]])
    folded = np.abs(split - np.median(split, axis=(0, 1)))
    return np.maximum(_plain_r_hat(_normal_scores(split)), _plain_r_hat(_normal_scores(folded)))


def _normal_scores(draws: Floats) -> Floats:
    """Normal quantiles of the ranks of each quantity among all draws (chains, n, p): equation 14."""
    chains, n, p = draws.shape
    ranks = rankdata(draws.reshape(chains * n, p), axis=0)
    return np.asarray(ndtri((ranks - 3 / 8) / (chains * n + 1 / 4))).reshape(chains, n, p)


def _plain_r_hat(draws: Floats) -> Floats:
    """Root of pooled over within-chain variance (p,) of draws (chains, n, p): equations 1 to 4."""
    n = draws.shape[1]
    within = np.mean(np.var(draws, axis=1, ddof=1), axis=0)
    between = np.var(np.mean(draws, axis=1), axis=0, ddof=1)
    moved = within > 0
    return np.where(moved, np.sqrt((n - 1) / n + between / np.where(moved, within, 1.0)), np.inf)

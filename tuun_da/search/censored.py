"""What stopped trials say: their final value is only known to lie between two bounds.

A trial that an assessor stopped had reached a value, and did not look as if it would become the best. So its final
value, had it run to its end, lies between what it reported last and the best value of a finished trial. The value that
stands for it is the mean of the model's prediction truncated to that interval (Hutter et al. 2013, Bayesian
optimization with censored response data, who bound it from one side).
"""

from __future__ import annotations

import numpy as np
from scipy.stats import truncnorm

from tuun_da.search.domains import Floats
from tuun_da.search.prediction import Posterior


def condition_on_stopped(posterior: Posterior, points: Floats, reached: Floats, best: float) -> Posterior:
    """The posterior that has also seen stopped trials at points (n, d), which had ``reached`` values (n,).

    ``best`` is the best value of a finished trial.
    """
    prediction = posterior.predict(points)
    mean = np.mean(prediction.mean, axis=0)
    variance = np.mean(prediction.std**2, axis=0) + np.var(prediction.mean, axis=0)
    return posterior.condition(points, truncated_mean(mean, np.sqrt(variance), reached, np.maximum(reached, best)))


def truncated_mean(mean: Floats, std: Floats, low: Floats, high: Floats) -> Floats:
    """Mean (n,) of normals truncated to [low, high]; the bound nearest to the mean where floats see no mass inside."""
    clipped = np.clip(mean, low, high)
    proper = (std > 0) & (high > low)
    scale = np.where(proper, std, 1.0)
    with np.errstate(all="ignore"):  # a tiny deviation puts the bounds infinitely many of them away
        a, b = (low - mean) / scale, (np.where(proper, high, low + 1.0) - mean) / scale
        inside = truncnorm.mean(a, b, loc=mean, scale=scale)
    usable = proper & np.isfinite(inside) & (inside >= low) & (inside <= high)
    return np.asarray(np.where(usable, inside, clipped))

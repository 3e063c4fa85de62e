"""Acquisitions: what a trial at each of n points promises; larger is better.

Most are functions (prediction, best) -> (n,); ``best`` is the value that a trial has to beat, on the scale of the
objective. Observations are noisy, so it is the largest posterior mean of what was tried, not the largest value seen.
Thompson sampling is none of these: it needs the values of one draw of the objective at all points together.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, log_ndtr, logsumexp, ndtr

from tuun_da.errors import ConfigError
from tuun_da.search.domains import Floats, finite_number
from tuun_da.search.prediction import Prediction

Acquisition = Callable[[Prediction, float], Floats]

LOG_SQRT_2_PI = math.log(2 * math.pi) / 2
LARGEST_DIFFERENCE = float(np.finfo(np.float64).max) / 4


def log_ei(prediction: Prediction, best: float) -> Floats:
    """Logarithm of the expected improvement over ``best`` (Ament et al. 2023), averaged over draws as EI.

    -inf where no improvement is possible: a standard deviation of 0 and a mean that is not above ``best``.
    """
    gain, std, certain, unit = _gains(prediction, best)
    with np.errstate(divide="ignore", over="ignore"):
        values = np.where(certain, np.log(np.maximum(gain, 0.0)), log_h(gain / std) + np.log(std))
        return np.asarray(logsumexp(values, axis=0) - math.log(len(values) / unit))


def _gains(prediction: Prediction, best: float) -> tuple[Floats, Floats, NDArray[np.bool_], float]:
    """Mean less ``best`` and standard deviation (s, n), in a unit that keeps them finite; where that is 0; the unit.

    Of the largest floats, only quarters can be subtracted from each other. A standard deviation of 0 is told as 1.
    """
    largest = max(float(np.max(np.abs(prediction.mean), initial=0.0)), abs(best))
    unit = 1.0 if largest < LARGEST_DIFFERENCE else 4.0
    certain = prediction.std <= 0
    return prediction.mean / unit - best / unit, np.where(certain, 1.0, prediction.std / unit), certain, unit


def log_h(z: Floats) -> Floats:
    """log(phi(z) + z Phi(z)), the log EI of a standard normal, without loss in either tail (Ament et al., eq. 9)."""
    z = np.asarray(z, dtype=np.float64)
    near, far = np.maximum(z, -1.0), np.minimum(z, -1.0)
    with np.errstate(over="ignore", divide="ignore"):  # beyond |z| = 1e154, z^2 and with it the logarithm are infinite
        direct = np.log(np.exp(-(near**2) / 2 - LOG_SQRT_2_PI) + near * ndtr(near))
        # phi(z) + z Phi(z) = phi(z) (1 - |z| sqrt(pi / 2) erfcx(|z| / sqrt(2)))
        tail = -(far**2) / 2 - LOG_SQRT_2_PI + _log_one_minus_mills(-far)
    return np.where(z > -1.0, direct, tail)


def _log_one_minus_mills(x: Floats) -> Floats:
    """log(1 - x sqrt(pi / 2) erfcx(x / sqrt(2))) for x >= 1.

    The difference is 1 / x^2 - 3 / x^4 + 15 / x^6 - ..., so that it loses digits as x grows: the series takes over at
    x = 100, where its next term, 1e-14, is as small as the rounding.
    """
    exact = np.log1p(-np.minimum(x, 100.0) * math.sqrt(math.pi / 2) * erfcx(np.minimum(x, 100.0) / math.sqrt(2)))
    inverse = 1 / np.maximum(x, 100.0) ** 2
    series = np.log(inverse) + np.log1p(-inverse * (3 - inverse * (15 - inverse * 105)))
    return np.where(x < 100.0, exact, series)


def upper_confidence_bound(prediction: Prediction, best: float, *, beta: float = 2.0) -> Floats:
    """Mean + ``beta`` standard deviations (Srinivas et al. 2010, whose beta is the square), averaged over draws."""
    return np.asarray(np.mean(prediction.mean + beta * prediction.std, axis=0))


def log_pi(prediction: Prediction, best: float) -> Floats:
    """Logarithm of the probability of a value above ``best`` (Kushner 1964), averaged over draws as a probability.

    Where the standard deviation is 0: 0 if the mean is above ``best``, -inf if not.
    """
    gain, std, certain, _ = _gains(prediction, best)
    with np.errstate(divide="ignore", over="ignore"):
        z = np.where(certain, np.where(gain > 0, np.inf, -np.inf), gain / std)
        return np.asarray(logsumexp(log_ndtr(z), axis=0) - math.log(len(z)))


ACQUISITIONS: Mapping[str, Acquisition | None] = MappingProxyType(
    {"logei": log_ei, "ucb": upper_confidence_bound, "pi": log_pi, "thompson": None}
)
"""Acquisitions by name; None is Thompson sampling, which ``Posterior.sample`` does."""

LOGARITHMS = frozenset({"logei", "pi"})
"""Those of the acquisitions that are logarithms; the others are on the scale of the objective."""


def find_acquisition(name: str, *, beta: float | None = None) -> Acquisition | None:
    """The acquisition of this name, None for Thompson sampling. ``beta`` is that of ucb. Raises ConfigError."""
    if name not in tuple(ACQUISITIONS):  # a tuple, so that an unhashable name is an error like any other
        raise ConfigError(f"acquisition must be one of {', '.join(ACQUISITIONS)}; got {name!r}")
    if beta is None:
        return ACQUISITIONS[name]
    if name != "ucb":
        raise ConfigError(f"beta belongs to acquisition ucb, which is {name} here; got {beta!r}")
    number = finite_number(beta)
    if number is None or number < 0:
        raise ConfigError(f"beta must be a number of at least 0, got {beta!r}")
    return functools.partial(upper_confidence_bound, beta=number)

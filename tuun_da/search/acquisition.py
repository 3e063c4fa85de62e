"""Acquisitions: functions (prediction, best) -> (n,) of what a trial at each of n points promises; larger is better.

``best`` is the value that a trial has to beat, on the scale of the objective.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from scipy.special import erfcx, logsumexp, ndtr

from tuun_da.errors import ConfigError
from tuun_da.search.domains import Floats
from tuun_da.search.prediction import Prediction

Acquisition = Callable[[Prediction, float], Floats]

LOG_SQRT_2_PI = math.log(2 * math.pi) / 2
LARGEST_DIFFERENCE = float(np.finfo(np.float64).max) / 4


def log_ei(prediction: Prediction, best: float) -> Floats:
    """Logarithm of the expected improvement over ``best`` (Ament et al. 2023), averaged over draws as EI.

    -inf where no improvement is possible: a standard deviation of 0 and a mean that is not above ``best``.
    """
    # Of the largest floats, only quarters can be subtracted from each other.
    largest = max(float(np.max(np.abs(prediction.mean), initial=0.0)), abs(best))
    unit = 1.0 if largest < LARGEST_DIFFERENCE else 4.0
    gain = prediction.mean / unit - best / unit
    certain = prediction.std <= 0
    std = np.where(certain, 1.0, prediction.std / unit)
    with np.errstate(divide="ignore", over="ignore"):
        values = np.where(certain, np.log(np.maximum(gain, 0.0)), log_h(gain / std) + np.log(std))
        return np.asarray(logsumexp(values, axis=0) - math.log(len(values) / unit))


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


ACQUISITIONS: Mapping[str, Acquisition] = MappingProxyType({"logei": log_ei})
"""Acquisitions by name."""


def find_acquisition(name: str) -> Acquisition:
    """The acquisition of this name. Raises ConfigError."""
    if name not in tuple(ACQUISITIONS):  # a tuple, so that an unhashable name is an error like any other
        raise ConfigError(f"acquisition must be one of {', '.join(ACQUISITIONS)}; got {name!r}")
    return ACQUISITIONS[name]

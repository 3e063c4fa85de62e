"""What of the values a model should care about: the better half.

A few settings that ruin everything would set the scale of the values, and a model would spend itself on telling the bad
from the worst. So what lies below the median is drawn in, the more the farther it lies; what lies above stays as it is.
(Output warping, as in Vizier's Gaussian process bandit, Song et al. 2024, section 3.2, there by ranks.)

    w(y) = y                                  y >= M, the median
         = M - s log(1 + (M - y) / s)         y < M;  s the root mean square of y - M above it

w rises everywhere and has no kink, so the order of the values and where the best lies are as before.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tuun_da.search.domains import Floats

LARGEST = float(np.finfo(np.float64).max)


def drawn_in(values: Floats) -> Callable[[Floats], Floats]:
    """The map w for values (n,), n >= 1; nothing changes where the better half of them is all the same."""
    median = float(np.median(values))
    above = values[values >= median] - median
    largest = float(np.max(above, initial=0.0))
    scale = largest * float(np.sqrt(np.mean((above / largest) ** 2))) if largest > 0 else 0.0
    if scale == 0.0:
        return lambda new: new

    def drawn(new: Floats) -> Floats:
        with np.errstate(over="ignore"):  # a value of the largest floats among small ones
            below = np.minimum(np.maximum(median - new, 0.0) / scale, LARGEST)
        return np.where(new >= median, new, median - scale * np.log1p(below))

    return drawn

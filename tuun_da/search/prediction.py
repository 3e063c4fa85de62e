"""What a fitted surrogate answers: Prediction, and the Posterior that gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tuun_da.search.domains import Floats


@dataclass(frozen=True)
class Prediction:
    """Mean and standard deviation (s, n) of the objective, without observation noise, at n points.

    There is one row for each of s draws of the hyperparameters; a surrogate that settles on one set has s = 1.
    """

    mean: Floats
    std: Floats


class Posterior(Protocol):
    """A surrogate that has seen observations. It never changes; ``condition`` returns a new one."""

    def predict(self, points: Floats) -> Prediction:
        """The prediction at points (n, d) of the space."""
        ...

    def sample(self, points: Floats, rng: np.random.Generator) -> Floats:
        """The values (n,) of one draw of the objective at points (n, d) together, for Thompson sampling."""
        ...

    def condition(self, points: Floats, values: Floats) -> Posterior:
        """The posterior that has also seen values (m,) at points (m, d), with its hyperparameters kept."""
        ...

"""Where the first trials go: a Latin hypercube, before there is anything for a surrogate to learn from.

In every column, one of its n points falls into each n-th of the prior, so categories come as often as their weights
say, to within one (McKay et al. 1979).
"""

from __future__ import annotations

import numpy as np

from tuun_da.search.domains import Floats
from tuun_da.search.space import SearchSpace


def latin_hypercube(space: SearchSpace, n: int, rng: np.random.Generator) -> Floats:
    """The n points (n, d) of one design."""
    d = len(space.columns)
    strata = np.column_stack([rng.permutation(n) for _ in range(d)])
    return space.from_uniform((strata + rng.random((n, d))) / n)

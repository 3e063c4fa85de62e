"""Which trials a model sees where there are thousands: its work grows with the third power of their number.

Of more than ``MOST`` the model sees the best third, the latest third, and of the others those at even distances in the
order of their values. The best say where the optimum is, the latest what the search has just tried, the others what
the rest of the space is like. No chance is in it, so that a search that goes on sees the same. (A subset of datapoints,
Rasmussen and Williams 2006, section 8.3.3; which subset is our choice.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tuun_da.search.domains import Floats

MOST = 1500
"""With so many, a suggestion takes about a second on one core (``benchmarks/results/long_journal.json``)."""


def seen_by_model(values: Floats, most: int = MOST) -> NDArray[np.intp]:
    """The places (m,), ascending, of at most ``most`` of values (n,): all of them, if there are no more."""
    n = len(values)
    if n <= most:
        return np.arange(n)
    share = most // 3
    order = np.argsort(-values, kind="stable")
    chosen = np.zeros(n, dtype=bool)
    chosen[order[:share]] = True
    chosen[n - share :] = True
    others = order[~chosen[order]]
    room = most - int(np.sum(chosen))
    chosen[others[np.linspace(0, len(others) - 1, room).round().astype(np.intp)]] = True
    return np.flatnonzero(chosen)

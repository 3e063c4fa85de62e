"""What tells settings apart: of policies, what they do to the images and not how they are written.

The order of the sub-policies, the magnitude of a type that has none, and all of an operation at probability 0 change
nothing about a training. In a small space one policy would be tried again and again in other words.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tuun_da.search.domains import Floats
from tuun_da.search.policy_arrays import PolicyColumns
from tuun_da.search.policy_space import find_policy
from tuun_da.search.space import KEY_DECIMALS, SearchSpace

LARGE = 10**6
"""Ways to choose all types, from which on policies are told apart as they are written, if all else is continuous.

There a policy that comes back in other words is a repetition, which a noisy score can do with: the races in benchmarks/
were run so.
"""

Keys = Callable[[Floats], list[bytes]]
"""From snapped points (n, d) to a key for each, which points share that count as the same."""


def setting_keys(space: SearchSpace) -> Keys:
    """Keys that all ways to write a setting of ``space`` share, and no other setting. Raises SearchSpaceError.

    In a large space those of its points (``LARGE``).
    """
    layout = find_policy(space)
    if layout is None:
        return space.keys
    columns = PolicyColumns(space, layout)
    if _is_large(space, columns):
        return space.keys
    others = list(columns.others)

    def keys(points: Floats) -> list[bytes]:
        policies = columns.read(np.round(points, KEY_DECIMALS))
        parts = (policies.types, policies.probabilities, policies.magnitudes)
        operations = [part.reshape(len(points), columns.types.size) for part in parts]
        rows = np.round(np.hstack([*operations, points[:, others]]), KEY_DECIMALS)
        return [row.tobytes() for row in rows + 0.0]  # + 0.0 turns -0.0 into 0.0

    return keys


def _is_large(space: SearchSpace, columns: PolicyColumns) -> bool:
    reals = list(columns.magnitudes.flat) + ([] if columns.probabilities is None else list(columns.probabilities.flat))
    are_continuous = all(space.columns[i].domain.levels is None for i in reals)
    return are_continuous and math.prod(space.columns[i].categories for i in columns.types.flat) > LARGE

"""What a surrogate can know beside the trials: what a probe measured, and what earlier experiments say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tuun_da.probe_format import ProbeRecord
from tuun_da.search.domains import Floats
from tuun_da.search.kernels import Kernel, MixedKernel
from tuun_da.search.policy_arrays import PolicyColumns
from tuun_da.search.policy_features import policy_features
from tuun_da.search.policy_kernel import PolicyKernel
from tuun_da.search.policy_space import find_policy
from tuun_da.search.probe_features import ProbeFeatures
from tuun_da.search.space import SearchSpace
from tuun_da.search.trend_kernel import TrendKernel

REFERENCE = 2000  # random points that say how widely features are spread

Trend = Callable[[Floats], Floats]
"""From points (n, d) to what an earlier experiment expects there (n,), with mean 0 and deviation 1 over its trials."""


@dataclass(frozen=True)
class Knowledge:
    """Nothing by default. ``probe`` is used where the space has a policy; ``trends`` by every surrogate."""

    probe: ProbeRecord | None = None
    trends: tuple[Trend, ...] = ()


NOTHING = Knowledge()


class PolicyInputs:
    """The policy of ``space`` as blocks of features, with those of the probe if there is one; the columns beside it.

    Raises ProbeError if the probe lacks a type that the space offers.
    """

    def __init__(self, space: SearchSpace, columns: PolicyColumns, probe: ProbeRecord | None) -> None:
        self.columns = columns
        self._probe = None if probe is None else ProbeFeatures(probe, columns.type_names)
        self.reference = space.sample_points(REFERENCE, np.random.default_rng(0))

    def __call__(self, points: Floats) -> dict[str, Floats]:
        """The blocks (n, k) of points (n, d), by name."""
        policies = self.columns.read(points)
        blocks = policy_features(policies)
        if self._probe is not None:
            blocks["probe"] = self._probe.effects(policies.types, policies.probabilities, policies.magnitudes)
        return blocks


def policy_inputs(space: SearchSpace, probe: ProbeRecord | None = None) -> PolicyInputs | None:
    """What there is to learn from of the policy in ``space``; None if it has none. Raises SearchSpaceError."""
    layout = find_policy(space)
    return None if layout is None else PolicyInputs(space, PolicyColumns(space, layout), probe)


def make_kernel(space: SearchSpace, knowledge: Knowledge) -> Kernel:
    """The kernel for ``space``: one that knows what a policy is, if there is one in it, and what was found earlier."""
    inputs = policy_inputs(space, knowledge.probe)
    kernel: Kernel
    if inputs is None:
        kernel = MixedKernel(space.columns)
    else:
        others = inputs.columns.others
        kernel = PolicyKernel(inputs, inputs.reference, MixedKernel(space.columns, others) if others else None)
    return TrendKernel(kernel, knowledge.trends) if knowledge.trends else kernel

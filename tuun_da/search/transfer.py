"""What earlier experiments, on the same or other data, teach a new one.

Each becomes a trend: a Gaussian process fitted to its trials, whose mean says for any setting what it would have scored
there. The new experiment's surrogate takes the trend as far as its own trials bear it out (trend_kernel.py), so that an
experiment that misleads is soon no longer believed. And what each recommends is tried first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuun_da.errors import SearchSpaceError
from tuun_da.policy_format import is_policy_parameter
from tuun_da.probe_format import ProbeRecord
from tuun_da.search.domains import Floats
from tuun_da.search.gaussian_process import GaussianProcess, GaussianProcessPosterior, location_and_scale
from tuun_da.search.knowledge import Knowledge, Trend, make_kernel
from tuun_da.search.outcomes import drawn_in
from tuun_da.search.policy_space import find_policy
from tuun_da.search.space import SearchSpace

FEWEST = 5  # trials from which something can be learned


@dataclass(frozen=True)
class EarlierExperiment:
    """Finished trials of another experiment: parameters, and values of which larger is better."""

    name: str
    params: Sequence[Mapping[str, Any]]
    values: Sequence[float]


@dataclass(frozen=True)
class Transfer:
    """What earlier experiments say in a new space: their trends, and the points (d,) that they recommend."""

    trends: tuple[Trend, ...]
    recommended: tuple[Floats, ...]


def trends_of(
    space: SearchSpace, earlier: Sequence[EarlierExperiment], probe: ProbeRecord | None, rng: np.random.Generator
) -> Transfer:
    """What the ``earlier`` experiments say in ``space``; of one, at least 5 trials must fit it, or it says nothing."""
    trends, recommended = [], []
    for experiment in earlier:
        points, values = fitting_trials(space, experiment)
        if len(points) < FEWEST:
            continue
        posterior = GaussianProcess(make_kernel(space, Knowledge(probe))).fit(points, drawn_in(values)(values), rng)
        trends.append(trend(posterior, points))
        recommended.append(points[np.argmax(posterior.predict(points).mean[0])])
    return Transfer(tuple(trends), tuple(recommended))


def trend(posterior: GaussianProcessPosterior, points: Floats) -> Trend:
    """The mean of ``posterior``, standardised over ``points`` (n, d)."""
    location, scale = location_and_scale(posterior.predict(points).mean[0])
    return lambda new: (posterior.predict(new).mean[0] - location) / scale


def fitting_trials(space: SearchSpace, experiment: EarlierExperiment) -> tuple[Floats, Floats]:
    """Points (n, d) and values (n,) of the trials that can be written as settings of ``space``.

    Parameters that ``space`` does not have are left out, and trials with a probability that would become another one
    by that. A policy without probabilities has 1 everywhere. Of parameters beside a policy that the earlier experiment
    did not have, nothing is known but their prior: they stand at its middle.
    """
    names = {column.name for column in space.columns if column.parent is None}
    layout = find_policy(space)
    middle = space.middle()
    beside = {} if layout is None else {name: middle[name] for name in layout.others}
    points, values = [], []
    for params, value in zip(experiment.params, experiment.values, strict=True):
        if layout is not None and not layout.has_prob and not _always_happens(params, names):
            continue
        known = beside | {name: setting for name, setting in params.items() if name in names}
        known |= {name: 1.0 for name in names - set(known) if name.startswith("prob") and is_policy_parameter(name)}
        try:
            points.append(space.encode(known))
        except SearchSpaceError:
            continue
        values.append(value)
    return np.array(points).reshape(-1, len(space.columns)), np.array(values, dtype=np.float64)


def _always_happens(params: Mapping[str, Any], names: Set[str]) -> bool:
    """Whether each operation that is among ``names`` has probability 1 in ``params``, or none."""
    return all(
        setting == 1
        for name, setting in params.items()
        if name.startswith("prob") and is_policy_parameter(name) and name.replace("prob", "operation") in names
    )

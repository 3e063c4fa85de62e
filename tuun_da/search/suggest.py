"""The next point to try: from what is known of a space, and of the trials in it, by way of a surrogate.

values drawn in -> fit -> stopped trials -> running trials
-> acquisition, times the chance of success, within the region -> its maximum
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import numpy as np

from tuun_da.search.acquisition import LOGARITHMS, find_acquisition
from tuun_da.search.censored import condition_on_stopped
from tuun_da.search.domains import Floats
from tuun_da.search.failures import FailureModel
from tuun_da.search.knowledge import NOTHING, make_kernel, policy_inputs
from tuun_da.search.maximize import ColumnMoves, Moves, candidates, draw_new_point, maximize
from tuun_da.search.outcomes import drawn_in
from tuun_da.search.policy_moves import PolicyMoves
from tuun_da.search.prediction import Posterior
from tuun_da.search.region import Region
from tuun_da.search.setting_keys import setting_keys
from tuun_da.search.space import SearchSpace
from tuun_da.search.surrogate import Surrogate

PARENTS = 8  # of the observed points, the best by the model: around them the maximizer starts
PROVED = 3  # as many of the best decide how far the region reaches


@dataclass(frozen=True)
class Trials:
    """What the trials of a space have shown: points (n, d) and values (n,) of each kind, larger is better.

    ``stopped_values`` is what the stopped ones had reached.
    """

    points: Floats
    values: Floats
    stopped: Floats
    stopped_values: Floats
    failed: Floats
    running: Floats


class Suggester:
    """Suggests points of ``space`` with ``surrogate`` and the acquisition of that name. Raises ConfigError.

    The points ``given`` (g, d), g >= 0, are not its own suggestions, though trials may be of them.
    """

    def __init__(
        self, space: SearchSpace, surrogate: Surrogate, acquisition: str, *, beta: float | None, given: Floats
    ) -> None:
        self._space, self._surrogate = space, surrogate
        self._acquisition = find_acquisition(acquisition, beta=beta)
        self._is_logarithm = acquisition in LOGARITHMS
        inputs = policy_inputs(space)
        self._region = None if inputs is None else Region(inputs, given)
        self._moves: Moves = ColumnMoves(space) if inputs is None else PolicyMoves(space, inputs.columns)
        self._kernel_of_failures = make_kernel(space, NOTHING)
        self._keys = setting_keys(space)

    def suggest(self, trials: Trials, rng: np.random.Generator, *, excluded: Set[bytes]) -> Floats | None:
        """The point (d,) to try next; at least one trial must have finished.

        Its key (setting_keys.py) is not among those ``excluded``. None if no such point is found.
        """
        warp = drawn_in(trials.values)
        values = warp(trials.values)
        posterior = self._surrogate.fit(trials.points, values, rng)
        means = posterior_mean(posterior, trials.points)
        order = np.argsort(-means, kind="stable")
        best = float(means[order[0]])  # by the model, since the largest value observed is largest by luck, too
        if len(trials.stopped):
            highest = float(np.max(values))
            posterior = condition_on_stopped(posterior, trials.stopped, warp(trials.stopped_values), highest)
        if len(trials.running):
            posterior = posterior.condition(trials.running, posterior_mean(posterior, trials.running))
        parents = trials.points[order[:PARENTS]]
        bounds = None if self._region is None else self._region.bounds(trials.points[order[:PROVED]])
        failures, worst = None, float(np.min(values))
        if len(trials.failed):
            succeeded = np.concatenate([trials.points, trials.stopped])
            failures = FailureModel(self._kernel_of_failures, succeeded, trials.failed)

        def score(points: Floats) -> Floats:
            if self._acquisition is None:
                scores = posterior.sample(points, rng)
            else:
                scores = self._acquisition(posterior.predict(points), best)
            if failures is not None:
                success = failures.log_success(points)
                # a failure is worth nothing to an improvement, and to the objective the worst that was seen
                scores = scores + success if self._is_logarithm else worst + np.exp(success) * (scores - worst)
            if self._region is None or bounds is None:
                return scores
            return np.where(self._region.contains(points, bounds), scores, -np.inf)

        if self._acquisition is not None:
            return maximize(
                score, self._space, rng, parents=parents, excluded=excluded, moves=self._moves, keys=self._keys
            )
        # one draw of the objective must hold for all points, so they are compared in one go
        found = candidates(self._space, rng, self._moves, parents=parents, excluded=excluded, keys=self._keys)
        if not len(found):
            return draw_new_point(self._space, rng, excluded, self._keys)
        return np.asarray(found[np.argmax(score(found))])


def posterior_mean(posterior: Posterior, points: Floats) -> Floats:
    """The posterior mean (n,) over the hyperparameters."""
    return np.asarray(np.mean(posterior.predict(points).mean, axis=0))

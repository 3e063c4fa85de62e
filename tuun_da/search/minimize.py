"""The optimizer as one call, for any function of parameters and any NNI search space.

result = tuun_da.minimize(lambda p: (p["x"] - 2) ** 2, {"x": {"_type": "uniform", "_value": [-5, 5]}}, n_trials=20)
result.best.params, result.best.value
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from tuun_da.errors import ConfigError, TuunDaError
from tuun_da.search.domains import finite_number
from tuun_da.search.optimizer import Observation, Optimizer
from tuun_da.search.space import SearchSpace

Function = Callable[[dict[str, Any]], float]


@dataclass(frozen=True)
class SearchResult:
    """What a search came to. Values are those of the function, with its own sign.

    ``best`` is the trial with the best value seen, which of a noisy function may be luck; ``recommended`` are the
    parameters that the model, having seen all trials, holds for the best of those tried. ``trials`` are all that
    succeeded, in their order, each with its number as id, from 0 on; ``n_failed`` is how many others there were.
    """

    best: Observation
    recommended: Mapping[str, Any]
    trials: tuple[Observation, ...]
    n_failed: int


def minimize(
    function: Function,
    space: SearchSpace | Mapping[str, Any],
    n_trials: int,
    *,
    on_trial: Callable[[Observation], None] | None = None,
    **settings: Any,
) -> SearchResult:
    """Call ``function`` with ``n_trials`` settings of ``space`` in search of its smallest value.

    ``space`` is a SearchSpace or NNI's JSON of one. A value of NaN or infinity says that the trial failed. ``on_trial``
    hears of each trial that succeeded. ``settings`` are those of Optimizer: surrogate, acquisition, seed and so on.

    Raises what the function raises, ConfigError or SearchSpaceError for a setting or a space that cannot be used, and
    TuunDaError if all trials failed.
    """
    return _search(function, space, n_trials, -1.0, on_trial, settings)


def maximize(
    function: Function,
    space: SearchSpace | Mapping[str, Any],
    n_trials: int,
    *,
    on_trial: Callable[[Observation], None] | None = None,
    **settings: Any,
) -> SearchResult:
    """As ``minimize``, in search of the largest value."""
    return _search(function, space, n_trials, 1.0, on_trial, settings)


def _search(
    function: Function,
    space: SearchSpace | Mapping[str, Any],
    n_trials: int,
    sign: float,
    on_trial: Callable[[Observation], None] | None,
    settings: Mapping[str, Any],
) -> SearchResult:
    if isinstance(n_trials, bool) or not isinstance(n_trials, int) or n_trials < 1:
        raise ConfigError(f"n_trials must be an integer of at least 1, got {n_trials!r}")
    optimizer = Optimizer(space if isinstance(space, SearchSpace) else SearchSpace.from_nni(space), **settings)
    trials: list[Observation] = []
    for number in range(n_trials):
        params = optimizer.ask(number)
        given = function(params)
        value = finite_number(given)
        if value is not None:
            optimizer.tell(number, sign * value)
            trials.append(Observation(optimizer.observations[-1].params, value, number))
            if on_trial is not None:
                on_trial(trials[-1])
        elif isinstance(given, Real) and not isinstance(given, bool):  # of any width, as numpy's
            optimizer.tell_failed(number)
        else:
            raise TuunDaError(f"the function must return a number, got {given!r}")
    if not trials:
        raise TuunDaError(f"all {n_trials} trials failed: the function gave no finite number")
    best = max(trials, key=lambda trial: sign * trial.value)
    return SearchResult(best, optimizer.recommend(), tuple(trials), n_trials - len(trials))

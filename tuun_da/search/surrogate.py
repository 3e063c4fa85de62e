"""The Surrogate protocol, and the table of surrogates by name.

A surrogate is made for a search space and fitted to observations; only the posterior that ``fit`` returns can predict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

import numpy as np

from tuun_da.errors import ConfigError
from tuun_da.search.domains import Floats
from tuun_da.search.knowledge import NOTHING, Knowledge, make_kernel
from tuun_da.search.prediction import Posterior
from tuun_da.search.space import SearchSpace


class Surrogate(Protocol):
    """A model of the objective over the points of a search space."""

    def fit(self, points: Floats, values: Floats, rng: np.random.Generator) -> Posterior:
        """The posterior after values (n,), n >= 1, at points (n, d). All its chance comes from ``rng``."""
        ...


def _gaussian_process(space: SearchSpace, knowledge: Knowledge) -> Surrogate:
    from tuun_da.search.gaussian_process import GaussianProcess

    return GaussianProcess(make_kernel(space, knowledge))


def _stan_gaussian_process(space: SearchSpace, knowledge: Knowledge) -> Surrogate:
    from tuun_da.search.stan_gp import StanGaussianProcess

    return StanGaussianProcess(make_kernel(space, knowledge))


def _random_forest(space: SearchSpace, knowledge: Knowledge) -> Surrogate:
    from tuun_da.search.forest import RandomForest  # imports scikit-learn, which the others can do without

    return RandomForest(space, knowledge)


SURROGATES: Mapping[str, Callable[[SearchSpace, Knowledge], Surrogate]] = MappingProxyType(
    {"gp": _gaussian_process, "stan_gp": _stan_gaussian_process, "forest": _random_forest}
)
"""Makers of surrogates by name. A module is loaded when its surrogate is made."""


def make_surrogate(name: str, space: SearchSpace, knowledge: Knowledge = NOTHING) -> Surrogate:
    """The surrogate of this name for ``space``. Raises ConfigError."""
    if name not in tuple(SURROGATES):  # a tuple, so that an unhashable name is an error like any other
        raise ConfigError(f"surrogate must be one of {', '.join(SURROGATES)}; got {name!r}")
    return SURROGATES[name](space, knowledge)


def prepare_surrogate(name: str) -> None:
    """Do what the surrogate of this name needs once on a machine: ``stan_gp`` is compiled, in a minute or a few.

    Raises TuunDaError if that fails. Without this, it is done when the surrogate is first fitted.
    """
    if name == "stan_gp":
        from tuun_da.search.stan_process import compile_program

        compile_program()

"""NNI's own tuners as rivals, called in this process as the dispatcher would call them."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.rivals import Params, Rival

Initial = Sequence[Mapping[str, Any]]


class NniTPE(Rival):
    """TPE with its defaults, except that the initial settings take the place of its 20 random ones."""

    def __init__(self, nni_space: Mapping[str, Any], seed: int, initial: Initial) -> None:
        super().__init__(nni_space, seed, initial)
        from nni.algorithms.hpo.tpe_tuner import TpeTuner

        startup = {"tpe_args": {"n_startup_jobs": len(self.initial)}} if self.initial else {}
        logging.getLogger("nni").setLevel(logging.WARNING)
        self._tuner = TpeTuner(optimize_mode="maximize", seed=seed, **startup)
        self._tuner.update_search_space(dict(nni_space))
        self._asked = 0

    def _suggest(self) -> tuple[Params, Any]:
        self._asked += 1
        return self._tuner.generate_parameters(self._asked), self._asked

    def _learn(self, params: Params, value: float, handle: Any) -> None:
        if handle is None:  # an initial setting, which reaches it as the trials of an earlier experiment would
            self._tuner.import_data([{"parameter": params, "value": value}])
            if self._tuner.liar:
                self._tuner.liar.update(-value)
        else:
            self._tuner.receive_trial_result(handle, params, value)


class NniEvolution(Rival):
    """Naive evolution with its default population of 32, of which the initial settings are the first.

    It draws from Python's global generator, whose state is put back after every call.
    """

    def __init__(self, nni_space: Mapping[str, Any], seed: int, initial: Initial) -> None:
        super().__init__(nni_space, seed, initial)
        from nni.algorithms.hpo.evolution_tuner import EvolutionTuner

        logging.getLogger("nni").setLevel(logging.WARNING)
        self._chance = random.Random(seed).getstate()
        self._tuner = EvolutionTuner(optimize_mode="maximize")
        self._tuner.update_search_space(dict(nni_space))
        self._tuner.random_state = np.random.RandomState(seed)
        self._tuner.population = []
        for _ in range(self._tuner.population_size):
            self._tuner._random_generate_individual()
        for individual, params in zip(self._tuner.population, self.initial, strict=False):
            individual.config = _with_indices(nni_space, params)
        self._asked = 0

    def _start(self, params: Params) -> Any:
        asked, handle = self._suggest()  # its population begins with the initial settings
        self._require_same(asked, params)
        return handle

    def _suggest(self) -> tuple[Params, Any]:
        self._asked += 1
        before = random.getstate()
        random.setstate(self._chance)
        try:
            params = self._tuner.generate_parameters(self._asked)
        finally:
            self._chance = random.getstate()
            random.setstate(before)
        return _plain(params), self._asked

    def _learn(self, params: Params, value: float, handle: Any) -> None:
        self._tuner.receive_trial_result(handle, params, value)


def _with_indices(nni_space: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """``params`` as the tuner holds them: a choice is the ``_index`` and ``_value`` of its option."""
    made: dict[str, Any] = {}
    for name, entry in nni_space.items():
        if name == "_name" or entry["_type"] != "choice":
            made[name] = params[name]
        else:
            options = entry["_value"]
            if options and all(isinstance(option, Mapping) and "_name" in option for option in options):
                index = [option["_name"] for option in options].index(params[name]["_name"])
                made[name] = {"_index": index, "_value": _with_indices(options[index], params[name])}
            else:
                index = options.index(params[name])
                made[name] = {"_index": index, "_value": options[index]}
    return made


def _plain(value: Any) -> Any:
    """``value`` without numpy's numbers."""
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    return value.item() if isinstance(value, np.generic) else value

"""All optimizers of the races behind one small protocol: ``ask`` for parameters, ``tell`` a value (larger is better).

A name may carry options: ``ours:gp,acquisition=ucb`` or ``smac:retrain_after=1``; a word without "=" is the value of
the rival's main option. The first ``ask``s return the initial settings, in their order and the same for every rival;
further ones may be made while earlier ones have no value yet.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import json
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tuun_da.known_policies import KNOWN_POLICIES
from tuun_da.probe_format import ProbeRecord
from tuun_da.search.initial_policies import settings_of_policy
from tuun_da.search.optimizer import Optimizer
from tuun_da.search.space import SearchSpace
from tuun_da.search.transfer import EarlierExperiment

Params = dict[str, Any]


class Rival(ABC):
    """An optimizer in a race.

    An adapter gives ``_suggest`` and ``_learn``, which share a *handle*: whatever the optimizer needs to tell its
    suggestions apart. ``_start`` takes an initial setting instead of a suggestion.
    """

    ROUNDING = 1e-9  # of a setting's place in the unit cube, on its way through an optimizer

    def __init__(self, nni_space: Mapping[str, Any], seed: int, initial: Sequence[Mapping[str, Any]]) -> None:
        self.space = SearchSpace.from_nni(nni_space)
        self.seed = seed
        self.initial = [copy.deepcopy(dict(params)) for params in initial]
        self._left = deque(self.initial)
        self._running: dict[bytes, deque[Any]] = defaultdict(deque)

    def ask(self) -> Params:
        if self._left:
            params = self._left.popleft()
            handle = self._start(params)
        else:
            params, handle = self._suggest()
        self._running[self.space.key(params)].append(handle)
        return copy.deepcopy(params)

    def tell(self, params: Mapping[str, Any], value: float) -> None:
        """A running trial with these ``params`` has finished with ``value``."""
        handles = self._running.get(self.space.key(params))
        if not handles:
            raise ValueError(f"no trial with these parameters is running: {params!r}")
        self._learn(dict(params), float(value), handles.popleft())

    @property
    def pending(self) -> int:
        return sum(map(len, self._running.values()))

    def _require_same(self, asked: Params, initial: Params) -> None:
        """Raise RuntimeError unless the optimizer begins its own design with the initial setting, to rounding."""
        if not np.allclose(self.space.encode(asked), self.space.encode(initial), rtol=0.0, atol=self.ROUNDING):
            raise RuntimeError(f"{type(self).__name__} asked for {asked!r} instead of the initial {initial!r}")

    @abstractmethod
    def _suggest(self) -> tuple[Params, Any]:
        """Parameters and handle of a new trial."""

    def _start(self, params: Params) -> Any:
        """The handle of a trial with the initial setting ``params``."""
        return None

    @abstractmethod
    def _learn(self, params: Params, value: float, handle: Any) -> None: ...


class RandomSearch(Rival):
    """Draws from the prior that the NNI types declare."""

    def __init__(self, nni_space: Mapping[str, Any], seed: int, initial: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(nni_space, seed, initial)
        self._rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))

    def _suggest(self) -> tuple[Params, Any]:
        return self.space.sample(1, self._rng)[0], None

    def _learn(self, params: Params, value: float, handle: Any) -> None:
        pass


class Ours(Rival):
    """tuun_da's Optimizer; options go to its constructor.

    ``probe`` is a file. ``warm_start`` is a setting whose trainings of random policies, the first 60, are an earlier
    experiment; with ``-shuffled`` behind it, their scores are dealt out anew. ``first`` names known policies, as in
    ``none+etp``, that take the place of as many of the initial settings.
    """

    def __init__(
        self, nni_space: Mapping[str, Any], seed: int, initial: Sequence[Mapping[str, Any]], **options: Any
    ) -> None:
        if "first" in options:
            space, names = SearchSpace.from_nni(nni_space), str(options.pop("first")).split("+")
            known = [params for name in names for params in settings_of_policy(space, name, KNOWN_POLICIES[name])]
            options["initial"] = known
            initial = [*known, *initial[: len(initial) - len(known)]]
        super().__init__(nni_space, seed, initial)
        options.setdefault("n_initial", max(len(self.initial), 1))
        if "probe" in options:
            options["probe"] = ProbeRecord.load(options["probe"])
        if "warm_start" in options:
            options["earlier"] = [earlier_experiment(options.pop("warm_start"), seed)]
        self.optimizer = Optimizer(self.space, seed=seed, **options)
        self._asked = 0

    def _start(self, params: Params) -> Any:
        self._asked += 1
        self.optimizer.restore_running(self._asked, params)
        return self._asked

    def _suggest(self) -> tuple[Params, Any]:
        self._asked += 1
        return self.optimizer.ask(self._asked), self._asked

    def _learn(self, params: Params, value: float, handle: Any) -> None:
        self.optimizer.tell(handle, value)


def earlier_experiment(name: str, seed: int, results: Path = Path(__file__).parent / "results") -> EarlierExperiment:
    """The first 60 trainings of random policies of a setting; of ``SETTING-shuffled``, with shuffled scores."""
    setting, _, shuffled = name.partition("-")
    lines = (results / f"trainings_{setting}.jsonl").read_text().splitlines()
    records = [record for record in map(json.loads, lines) if record.get("kind") == "random"][:60]
    values = np.array([record["accuracy"] for record in records])
    if shuffled:
        values = np.random.default_rng(seed).permutation(values)
    return EarlierExperiment(name, [record["policy"] for record in records], list(map(float, values)))


@dataclass(frozen=True)
class Entry:
    """How to make a rival: its class, the packages that it needs, and the option that a bare word stands for."""

    find: Callable[[], type[Rival]]
    packages: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    main_option: str | None = None


def _lazily(module: str, name: str) -> Callable[[], type[Rival]]:
    return lambda: getattr(importlib.import_module(f"benchmarks.{module}"), name)


RIVALS: Mapping[str, Entry] = {
    "ours": Entry(lambda: Ours, main_option="surrogate"),
    "random": Entry(lambda: RandomSearch),
    "flat_gp": Entry(_lazily("flat_gp", "FlatGP")),
    "optuna_tpe": Entry(_lazily("adapters", "OptunaTPE"), ("optuna",)),
    "optuna_tpe_mv": Entry(_lazily("adapters", "OptunaTPE"), ("optuna",), {"multivariate": True}),
    "optuna_gp": Entry(_lazily("adapters", "OptunaGP"), ("optuna", "torch")),
    "smac": Entry(_lazily("adapters", "Smac"), ("smac",), main_option="facade"),
    "smac_bb": Entry(_lazily("adapters", "Smac"), ("smac",), {"facade": "BlackBoxFacade"}),
    "skopt_rf": Entry(_lazily("adapters", "SkoptForest"), ("skopt",), {"base_estimator": "RF"}),
    "skopt_et": Entry(_lazily("adapters", "SkoptForest"), ("skopt",), {"base_estimator": "ET"}),
    "nni_tpe": Entry(_lazily("adapters_nni", "NniTPE"), ("nni",)),
    "nni_evolution": Entry(_lazily("adapters_nni", "NniEvolution"), ("nni",)),
}


def missing_packages(name: str) -> list[str]:
    """The packages that the rival ``name`` needs and that are not installed."""
    entry = _entry(name)
    return [package for package in entry.packages if importlib.util.find_spec(package) is None]


def make_rival(name: str, nni_space: Mapping[str, Any], seed: int, initial: Sequence[Mapping[str, Any]]) -> Rival:
    """The rival ``name`` (with options, see above). Raises ValueError for one that is not known."""
    entry = _entry(name)
    return entry.find()(nni_space, seed, initial, **{**entry.options, **_options(name, entry)})


def recommended_by(
    name: str, nni_space: Mapping[str, Any], params: Sequence[Mapping[str, Any]], values: Sequence[float]
) -> int:
    """Which of the trials ``ours`` with these options recommends, after it has seen all of them."""
    rival = make_rival(name, nni_space, 0, [])
    assert isinstance(rival, Ours)
    for entry, value in zip(params, values, strict=True):
        rival.optimizer.add(entry, value)
    key = rival.space.key(rival.optimizer.recommend())
    return [rival.space.key(entry) for entry in params].index(key)


def _entry(name: str) -> Entry:
    base = name.split(":", 1)[0]
    if base not in RIVALS:
        raise ValueError(f"optimizer must be one of {', '.join(RIVALS)}; got {base!r}")
    return RIVALS[base]


def _options(name: str, entry: Entry) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for part in filter(None, name.partition(":")[2].split(",")):
        key, equals, text = part.partition("=")
        if not equals:
            if entry.main_option is None:
                raise ValueError(f"option {part!r} of {name!r} must have the form name=value")
            key, text = entry.main_option, key
        try:
            options[key] = json.loads(text)
        except json.JSONDecodeError:
            options[key] = text
    return options

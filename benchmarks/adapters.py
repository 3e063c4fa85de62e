"""Optuna, SMAC3 and scikit-optimize as rivals, each with the settings that its own documentation recommends.

The one change for all: the initial settings of the race take the place of the rival's own initial design.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.native_space import NativeSpace
from benchmarks.rivals import Params, Rival

Initial = Sequence[Mapping[str, Any]]


class _Optuna(Rival):
    """Define-by-run, so that nested choices are conditional, as Optuna's users write them."""

    def __init__(self, nni_space: Mapping[str, Any], seed: int, initial: Initial) -> None:
        super().__init__(nni_space, seed, initial)
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.native = NativeSpace(nni_space)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental features
            self._study = optuna.create_study(direction="maximize", sampler=self._sampler(seed))

    @abstractmethod
    def _sampler(self, seed: int) -> Any:
        """Optuna's sampler with that seed."""

    def _start(self, params: Params) -> Any:
        self._study.enqueue_trial(self.native.flatten(params))
        return self._suggest()[1]

    def _suggest(self) -> tuple[Params, Any]:
        trial = self._study.ask()
        values: dict[str, Any] = {}
        for dimension in self.native.dimensions:  # parents come before their children
            if dimension.parent is not None and values.get(dimension.parent[0]) != dimension.parent[1]:
                continue
            if dimension.kind == "category":
                values[dimension.name] = trial.suggest_categorical(dimension.name, list(range(dimension.options)))
            elif dimension.kind == "integer":
                low, high = int(dimension.low), int(dimension.high)
                values[dimension.name] = trial.suggest_int(dimension.name, low, high, log=dimension.log)
            else:
                values[dimension.name] = trial.suggest_float(
                    dimension.name, dimension.low, dimension.high, log=dimension.log
                )
        return self.native.restore(values), trial

    def _learn(self, params: Params, value: float, handle: Any) -> None:
        self._study.tell(handle, value)


class OptunaTPE(_Optuna):
    """TPESampler. Since Optuna 5, ``multivariate`` is its default for one objective; without, it is that of Optuna 4.

    With it, ``group`` where parameters are conditional, as its documentation advises.
    """

    def __init__(
        self, nni_space: Mapping[str, Any], seed: int, initial: Initial, *, multivariate: bool = False
    ) -> None:
        self._multivariate = multivariate
        super().__init__(nni_space, seed, initial)

    def _sampler(self, seed: int) -> Any:
        import optuna

        return optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=max(len(self.initial), 1),
            multivariate=self._multivariate,
            group=self._multivariate and self.native.is_nested,
        )


class OptunaGP(_Optuna):
    """GPSampler: Matern 5/2 with a length scale for each dimension, log-EI, noise learned. Nested ones are random."""

    def _sampler(self, seed: int) -> Any:
        import optuna

        return optuna.samplers.GPSampler(
            seed=seed, n_startup_trials=max(len(self.initial), 1), warn_independent_sampling=False
        )


class Smac(Rival):
    """SMAC3's facade: HyperparameterOptimizationFacade (random forest, log-EI) or BlackBoxFacade (Gaussian process).

    The former is what its documentation recommends for mixed and conditional spaces. ``deterministic`` is true, so that
    no trial goes into repeats; ``retrain_after`` is the number of suggestions of one model, by default the facade's (8
    and 1). Conditional parameters are conditional for it, too.
    """

    ROUNDING = 1e-6  # ConfigSpace keeps seven digits of a value

    def __init__(
        self,
        nni_space: Mapping[str, Any],
        seed: int,
        initial: Initial,
        *,
        facade: str = "HyperparameterOptimizationFacade",
        deterministic: bool = True,
        retrain_after: int | None = None,
        n_trials: int = 1_000_000,
    ) -> None:
        super().__init__(nni_space, seed, initial)
        import smac
        from ConfigSpace import Categorical, Configuration, ConfigurationSpace, EqualsCondition, Float, Integer

        self._configuration_class = Configuration
        self.native = NativeSpace(nni_space)
        self._space = ConfigurationSpace(seed=seed)
        made: dict[str, Any] = {}
        for i, dimension in enumerate(self.native.dimensions):
            name, bounds = f"x{i}", (dimension.low, dimension.high)
            if dimension.kind == "category":
                made[dimension.name] = Categorical(name, [f"o{option}" for option in range(dimension.options)])
            elif dimension.kind == "integer" and dimension.low < dimension.high:
                made[dimension.name] = Integer(name, (int(bounds[0]), int(bounds[1])), log=dimension.log)
            elif dimension.kind == "integer":
                continue
            else:
                made[dimension.name] = Float(name, bounds, log=dimension.log)
        self._names = {hyperparameter.name: name for name, hyperparameter in made.items()}
        self._space.add(*made.values())
        self._space.add(
            *(
                EqualsCondition(made[dimension.name], made[dimension.parent[0]], f"o{dimension.parent[1]}")
                for dimension in self.native.dimensions
                if dimension.parent is not None and dimension.name in made
            )
        )
        self._folder = tempfile.TemporaryDirectory(prefix="smac")
        scenario = smac.Scenario(
            self._space,
            deterministic=deterministic,
            n_trials=n_trials,
            seed=seed,
            output_directory=Path(self._folder.name),
        )
        made_by = getattr(smac, facade)
        design = made_by.get_initial_design(
            scenario,
            n_configs=0 if self.initial else None,
            additional_configs=[self._configuration(params) for params in self.initial],
        )
        selector = {} if retrain_after is None else {"retrain_after": retrain_after}
        self._smac = made_by(
            scenario,
            target_function=_never_called,
            initial_design=design,
            config_selector=made_by.get_config_selector(scenario, **selector),
            logging_level=False,
            overwrite=True,
        )
        logging.getLogger("smac").setLevel(logging.ERROR)

    def _configuration(self, params: Params) -> Any:
        values = self.native.flatten(params)
        kinds = {dimension.name: dimension.kind for dimension in self.native.dimensions}
        return self._configuration_class(
            self._space,
            values={
                native: f"o{values[name]}" if kinds[name] == "category" else values[name]
                for native, name in self._names.items()
                if name in values
            },
        )

    def _start(self, params: Params) -> Any:
        asked, handle = self._suggest()  # its initial design holds the initial settings in their order
        self._require_same(asked, params)
        return handle

    def _suggest(self) -> tuple[Params, Any]:
        info = self._smac.ask()
        values = {
            self._names[native]: int(value[1:]) if isinstance(value, str) else value
            for native, value in dict(info.config).items()
        }
        for dimension in self.native.dimensions:
            if dimension.kind == "integer" and dimension.low == dimension.high:
                values[dimension.name] = int(dimension.low)
        return self.native.restore(values), info

    def _learn(self, params: Params, value: float, handle: Any) -> None:
        from smac.runhistory.dataclasses import TrialValue

        self._smac.tell(handle, TrialValue(cost=-value), save=False)


def _never_called(config: Any, seed: int = 0) -> float:
    raise AssertionError("the race asks and tells")


class SkoptForest(Rival):
    """scikit-optimize's Optimizer as DeepAugment calls it: random forest, EI, ``acq_optimizer="auto"``.

    (``deepaugment/controller.py``, which passes ``base_estimator="RF", acq_func="EI"``.) It knows no conditions, so
    parameters of options that are not taken are searched, too, and pass without effect. Running trials are told with
    scikit-optimize's default lie, the smallest value so far (``cl_min``).
    """

    def __init__(
        self, nni_space: Mapping[str, Any], seed: int, initial: Initial, *, base_estimator: str = "RF"
    ) -> None:
        super().__init__(nni_space, seed, initial)
        import skopt
        from skopt.space import Categorical, Integer, Real

        self.native = NativeSpace(nni_space)
        dimensions = []
        for dimension in self.native.dimensions:
            prior = "log-uniform" if dimension.log else "uniform"
            if dimension.kind == "category" or dimension.low == dimension.high:
                options = [f"o{option}" for option in range(int(dimension.low), int(dimension.high) + 1)]
                dimensions.append(Categorical(options, name=dimension.name))
            elif dimension.kind == "integer":
                dimensions.append(Integer(int(dimension.low), int(dimension.high), prior, name=dimension.name))
            else:
                dimensions.append(Real(dimension.low, dimension.high, prior, name=dimension.name))
        self._dimensions = dimensions
        self._optimizer = skopt.Optimizer(
            dimensions,
            n_initial_points=max(len(self.initial), 1),
            base_estimator=base_estimator,
            acq_func="EI",
            acq_optimizer="auto",
            random_state=seed,
        )
        self._pending: list[list[Any]] = []

    def _start(self, params: Params) -> Any:
        values = self.native.fill(self.native.flatten(params))
        point = [
            f"o{values[dimension.name]}" if hasattr(dimension, "categories") else values[dimension.name]
            for dimension in self._dimensions
        ]
        self._pending.append(point)
        return point

    def _suggest(self) -> tuple[Params, Any]:
        optimizer = self._optimizer
        if self._pending and optimizer.yi:
            optimizer = optimizer.copy(random_state=optimizer.rng.randint(0, 2**31 - 1))
            optimizer.tell(self._pending, [min(optimizer.yi)] * len(self._pending))
        point = optimizer.ask()
        self._pending.append(point)
        values = {
            dimension.name: int(value[1:]) if isinstance(value, str) else value
            for dimension, value in zip(self._dimensions, point, strict=True)
        }
        return self.native.restore(values), point

    def _learn(self, params: Params, value: float, handle: Any) -> None:
        self._pending = [point for point in self._pending if point is not handle]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a point was observed before
            self._optimizer.tell(handle, -value)

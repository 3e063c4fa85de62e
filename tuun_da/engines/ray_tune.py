"""TuunSearcher: our optimizer as a search algorithm of Ray Tune.

    searcher = TuunSearcher(metric="accuracy", mode="max", max_t=30, seed=1)
    scheduler = ASHAScheduler(time_attr="training_iteration", metric="accuracy", mode="max", max_t=30)
    tune.Tuner(train, param_space={...}, tune_config=tune.TuneConfig(search_alg=searcher, scheduler=scheduler)).fit()

What it knows is a study in memory. It is saved as a journal, which reports read and which is data, safe to open; what
only Ray needs stands in the journal's settings under ``RAY``. Not thread-safe, as Tune does not ask for.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ray.tune.search import Searcher

from tuun_da.engines.echo import Echo
from tuun_da.engines.ray_space import RaySpace
from tuun_da.engines.study import NO_RESULT, Study
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.errors import ConfigError, JournalError, SearchSpaceError
from tuun_da.search.domains import finite_number
from tuun_da.search.history import Journal, JournalContent, TrialState, is_finite_number, read_journal
from tuun_da.search.journal_copy import write_journal
from tuun_da.search.space import SearchSpace
from tuun_da.search.surrogate import prepare_surrogate

_logger = logging.getLogger(__name__)

RAY = "ray"
"""The key of the journal's settings under which ``save`` keeps what only Ray needs."""
MODES = {"max": "maximize", "min": "minimize"}
ITERATION = "training_iteration"
CONFIG = "config/"


class TuunSearcher(Searcher):  # type: ignore[misc]  # ray is optional, so mypy does not follow it
    """Bayesian optimization of one metric. Raises ConfigError, or SearchSpaceError for a space that cannot be used.

    ``space`` is NNI's JSON (``policy_space`` makes one for policies) or Ray's; None: the ``param_space`` of the Tuner.
    ``metric`` and ``mode`` ("max" or "min") may come from the TuneConfig instead.
    ``max_t``: what a whole training reaches of ``time_attr``; give it what the scheduler (ASHA, HyperBand) has. A trial
    that is ended before counts as stopped: it would have come to more than it had reached. Ray does not say who ended a
    trial; without ``max_t`` each one counts as whole.
    The other arguments are those of ``TuunTuner``. A policy in the space gets the model for policies.

    >>> searcher = TuunSearcher({"x": {"_type": "uniform", "_value": [-5, 5]}}, metric="loss", mode="min", seed=1)
    >>> for number in range(14):
    ...     x = searcher.suggest(f"trial_{number}")["x"]
    ...     searcher.on_trial_complete(f"trial_{number}", {"loss": (x - 2) ** 2})
    >>> abs(searcher.suggest("last")["x"] - 2) < 1
    True
    """

    CKPT_FILE_TMPL = "tuun-searcher-{}.jsonl"  # what Tune calls the file in an experiment's folder
    _metric: str | None
    _mode: str | None

    def __init__(
        self,
        space: Mapping[str, Any] | None = None,
        metric: str | None = None,
        mode: str | None = None,
        *,
        max_t: int | None = None,
        time_attr: str = ITERATION,
        surrogate: str = "gp",
        acquisition: str = "logei",
        beta: float | None = None,
        n_initial: int = 10,
        probe: str | None = None,
        initial: Sequence[str] = (),
        warm_start: Sequence[str] = (),
        seed: int | None = None,
    ) -> None:
        _check_objective(metric, mode)
        if max_t is not None and not (is_finite_number(max_t) and max_t > 0):
            raise ConfigError(f"max_t must be a positive number or None, got {max_t!r}")
        super().__init__(metric=metric, mode=mode)
        self._max_t, self._time_attr = max_t, time_attr
        self._settings = TunerSettings(
            surrogate=surrogate,
            acquisition=acquisition,
            beta=beta,
            n_initial=n_initial,
            probe=probe,
            initial=initial,
            warm_start=warm_start,
            seed=seed,
        )
        self._space = None if space is None else RaySpace.of(space)
        if self._space is not None:
            SearchSpace.from_nni(self._space.nni)
        self._study: Study | None = None
        self._numbers: dict[str, int] = {}  # the study's ids by Ray's
        self._reported: dict[str, dict[float, float | None]] = {}  # of running trials: metric by time_attr
        self._lengths: set[float] = set()  # where trials ended
        self._warned_lengths = False

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: Mapping[str, Any], **spec: Any
    ) -> bool:
        """What the Tuner was told; whether ``config`` is the search space now. Raises ConfigError, SearchSpaceError."""
        _check_objective(metric, mode)
        for name, old, new in (("metric", self._metric, metric), ("mode", self._mode, mode)):
            if old is not None and new is not None and old != new:
                raise ConfigError(f"{name} is {old!r} in TuunSearcher and {new!r} in the TuneConfig; name one")
        self._metric, self._mode = self._metric or metric, self._mode or mode
        if self._space is not None:
            return False
        space = RaySpace.of(config)
        if not space.nni:
            return False
        SearchSpace.from_nni(space.nni)
        self._space = space
        return True

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """What the trial is to run; the same again if it was asked before. Raises ConfigError, SearchSpaceError."""
        study = self._begun()
        if trial_id in self._numbers:
            return self._ray_space().to_config(self._parameters(trial_id))
        number, parameters = study.ask()
        self._numbers[trial_id] = number
        self._reported[trial_id] = {}
        return self._ray_space().to_config(parameters)

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """What a running trial has reached."""
        metric = self._metric or ""
        if self._is_known(trial_id, result) and metric in result:
            reported = self._reported.setdefault(trial_id, {})
            reported[self._place(trial_id, result)] = finite_number(result[metric])

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """A trial ended: whole, before its time, or by an error."""
        if not self._is_known(trial_id, result):
            _logger.warning("trial %s was not suggested here; its end is passed over", trial_id)
            return
        parameters = self._parameters(trial_id)
        reported = self._reported.pop(trial_id, {})
        state, value, said = self._end(trial_id, reported, result, error)
        now = time.time()
        seconds = finite_number(result.get("time_total_s")) if result else None
        self._begun().finish(
            Echo(
                id=self._numbers[trial_id],
                parameters=parameters,
                value=value,
                state=state,
                curve=tuple(reported[place] for place in sorted(reported)),
                started=None if seconds is None else now - seconds,
                ended=now,
                error=said,
                details={"ray_trial": trial_id},
            )
        )

    def add_evaluated_point(
        self,
        parameters: Mapping[str, Any],
        value: float,
        error: bool = False,
        pruned: bool = False,
        intermediate_values: Sequence[float] | None = None,
    ) -> None:
        """Learn a result from elsewhere; of those that failed or were pruned nothing is learned."""
        study = self._begun()
        number = None if error or pruned else finite_number(value)
        if number is None:
            _logger.info("an evaluated point without a value of a whole training is passed over: %r", parameters)
            return
        params = self._ray_space().to_nni(parameters)
        SearchSpace.from_nni(self._ray_space().nni).validate(params)
        study.finish(Echo(id=None, parameters=params, value=number, state=TrialState.SUCCEEDED))

    def save(self, checkpoint_path: str | os.PathLike[str]) -> None:
        """Write all that is known, whole or not at all, as a journal. Raises JournalError."""
        content = self._begun().journal.content
        space = self._ray_space()
        own = {
            "metric": self._metric,
            "max_t": self._max_t,
            "time_attr": self._time_attr,
            "integers": sorted(space.integers),
            "nested": space.nested,
            "trials": self._numbers,
            "reported": {trial_id: list(map(list, reported.items())) for trial_id, reported in self._reported.items()},
        }
        write_journal(checkpoint_path, replace(content, settings={**content.settings, RAY: own}))

    def restore(self, checkpoint_path: str | os.PathLike[str]) -> None:
        """Go on with what ``save`` wrote, whose space and settings count from now on. Raises JournalError."""
        content = read_journal(checkpoint_path)
        try:
            self._take_over(content)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise JournalError(f"{checkpoint_path} is not what TuunSearcher saves: {error!r}") from None

    def _take_over(self, content: JournalContent) -> None:
        settings = dict(content.settings)
        own = settings.pop(RAY)
        space = RaySpace(content.space, frozenset(map(str, own["integers"])), bool(own["nested"]))
        numbers = {str(trial_id): int(number) for trial_id, number in own["trials"].items()}
        reported = {
            str(trial_id): {float(place): finite_number(value) for place, value in pairs}
            for trial_id, pairs in own["reported"].items()
        }
        known = {event.id for event in content.events}
        if not known.issuperset(numbers.values()):
            raise ValueError(f"trials {sorted(set(numbers.values()) - known)} were never asked for")
        max_t, metric = own["max_t"], own["metric"]
        _check_objective(metric, None)
        if max_t is not None and not is_finite_number(max_t):
            raise ValueError(f"max_t is {max_t!r}")
        mode = next(mode for mode, word in MODES.items() if word == settings["optimize_mode"])
        tuner = TunerSettings(**{name: settings[name] for name in self._settings.to_dict() if name in settings})
        prepare_surrogate(tuner.surrogate)
        study = Study(SearchSpace.from_nni(space.nni), Journal(replace(content, settings=settings), None, None))
        self._study, self._space, self._settings = study, space, tuner
        self._numbers, self._reported = numbers, reported
        self._metric, self._mode = metric, mode
        self._max_t, self._time_attr = max_t, str(own["time_attr"])

    def _begun(self) -> Study:
        """The study, begun with the first need of it, since the Tuner says late what it is about."""
        if self._study is None:
            if self._space is None:
                raise ConfigError("there is nothing to search: give TuunSearcher a space, or the Tuner a param_space")
            if self._metric is None or self._mode is None:
                raise ConfigError(
                    f"metric and mode must be given, to TuunSearcher or in the TuneConfig; got {self._metric!r} and "
                    f"{self._mode!r}"
                )
            settings = replace(self._settings, optimize_mode=MODES[self._mode])
            self._study = Study.open(None, self._space.nni, settings)
        return self._study

    def _ray_space(self) -> RaySpace:
        assert self._space is not None  # there is a study
        return self._space

    def _is_known(self, trial_id: str, result: Mapping[str, Any] | None) -> bool:
        """Whether the trial was suggested here.

        A trial that failed and that Tune begins anew (``restart_errored``) has another name then; what it runs, its
        results say, flattened: {"config/x": 0.5}.
        """
        if trial_id in self._numbers or self._study is None:
            return trial_id in self._numbers
        config = {name[len(CONFIG) :]: value for name, value in (result or {}).items() if name.startswith(CONFIG)}
        try:
            params = self._ray_space().to_nni(config)
        except SearchSpaceError:
            return False
        for trial in self._study.journal.content.trials:
            if trial.error == NO_RESULT and dict(trial.parameters) == params:
                self._numbers[trial_id] = trial.id
                return True
        return False

    def _parameters(self, trial_id: str) -> Mapping[str, Any]:
        """What was suggested for the trial, in NNI's words."""
        events = self._begun().journal.content.events
        return next(event.parameters for event in events if event.id == self._numbers[trial_id])

    def _place(self, trial_id: str, result: Mapping[str, Any]) -> float:
        """How far the trial is; one further than before where the result does not say."""
        place = finite_number(result.get(self._time_attr))
        return max(self._reported.get(trial_id, {}), default=0.0) + 1.0 if place is None else place

    def _end(
        self, trial_id: str, reported: dict[float, float | None], result: Mapping[str, Any] | None, error: bool
    ) -> tuple[TrialState, float | None, str | None]:
        """How the trial ended, its value and what was wrong; what it reported last goes to ``reported``."""
        if error:
            return TrialState.FAILED, None, NO_RESULT
        if not result:  # paused, and not gone on with
            return TrialState.STOPPED, None, None
        metric = self._metric or ""
        if metric not in result:
            return TrialState.FAILED, None, f"the trial reported no {metric}"
        value = finite_number(result[metric])
        place = finite_number(result.get(self._time_attr))
        # A function that returns has its last result told twice.
        whole = self._max_t is None or place is None or place >= self._max_t or place in reported
        reported[max(reported, default=0.0) + 1.0 if place is None else place] = value
        if value is None:
            return TrialState.FAILED, None, f"the trial reported {metric} = {result[metric]!r}"
        self._warn_of_lengths(place)
        return (TrialState.SUCCEEDED if whole else TrialState.STOPPED), value, None

    def _warn_of_lengths(self, place: float | None) -> None:
        if place is None or self._max_t is not None:
            return
        self._lengths.add(place)
        if len(self._lengths) > 1 and not self._warned_lengths:
            self._warned_lengths = True
            _logger.warning(
                "trials end at different values of %s (%s), and all count as whole; if a scheduler ends them early, "
                "give TuunSearcher its max_t",
                self._time_attr,
                ", ".join(f"{length:g}" for length in sorted(self._lengths)),
            )


def _check_objective(metric: object, mode: object) -> None:
    """Raise ConfigError for several objectives and for other directions than Ray's."""
    if metric is not None and not isinstance(metric, str):
        raise ConfigError(f"metric must be one name, since there is one objective; got {metric!r}")
    if mode is not None and mode not in MODES:
        raise ConfigError(f"mode must be one of {', '.join(MODES)}; got {mode!r}")

"""TuunSampler: our optimizer as a sampler of Optuna, whose storages, pruners and dashboard it works with.

    study = optuna.create_study(direction="maximize", sampler=TuunSampler(seed=1), storage="sqlite:///study.db")
    study.optimize(objective, n_trials=100)

The sampler keeps nothing between two suggestions. For each, an optimizer is made of the trials in the storage, whoever
ran them, so that a study that another process resumes goes on as it would have, and several processes share one. All
chance comes from the seed and the trial's number.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import intersection_search_space
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from tuun_da.engines.known import check_known, optimizer_arguments, read_known
from tuun_da.engines.optuna_space import OptunaSpace, distribution_of
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.errors import ConfigError
from tuun_da.policy_format import is_policy_parameter
from tuun_da.search.history import is_finite_number
from tuun_da.search.optimizer import Optimizer
from tuun_da.search.policy_space import find_policy
from tuun_da.search.space import SearchSpace
from tuun_da.search.surrogate import prepare_surrogate

_logger = logging.getLogger(__name__)

SEED_KEY = "tuun_da:seed"
ASKED_KEY = "tuun_da:asked"
LONGEST_ATTRIBUTE = 2045  # characters of an attribute that every storage holds
LOOKS, MOST_LOOKS = 3, 10
"""How often a suggestion is made again, at most, where another process made one meanwhile, and an equal one."""
CONSTRAINTS_KEY = "constraints"  # Optuna's own: a list under it, or numbers under keys that begin with it

_one_thread = threading.Lock()  # so that each suggestion knows the one before


class TuunSampler(BaseSampler):  # type: ignore[misc]  # optuna is optional, so mypy does not follow it
    """Bayesian optimization of one objective as a sampler. Raises ConfigError for an argument that it cannot take.

    The arguments are those of ``TuunTuner``; which direction is better, the study says. A seed of None is drawn once
    for a study and kept in its storage.

    What all finished trials have in common is searched together; other parameters (those of the first trial, of a
    branch that not all trials take, of a range that changes, with more than 2**50 values) are drawn at random. A policy
    in the space (``suggest_policy``) gets the model for policies, if its sub-policies line up.

    Pruned trials count as stopped at the last value that they reported. Trials that failed, that have no finite value,
    or that violate a constraint, teach where to expect that. Running trials, of other processes too, are kept clear of.

    >>> import optuna
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> study = optuna.create_study(sampler=TuunSampler(n_initial=4, seed=1))
    >>> study.optimize(lambda trial: (trial.suggest_float("x", -5, 5) - 2) ** 2, n_trials=12)
    >>> abs(study.best_params["x"] - 2) < 0.5
    True
    """

    def __init__(
        self,
        *,
        surrogate: str = "gp",
        acquisition: str = "logei",
        beta: float | None = None,
        n_initial: int = 10,
        probe: str | None = None,
        initial: Sequence[str] = (),
        warm_start: Sequence[str] = (),
        seed: int | None = None,
    ) -> None:
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
        self._known = read_known(probe, self._settings.initial, self._settings.warm_start)
        prepare_surrogate(surrogate)
        self._fresh: tuple[str, Optimizer] | None = None  # space and seed as text, an optimizer without trials

    def reseed_rng(self) -> None:
        """Nothing: two trials have different numbers, so two copies of a sampler never share any chance."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """What all completed trials have in common. Raises ValueError for a study with several objectives."""
        self._raise_error_if_multi_objective(study)
        common = intersection_search_space(study.get_trials(deepcopy=False))
        return dict(OptunaSpace.of(common).distributions)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The optimizer's suggestion; nothing, so that all is drawn at random, where it fails.

        Raises ValueError for a study with several objectives, ConfigError where what the sampler is told to know (a
        probe, policies, earlier experiments) says nothing of this space.
        """
        self._raise_error_if_multi_objective(study)
        space = OptunaSpace.of(search_space)
        if not space.nni:
            return {}
        with _one_thread:
            return self._suggest(study, trial, space)

    def _suggest(self, study: Study, trial: FrozenTrial, space: OptunaSpace) -> dict[str, Any]:
        """As ``sample_relative``.

        Two processes that suggest at the same time do not know of each other, and may well come to the same. So each
        looks again at the end. Who learns then of another suggestion, makes a new one; when both have noted theirs
        within the same moment, the later trial does, and both do if they are equal.
        """
        params: dict[str, Any] = {}
        for look in range(MOST_LOOKS):
            trials = study.get_trials(deepcopy=False)
            optimizer = self._optimizer(space, self._seed(study))
            for other in trials:
                if other.number != trial.number:
                    _tell(optimizer, space, other, maximize=study.direction == StudyDirection.MAXIMIZE)
            optimizer.restore(asked=trial.number)
            try:
                asked = optimizer.ask(trial.number)
            except Exception:
                _logger.exception("no suggestion for trial %d, which gets random parameters", trial.number)
                return {}
            params = space.from_nni(asked)
            if look < LOOKS and _news(trials, study, trial, space):
                continue
            _note_asked(study, trial, space, params)
            news = _news(trials, study, trial, space)
            if not any(other == asked or (look < LOOKS and number < trial.number) for number, other in news.items()):
                break
        return params

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A random value. Raises ValueError for a study with several objectives."""
        self._raise_error_if_multi_objective(study)
        text = f"{self._seed(study)}/{trial.number}/{param_name}"
        drawn = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
        return RandomSampler(seed=drawn).sample_independent(study, trial, param_name, param_distribution)

    def _seed(self, study: Study) -> int:
        """The sampler's own, or that of the study, drawn by whoever asks first."""
        if self._settings.seed is not None:
            return self._settings.seed
        kept = study._storage.get_study_system_attrs(study._study_id).get(SEED_KEY)
        if not isinstance(kept, int):
            study._storage.set_study_system_attr(study._study_id, SEED_KEY, secrets.randbits(32))
            # once more, as another process may have drawn one, too
            kept = study._storage.get_study_system_attrs(study._study_id)[SEED_KEY]
        return int(kept)

    def _optimizer(self, space: OptunaSpace, seed: int) -> Optimizer:
        """One without trials. Learning from earlier experiments takes a while, so that is done once for a space."""
        text = json.dumps([space.nni, seed])
        if self._fresh is None or self._fresh[0] != text:
            check_known(self._known, space.space)
            fresh = Optimizer(
                space.space,
                surrogate=self._settings.surrogate,
                acquisition=self._settings.acquisition,
                beta=self._settings.beta,
                n_initial=self._settings.n_initial,
                seed=seed,
                **optimizer_arguments(self._known, space.space),
            )
            self._fresh = text, fresh
            return copy.deepcopy(fresh)
        return copy.deepcopy(self._fresh[1])


def suggest_policy(trial: Trial, space: Mapping[str, Any]) -> dict[str, Any]:
    """The policy of ``space`` (NNI's JSON, as ``policy_space`` makes it) in this trial, as ``Policy`` takes it.

    Parameters of the space that are no part of the policy are left out. Raises SearchSpaceError for a space that cannot
    be used, ConfigError for one without a policy or with types that Optuna does not have.

    >>> from tuun_da.space_file import policy_space
    >>> import optuna
    >>> trial = optuna.create_study(sampler=TuunSampler(seed=1)).ask()
    >>> list(suggest_policy(trial, policy_space(sub_policies=1, operations=1)))
    ['operation1_1', 'prob1_1', 'magnitude1_1']
    """
    if find_policy(SearchSpace.from_nni(space)) is None:
        raise ConfigError(f"suggest_policy needs a space with a policy, got one of {', '.join(space)}")
    return {name: _suggest(trial, name, spec) for name, spec in space.items() if is_policy_parameter(name)}


def _suggest(trial: Trial, name: str, spec: Mapping[str, Any]) -> Any:
    """One parameter of NNI's, which must be valid. Raises ConfigError."""
    distribution = distribution_of(name, spec)
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    suggest = trial.suggest_int if isinstance(distribution, IntDistribution) else trial.suggest_float
    return suggest(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def _tell(optimizer: Optimizer, space: OptunaSpace, trial: FrozenTrial, *, maximize: bool) -> None:
    """Tell the optimizer of a trial, if that fits the space: how it ended, or that it runs."""
    if trial.state == TrialState.WAITING:
        return
    running = trial.state == TrialState.RUNNING
    params = space.to_nni({**_asked(trial, space), **trial.params} if running else trial.params)
    if params is None:
        return
    sign = 1.0 if maximize else -1.0
    if running:
        optimizer.restore_running(trial.number, params)
    elif trial.state == TrialState.FAIL or _violates(trial):
        optimizer.tell_failed(trial.number, params)
    elif trial.state == TrialState.PRUNED:
        reached = trial.intermediate_values.get(trial.last_step)
        if is_finite_number(reached):
            optimizer.tell_stopped(trial.number, sign * reached, params)
    elif is_finite_number(trial.value):
        optimizer.tell(trial.number, sign * trial.value, params)
    else:
        optimizer.tell_failed(trial.number, params)


def _violates(trial: FrozenTrial) -> bool:
    """Whether a constraint is above 0, as Optuna 4 (a list) or 5 (one number each) keep them."""
    for key, value in trial.system_attrs.items():
        if key == CONSTRAINTS_KEY or key.startswith(f"{CONSTRAINTS_KEY}:"):
            numbers = value if isinstance(value, list | tuple) else [value]
            if any(number is not None and number > 0 for number in numbers):
                return True
    return False


def _suggested(trials: Iterable[FrozenTrial], space: OptunaSpace) -> dict[int, dict[str, Any]]:
    """What these trials run, or ran, as NNI's parameters by number, as far as it is known and fits the space."""
    found = {trial.number: space.to_nni({**_asked(trial, space), **trial.params}) for trial in trials}
    return {number: params for number, params in found.items() if params is not None}


def _news(
    before: Sequence[FrozenTrial], study: Study, own: FrozenTrial, space: OptunaSpace
) -> dict[int, dict[str, Any]]:
    """What has been suggested since there were the trials ``before``, by trial."""
    finished = {trial.number for trial in before if trial.state.is_finished()} | {own.number}
    known = _suggested((trial for trial in before if trial.number not in finished), space)
    now = _suggested((t for t in study.get_trials(deepcopy=False) if t.number not in finished), space)
    return {number: params for number, params in now.items() if known.get(number) != params}


def _note_asked(study: Study, trial: FrozenTrial, space: OptunaSpace, params: Mapping[str, Any]) -> None:
    """Let other processes know what this trial runs; its parameters come to the storage one by one, as it asks."""
    text = json.dumps({name: space.distributions[name].to_internal_repr(value) for name, value in params.items()})
    parts = [text[begin : begin + LONGEST_ATTRIBUTE] for begin in range(0, len(text), LONGEST_ATTRIBUTE)]
    for place, part in enumerate([*parts, ""]):  # the last one ends them, where an earlier suggestion was longer
        study._storage.set_trial_system_attr(trial._trial_id, f"{ASKED_KEY}:{place}", part)


def _asked(trial: FrozenTrial, space: OptunaSpace) -> dict[str, Any]:
    """What ``_note_asked`` noted for this trial, as far as it is there and fits the space."""
    parts: list[str] = []
    while isinstance(part := trial.system_attrs.get(f"{ASKED_KEY}:{len(parts)}"), str) and part:
        parts.append(part)
    try:
        noted = json.loads("".join(parts))
    except (ValueError, RecursionError):  # none, or not all parts are there yet
        return {}
    found = {}
    for name, distribution in space.distributions.items():
        value = noted.get(name) if isinstance(noted, dict) else None
        if is_finite_number(value) and distribution._contains(value):
            found[name] = distribution.to_external_repr(value)
    return found

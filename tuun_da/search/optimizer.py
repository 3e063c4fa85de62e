"""Optimizer: the search loop's memory. It proposes settings, learns values, and always maximizes.

    params = optimizer.ask(7)
    optimizer.tell(7, train(params))

It does no I/O, starts no thread and takes no lock: whoever calls it from several threads locks around it.

A suggestion is a function of the seed, of how many suggestions were made before, and of the trials that finished, were
stopped, failed or are running, in their order. So an optimizer that was rebuilt from a record of them (``tell`` or
``add`` for the finished ones, ``tell_stopped``, ``tell_failed``, ``restore_running``, ``restore(asked=...)``) goes on
as the old one would have.
"""

from __future__ import annotations

import copy
import math
import secrets
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from tuun_da.errors import ConfigError, TuunDaError
from tuun_da.probe_format import ProbeRecord
from tuun_da.search.domains import Floats, finite_number
from tuun_da.search.initial_design import latin_hypercube
from tuun_da.search.knowledge import Knowledge
from tuun_da.search.maximize import draw_new_point
from tuun_da.search.model_size import seen_by_model
from tuun_da.search.outcomes import drawn_in
from tuun_da.search.setting_keys import setting_keys
from tuun_da.search.space import SearchSpace
from tuun_da.search.suggest import Suggester, Trials, posterior_mean
from tuun_da.search.surrogate import SURROGATES, make_surrogate
from tuun_da.search.transfer import EarlierExperiment, trends_of

RANDOM = "random"
RECOMMENDS_FOR_RANDOM = "gp"
MOST_INITIAL = 10_000  # the whole design is made for each of its points
MOST_STOPPED, MOST_FAILED = 500, 500  # that the model sees; of the finished ones, see model_size.py
LARGEST_VALUE = 2.0**500  # larger ones are scaled down for the model, where their differences would be infinite

# Streams of chance; each draw comes from (seed, stream, number within the stream), never from what was drawn before.
_DESIGN, _ASK, _RECOMMEND, _EARLIER = range(4)


@dataclass(frozen=True)
class Observation:
    """A finished trial: the parameters that it ran, its value, and its id; the id is None for one from elsewhere."""

    params: Mapping[str, Any]
    value: float
    id: Hashable | None = None


class Optimizer:
    """Bayesian optimization over ``space``.

    ``surrogate`` is "gp", "stan_gp", "forest" or "random": pure random search, which draws every setting from the prior
    and has a "gp" only to recommend. With the others, the first ``n_initial`` trials, counting running ones and those
    from elsewhere, come from a Latin hypercube, and further ones as long as there is no observation.

    ``acquisition`` is "logei", "ucb" (``beta`` standard deviations above the mean, 2 by default), "pi" or "thompson".
    ``seed`` None is a fresh one. ``probe`` is used if the space has a policy. ``initial`` settings are proposed first,
    whatever the surrogate. ``earlier`` experiments tell what may be good; what they recommend is proposed after the
    ``initial`` ones, and they are believed as far as the trials bear them out.

    Raises ConfigError for a setting it cannot use, SearchSpaceError for an ``initial`` one that is not of the space.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        surrogate: str = "gp",
        acquisition: str = "logei",
        n_initial: int = 10,
        seed: int | None = None,
        beta: float | None = None,
        probe: ProbeRecord | None = None,
        initial: Sequence[Mapping[str, Any]] = (),
        earlier: Sequence[EarlierExperiment] = (),
    ) -> None:
        if not isinstance(space, SearchSpace):
            raise ConfigError(f"space must be a SearchSpace, got {space!r}")
        names = (*SURROGATES, RANDOM)
        if surrogate not in names:
            raise ConfigError(f"surrogate must be one of {', '.join(names)}; got {surrogate!r}")
        if not _is_integer(n_initial) or not 1 <= n_initial <= MOST_INITIAL:
            raise ConfigError(f"n_initial must be an integer from 1 to {MOST_INITIAL}, got {n_initial!r}")
        if seed is not None and (not _is_integer(seed) or seed < 0):
            raise ConfigError(f"seed must be an integer of at least 0 or None, got {seed!r}")
        self.space = space
        self._setting_keys = setting_keys(space)
        self.seed = secrets.randbits(32) if seed is None else int(seed)
        self._is_random = surrogate == RANDOM
        self._n_initial = int(n_initial)
        transfer = trends_of(space, earlier, probe, self._generator(_EARLIER, 0))
        knowledge = Knowledge(probe, transfer.trends)
        self._surrogate = make_surrogate(RECOMMENDS_FOR_RANDOM if surrogate == RANDOM else surrogate, space, knowledge)
        first = [space.encode(params) for params in initial]
        self._first = first if self._is_random else [*first, *transfer.recommended]
        given = np.array(self._first).reshape(-1, len(space.columns))
        self._suggester = Suggester(space, self._surrogate, acquisition, beta=beta, given=given)
        self._asked = 0
        self._observations: list[Observation] = []
        self._observed_points: list[Floats] = []
        self._running: dict[Hashable, dict[str, Any]] = {}
        self._finished: dict[Hashable, float] = {}
        self._stopped: dict[Hashable, tuple[Floats, float]] = {}  # point, and the value that it had reached
        self._failed: dict[Hashable, Floats] = {}

    @property
    def asked(self) -> int:
        """How many times ``ask`` has made a suggestion, the calls before a ``restore`` included."""
        return self._asked

    @property
    def observations(self) -> tuple[Observation, ...]:
        """All finished trials, in the order in which they came. Copies: changing them changes nothing here."""
        return tuple(copy.deepcopy(self._observations))

    @property
    def running(self) -> Mapping[Hashable, Mapping[str, Any]]:
        """The parameters of the running trials by id, in the order in which they began. A copy, read-only."""
        return MappingProxyType(copy.deepcopy(self._running))

    def ask(self, id: Hashable) -> dict[str, Any]:
        """The parameters for a new trial, which counts as running from now on.

        They differ from those of all finished and running trials, where policies are few not just in how they are
        written (setting_keys.py). If no others are found, they differ from those that are running, if they can. Raises
        TuunDaError if a trial of that id runs or has finished, and as every method does for an id that is None or not
        hashable.
        """
        self._refuse_known(id)
        point = self._suggest()
        params = self.space.decode(point)
        self._running[id] = params
        self._asked += 1
        return copy.deepcopy(params)

    def tell(self, id: Hashable, value: float, params: Mapping[str, Any] | None = None) -> None:
        """Trial ``id`` has finished with ``value``; larger is better.

        ``params`` are what it really ran, if that is known; they win over what was asked. With them, the id may be
        unknown. Raises TuunDaError, and changes nothing, for an id that has finished already, for an unknown one
        without ``params``, for a value that is not a finite number, and (SearchSpaceError) for invalid ``params``.
        """
        _check_id(id)
        if id in self._finished:
            raise TuunDaError(f"trial {id!r} has finished already, with value {self._finished[id]:g}; got {value!r}")
        if params is None and id not in self._running:
            raise TuunDaError(f"trial {id!r} is not running, so its value needs the parameters that it ran; got None")
        self._observe(self._running[id] if params is None else params, value, id, f"trial {id!r}")
        self._drop(id)

    def tell_stopped(self, id: Hashable, value: float, params: Mapping[str, Any] | None = None) -> None:
        """Trial ``id`` was stopped when it had reached ``value``, because it did not look as if it would be the best.

        Raises TuunDaError as ``tell`` does.
        """
        params = self._params_of(id, params, "stopped")
        number = finite_number(value)
        if number is None:
            raise TuunDaError(f"the value that trial {id!r} had reached must be a finite number, got {value!r}")
        point = self.space.encode(params)
        self._drop(id)
        self._stopped[id] = point, number

    def tell_failed(self, id: Hashable, params: Mapping[str, Any] | None = None) -> None:
        """Trial ``id`` failed: it has no value, and settings like it may fail, too. Should one come, ``tell`` it.

        Raises TuunDaError as ``tell`` does.
        """
        point = self.space.encode(self._params_of(id, params, "failed"))
        self._drop(id)
        self._failed[id] = point

    def forget(self, id: Hashable) -> None:
        """Trial ``id`` will not finish, and that says nothing: its point is free again. Any id will do."""
        _check_id(id)
        self._running.pop(id, None)

    def add(self, params: Mapping[str, Any], value: float) -> None:
        """Learn a result from elsewhere. Raises TuunDaError as ``tell`` does."""
        self._observe(params, value, None, "a trial from elsewhere")

    def restore_running(self, id: Hashable, params: Mapping[str, Any]) -> None:
        """Trial ``id`` with ``params`` runs, although this optimizer has not been asked for it: after a restart.

        Raises TuunDaError if a trial of that id runs or has finished, or (SearchSpaceError) for invalid ``params``.
        """
        self._refuse_known(id)
        self.space.validate(params)
        self._running[id] = copy.deepcopy(dict(params))

    def restore(self, *, asked: int) -> None:
        """Go on with the chance of the suggestion after ``asked`` earlier ones: after a restart. Raises ConfigError."""
        if not _is_integer(asked) or asked < 0:
            raise ConfigError(f"asked must be an integer of at least 0, got {asked!r}")
        self._asked = int(asked)

    def recommend(self) -> dict[str, Any]:
        """Of the parameters of the finished trials, those with the best posterior mean: not the luckiest value.

        Raises TuunDaError if no trial has finished.
        """
        return self.ranking()[0]

    def ranking(self) -> list[dict[str, Any]]:
        """The parameters of each finished trial, the best posterior mean first; of equal means, the better value.

        Parameters that were run twice come twice; of thousands of trials only those that the model sees come
        (model_size.py), among them the best values. Raises TuunDaError if no trial has finished.
        """
        if not self._observations:
            raise TuunDaError("a recommendation needs at least one finished trial, got none")
        points, values = self._data()
        seen = seen_by_model(values)
        points, values = points[seen], values[seen]
        means = posterior_mean(
            self._surrogate.fit(points, drawn_in(values)(values), self._generator(_RECOMMEND, 0)), points
        )
        order = sorted(range(len(means)), key=lambda i: (-means[i], -values[i]))
        return [copy.deepcopy(dict(self._observations[seen[i]].params)) for i in order]

    def _suggest(self) -> Floats:
        rng = self._generator(_ASK, self._asked)
        running = [self.space.encode(params) for params in self._running.values()]
        busy, seen = self._keys(running)
        for point in self._first:
            if self._keys_of([point]).isdisjoint(seen):
                return point
        size = self.space.size
        for excluded in (seen, busy):
            is_full = size is not None and len(excluded) >= size
            found = None if is_full else self._suggest_new(rng, running, excluded)
            if found is not None:
                return found
        return np.asarray(self.space.sample_points(1, rng)[0])

    def _suggest_new(self, rng: np.random.Generator, running: list[Floats], excluded: set[bytes]) -> Floats | None:
        """A point whose key is not excluded; None if none is found."""
        if self._is_random:
            return draw_new_point(self.space, rng, excluded, self._setting_keys)
        begun = len(self._observations) + len(self._stopped) + len(running)
        if begun < self._n_initial or not self._observations:
            return self._from_design(rng, excluded)
        return self._suggester.suggest(self._trials(running), rng, excluded=excluded)

    def _from_design(self, rng: np.random.Generator, excluded: set[bytes]) -> Floats | None:
        """The next point of the Latin hypercube, or another one if that is excluded."""
        block, place = divmod(self._asked, self._n_initial)
        point = latin_hypercube(self.space, self._n_initial, self._generator(_DESIGN, block))[place]
        if self._keys_of([point]).isdisjoint(excluded):
            return np.asarray(point)
        return draw_new_point(self.space, rng, excluded, self._setting_keys)

    def _keys(self, running: list[Floats]) -> tuple[set[bytes], set[bytes]]:
        """Keys of the settings of the running trials, and of all trials."""
        busy = self._keys_of(running)
        known = [*self._observed_points, *(point for point, _ in self._stopped.values()), *self._failed.values()]
        return busy, busy | self._keys_of(known)

    def _keys_of(self, points: list[Floats]) -> set[bytes]:
        return set(self._setting_keys(np.array(points).reshape(-1, len(self.space.columns))))

    def _observe(self, params: Mapping[str, Any], value: float, id: Hashable | None, who: str) -> None:
        number = finite_number(value)
        if number is None:
            raise TuunDaError(f"the value of {who} must be a finite number, got {value!r}")
        point = self.space.encode(params)
        self._observed_points.append(point)
        self._observations.append(Observation(copy.deepcopy(dict(params)), number, id))
        if id is not None:
            self._finished[id] = number

    def _refuse_known(self, id: Hashable) -> None:
        _check_id(id)
        if id in self._running:
            raise TuunDaError(f"trial {id!r} is running already")
        if id in self._finished or id in self._stopped or id in self._failed:
            raise TuunDaError(f"trial {id!r} has ended already; a new trial needs a new id")

    def _params_of(self, id: Hashable, params: Mapping[str, Any] | None, what: str) -> Mapping[str, Any]:
        """The parameters of a trial that ended without a value. Raises TuunDaError."""
        _check_id(id)
        if id in self._finished:
            raise TuunDaError(
                f"trial {id!r} has finished already, with value {self._finished[id]:g}; it has not {what}"
            )
        if params is None and id not in self._running:
            raise TuunDaError(f"trial {id!r} is not running, so its end needs the parameters that it ran; got None")
        return self._running[id] if params is None else params

    def _drop(self, id: Hashable) -> None:
        """Take the trial from wherever it was."""
        self._running.pop(id, None)
        self._stopped.pop(id, None)
        self._failed.pop(id, None)

    def _data(self) -> tuple[Floats, Floats]:
        """Points (n, d) and values (n,) of the finished trials, all divided by one power of 2 if any is huge."""
        values = np.array([observation.value for observation in self._observations])
        return np.array(self._observed_points), np.ldexp(values, -self._exponent())

    def _exponent(self) -> int:
        values = [observation.value for observation in self._observations]
        values += [value for _, value in self._stopped.values()]
        return max(math.frexp(float(np.max(np.abs(values))) / LARGEST_VALUE)[1], 0)

    def _trials(self, running: list[Floats]) -> Trials:
        """What the model is to see: of very many, some (model_size.py)."""
        points, values = self._data()
        width = len(self.space.columns)
        stopped = np.array([point for point, _ in self._stopped.values()]).reshape(-1, width)
        reached = np.array([value for _, value in self._stopped.values()], dtype=np.float64)
        reached = np.ldexp(reached, -self._exponent())
        failed = np.array(list(self._failed.values())).reshape(-1, width)
        finished, of_stopped = seen_by_model(values), seen_by_model(reached, MOST_STOPPED)
        return Trials(
            points=points[finished],
            values=values[finished],
            stopped=stopped[of_stopped],
            stopped_values=reached[of_stopped],
            failed=failed[-MOST_FAILED:],
            running=np.array(running).reshape(-1, width),
        )

    def _generator(self, stream: int, number: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(stream, number)))


def _check_id(id: object) -> None:
    """Raise TuunDaError unless ``id`` can be the id of a trial."""
    if id is None:
        raise TuunDaError("the id of a trial must not be None")
    try:
        hash(id)
    except TypeError:
        raise TuunDaError(
            f"the id of a trial must be hashable (a number, a text, a tuple of them), got {id!r}"
        ) from None


def _is_integer(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)

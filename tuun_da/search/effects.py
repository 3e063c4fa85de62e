"""Which operations help and which hurt, as far as the finished trials tell: a Gaussian process asked many questions.

The question for a type t and a magnitude m: of a random policy, one operation is always t at m (its probability the
largest that the space has) in place of an operation that never happens. How much better is the score? Where the space
has no operation that never happens (no probabilities, or none of 0), the other side is the same policy's mean over all
types and magnitudes. The answer is an average over random policies and places, so it is linear in the objective, and
its mean and standard deviation under the process are exact.

Notation: b random policies; c questions; w (c, z) what each question makes of the values at z points; x the features of
the n trials; s signal variance, v noise variance, k the kernel (gaussian_process.py).

    mean = w k_zx (k_xx + v I)^-1 y        covariance = w [k_zz - k_zx (k_xx + v I)^-1 k_xz] w'

Unlike in the search, values below the median are not drawn in (outcomes.py): that would understate harm, and on known
objectives its 95 % intervals held the truth in 55 to 85 of 100 cases; without it, in 85 to 97. How well the process
fits is told by leaving one trial out (Rasmussen and Williams 2006, equation 5.12, hyperparameters kept).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_solve, solve_triangular
from scipy.stats import spearmanr

from tuun_da.errors import SearchSpaceError
from tuun_da.operations import OPERATION_TYPES
from tuun_da.search.domains import Choice, Domain, Floats
from tuun_da.search.gaussian_process import GaussianProcess, cholesky, location_and_scale
from tuun_da.search.knowledge import NOTHING, make_kernel
from tuun_da.search.policy_arrays import Indices, PolicyColumns
from tuun_da.search.policy_space import find_policy
from tuun_da.search.space import SearchSpace

FEWEST_TRIALS = 8  # below, a model of the scores says nothing
MOST_TRIALS = 1000  # of more, so many are drawn: the work grows with the third power
MAGNITUDES = (0.1, 0.3, 0.5, 0.7, 0.9)  # the middles of five equal parts
MOST_POINTS = 3000  # at which the objective is asked
MOST_POLICIES = 60
HALF_WIDTH = 1.959964  # of a 95 % interval, in standard deviations


@dataclass(frozen=True)
class Estimate:
    """A change of the score, positive for better, and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class TypeEffect:
    """Of one operation type: over all magnitudes, and at each of ``Effects.magnitudes`` (one entry without any)."""

    type: str
    overall: Estimate
    by_magnitude: tuple[Estimate, ...]


@dataclass(frozen=True)
class Effects:
    """``types`` with the most helpful first. ``reference`` is "nothing" or "average": what an operation replaces.

    ``rank_correlation`` is that of the trials' values with what the others predict of them; None where either is
    constant.
    """

    types: tuple[TypeEffect, ...]
    magnitudes: tuple[float, ...]
    reference: str
    n_trials: int
    n_policies: int
    rank_correlation: float | None


def operation_effects(
    space: SearchSpace, params: Sequence[Mapping[str, Any]], values: Sequence[float], *, seed: int = 0
) -> Effects | None:
    """The effects that trials of ``params`` with ``values`` (larger is better) tell of; None where they are too few.

    Trials outside of ``space`` are passed over. None, too, where the space has no policy or all values are the same.
    """
    layout = find_policy(space)
    if layout is None:
        return None
    rng = np.random.default_rng(seed)
    points, scores = _inside(space, params, values)
    if len(points) > MOST_TRIALS:
        chosen = np.sort(rng.choice(len(points), MOST_TRIALS, replace=False))
        points, scores = points[chosen], scores[chosen]
    if len(points) < FEWEST_TRIALS or float(np.ptp(scores)) == 0.0:
        return None
    columns = PolicyColumns(space, layout)
    questions = _Questions(space, columns, layout.types, rng)
    process = GaussianProcess(make_kernel(space, NOTHING))
    hyperparameters = process.fit(points, scores, rng).draws[0]
    theta, signal, noise = hyperparameters[:-2], math.exp(hyperparameters[-2]), math.exp(hyperparameters[-1])
    kernel = process.kernel
    location, scale = location_and_scale(scores)
    y = (scores - location) / scale
    x, z = kernel.features(points), kernel.features(questions.points)
    lower = cholesky(signal * kernel.matrix(theta, x, x), noise)
    alpha = cho_solve((lower, True), y)
    cross = signal * kernel.matrix(theta, x, z) @ questions.weights.T  # (n, c)
    half = solve_triangular(lower, cross, lower=True)
    mean = scale * (cross.T @ alpha)
    prior = questions.weights @ (signal * kernel.matrix(theta, z, z)) @ questions.weights.T
    covariance = scale**2 * (prior - half.T @ half)
    found = []
    for name in layout.types:
        rows = questions.rows[name]
        share = np.full(len(rows), 1 / len(rows))
        overall = _estimate(float(share @ mean[rows]), float(share @ covariance[np.ix_(rows, rows)] @ share))
        found.append(TypeEffect(name, overall, tuple(_estimate(mean[row], covariance[row, row]) for row in rows)))
    found.sort(key=lambda effect: -effect.overall.mean)
    return Effects(
        tuple(found),
        MAGNITUDES,
        questions.reference,
        len(points),
        questions.n_policies,
        _left_out_correlation(lower, alpha, y),
    )


def _inside(space: SearchSpace, params: Sequence[Mapping[str, Any]], values: Sequence[float]) -> tuple[Floats, Floats]:
    """Points (n, d) and values (n,) of the trials that ``space`` has."""
    points, scores = [], []
    for one, value in zip(params, values, strict=True):
        try:
            points.append(space.encode(one))
        except SearchSpaceError:  # the space was another one then
            continue
        scores.append(float(value))
    return np.array(points).reshape(-1, len(space.columns)), np.array(scores)


class _Questions:
    """The points (z, d) to ask, and the weights (c, z) that make effects of the answers.

    ``rows`` are the questions of each type; ``reference`` is what they are compared with.
    """

    def __init__(
        self, space: SearchSpace, columns: PolicyColumns, types: tuple[str, ...], rng: np.random.Generator
    ) -> None:
        self.rows: dict[str, list[int]] = {}
        asked: list[tuple[str, float]] = []
        for name in types:
            levels = MAGNITUDES if OPERATION_TYPES[name].has_magnitude else (0.5,)
            self.rows[name] = list(range(len(asked), len(asked) + len(levels)))
            asked += [(name, level) for level in levels]
        self.n_policies = max(1, min(MOST_POLICIES, MOST_POINTS // (len(asked) + 1)))
        self._space, self._columns = space, columns
        lowest = [] if columns.probabilities is None else [_ends(space.columns[i].domain)[0] for i in self._probs()]
        self.reference = "nothing" if lowest and max(value for _, value in lowest) == 0.0 else "average"
        points: list[Floats] = []
        weights: list[Floats] = []  # a column for each point
        for base in space.sample_points(self.n_policies, rng):
            order = rng.permutation(columns.types.size)  # both sides of a comparison differ at one and the same place
            places = [self._place(order, name) for name, _ in asked]
            block = np.eye(len(asked))
            if self.reference == "average":
                block -= np.mean(block, axis=0)
            points += [self._with(base, place, *question) for place, question in zip(places, asked, strict=True)]
            weights += list(block.T)
            if self.reference == "nothing":
                for place in set(places):
                    points.append(self._without(base, place))
                    weights.append(np.array([-1.0 if other == place else 0.0 for other in places]))
        self.points, self.weights = np.array(points), np.array(weights).T / self.n_policies

    def _probs(self) -> list[int]:
        return [] if self._columns.probabilities is None else [int(i) for i in self._columns.probabilities.flat]

    def _place(self, order: Indices, name: str) -> tuple[int, int]:
        """The first place, sub-policy and operation, that offers the type."""
        for number in order:
            i, j = divmod(int(number), self._columns.types.shape[1])
            if name in _options(self._space, int(self._columns.types[i, j])):
                return i, j
        raise AssertionError(f"no place offers {name}")

    def _with(self, base: Floats, place: tuple[int, int], name: str, magnitude: float) -> Floats:
        """``base`` with the operation at ``place``."""
        point = base.copy()
        column = int(self._columns.types[place])
        point[column] = _options(self._space, column).index(name)
        if self._columns.probabilities is not None:
            i = int(self._columns.probabilities[place])
            point[i] = _ends(self._space.columns[i].domain)[1][0]
        i = int(self._columns.magnitudes[place])
        point[i] = _code_near(self._space.columns[i].domain, magnitude)
        return point

    def _without(self, base: Floats, place: tuple[int, int]) -> Floats:
        """``base`` with an operation that never happens at ``place``."""
        point = base.copy()
        for i in self._probs()[place[0] * self._columns.types.shape[1] + place[1] :][:1]:
            point[i] = _ends(self._space.columns[i].domain)[0][0]
        return point


def _options(space: SearchSpace, column: int) -> tuple[Any, ...]:
    domain = space.columns[column].domain
    return domain.options if isinstance(domain, Choice) else ()


def _codes(domain: Domain) -> Floats:
    """Codes of values that lie all over the domain."""
    codes = np.arange(len(domain.options)) if isinstance(domain, Choice) else np.linspace(0.0, 1.0, 201)
    return np.asarray(domain.snap(codes.astype(np.float64)))


def _ends(domain: Domain) -> tuple[tuple[float, float], tuple[float, float]]:
    """Code and value of the smallest and of the largest value."""
    codes = _codes(domain)
    values = domain.values(codes)
    low, high = int(np.argmin(values)), int(np.argmax(values))
    return (float(codes[low]), float(values[low])), (float(codes[high]), float(values[high]))


def _code_near(domain: Domain, value: float) -> float:
    codes = _codes(domain)
    return float(codes[np.argmin(np.abs(domain.values(codes) - value))])


def _estimate(mean: float, variance: float) -> Estimate:
    reach = HALF_WIDTH * math.sqrt(max(float(variance), 0.0))
    return Estimate(float(mean), float(mean) - reach, float(mean) + reach)


def _left_out_correlation(lower: Floats, alpha: Floats, y: Floats) -> float | None:
    """Spearman's, of the values and of what the process says of each without it."""
    inverse = cho_solve((lower, True), np.eye(len(y)))
    predicted = y - alpha / np.diag(inverse)
    if np.ptp(predicted) == 0.0 or np.ptp(y) == 0.0:
        return None
    return float(spearmanr(predicted, y).statistic)

"""The point of largest acquisition over a search space.

Small finite spaces are searched in full. Otherwise: candidates from the prior and around the best observed points, then
some generations of mutation and crossover, then small steps around the best few. This needs no gradient, so it serves
every surrogate, and it treats codes, categories and nested choices alike: all points are snapped to valid ones. How
points change is a matter of the space (Moves): columns one by one, or policies by their parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from itertools import islice
from typing import Protocol

import numpy as np

from tuun_da.search.domains import Floats
from tuun_da.search.setting_keys import Keys
from tuun_da.search.space import SearchSpace

Score = Callable[[Floats], Floats]

FULL_SEARCH = 1024  # spaces up to this size are searched in full
FROM_PRIOR = 512
AROUND_PARENTS = 256
GENERATIONS = 8
CHILDREN = 128
SURVIVORS = 32
REFINED = 4  # of the best points
REFINEMENTS = 12
STEPS = 24  # tried for each refined point
WIDEST, NARROWEST = 0.3, 0.003  # standard deviation of a step in a real column, first and last
BATCH, BATCHES = 16, 64  # of prior draws in search of a point that is not excluded


class Moves(Protocol):
    """How valid points (n, d) become other valid points."""

    def mutate(self, points: Floats, scale: float, rng: np.random.Generator) -> Floats:
        """The points (n, d), each changed a little; steps in real columns have standard deviation ``scale``."""
        ...

    def cross(self, mothers: Floats, fathers: Floats, rng: np.random.Generator) -> Floats:
        """Points (n, d) that have something of either parent (n, d)."""
        ...


class ColumnMoves:
    """Moves that treat each column by itself."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space

    def mutate(self, points: Floats, scale: float, rng: np.random.Generator) -> Floats:
        """See ``mutate``."""
        return mutate(points, scale, self._space, rng)

    def cross(self, mothers: Floats, fathers: Floats, rng: np.random.Generator) -> Floats:
        """See ``cross``."""
        return cross(mothers, fathers, self._space, rng)


def maximize(
    score: Score,
    space: SearchSpace,
    rng: np.random.Generator,
    *,
    parents: Floats,
    excluded: Set[bytes],
    moves: Moves | None = None,
    keys: Keys | None = None,
) -> Floats | None:
    """The valid point (d,) with the largest score found whose key is not excluded; None if none is found.

    ``score`` maps points (n, d) to (n,), larger is better; -inf is allowed. ``parents`` (m, d), m >= 0, are good points
    to start from. Without ``moves``, columns move by themselves. ``keys`` are the space's if not given; of points with
    the same key one is searched.
    """
    moves = ColumnMoves(space) if moves is None else moves
    keys = space.keys if keys is None else keys
    if space.size is not None and space.size <= FULL_SEARCH:
        points = _new_points(np.array(list(space.grid())), keys, excluded)
        return np.asarray(_best(*_shuffled(points, score, rng), 1)[0][0]) if len(points) else None
    points = candidates(space, rng, moves, parents=parents, excluded=excluded, keys=keys)
    if not len(points):
        return draw_new_point(space, rng, excluded, keys)
    points, scores = _best(*_shuffled(points, score, rng), SURVIVORS)
    for generation in range(GENERATIONS):
        scale = WIDEST * (NARROWEST / WIDEST) ** (generation / GENERATIONS)
        pairs = rng.integers(len(points), size=(CHILDREN, 2))
        children = moves.mutate(moves.cross(points[pairs[:, 0]], points[pairs[:, 1]], rng), scale, rng)
        points, scores = _compete(points, scores, children, score, keys, excluded, SURVIVORS)
    points, scores = points[:REFINED], scores[:REFINED]
    for refinement in range(REFINEMENTS):
        scale = WIDEST / 3 * (3 * NARROWEST / WIDEST) ** (refinement / (REFINEMENTS - 1))
        steps = moves.mutate(np.repeat(points, STEPS, axis=0), scale, rng)
        points, scores = _compete(points, scores, steps, score, keys, excluded, REFINED)
    return np.asarray(points[0])


def candidates(
    space: SearchSpace, rng: np.random.Generator, moves: Moves, *, parents: Floats, excluded: Set[bytes], keys: Keys
) -> Floats:
    """Points (n, d) from the prior and around ``parents`` (m, d), m >= 0, that are not excluded; n may be 0."""
    found = [space.sample_points(FROM_PRIOR, rng)]
    if len(parents):
        found.append(moves.mutate(parents[rng.integers(len(parents), size=AROUND_PARENTS)], WIDEST, rng))
    return _new_points(np.concatenate(found), keys, excluded)


def draw_new_point(space: SearchSpace, rng: np.random.Generator, excluded: Set[bytes], keys: Keys) -> Floats | None:
    """A point (d,) drawn from the prior, given that its key is not excluded.

    In a finite space where the prior hardly ever hits what is left, the first point of the grid that is left, if it is
    one of the first. None if none is found.
    """
    for _ in range(BATCHES):
        points = _new_points(space.sample_points(BATCH, rng), keys, excluded)
        if len(points):
            return np.asarray(points[0])
    if space.size is not None:
        for point in islice(space.grid(), len(excluded) + 1):  # where each point has a key of its own, one is left
            if keys(point[None, :])[0] not in excluded:
                return point
    return None


def mutate(
    points: Floats,
    scale: float,
    space: SearchSpace,
    rng: np.random.Generator,
    columns: Sequence[int] | None = None,
) -> Floats:
    """Points (n, d) with each of the ``columns`` (all by default) changed with chance 2 / d, and at least one of them.

    Reals take a normal step of standard deviation ``scale``, at least of about one level; categories are drawn anew,
    and so is everything in an option that is taken now and was not before.
    """
    n, d = points.shape
    chosen = np.arange(d) if columns is None else np.asarray(columns)
    changed = np.zeros((n, d), dtype=np.bool_)
    changed[:, chosen] = rng.random((n, len(chosen))) < min(1.0, 2 / len(chosen))
    changed[np.arange(n), chosen[rng.integers(len(chosen), size=n)]] = True
    fresh = space.columns_from_uniform(rng.random((n, d)))
    points = np.where(space.active(points), points, fresh)
    steps = rng.standard_normal((n, d)) * scale
    levels = np.array([np.inf if column.domain.levels is None else column.domain.levels for column in space.columns])
    steps = np.copysign(np.maximum(np.abs(steps), 1 / levels), steps)
    categorical = np.array([column.is_categorical for column in space.columns])
    return space.snap(np.where(changed, np.where(categorical, fresh, points + steps), points))


def cross(mothers: Floats, fathers: Floats, space: SearchSpace, rng: np.random.Generator) -> Floats:
    """Points (n, d) with each column from either parent with equal chance, or from the one where it is active."""
    from_mother = rng.random(mothers.shape) < 0.5
    from_mother |= ~space.active(fathers)
    from_mother &= space.active(mothers)
    return space.snap(np.where(from_mother, mothers, fathers))


def _compete(
    points: Floats,
    scores: Floats,
    rivals: Floats,
    score: Score,
    keys: Keys,
    excluded: Set[bytes],
    places: int,
) -> tuple[Floats, Floats]:
    """The best of the points (n, d) and of their rivals (m, d), and their scores, best first."""
    rivals = _new_points(rivals, keys, excluded | set(keys(points)))
    if not len(rivals):
        return points, scores
    return _best(np.concatenate([points, rivals]), np.concatenate([scores, score(rivals)]), places)


def _new_points(points: Floats, keys: Keys, excluded: Set[bytes]) -> Floats:
    """The points (n, d) whose keys are not excluded, one of each key."""
    first_with_key: dict[bytes, int] = {}
    for i, key in enumerate(keys(points)):
        if key not in excluded:
            first_with_key.setdefault(key, i)
    return points[list(first_with_key.values())]


def _shuffled(points: Floats, score: Score, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """The points in a random order, which decides between equal scores, and their scores."""
    points = points[rng.permutation(len(points))]
    return points, score(points)


def _best(points: Floats, scores: Floats, places: int) -> tuple[Floats, Floats]:
    order = np.argsort(-scores, kind="stable")[:places]
    return points[order], scores[order]

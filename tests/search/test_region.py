"""The region of a policy space, and the trap that it keeps the search out of.

The trap: policies fall off steeply towards the corners, where one type is everywhere, and are much alike elsewhere. A
model knows nothing of the corners, so an optimistic acquisition tries them, one after the other.
"""

from __future__ import annotations

import numpy as np
import pytest
from nni_spaces import policy_json
from policy_spaces import SPACES, TYPES, layout_of, space_of

from tuun_da.search import suggest
from tuun_da.search.knowledge import policy_inputs
from tuun_da.search.optimizer import Optimizer
from tuun_da.search.region import Region
from tuun_da.search.space import SearchSpace

SPACE = SearchSpace.from_nni(policy_json())


def region_of(space):
    return Region(policy_inputs(space))


def single_type(kind, space=SPACE, strength=1.0):
    """One type in all places, always, at that magnitude."""
    params = dict.fromkeys((column.name for column in space.columns), 1.0)
    params |= {name: strength for name in params if name.startswith("magnitude")}
    return params | {name: kind for name in params if name.startswith("operation")}


def shares_of_types(params, space=SPACE):
    """How often each type happens, as shares (16,) of all that happens."""
    layout = layout_of(space)
    shares = np.zeros(len(TYPES))
    for i in range(1, layout.sub_policies + 1):
        for j in range(1, layout.operations_per_sub_policy + 1):
            shares[TYPES.index(params[f"operation{i}_{j}"])] += params.get(f"prob{i}_{j}", 1.0)
    return shares / max(np.sum(shares), 1e-12)


def concentration(params):
    """1 where one type is everything, 1 / 16 where all are alike."""
    return float(np.sum(shares_of_types(params) ** 2))


# ---- the region itself ----


@pytest.mark.parametrize("name", sorted(set(SPACES) - {"1x1"}))
def test_nearly_all_random_policies_are_in_it_and_single_types_are_not(name):
    space = space_of(name)
    region = region_of(space)
    limit = region.limit(np.empty((0, len(space.columns))))
    inside = region.contains(space.sample_points(1000, np.random.default_rng(9)), limit)
    assert 0.93 < np.mean(inside) < 1
    if name in ("30", "20", "3x4"):
        corners = np.array([space.encode(single_type(kind, space)) for kind in TYPES])
        assert not np.any(region.contains(corners, limit))


def test_it_grows_with_what_proved_itself_and_never_shrinks():
    region = region_of(SPACE)
    none = np.empty((0, len(SPACE.columns)))
    ordinary = SPACE.sample_points(3, np.random.default_rng(0))
    corner = SPACE.encode(single_type("rotate", strength=0.3))[None, :]
    assert region.limit(none) == region.limit(ordinary)
    grown = region.limit(np.concatenate([ordinary, corner]))
    assert grown > region.limit(none)
    assert not region.contains(corner, region.limit(none))
    assert region.contains(corner, grown)


def test_parameters_beside_the_policy_have_no_part_in_it():
    space = space_of("with others")
    points = space.sample_points(20, np.random.default_rng(0))
    other = space.sample_points(20, np.random.default_rng(1))
    beside = [i for i, column in enumerate(space.columns) if column.path[0] in layout_of(space).others]
    other_beside = points.copy()
    other_beside[:, beside] = other[:, beside]
    region = region_of(space)
    np.testing.assert_array_equal(region.distances(points), region.distances(other_beside))


# ---- the trap ----


def reward(params, noise):
    """Flat, with a little more for mild geometry, and ruin where few types are everything. No probe of an image."""
    shares = shares_of_types(params)
    mild = shares[TYPES.index("rotate")] + shares[TYPES.index("translateX")] + shares[TYPES.index("shearY")]
    crowded = max(concentration(params) - 0.16, 0.0)  # random policies: 0.13 +- 0.03
    return 0.6 + 0.1 * mild - 4 * crowded + 0.01 * noise


def search(n, seed, **settings):
    """The settings that the model proposed, and the rewards without noise."""
    optimizer = Optimizer(SPACE, seed=seed, **settings)
    noise = np.random.default_rng(seed).standard_normal(n)
    asked = []
    for id in range(n):
        asked.append(optimizer.ask(id))
        optimizer.tell(id, reward(asked[-1], noise[id]))
    return asked[10:], [reward(params, 0.0) for params in asked[10:]]


RANDOM = SPACE.sample(1000, np.random.default_rng(1))


def test_the_search_does_not_fall_into_the_trap():
    proposed, rewards = search(40, seed=0)
    region = region_of(SPACE)
    spread = np.quantile(region.distances(np.array([SPACE.encode(params) for params in RANDOM])), 0.999)
    farthest = np.max(region.distances(np.array([SPACE.encode(params) for params in proposed])))
    assert max(map(concentration, proposed)) < 0.5
    assert farthest < 1.15 * spread
    assert np.mean(rewards) > np.mean([reward(params, 0.0) for params in RANDOM])
    assert min(rewards) > 0.0


def test_without_the_region_an_optimistic_search_does(monkeypatch):
    """So it is the region that keeps it out."""

    def farthest_of(n):
        proposed, rewards = search(n, seed=0, acquisition="ucb", beta=3.0)
        distances = region_of(SPACE).distances(np.array([SPACE.encode(params) for params in proposed]))
        return np.mean(distances), np.mean(rewards)

    kept, kept_rewards = farthest_of(16)
    monkeypatch.setattr(suggest.Region, "limit", lambda *_: np.inf)
    free, free_rewards = farthest_of(16)
    assert free > 1.3 * kept
    assert free_rewards < kept_rewards


def test_policies_that_proved_themselves_may_lie_outside_and_the_search_goes_on_around_them():
    """A known good policy of few types is not given up because no random one is like it."""
    known = single_type("rotate", strength=0.3)
    optimizer = Optimizer(SPACE, n_initial=6, seed=0, initial=[known])

    def value(params):
        return shares_of_types(params)[TYPES.index("rotate")]

    asked = [optimizer.ask(0)]
    optimizer.tell(0, value(asked[0]))
    for id in range(1, 12):
        asked.append(optimizer.ask(id))
        optimizer.tell(id, value(asked[-1]))
    assert asked[0] == known
    assert np.mean([value(params) for params in asked[6:]]) > 0.5

"""The region of a policy space, and the trap that it keeps the search out of.

The trap: policies fall off steeply towards the corners, where one type is everywhere, and are much alike elsewhere. A
model knows nothing of the corners, so an optimistic acquisition tries them, one after the other.
"""

from __future__ import annotations

import numpy as np
import pytest
from nni_spaces import policy_json
from policy_spaces import SPACES, TYPES, layout_of, space_of

from tuun_da.known_policies import KNOWN_POLICIES
from tuun_da.operations import OPERATION_TYPES
from tuun_da.search import suggest
from tuun_da.search.initial_policies import settings_of_policy
from tuun_da.search.knowledge import policy_inputs
from tuun_da.search.optimizer import Optimizer
from tuun_da.search.region import Region
from tuun_da.search.space import SearchSpace

SPACE = SearchSpace.from_nni(policy_json())


NO_POINTS = np.empty((0, len(SPACE.columns)))


def region_of(space, given=()):
    points = np.array([space.encode(params) for params in given]).reshape(-1, len(space.columns))
    return Region(policy_inputs(space), points)


def known(name, space=SPACE):
    """The policy of that name as parameters of the space."""
    return settings_of_policy(space, name, KNOWN_POLICIES[name])[0]


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


@pytest.mark.parametrize("name", sorted(SPACES))
def test_nearly_all_random_policies_are_in_it_and_single_types_at_full_strength_are_not(name):
    space = space_of(name)
    region = region_of(space)
    bounds = region.bounds(np.empty((0, len(space.columns))))
    assert np.mean(region.contains(space.sample_points(1000, np.random.default_rng(9)), bounds)) > 0.93
    if name in ("30", "20"):
        strong = [kind for kind in TYPES if OPERATION_TYPES[kind].has_magnitude]
        corners = np.array([space.encode(single_type(kind, space)) for kind in strong])
        assert not np.any(region.contains(corners, bounds))


def test_it_grows_with_what_proved_itself_and_never_shrinks():
    region = region_of(SPACE)
    ordinary = SPACE.sample_points(3, np.random.default_rng(0))
    corner = SPACE.encode(single_type("rotate"))[None, :]
    none, some = region.bounds(NO_POINTS), region.bounds(ordinary)
    assert none.limit <= some.limit < region.distances(corner)[0]
    grown = region.bounds(np.concatenate([ordinary, corner]))
    assert grown.limit > none.limit
    assert not region.contains(corner, none)
    assert region.contains(corner, grown)


@pytest.mark.parametrize("name", ["none", "etp"])
def test_a_given_policy_that_proved_itself_opens_its_neighbourhood_and_no_corner(name):
    """Crop and flip lie farther out than every policy of one type."""
    region = region_of(SPACE, [known("none"), known("etp")])
    point = SPACE.encode(known(name))[None, :]
    corners = np.array([SPACE.encode(single_type(kind)) for kind in TYPES])
    assert name == "none" or np.all(region.distances(corners) < 1.1 * region.distances(point))
    bounds = region.bounds(np.concatenate([SPACE.sample_points(2, np.random.default_rng(0)), point]))
    assert not np.any(region.contains(corners, bounds))
    assert region.contains(point, bounds)
    changed = np.array([SPACE.encode(known(name) | {"operation3_1": kind, "prob3_1": 0.5}) for kind in TYPES])
    assert np.all(region.contains(changed, bounds))
    assert not np.any(region.contains(changed, region.bounds(NO_POINTS)))
    # what was found in that neighbourhood, which the given policy opened, opens no more
    assert region.bounds(changed).limit == region.bounds(NO_POINTS).limit
    assert not np.any(region.contains(corners, region.bounds(changed)))
    assert region.contains(point, region.bounds(changed))


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
    """A little more for mild geometry, and ruin where few types are everything. No look at an image."""
    shares = shares_of_types(params)
    mild = shares[TYPES.index("rotate")] + shares[TYPES.index("translateX")] + shares[TYPES.index("shearY")]
    crowded = max(concentration(params) - 0.3, 0.0)  # of random policies 3 in 100 are above 0.29
    return 0.6 + 0.3 * mild - 2 * crowded + 0.01 * noise


def search(n, seed, **settings):
    """The points that the model proposed after the first 10, and their rewards without noise."""
    optimizer = Optimizer(SPACE, seed=seed, **settings)
    noise = np.random.default_rng(seed).standard_normal(n)
    asked = []
    for id in range(n):
        asked.append(optimizer.ask(id))
        optimizer.tell(id, reward(asked[-1], noise[id]))
    points = np.array([SPACE.encode(params) for params in asked[10:]])
    return points, np.array([reward(params, 0.0) for params in asked[10:]])


def test_the_search_does_not_fall_into_the_trap():
    """No trial is of one type, and trials are better than random ones from the first that the model proposes on."""
    found = [search(40, seed) for seed in range(2)]
    for points, rewards in found:
        assert max(concentration(SPACE.decode(point)) for point in points) < 0.8
        assert np.min(rewards) > 0
    random = [reward(params, 0.0) for params in SPACE.sample(1000, np.random.default_rng(1))]
    assert np.mean([rewards for _, rewards in found]) > np.mean(random)


@pytest.mark.parametrize("acquisition", ["logei", "ucb"])
def test_nor_does_it_when_crop_and_flip_are_given_and_are_the_best(acquisition):
    def value(params):
        shares = shares_of_types(params)
        crop_and_flip = shares[TYPES.index("randomCrop")] + shares[TYPES.index("randomHorizontalFlip")]
        return 0.5 * crop_and_flip - 2 * max(np.max(others(shares)) - 0.5, 0.0)

    def others(shares):
        return [share for kind, share in zip(TYPES, shares, strict=True) if kind not in known_types]

    known_types = ("randomCrop", "randomHorizontalFlip")

    optimizer = Optimizer(SPACE, seed=0, acquisition=acquisition, initial=[known("none"), known("etp")])
    asked = []
    for id in range(30):
        asked.append(optimizer.ask(id))
        optimizer.tell(id, value(asked[-1]))
    proposed = asked[10:]
    assert max(np.max(others(shares_of_types(params))) for params in proposed) < 0.8
    assert np.mean([value(params) for params in proposed]) > np.mean([value(params) for params in asked[2:10]]) + 0.1


def test_without_the_region_an_optimistic_search_does(monkeypatch):
    def first_steps():
        """Of four searches."""
        found = [search(13, seed, acquisition="ucb", beta=3.0) for seed in range(4)]
        points = np.concatenate([points for points, _ in found])
        return region_of(SPACE).distances(points), [rewards for _, rewards in found]

    kept, kept_rewards = first_steps()
    monkeypatch.setattr(suggest.Region, "contains", lambda _, points, bounds: np.ones(len(points), dtype=bool))
    free, free_rewards = first_steps()
    assert np.mean(free) > 1.1 * np.mean(kept)
    assert np.mean(free_rewards) < np.mean(kept_rewards) - 0.1
    assert np.min(free_rewards) < -0.5 < 0 < np.min(kept_rewards)


def test_what_proved_itself_outside_of_the_region_is_searched_around():
    """A known policy of one type is not given up because no random one is like it."""
    given = single_type("rotate", strength=0.8)
    optimizer = Optimizer(SPACE, n_initial=6, seed=0, initial=[given])

    def value(params):
        return shares_of_types(params)[TYPES.index("rotate")]

    asked = []
    for id in range(10):
        asked.append(optimizer.ask(id))
        optimizer.tell(id, value(asked[-1]))
    region = region_of(SPACE)
    assert asked[0] == given
    proposed = np.array([SPACE.encode(params) for params in asked[6:]])
    assert not np.any(region.contains(proposed, region.bounds(NO_POINTS)))
    assert np.mean([value(params) for params in asked[6:]]) > 0.3

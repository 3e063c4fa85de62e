"""The forest as a posterior to sample from, and what it sees of a space."""

from __future__ import annotations

import numpy as np
import pytest
from made_probes import made_probe
from nni_spaces import MIXED_JSON
from policy_spaces import space_of

from tuun_da.search.forest import RandomForest
from tuun_da.search.knowledge import Knowledge
from tuun_da.search.space import SearchSpace

MIXED = SearchSpace.from_nni(MIXED_JSON)


def fitted(space, knowledge=Knowledge(), n=25):  # noqa: B008  # it is frozen
    points = space.sample_points(n, np.random.default_rng(0))
    forest = RandomForest(space, knowledge)
    return forest, forest.fit(points, 100 * points[:, 0], np.random.default_rng(1))


@pytest.mark.parametrize("space", [MIXED, space_of("with others")], ids=["mixed", "policy"])
def test_a_sample_is_what_one_tree_says(space):
    forest, posterior = fitted(space)
    new = space.sample_points(9, np.random.default_rng(2))
    scale = np.max(np.abs(100 * space.sample_points(25, np.random.default_rng(0))[:, 0]))
    trees = np.array([scale * tree.predict(forest.features(new)) for tree in posterior.trees.estimators_])
    seen = set()
    for seed in range(200):
        sample = posterior.sample(new, np.random.default_rng(seed))
        [*matching] = np.flatnonzero(np.all(np.isclose(trees, sample, rtol=1e-6), axis=1))
        assert matching
        seen |= set(matching)
    assert len(seen) > 0.8 * len(trees)
    np.testing.assert_allclose(trees.mean(axis=0), posterior.predict(new).mean[0], rtol=1e-6)


def test_it_sees_trends_and_the_probe_and_what_stands_beside_the_policy():
    space = space_of("with others")
    points = space.sample_points(6, np.random.default_rng(0))
    plain = RandomForest(space).features(points)
    probed = RandomForest(space, Knowledge(made_probe())).features(points)
    trended = RandomForest(space, Knowledge(None, (lambda x: 7 * x[:, 0],))).features(points)
    assert probed.shape[1] == plain.shape[1] + 12
    assert trended.shape[1] == plain.shape[1] + 1
    assert np.any(np.all(trended == 7 * points[:, :1], axis=0))
    rate = next(i for i, column in enumerate(space.columns) if column.name == "lr")
    assert np.any(np.all(plain == points[:, rate, None], axis=0))


def test_a_trend_that_holds_helps():
    space = space_of("30")

    def truth(points):
        return np.sin(9 * points[:, 1]) + points[:, 2] * points[:, 5]  # places, which features cannot see

    points = space.sample_points(230, np.random.default_rng(0))
    values = truth(points)
    errors = []
    for knowledge in (Knowledge(), Knowledge(None, (truth,))):
        posterior = RandomForest(space, knowledge).fit(points[:30], values[:30], np.random.default_rng(0))
        errors.append(np.mean((posterior.predict(points[30:]).mean[0] - values[30:]) ** 2) / np.var(values))
    assert errors[1] < 0.4 < 0.8 < errors[0]

"""One contract for every surrogate."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from nni_spaces import EVERY_TYPE_JSON, MIXED_JSON, UNIT, policy_json

from tuun_da.errors import ConfigError
from tuun_da.search import stan_gp
from tuun_da.search.forest import LEAST_VARIANCE, RandomForest
from tuun_da.search.space import SearchSpace
from tuun_da.search.surrogate import SURROGATES, make_surrogate

SPACES = {
    "one real": {"x": UNIT},
    "one choice": {"a": MIXED_JSON["kind"]},
    "choices": {"a": MIXED_JSON["kind"], "b": MIXED_JSON["kind"]},
    "mixed": MIXED_JSON,
    "every type": EVERY_TYPE_JSON,
    "policy": policy_json(),
}


def objective(points):
    return 5 + 2 * points[:, 0] - (points[:, -1] - 0.3) ** 2


# Each fit of stan_gp starts a process. In all kinds of spaces, test_stan_gp.py compares its model with gp's.
SPACES_OF = {"stan_gp": ("mixed", "policy")}


def pytest_generate_tests(metafunc):
    """Every test runs with every surrogate, and where it asks for a space, in every one of that surrogate's."""
    if "space" in metafunc.fixturenames:
        pairs = [(name, space) for name in SURROGATES for space in SPACES_OF.get(name, SPACES)]
        metafunc.parametrize(("name", "space"), pairs, indirect=["space"])
    elif "name" in metafunc.fixturenames:
        metafunc.parametrize("name", list(SURROGATES))


@pytest.fixture
def space(request):
    return SearchSpace.from_nni(SPACES[request.param])


@pytest.fixture(autouse=True)
def _short_chains(monkeypatch):
    """Chains for tests of what every surrogate does, not of how well NUTS samples."""
    monkeypatch.setattr(stan_gp, "WARMUP", 100)
    monkeypatch.setattr(stan_gp, "SAMPLES", 60)
    monkeypatch.setattr(stan_gp, "LARGEST_R_HAT", np.inf)


def fitted(name, space, n=20, seed=0, values=None):
    points = space.sample_points(n, np.random.default_rng(seed))
    values = objective(points) if values is None else np.asarray(values, dtype=np.float64)
    return make_surrogate(name, space).fit(points, values, np.random.default_rng(1)), points


@pytest.mark.parametrize("n", [1, 2, 25])
def test_predictions_are_finite_and_of_the_right_shape(name, space, n):
    posterior, points = fitted(name, space, n)
    new = space.sample_points(7, np.random.default_rng(3))
    for at in (new, points, new[:1]):
        prediction = posterior.predict(at)
        assert prediction.mean.shape == prediction.std.shape
        assert prediction.mean.shape[1] == len(at)
        assert np.all(np.isfinite(prediction.mean))
        assert np.all(np.isfinite(prediction.std) & (prediction.std >= 0))


def test_equal_values_are_predicted_everywhere(name, space):
    posterior, _ = fitted(name, space, 6, values=[0.1] * 6)
    np.testing.assert_allclose(posterior.predict(space.sample_points(5, np.random.default_rng(3))).mean, 0.1)


def test_duplicate_points_with_different_values_are_averaged(name, space):
    point = space.sample_points(1, np.random.default_rng(0))
    posterior = make_surrogate(name, space).fit(np.repeat(point, 20, axis=0), np.arange(20.0), np.random.default_rng(0))
    assert posterior.predict(point).mean.mean() == pytest.approx(9.5, abs=1.0)


@pytest.mark.parametrize("scale", [2.0**-600, 2.0**-20, 2.0**600])  # powers of 2: no rounding, no new ties
def test_the_scale_of_the_objective_does_not_matter(name, scale):
    space = SearchSpace.from_nni(MIXED_JSON)
    plain, points = fitted(name, space)
    scaled, _ = fitted(name, space, values=scale * objective(points))
    new = space.sample_points(7, np.random.default_rng(3))
    np.testing.assert_allclose(scaled.predict(new).mean / scale, plain.predict(new).mean, rtol=1e-3)
    np.testing.assert_allclose(scaled.predict(new).std / scale, plain.predict(new).std, rtol=0.05, atol=1e-3)


def test_it_learns(name):
    space = SearchSpace.from_nni(MIXED_JSON)
    posterior, _ = fitted(name, space, 60)
    new = space.sample_points(40, np.random.default_rng(3))
    error = posterior.predict(new).mean.mean(axis=0) - objective(new)
    assert np.mean(error**2) < 0.1 * np.var(objective(new))


def test_it_is_surer_where_it_has_seen_values(name):
    space = SearchSpace.from_nni({"x": UNIT, "y": UNIT})
    points = space.sample_points(40, np.random.default_rng(0)) * 0.5
    values = np.sin(8 * points[:, 0]) + points[:, 1]
    posterior = make_surrogate(name, space).fit(points, values, np.random.default_rng(0))
    far = np.array([[0.9, 0.9], [1.0, 0.8]])
    # the variance of a forest's leaf has a floor; a GP's has only the noise
    share = {"gp": 0.5, "stan_gp": 0.5, "forest": 0.6}[name]
    assert posterior.predict(points).std.mean() < share * posterior.predict(far).std.mean()


def test_the_same_generator_gives_the_same_posterior(name, space):
    new = space.sample_points(7, np.random.default_rng(3))
    first, second = (fitted(name, space)[0].predict(new) for _ in range(2))
    np.testing.assert_array_equal(first.mean, second.mean)
    np.testing.assert_array_equal(first.std, second.std)


def test_conditioning_returns_a_new_posterior_that_is_surer_there(name, space):
    posterior, _ = fitted(name, space)
    new = space.sample_points(3, np.random.default_rng(8))
    before = posterior.predict(new)
    conditioned = posterior.condition(np.repeat(new, 3, axis=0), np.repeat(before.mean.mean(axis=0), 3))
    np.testing.assert_array_equal(posterior.predict(new).mean, before.mean)
    np.testing.assert_array_equal(posterior.predict(new).std, before.std)
    after = conditioned.predict(new)
    # the forest's variance has a floor, which it may stand on before
    assert after.std.mean() < before.std.mean() or (name == "forest" and np.all(after.std == before.std))
    np.testing.assert_allclose(after.mean, before.mean, atol=0.6 * np.std(objective(fitted(name, space)[1])))


def test_conditioning_moves_the_mean_towards_what_came(name):
    space = SearchSpace.from_nni(MIXED_JSON)
    posterior, _ = fitted(name, space)
    new = space.sample_points(1, np.random.default_rng(8))
    high = posterior.condition(np.repeat(new, 3, axis=0), np.full(3, 20.0)).predict(new).mean.mean()
    assert high > posterior.predict(new).mean.mean() + 5


def test_an_unknown_name_is_refused():
    space = SearchSpace.from_nni(MIXED_JSON)
    with pytest.raises(ConfigError, match="surrogate must be one of gp, stan_gp, forest; got 'tpe'"):
        make_surrogate("tpe", space)


def test_the_variance_of_the_forest_is_that_of_the_mixture_of_its_leaves():
    space = SearchSpace.from_nni(MIXED_JSON)
    points = np.repeat(space.sample_points(12, np.random.default_rng(0)), 3, axis=0)
    values = objective(points) + np.tile([0.0, 1.0, -1.0], 12)
    posterior = RandomForest(space).fit(points, values, np.random.default_rng(0))
    new = space.sample_points(5, np.random.default_rng(3))
    # the same forest, built here, and the mixture summed up value by value
    features = RandomForest(space).features
    mean, std = np.empty(5), np.empty(5)
    for i, x in enumerate(features(new)):
        first, second = [], []
        for tree, rows in zip(posterior.trees.estimators_, posterior.trees.estimators_samples_, strict=True):
            leaf = tree.apply(x[None, :])[0]
            inside = values[rows][tree.apply(features(points[rows])) == leaf]
            first.append(np.mean(inside))
            second.append(np.mean(inside) ** 2 + max(np.var(inside), LEAST_VARIANCE * np.var(values)))
        mean[i], std[i] = np.mean(first), np.sqrt(np.mean(second) - np.mean(first) ** 2)
    np.testing.assert_allclose(posterior.predict(new).mean, [mean], rtol=1e-6)
    np.testing.assert_allclose(posterior.predict(new).std, [std], rtol=1e-5)


def test_the_gaussian_process_does_without_scikit_learn():
    program = (
        "import sys; from tuun_da.search.optimizer import Optimizer; from tuun_da.search.space import SearchSpace;"
        "o = Optimizer(SearchSpace.from_nni({'x': {'_type': 'uniform', '_value': [0, 1]}}), n_initial=1, seed=0);"
        "o.tell(0, 1.0, {'x': 0.5}); o.ask(1);"
        "sys.exit(any(name in sys.modules for name in ('sklearn', 'torch', 'nni')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

"""Earlier experiments: they help where they hold, hardly hurt where they mislead, and fit as far as their spaces do."""

from __future__ import annotations

import numpy as np
import pytest
from nni_spaces import MIXED_JSON, UNIT, policy_json
from policy_spaces import space_of

from tuun_da.search.gaussian_process import GaussianProcess
from tuun_da.search.knowledge import Knowledge, make_kernel
from tuun_da.search.optimizer import Optimizer
from tuun_da.search.space import SearchSpace
from tuun_da.search.transfer import FEWEST, EarlierExperiment, fitting_trials, trends_of

CUBE = SearchSpace.from_nni(dict.fromkeys("abcd", UNIT))


def bumpy(params):
    """One hill at (0.2, 0.7, 0.4, 0.8), and ripples."""
    x = np.array([params[name] for name in "abcd"])
    distance = np.sum((x - [0.2, 0.7, 0.4, 0.8]) ** 2)
    return float(np.exp(-4 * distance) + 0.1 * np.sin(9 * x[0]) * np.cos(7 * x[1]))


def experiment(space, value, n=60, *, shuffled=False, seed=0, noise=0.05, scale=1.0):
    """Random trials, on a scale of their own."""
    rng = np.random.default_rng(seed)
    params = space.sample(n, rng)
    values = scale * (np.array([value(each) for each in params]) + noise * rng.standard_normal(n))
    return EarlierExperiment("earlier", params, list(rng.permutation(values) if shuffled else values))


def run(n, earlier, seed, *, n_initial=5, value=bumpy, space=CUBE, surrogate="gp"):
    """The values without noise of n trials."""
    optimizer = Optimizer(space, n_initial=n_initial, seed=seed, earlier=earlier, surrogate=surrogate)
    noise = 0.05 * np.random.default_rng(seed).standard_normal(n)
    values = []
    for id in range(n):
        params = optimizer.ask(id)
        values.append(value(params))
        optimizer.tell(id, values[-1] + noise[id])
    return np.array(values), value(optimizer.recommend())


# ---- does it help, does it hurt ----


@pytest.mark.parametrize("surrogate", ["gp", "forest"])
def test_an_experiment_on_the_same_landscape_helps_at_once(surrogate):
    """Though its values were on another scale."""
    helpful = experiment(CUBE, bumpy, scale=7.0)
    n, seeds = (15, range(3)) if surrogate == "gp" else (9, range(1))
    with_it = [run(n, [helpful], seed, surrogate=surrogate) for seed in seeds]
    without = [run(n, [], seed, surrogate=surrogate) for seed in seeds]
    assert np.mean([values[5:] for values, _ in with_it]) > np.mean([values[5:] for values, _ in without]) + 0.1
    assert np.mean([last for _, last in with_it]) > np.mean([last for _, last in without])
    assert min(values[0] for values, _ in with_it) > 0.5  # what it recommends comes first


def test_an_experiment_whose_scores_were_shuffled_does_not_hurt_for_long():
    """What is recommended after 40 trials; random settings have a value of 0.2 on average, the best has 1.05."""
    misleading = [run(40, [experiment(CUBE, bumpy, shuffled=True, seed=seed)], seed)[1] for seed in range(2)]
    without = [run(40, [], seed)[1] for seed in range(2)]
    assert np.mean(misleading) > np.mean(without) - 0.25
    assert min(misleading) > 0.7


def fitted(space, value, earlier, n, seed):
    """The weights exp(log v) of the trends after n random trials, and the share of the variance left unexplained."""
    rng = np.random.default_rng(seed)
    transfer = trends_of(space, earlier, None, np.random.default_rng(0))
    points = space.sample_points(n + 150, rng)
    values = np.array([value(space.decode(point)) for point in points])
    process = GaussianProcess(make_kernel(space, Knowledge(None, transfer.trends)))
    noisy = values[:n] + 0.1 * np.std(values) * rng.standard_normal(n)
    posterior = process.fit(points[:n], noisy, np.random.default_rng(1))
    left = np.mean((posterior.predict(points[n:]).mean[0] - values[n:]) ** 2) / np.var(values)
    trends = len(transfer.trends)
    return np.exp(posterior.draws[0][len(process.prior_mean) - 2 - trends : -2]), left


def geometry(params):
    """Good is rotating and shearing a little, in any place; for policies of any size, with prob or without."""
    total = 0.0
    for name, kind in params.items():
        if name.startswith("operation"):
            place = name.removeprefix("operation")
            share, magnitude = params.get(f"prob{place}", 1.0), params[f"magnitude{place}"]
            total += share * {"rotate": 1.0, "shearX": 1.0, "invert": -1.0}.get(kind, 0.1) * (1 - abs(magnitude - 0.3))
    return total


def test_of_two_experiments_the_one_that_holds_is_believed():
    space = space_of("30")
    right = experiment(space, geometry)
    wrong = experiment(space, geometry, shuffled=True, seed=1)
    for seed in range(2):
        [believed, ignored], left = fitted(space, geometry, [right, wrong], 15, seed)
        assert believed > 3 * ignored
        assert left < fitted(space, geometry, [], 15, seed)[1] - 0.1


def test_after_forty_trials_shuffled_scores_cost_next_to_nothing():
    space = space_of("30")
    left = np.array(
        [
            [
                fitted(space, geometry, earlier, 40, seed)[1]
                for earlier in ([], [experiment(space, geometry, shuffled=True, seed=seed)])
            ]
            for seed in range(4)
        ]
    )
    assert np.mean(left[:, 1]) < np.mean(left[:, 0]) + 0.08


# ---- spaces that differ ----


def test_a_policy_space_without_probabilities_teaches_one_with_them():
    old, new = SearchSpace.from_nni(policy_json(prob=False)), space_of("30")
    earlier = experiment(old, geometry, n=80)
    points, values = fitting_trials(new, earlier)
    assert len(points) == 80
    assert list(values) == earlier.values
    first = new.decode(points[0])
    assert {name: first[name] for name in earlier.params[0]} == earlier.params[0]
    assert {first[name] for name in first if name.startswith("prob")} == {1.0}
    [believed], left = fitted(new, geometry, [earlier], 12, seed=0)
    assert left < fitted(new, geometry, [], 12, seed=0)[1]
    assert believed > 0.1


def test_of_a_policy_space_with_probabilities_one_without_learns_what_always_happens_only():
    """An operation that never happens must not become one that always does."""
    old, new = space_of("30"), SearchSpace.from_nni(policy_json(prob=False))
    rng = np.random.default_rng(0)
    never, always = (
        [params | {name: share for name in params if name.startswith("prob")} for params in old.sample(6, rng)]
        for share in (0.0, 1.0)
    )
    some = always[0] | {"prob4_2": 0.99}
    # the best is to do nothing, so what is learned must not be the types that did it
    points, values = fitting_trials(new, EarlierExperiment("e", [*never, some, *always], range(13)))
    assert list(values) == [7, 8, 9, 10, 11, 12]
    expected = [{name: params[name] for name in new.decode(points[0])} for params in always]
    assert [new.decode(point) for point in points] == expected
    assert not trends_of(new, [EarlierExperiment("e", never, [1.0] * 6)], None, rng).trends


def test_probabilities_of_sub_policies_that_are_left_out_play_no_part():
    old, new = space_of("30"), SearchSpace.from_nni(policy_json(1, 2, prob=False))
    [params] = old.sample(1, np.random.default_rng(0))
    params |= {"prob1_1": 1.0, "prob1_2": 1}
    assert len(fitting_trials(new, EarlierExperiment("e", [params], [0.5]))[0]) == 1


def test_an_experiment_on_policies_teaches_one_with_parameters_beside_them():
    """Nothing is known of these, so they stand at the middle of their prior."""
    old = SearchSpace.from_nni(policy_json(2, 2))
    new = space_of("with others")
    earlier = experiment(old, geometry, n=40)
    points, values = fitting_trials(new, earlier)
    assert list(values) == earlier.values
    settings = [new.decode(point) for point in points]
    for params, of_policy in zip(settings, earlier.params, strict=True):
        assert {name: params[name] for name in of_policy} == of_policy
    assert [params["lr"] for params in settings] == pytest.approx([1e-2] * 40)
    transfer = trends_of(new, [earlier], None, np.random.default_rng(0))
    [trend], [best] = transfer.trends, transfer.recommended
    assert any(np.array_equal(best, point) for point in points)
    fresh = new.sample(200, np.random.default_rng(1))
    expected = trend(np.array([new.encode(params) for params in fresh]))
    assert np.corrcoef(expected, [geometry(params) for params in fresh])[0, 1] > 0.4


def test_parameters_that_the_new_space_does_not_have_are_left_out():
    space = SearchSpace.from_nni({"a": UNIT, "kind": MIXED_JSON["kind"]})
    earlier = EarlierExperiment("e", [{"a": 0.25, "kind": "b", "lr": 0.1, "nested": {"_name": "x"}}] * 6, range(6))
    points, values = fitting_trials(space, earlier)
    assert [space.decode(point) for point in points] == [{"a": 0.25, "kind": "b"}] * 6
    assert list(values) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "params",
    [
        {"a": 0.5},  # kind is missing
        {"a": 2.0, "kind": "a"},
        {"a": 0.5, "kind": "z"},
        {"kind": "a", "problem": 1.0},
        {},
    ],
)
def test_trials_that_do_not_fit_are_passed_over(params):
    """A parameter whose name only begins like a probability's is no probability."""
    space = SearchSpace.from_nni({"a": UNIT, "kind": MIXED_JSON["kind"], "problem": UNIT})
    good = {"a": 0.5, "kind": "a", "problem": 0.5}
    points, values = fitting_trials(space, EarlierExperiment("e", [good, params, good], [1, 2, 3]))
    assert len(points) == 2
    assert list(values) == [1, 3]


@pytest.mark.parametrize("n", [0, FEWEST - 1])
def test_an_experiment_of_too_few_fitting_trials_says_nothing(n):
    few = experiment(CUBE, bumpy, n=n)
    foreign = experiment(SearchSpace.from_nni({"z": UNIT}), lambda params: params["z"])
    transfer = trends_of(CUBE, [few, foreign], None, np.random.default_rng(0))
    assert transfer.trends == transfer.recommended == ()
    assert run(8, [few, foreign], 0)[0] == pytest.approx(run(8, [], 0)[0])


def test_a_trend_is_on_the_scale_of_a_deviation_and_repeats_what_the_experiment_saw():
    earlier = experiment(CUBE, bumpy, n=40, noise=0.0, scale=1e6)
    transfer = trends_of(CUBE, [earlier], None, np.random.default_rng(0))
    [trend], [best] = transfer.trends, transfer.recommended
    points, values = fitting_trials(CUBE, earlier)
    assert np.mean(trend(points)) == pytest.approx(0, abs=1e-9)
    assert np.std(trend(points)) == pytest.approx(1)
    assert np.corrcoef(trend(points), values)[0, 1] > 0.9
    assert any(np.array_equal(best, point) for point in points)
    assert CUBE.decode(best) in earlier.params


@pytest.mark.parametrize("values", [[3.0] * 6, [0.0] * 6, [1e308, -1e308] * 3])
def test_values_that_are_all_equal_or_extreme_stop_nothing(values):
    earlier = EarlierExperiment("e", CUBE.sample(6, np.random.default_rng(0)), values)
    optimizer = Optimizer(CUBE, n_initial=2, seed=0, earlier=[earlier])
    for id in range(5):
        optimizer.tell(id, bumpy(optimizer.ask(id)))
    CUBE.validate(optimizer.recommend())


def test_what_experiments_recommend_comes_after_the_initial_settings_and_random_search_knows_nothing():
    earlier = [experiment(CUBE, bumpy, seed=seed) for seed in (0, 1)]
    recommended = [CUBE.decode(point) for point in trends_of(CUBE, earlier, None, np.random.default_rng(5)).recommended]
    initial = [dict.fromkeys("abcd", 0.5), dict.fromkeys("abcd", 0.25)]
    optimizer = Optimizer(CUBE, n_initial=3, seed=0, earlier=earlier, initial=initial)
    asked = [optimizer.ask(id) for id in range(4)]
    assert asked[:2] == initial
    assert all(params in [*earlier[0].params, *earlier[1].params] for params in asked[2:])
    assert len(recommended) == 2
    with_them, without = (
        Optimizer(CUBE, surrogate="random", seed=0, earlier=earlier, initial=initial).ask(0),
        Optimizer(CUBE, surrogate="random", seed=0, initial=initial).ask(0),
    )
    assert with_them == without == initial[0]

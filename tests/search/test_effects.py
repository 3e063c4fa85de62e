"""Effects of operations: on objectives whose effects are known, they are found, with intervals that hold them."""

from __future__ import annotations

import numpy as np
import pytest

from tuun_da.operations import OPERATION_TYPES
from tuun_da.search.effects import FEWEST_TRIALS, MAGNITUDES, operation_effects
from tuun_da.search.space import SearchSpace
from tuun_da.space_file import policy_space

TYPES = ("rotate", "invert", "translateX", "equalize", "color")
GAINS = {"rotate": 0.4, "invert": -0.4}


def space_of(**options):
    return SearchSpace.from_nni(policy_space(TYPES, sub_policies=2, operations=2, **options))


def gain(params, name, magnitude_matters=False):
    """Mean over the sub-policies of the probability with which a type comes."""
    total = 0.0
    for i in (1, 2):
        for j in (1, 2):
            if params[f"operation{i}_{j}"] == name:
                m = params[f"magnitude{i}_{j}"] if magnitude_matters else 1.0
                total += params.get(f"prob{i}_{j}", 1.0) * m / 4
    return total


def objective(params):
    return 0.7 + sum(weight * gain(params, name) for name, weight in GAINS.items())


def trials(space, n, seed=0, noise=0.01, of=objective):
    rng = np.random.default_rng(seed)
    params = space.sample(n, rng)
    return params, [of(one) + noise * rng.standard_normal() for one in params]


def by_type(effects):
    return {effect.type: effect for effect in effects.types}


def test_what_helps_and_what_hurts_is_found_and_comes_first_and_last():
    effects = operation_effects(space_of(), *trials(space_of(), 80))
    assert effects.types[0].type == "rotate"
    assert effects.types[-1].type == "invert"
    assert effects.types[0].overall.low > 0
    assert effects.types[-1].overall.high < 0
    assert effects.reference == "nothing"
    assert effects.rank_correlation > 0.7
    for name in TYPES:
        expected = len(MAGNITUDES) if OPERATION_TYPES[name].has_magnitude else 1
        assert len(by_type(effects)[name].by_magnitude) == expected


def test_the_intervals_hold_the_truth():
    """One operation of four is always the type, in place of nothing: a quarter of what the objective gives for it."""
    held = []
    for seed in range(6):
        given = trials(space_of(), 60, seed, noise=0.03, of=lambda params: 0.7 + 0.4 * gain(params, "rotate"))
        effects = by_type(operation_effects(space_of(), *given))
        truth = {"rotate": 0.4 / 4, **dict.fromkeys(TYPES[1:], 0.0)}
        for name, effect in effects.items():
            held.append(effect.overall.low <= truth[name] <= effect.overall.high)
            assert effect.overall.high - effect.overall.low < 0.1
    assert np.mean(held) > 0.8


def test_noise_alone_says_nothing():
    effects = operation_effects(space_of(), *trials(space_of(), 40, of=lambda params: 0.5, noise=0.1))
    assert sum(effect.overall.is_clear for effect in effects.types) <= 1
    assert effects.rank_correlation < 0.3  # leaving out turns the mean's luck around: below 0 is usual


def test_magnitudes_are_told_apart():
    def of(params):
        return 0.5 + gain(params, "rotate", magnitude_matters=True)

    effect = by_type(operation_effects(space_of(), *trials(space_of(), 200, of=of)))["rotate"]
    means = [estimate.mean for estimate in effect.by_magnitude]
    assert means == sorted(means)
    assert means[-1] > 2 * means[0]


def test_without_an_operation_that_never_happens_the_mean_of_all_types_is_the_reference():
    space = space_of(probabilities=False)
    effects = operation_effects(space, *trials(space, 60))
    assert effects.reference == "average"
    assert effects.types[0].type == "rotate"
    assert effects.types[-1].type == "invert"
    # every question has the same weight in the mean
    answers = [estimate.mean for effect in effects.types for estimate in effect.by_magnitude]
    assert np.mean(answers) == pytest.approx(0.0, abs=1e-9)


def test_magnitudes_and_probabilities_from_a_list_and_places_with_types_of_their_own():
    json = policy_space(TYPES, sub_policies=2, operations=2)
    for i in (1, 2):
        json[f"operation{i}_1"] = {"_type": "choice", "_value": ["rotate", "invert"]}
        json[f"magnitude{i}_1"] = {"_type": "choice", "_value": [0.2, 0.8]}
        json[f"prob{i}_1"] = {"_type": "quniform", "_value": [0, 1, 0.25]}
    json["learning_rate"] = {"_type": "loguniform", "_value": [0.001, 0.1]}
    space = SearchSpace.from_nni(json)
    effects = operation_effects(space, *trials(space, 60))
    assert by_type(effects)["rotate"].overall.mean > by_type(effects)["invert"].overall.mean


def test_a_given_seed_repeats_it():
    given = trials(space_of(), 20)
    assert operation_effects(space_of(), *given) == operation_effects(space_of(), *given)


def test_too_few_trials_equal_scores_and_no_policy_give_none():
    params, values = trials(space_of(), FEWEST_TRIALS)
    assert operation_effects(space_of(), params, values) is not None
    assert operation_effects(space_of(), params[1:], values[1:]) is None
    assert operation_effects(space_of(), params, [0.5] * len(params)) is None
    assert operation_effects(space_of(), [{"x": 1}] * 20, [0.1] * 20) is None  # none of them is of the space
    plain = SearchSpace.from_nni({"x": {"_type": "uniform", "_value": [0, 1]}})
    assert operation_effects(plain, plain.sample(20, np.random.default_rng(0)), list(range(20))) is None

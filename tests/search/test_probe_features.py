"""The features of policies that a probe gives: against a plain loop, and their invariances to the last bit."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_probes import made_probe

from tuun_da.errors import ProbeError
from tuun_da.operations import OPERATION_TYPES, PUBLISHED_TYPES
from tuun_da.search.probe_features import FEATURE_NAMES, ProbeFeatures

NAMES = np.array(PUBLISHED_TYPES)
HAS_MAGNITUDE = np.array([OPERATION_TYPES[name].has_magnitude for name in PUBLISHED_TYPES])
PROBE = made_probe()
FEATURES = ProbeFeatures(PROBE, PUBLISHED_TYPES)
seeds = st.integers(0, 2**32 - 1)


def random_policies(rng, n=7, sub_policies=5, operations=2):
    """Codes of types, probabilities (one in four is 0) and magnitudes (one in four is one of the probe's)."""
    shape = (n, sub_policies, operations)
    probabilities = np.where(rng.random(shape) < 0.25, 0.0, rng.random(shape))
    magnitudes = np.where(rng.random(shape) < 0.25, rng.integers(0, 5, shape) / 4, rng.random(shape))
    return rng.integers(0, len(NAMES), shape), probabilities, magnitudes


def by_hand(types, probabilities, magnitudes):
    """The features of one policy, number by number."""
    rows = []
    for sub_policy in zip(types, probabilities, magnitudes, strict=True):
        total = np.zeros(4)
        for code, probability, magnitude in zip(*sub_policy, strict=True):
            effects = np.array(PROBE.effects[NAMES[code]])
            if HAS_MAGNITUDE[code]:
                effects = [np.interp(magnitude, PROBE.magnitudes, column) for column in effects.T]
            else:
                effects = effects[0]
            total += probability * np.array(effects)
        rows.append(total)
    return np.concatenate([np.mean(rows, axis=0), np.min(rows, axis=0), np.max(rows, axis=0)])


@settings(deadline=None)
@given(seeds, st.integers(1, 6), st.integers(1, 3))
def test_they_are_those_of_a_loop(seed, sub_policies, operations):
    policies = random_policies(np.random.default_rng(seed), 3, sub_policies, operations)
    expected = [by_hand(*policy) for policy in zip(*policies, strict=True)]
    np.testing.assert_allclose(FEATURES.effects(*policies), expected, rtol=1e-12, atol=1e-15)


@settings(deadline=None)
@given(seeds)
def test_the_order_of_the_sub_policies_changes_no_bit(seed):
    rng = np.random.default_rng(seed)
    policies = random_policies(rng, operations=3)
    order = rng.permutation(5)
    shuffled = [array[:, order] for array in policies]
    assert FEATURES.effects(*shuffled).tobytes() == FEATURES.effects(*policies).tobytes()


@settings(deadline=None)
@given(seeds)
def test_the_magnitude_of_a_type_without_one_changes_no_bit(seed):
    rng = np.random.default_rng(seed)
    types, probabilities, magnitudes = random_policies(rng)
    types = np.where(rng.random(types.shape) < 0.5, rng.choice(np.flatnonzero(~HAS_MAGNITUDE), types.shape), types)
    others = np.where(HAS_MAGNITUDE[types], magnitudes, rng.choice([0.0, 0.3, 1.0, np.nan], types.shape))
    expected = FEATURES.effects(types, probabilities, magnitudes)
    assert FEATURES.effects(types, probabilities, others).tobytes() == expected.tobytes()


@settings(deadline=None)
@given(seeds)
def test_nothing_about_an_operation_at_probability_0_changes_a_bit(seed):
    rng = np.random.default_rng(seed)
    types, probabilities, magnitudes = random_policies(rng, operations=3)
    never = probabilities == 0
    expected = FEATURES.effects(types, probabilities, magnitudes)
    types = np.where(never, rng.integers(0, len(NAMES), types.shape), types)
    magnitudes = np.where(never, rng.choice([0.0, 0.3, 1.0, np.nan], types.shape), magnitudes)
    assert FEATURES.effects(types, probabilities, magnitudes).tobytes() == expected.tobytes()


def test_a_policy_has_the_same_features_alone_and_among_others():
    policies = random_policies(np.random.default_rng(0), n=50)
    together = FEATURES.effects(*policies)
    for i in range(50):
        assert FEATURES.effects(*(array[i : i + 1] for array in policies)).tobytes() == together[i].tobytes()


def test_names_and_codes_mean_the_same():
    types, probabilities, magnitudes = random_policies(np.random.default_rng(0))
    expected = FEATURES.effects(types, probabilities, magnitudes)
    assert np.array_equal(FEATURES.effects(NAMES[types], probabilities, magnitudes), expected)
    assert np.array_equal(FEATURES.effects(NAMES[types].tolist(), probabilities, magnitudes), expected)


def test_a_policy_that_never_acts_has_no_effect():
    types, probabilities, magnitudes = random_policies(np.random.default_rng(0))
    assert not FEATURES.effects(types, np.zeros_like(probabilities), magnitudes).any()


def test_a_policy_of_one_operation_has_its_row_in_the_place_of_the_names():
    row = PROBE.effects["rotate"][3]
    [found] = FEATURES.effects([[["rotate"]]], [[[1.0]]], [[[0.75]]])
    np.testing.assert_allclose(found, np.tile(row, 3), rtol=1e-12)
    assert FEATURE_NAMES[:2] == ("mean accuracy", "mean cross_entropy")
    assert FEATURE_NAMES[4::4] == ("minimum accuracy", "maximum accuracy")


def test_beyond_the_magnitudes_of_the_probe_the_nearest_counts():
    probe = made_probe((0.1, 0.9))
    types = [[["rotate"]]] * 4
    found = ProbeFeatures(probe, PUBLISHED_TYPES).effects(
        types, np.ones((4, 1, 1)), np.array([0.0, 0.1, 0.9, 1.0])[:, None, None]
    )
    np.testing.assert_allclose(found[:, :4], np.repeat(probe.effects["rotate"], 2, axis=0), rtol=1e-12)


def test_a_probe_of_one_magnitude_counts_for_all():
    probe = made_probe((0.5,))
    found = ProbeFeatures(probe, ("rotate",)).effects([[["rotate"]]] * 2, np.ones((2, 1, 1)), [[[0.0]], [[1.0]]])
    assert np.array_equal(found[:, :4], np.repeat(probe.effects["rotate"], 2, axis=0))


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ([[["blur"]]], "operation type must be one of .*; got 'blur'"),
        ([[[16]]], "must lie in 0 to 15"),
        ([[[-1]]], "must lie in 0 to 15"),
        ([["rotate"]], r"must be of one shape .* got \(1, 1\)"),
        ([[["rotate", "invert"]]], r"must be of one shape .* got \(1, 1, 2\), \(1, 1, 1\)"),
    ],
)
def test_what_is_no_policy_is_refused(types, message):
    with pytest.raises(ProbeError, match=message):
        FEATURES.effects(types, [[[1.0]]], [[[1.0]]])


def test_thousands_of_policies_take_milliseconds():
    policies = random_policies(np.random.default_rng(0), n=5_000)
    FEATURES.effects(*policies)
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        FEATURES.effects(*policies)
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.2  # 10 ms on an idle core; loops over policies would take a second

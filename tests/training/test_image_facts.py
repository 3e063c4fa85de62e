"""Fingerprints tell images apart, and sums give the mean and deviation of any choice of them, exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tuun_da.training import image_facts
from tuun_da.training.image_facts import facts_of, fingerprints_of, pixel_statistics
from tuun_da.training.stored_images import StoredImages


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (40, 3, 6, 6), dtype=np.uint8)


def test_fingerprints_are_equal_where_all_pixels_are(images):
    images[7] = images[3]
    images[8] = images[3]
    images[8, 2, 5, 5] ^= 1
    prints = fingerprints_of(images)
    equal = prints[:, None] == prints[None, :]
    expected = (images[:, None] == images[None, :]).all(axis=(2, 3, 4))
    np.testing.assert_array_equal(equal, expected)


@pytest.mark.parametrize("part_bytes", [1, 500, 2**24])
@pytest.mark.parametrize("stored", [False, True])
def test_neither_the_parts_nor_the_place_matter(images, monkeypatch, part_bytes, stored):
    expected = facts_of(images)
    monkeypatch.setattr(image_facts, "PART_BYTES", part_bytes)
    found = facts_of(StoredImages(images) if stored else images)
    np.testing.assert_array_equal(found.fingerprints, expected.fingerprints)
    np.testing.assert_array_equal(found.sums, expected.sums)


def test_the_sums_are_those_of_values_and_squares(images):
    images[0] = 255
    wide = images.astype(np.int64)
    expected = np.stack([wide.sum(axis=(2, 3)), (wide**2).sum(axis=(2, 3))], axis=1)
    np.testing.assert_array_equal(facts_of(images).sums, expected)


def test_mean_and_deviation_of_a_choice_are_numpys(images):
    mask = np.arange(40) % 3 == 0
    mean, std = pixel_statistics(facts_of(images).chosen(mask).sums, 36)
    np.testing.assert_allclose(mean, (images[mask] / 255).mean(axis=(0, 2, 3)), rtol=1e-14)
    np.testing.assert_allclose(std, (images[mask] / 255).std(axis=(0, 2, 3)), rtol=1e-13)


def test_a_hair_above_one_colour_is_not_lost_to_rounding(monkeypatch):
    images = np.full((1000, 1, 8, 8), 254, dtype=np.uint8)
    images[0, 0, 0, 0] = 255
    share = 1 / 64000  # of the pixels, a Bernoulli variable
    monkeypatch.setattr(image_facts, "MIN_STD", 0.0)
    (mean,), (std,) = pixel_statistics(facts_of(images).sums, 64)
    assert mean == pytest.approx((254 + share) / 255, rel=1e-15)
    assert std == pytest.approx(math.sqrt(share * (1 - share)) / 255, rel=1e-15)

"""Every trial is judged on other validation images; training and test images stay."""

from __future__ import annotations

import pytest
import torch
from made_images import striped_splits

from tuun_da.errors import ConfigError
from tuun_da.training.fresh_validation import fresh_validation


def pixels(images):
    return {image.numpy().tobytes() for image in images}


def test_it_is_a_sample_of_the_validation_images_with_their_labels():
    splits = striped_splits(validation=200)
    fresh = fresh_validation(splits, 51, 0)
    label_of = {image.numpy().tobytes(): int(label) for image, label in
                zip(splits.validation_images, splits.validation_labels, strict=True)}  # fmt: skip
    assert len(pixels(fresh.validation_images)) == 51
    found = [label_of[image.numpy().tobytes()] for image in fresh.validation_images]
    assert found == fresh.validation_labels.tolist()
    assert abs(sum(found) - 25.5) < 1  # the classes in proportion
    assert fresh.train_images is splits.train_images
    assert fresh.test_images is splits.test_images


def test_numbers_and_seeds_give_other_samples_and_the_same_ones_again():
    splits = striped_splits(validation=200)
    samples = [
        pixels(fresh_validation(splits, 50, number, seed).validation_images)
        for number, seed in ((0, 0), (1, 0), (0, 1))
    ]
    assert len({frozenset(sample) for sample in samples}) == 3
    assert pixels(fresh_validation(splits, 50, 1).validation_images) == samples[1]


def test_all_images_are_drawn_from():
    splits = striped_splits(validation=60)
    drawn = set().union(*(pixels(fresh_validation(splits, 20, number).validation_images) for number in range(20)))
    assert drawn == pixels(splits.validation_images)


def test_more_than_there_are_is_an_error():
    with pytest.raises(ConfigError, match=r"validation_sample must be at most 20, .* got 21"):
        fresh_validation(striped_splits(), 21, 0)


def test_as_many_as_there_are_is_all_of_them():
    splits = striped_splits()
    assert torch.equal(fresh_validation(splits, 20, 0).validation_images, splits.validation_images)

"""Splits are disjoint, stratified, seeded, and keep identical images on one side."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from tuun_da.errors import ConfigError, DataError
from tuun_da.training.settings import DataConfig
from tuun_da.training.sources import LabelledImages, Source
from tuun_da.training.splits import make_splits, proportional


def labelled(counts, rng, *, size=4):
    """Images of noise, all different, ``counts[k]`` of class k, in mixed order."""
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int64)
    return LabelledImages(rng.integers(0, 256, (len(labels), 1, size, size), dtype=np.uint8), labels)


def source(train, **others):
    classes = int(train.labels.max()) + 1
    return Source("made", tuple(f"c{k}" for k in range(classes)), train, **others)


def keys(images):
    return [image.numpy().tobytes() for image in images]


def class_counts(labels):
    return torch.bincount(labels).tolist()


def parts(splits):
    return splits.train_images, splits.validation_images, splits.test_images


def test_every_image_is_in_exactly_one_split_with_its_label(rng):
    pool = labelled([30, 50, 20], rng)
    splits = make_splits(source(pool), DataConfig())
    assert sorted(key for part in parts(splits) for key in keys(part)) == sorted(keys(torch.from_numpy(pool.images)))
    label_of = {image.tobytes(): label for image, label in zip(pool.images, pool.labels, strict=True)}
    labels = torch.cat([splits.train_labels, splits.validation_labels, splits.test_labels])
    assert [label_of[key] for part in parts(splits) for key in keys(part)] == labels.tolist()


def test_shares_are_taken_of_what_is_left_in_the_order_test_validation_train(rng):
    config = DataConfig(test_size=0.25, validation_size=0.1, train_size=40)
    splits = make_splits(source(labelled([100, 300], rng)), config)
    assert class_counts(splits.test_labels) == [25, 75]
    assert class_counts(splits.validation_labels) == [8, 22]  # 7.5 and 22.5
    assert class_counts(splits.train_labels) == [10, 30]


def test_without_sizes_a_fifth_is_test_and_a_fifth_of_the_rest_validation(rng):
    splits = make_splits(source(labelled([100, 100], rng)), DataConfig())
    assert [len(part) for part in parts(splits)] == [128, 32, 40]


def test_a_number_of_images_for_each_class(rng):
    splits = make_splits(source(labelled([40, 90, 60], rng)), DataConfig(train_per_class=7, validation_size=30))
    assert class_counts(splits.train_labels) == [7, 7, 7]
    assert len(splits.validation_labels) == 30


def test_a_rare_class_is_in_every_split(rng):
    config = DataConfig(validation_size=0.05, test_size=0.05, train_size=20)
    splits = make_splits(source(labelled([3, 500], rng)), config)
    for labels in (splits.train_labels, splits.validation_labels, splits.test_labels):
        assert class_counts(labels)[0] == 1


def test_the_same_seed_gives_the_same_splits_and_another_seed_others(rng):
    made = source(labelled([50, 50], rng))
    first, again, other = (make_splits(made, DataConfig(train_size=20, split_seed=seed)) for seed in (0, 0, 1))
    for a, b, c in zip(parts(first)[:2], parts(again)[:2], parts(other)[:2], strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_no_split_seed_moves_a_test_image(rng):
    made = source(labelled([50, 50], rng))
    tests = [make_splits(made, DataConfig(split_seed=seed)).test_images for seed in range(4)]
    assert all(torch.equal(test, tests[0]) for test in tests)


def test_the_validation_split_does_not_depend_on_the_number_of_training_images_and_more_contain_fewer(rng):
    made = source(labelled([50, 50], rng))
    few, many = (make_splits(made, DataConfig(train_per_class=n)) for n in (5, 20))
    assert torch.equal(few.validation_images, many.validation_images)
    assert set(keys(few.train_images)) < set(keys(many.train_images))


@pytest.mark.parametrize("seed", range(5))
def test_identical_images_are_on_one_side(rng, seed):
    base = labelled([40, 40], rng)
    pool = LabelledImages(np.concatenate([base.images] * 2), np.concatenate([base.labels] * 2))
    splits = make_splits(source(pool), DataConfig(split_seed=seed, validation_size=0.3, test_size=0.3))
    train, validation, test = (set(keys(part)) for part in parts(splits))
    assert not train & validation
    assert not train & test
    assert not validation & test
    assert sum(len(part) for part in parts(splits)) == 160


def test_identical_images_of_two_classes_are_on_one_side_too(rng):
    pool = labelled([30, 30], rng)
    images = pool.images.copy()
    images[pool.labels == 1] = images[pool.labels == 0]
    splits = make_splits(source(LabelledImages(images, pool.labels)), DataConfig())
    assert not set(keys(splits.train_images)) & set(keys(splits.validation_images))


def test_a_training_image_that_is_in_test_is_dropped_and_counted(rng, caplog):
    train, test = labelled([30, 30], rng), labelled([10, 10], rng)
    test.images[:3] = train.images[:3]
    with caplog.at_level(logging.WARNING):
        splits = make_splits(source(train, test=test), DataConfig())
    assert splits.duplicates_dropped == 3
    assert "left out 3 images" in caplog.text
    assert len(splits.test_images) == 20
    assert len(splits.train_images) + len(splits.validation_images) == 57
    assert not set(keys(splits.test_images)) & set(keys(splits.train_images) + keys(splits.validation_images))


def test_own_validation_is_used_whole_or_as_much_as_was_asked_for(rng):
    made = source(labelled([30, 30], rng), validation=labelled([10, 10], rng), test=labelled([10, 10], rng))
    assert len(make_splits(made, DataConfig()).validation_labels) == 20
    assert class_counts(make_splits(made, DataConfig(validation_size=8)).validation_labels) == [4, 4]
    assert len(make_splits(made, DataConfig()).train_labels) == 60


def test_own_validation_loses_what_test_has_and_train_what_validation_has(rng):
    train, validation, test = labelled([30, 30], rng), labelled([10, 10], rng), labelled([10, 10], rng)
    train.images[:2] = validation.images[:2]
    validation.images[5] = test.images[5]
    splits = make_splits(source(train, validation=validation, test=test), DataConfig())
    assert splits.duplicates_dropped == 3
    assert [len(part) for part in parts(splits)] == [58, 19, 20]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DataConfig(validation_size=500), "validation_size must be at most .* got 500"),
        (DataConfig(test_size=500), "test_size must be at most .* got 500"),
        (DataConfig(train_size=500), "train_size must be at most 51 for made.* got 500"),
        (DataConfig(train_size=1), "train_size must be at least 1 for each of the 2 classes of made, got 1"),
        (DataConfig(train_per_class=30), "train_per_class must be at most 19 .* class c0 .* got 30"),
    ],
)
def test_more_images_than_there_are(rng, config, message):
    with pytest.raises(DataError, match=message):
        make_splits(source(labelled([30, 50], rng)), config)


def test_test_size_is_not_silently_ignored(rng):
    made = source(labelled([30, 30], rng), test=labelled([10, 10], rng))
    with pytest.raises(ConfigError, match=r"test_size is for data without a test split; made has one, got 0.2"):
        make_splits(made, DataConfig(test_size=0.2))


def test_one_class_is_none(rng):
    with pytest.raises(DataError, match="made must have at least two classes, got 1: c0"):
        make_splits(source(labelled([30], rng)), DataConfig())


def test_a_class_that_is_all_in_test_is_named(rng):
    train, test = labelled([5, 30], rng), labelled([5, 5], rng)
    test.images[test.labels == 0] = train.images[train.labels == 0]
    with pytest.raises(DataError, match="no image of class c0 is left to train on"):
        make_splits(source(train, test=test), DataConfig())


@pytest.mark.parametrize(
    ("count", "carved", "message"),
    [
        (1, 2, r"c1 \(1 different of 1\)"),
        (2, 2, r"c1 \(2 different of 2\)"),
        (1, 1, r"c1 \(1 different of 1\)"),
    ],
)
def test_a_class_of_too_few_images_for_every_split_is_named(rng, count, carved, message):
    made = source(labelled([30, count, 30], rng), test=labelled([9, 9, 9], rng) if carved == 1 else None)
    with pytest.raises(DataError, match=rf"every class needs {carved + 1} different images, .* too few has {message}"):
        make_splits(made, DataConfig())


@pytest.mark.parametrize("seed", range(5))
def test_a_class_with_one_image_for_each_split_is_in_each(rng, seed):
    splits = make_splits(source(labelled([30, 3], rng)), DataConfig(split_seed=seed))
    for labels in (splits.train_labels, splits.validation_labels, splits.test_labels):
        assert class_counts(labels)[1] == 1


def copied(counts_of_copies, others, rng):
    """Class c0 of images with so many copies each, class c1 of ``others`` different images."""
    base = labelled([len(counts_of_copies), others], rng)
    repeats = np.ones(len(base), dtype=int)
    repeats[np.flatnonzero(base.labels == 0)] = counts_of_copies
    return LabelledImages(np.repeat(base.images, repeats, axis=0), np.repeat(base.labels, repeats))


def test_a_class_that_has_no_copy_small_enough_is_named(rng):
    with pytest.raises(DataError, match=r"test_size 0\.1 finds no place for class c0 \(4 different of 20\), because"):
        make_splits(source(copied([5] * 4, 60, rng)), DataConfig(test_size=0.1))


def test_a_class_whose_images_are_all_in_another_class_is_named(rng):
    pool = labelled([30, 3], rng)
    pool.images[np.flatnonzero(pool.labels == 1)] = pool.images[np.flatnonzero(pool.labels == 0)[:3]]
    for seed in range(20):
        try:
            splits = make_splits(source(pool), DataConfig(split_seed=seed))
        except DataError as error:
            assert "c1" in str(error)  # noqa: PT017
            assert "identical images" in str(error)  # noqa: PT017
        else:
            for labels in (splits.train_labels, splits.validation_labels, splits.test_labels):
                assert class_counts(labels)[1] > 0


def test_a_class_that_goes_out_of_train_with_its_copies_of_another_class_is_named(rng):
    pool = labelled([10, 2], rng)
    pool.images[np.flatnonzero(pool.labels == 1)] = pool.images[np.flatnonzero(pool.labels == 0)[:2]]
    made, messages = source(pool, test=labelled([5, 5], rng)), []
    for seed in range(10):
        try:
            make_splits(made, DataConfig(validation_size=10, split_seed=seed))
        except DataError as error:
            messages.append(str(error))
    assert any("no image of class c1 is left to train on, because identical images" in text for text in messages)


def test_a_size_below_the_number_of_classes_is_taken_at_its_word_and_logged(rng, caplog):
    with caplog.at_level(logging.WARNING):
        splits = make_splits(source(labelled([20, 20, 20], rng)), DataConfig(validation_size=2))
    assert len(splits.validation_labels) == 2
    assert "validation_size 2 gives 2 images for 3 classes, so 1 have none: c" in caplog.text
    assert "(16 different of 16)" in caplog.text


def test_a_number_that_copies_do_not_allow_is_logged_or_refused(rng, caplog):
    pool = copied([2] * 10, 40, rng)
    with caplog.at_level(logging.WARNING):
        splits = make_splits(source(pool, test=labelled([9, 9], rng)), DataConfig(validation_size=9))
    assert len(splits.validation_labels) == 8
    assert "validation_size found only 8 images of 9, because identical" in caplog.text
    with pytest.raises(DataError, match=r"train_per_class 5 gives 4 of the .. images that class c0 of made has left"):
        make_splits(source(pool), DataConfig(train_per_class=5))
    assert class_counts(make_splits(source(pool), DataConfig(train_per_class=6)).train_labels) == [6, 6]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_split_of_the_data_sets_own_must_have_every_class(rng, split):
    with pytest.raises(DataError, match=rf"no image of class c1 is in the {split} split; add other"):
        make_splits(source(labelled([20, 20], rng), **{split: labelled([5, 0], rng)}), DataConfig())


def test_where_duplicates_took_the_images_the_error_says_so(rng):
    train, test = labelled([30, 30], rng), labelled([29, 30], rng)
    for label in (0, 1):
        ours, theirs = np.flatnonzero(train.labels == label), np.flatnonzero(test.labels == label)
        test.images[theirs[:28]] = train.images[ours[:28]]
    with pytest.raises(DataError, match=r"validation_size must be at most 2 .* \(56 duplicates of .* dropped .*got 3"):
        make_splits(source(train, test=test), DataConfig(validation_size=3))
    with pytest.raises(DataError, match=r"train_per_class must be at most 1 .* \(56 duplicates .*got 2"):
        make_splits(source(train, test=test), DataConfig(validation_size=2, train_per_class=2))
    validation = LabelledImages(test.images[:12].copy(), test.labels[:12].copy())
    with pytest.raises(DataError, match=r"c0, c1 is in the validation split: 12 .* occur again in the test split"):
        make_splits(source(labelled([30, 30], rng), validation=validation, test=test), DataConfig())


def test_what_was_left_out_is_told_in_short(rng):
    made = source(labelled([20, 20], rng), skipped=tuple(f"{k}.png" for k in range(9)), ignored_files=2)
    assert make_splits(made, DataConfig()).left_out == {
        "skipped": 9,
        "first_skipped": ["0.png", "1.png", "2.png", "3.png", "4.png"],
        "ignored_files": 2,
        "duplicates_dropped": 0,
    }


def test_mean_and_std_are_those_of_the_training_images(rng):
    images = rng.integers(0, 256, (2500, 3, 4, 4), dtype=np.uint8)
    images[:, 1] = 77
    splits = make_splits(source(LabelledImages(images, np.arange(2500) % 2)), DataConfig())
    train = splits.train_images.double() / 255
    np.testing.assert_allclose(splits.mean, train.mean(dim=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(splits.std[::2], train.std(dim=(0, 2, 3), correction=0)[::2], rtol=1e-9)
    assert splits.std[1] == 1e-3  # one colour: nothing to divide by


def test_what_the_splits_say_of_themselves_comes_from_the_data(rng):
    splits = make_splits(source(labelled([20, 20, 20], rng, size=6)), DataConfig())
    assert (splits.num_classes, splits.channels, splits.image_size) == (3, 1, 6)
    assert splits.describe() == "made: 38 train, 10 validation, 12 test images of 3 classes, 6x6 pixels, 1 channel"
    for part in parts(splits):
        assert part.dtype == torch.uint8
    assert splits.train_labels.dtype == torch.int64


def test_to_moves_every_tensor(rng):
    moved = make_splits(source(labelled([20, 20], rng)), DataConfig()).to("meta")
    tensors = [value for value in vars(moved).values() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 6
    assert all(tensor.device.type == "meta" for tensor in tensors)


def test_proportional_gives_the_total_within_the_limits(rng):
    for _ in range(300):
        counts = rng.integers(1, 200, rng.integers(2, 12))
        limits = np.maximum(counts - rng.integers(0, 3), 0)
        if not limits.sum():
            continue
        total = int(rng.integers(1, limits.sum() + 1))
        given = proportional(counts, limits, total)
        assert given.sum() == total
        assert (given >= 0).all()
        assert (given <= limits).all()
        if total >= len(counts):
            assert (given[limits > 0] >= 1).all()

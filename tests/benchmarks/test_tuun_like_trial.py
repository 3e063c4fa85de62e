"""The rendering of Tuun's trial: it learns, it does to images what ours does, and it says what it cannot."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from benchmarks.augment_works import random_policy
from benchmarks.tuun_like_trial import PillowImages, train_like_tuun
from tuun_da.augment.policy import Policy
from tuun_da.errors import ConfigError
from tuun_da.operations import Operation, SubPolicy
from tuun_da.training.schedule import TrainConfig

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from made_images import striped_splits

CPU = torch.device("cpu")
CONFIG = TrainConfig(model="child_cnn", epochs=3, batch_size=16, learning_rate=0.02)


@pytest.fixture(scope="module")
def splits():
    return striped_splits(train=40, channels=3, size=12)


@pytest.mark.parametrize("workers", [0, 2])
def test_it_learns_what_anyone_can_tell_apart(splits, workers):
    curve = []
    train_like_tuun(CONFIG, splits, random_policy(0)[:1], CPU, curve.append, workers=workers)
    assert len(curve) == 3
    assert curve[-1] > 0.9


def test_chance_is_afterwards_as_before(splits):
    before = torch.get_rng_state(), torch.backends.cudnn.benchmark
    train_like_tuun(CONFIG, splits, None, CPU, lambda accuracy: None, workers=0)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.backends.cudnn.benchmark == before[1]


def pixels(dataset, numbers, splits):
    """uint8 of the samples, back from what torchvision normalized."""
    samples = torch.stack([image for image, _ in dataset.__getitems__(numbers)])
    mean, std = torch.tensor(splits.mean).view(3, 1, 1), torch.tensor(splits.std).view(3, 1, 1)
    return ((samples * std + mean) * 255).round().to(torch.uint8)


def test_without_a_policy_the_images_are_as_they_are(splits):
    dataset = PillowImages(splits.train_images, splits.train_labels, splits, None, 0)
    assert torch.equal(pixels(dataset, [3, 5], splits), splits.train_images[[3, 5]])
    assert dataset[3][1] == splits.train_labels[3]
    assert len(dataset) == 40


def test_a_policy_does_to_an_image_what_ours_does(splits):
    sub_policies = [SubPolicy((Operation("invert", 1.0, 0.5), Operation("posterize", 1.0, 1.0)))]
    dataset = PillowImages(splits.train_images, splits.train_labels, splits, sub_policies, 0)
    ours = Policy.from_sub_policies(sub_policies)(splits.train_images[:8])
    assert torch.equal(pixels(dataset, list(range(8)), splits), ours)


def test_one_sub_policy_is_drawn_for_a_mini_batch_and_all_of_them_in_turn(splits):
    always = [Operation("invert", 1.0, 0.0), Operation("solarize", 1.0, 1.0)]
    changes = [SubPolicy((always[0],)), SubPolicy((Operation("invert", 0.0, 0.0),))]
    dataset = PillowImages(splits.train_images, splits.train_labels, splits, changes, 0)
    inverted = 255 - splits.train_images[:4]
    seen = Counter()
    for _ in range(40):
        found = pixels(dataset, [0, 1, 2, 3], splits)
        kinds = {(torch.equal(one, opposite)) for one, opposite in zip(found, inverted, strict=True)}
        assert len(kinds) == 1
        seen[kinds.pop()] += 1
    assert min(seen[True], seen[False]) > 8


def test_the_workers_do_not_all_draw_the_same(splits):
    half = [SubPolicy((Operation("invert", 0.5, 0.0),))]
    dataset = PillowImages(splits.train_images[:1].repeat(64, 1, 1, 1), torch.arange(64), splits, half, 0)
    loader = torch.utils.data.DataLoader(dataset, batch_size=32, num_workers=2)
    first, second = (images for images, _ in loader)
    assert not torch.equal(first, second)


def test_images_of_one_channel_are_refused():
    with pytest.raises(ConfigError, match=r"3 channels .* got 1"):
        train_like_tuun(CONFIG, striped_splits(), None, CPU, lambda accuracy: None, workers=0)


@pytest.mark.cuda
def test_it_learns_on_a_gpu_in_half_precision(splits):
    curve = []
    train_like_tuun(CONFIG, splits, random_policy(0)[:1], torch.device("cuda"), curve.append, workers=2)
    assert curve[-1] > 0.9

"""Folders of large images, and of more than memory holds, train as small ones do."""

from __future__ import annotations

import logging
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_images import random_image, write_classes
from PIL import Image
from torch import nn

from tuun_da.augment.policy import Policy
from tuun_da.operations import Operation, SubPolicy
from tuun_da.training import decoded_cache, free_memory, image_facts, image_files
from tuun_da.training.batches import placed
from tuun_da.training.datasets import load_splits
from tuun_da.training.loop import train
from tuun_da.training.probe import measure_probe
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig
from tuun_da.training.stored_images import StoredImages

POLICY = Policy.from_sub_policies([SubPolicy((Operation("rotate", 0.7, 0.5), Operation("invert", 0.2, 0.0)))])
FLIP = Policy.from_sub_policies([SubPolicy((Operation("randomHorizontalFlip", 1.0, 1.0),))])
CPU = torch.device("cpu")
SPLITS = ("train", "validation", "test")


def tiny_net(num_classes, channels, image_size):
    return nn.Sequential(
        nn.Conv2d(channels, 4, 5, stride=4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, num_classes),
    )


def config(**settings):
    return TrainConfig(**{"model": "test_large_folders:tiny_net", "epochs": 2, "batch_size": 8, **settings})


@pytest.fixture
def little_memory(monkeypatch):
    """No image may lie in memory, once it is called."""
    return lambda: monkeypatch.setattr(free_memory, "SHARE_OF_FREE_MEMORY", 0.0)


@pytest.fixture
def both(tmp_path, rng, little_memory):
    """The splits of one folder, in memory and in a file; among them copies, and an image that is also in test."""
    write_classes(tmp_path / "train", rng, per_class=30)
    write_classes(tmp_path / "test", rng, per_class=6)
    image = random_image(rng)
    for path in ("train/cat/x", "train/cat/y", "train/dog/x", "test/dog/x"):
        image.save(tmp_path / f"{path}.png")
    settings = DataConfig(data=f"folder:{tmp_path}", train_size=40, validation_size=12)
    in_memory = load_splits(settings)
    little_memory()
    return in_memory, load_splits(settings)


def test_what_does_not_fit_stays_in_its_file_and_is_the_same(both):
    in_memory, stored = both
    for split in SPLITS:
        there, here = (getattr(splits, f"{split}_images") for splits in both)
        assert isinstance(there, torch.Tensor)
        assert isinstance(here, StoredImages)
        assert torch.equal(there, here[:])
        assert torch.equal(getattr(in_memory, f"{split}_labels"), getattr(stored, f"{split}_labels"))
    assert stored.describe() == in_memory.describe()
    assert stored.duplicates_dropped == in_memory.duplicates_dropped == 3
    assert torch.bincount(stored.train_labels).tolist() == [20, 20]


def test_mean_and_deviation_are_those_of_the_chosen_training_images(both):
    in_memory, stored = both
    assert (stored.mean, stored.std) == (in_memory.mean, in_memory.std)
    pixels = in_memory.train_images.double() / 255
    np.testing.assert_allclose(stored.mean, pixels.mean(dim=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(stored.std, pixels.std(dim=(0, 2, 3), correction=0), rtol=1e-12)


@pytest.mark.parametrize("policy", [None, POLICY])
def test_a_training_from_a_file_is_the_same_bit_for_bit(both, policy):
    def result(splits):
        weights = []
        trained = train(
            config(epochs=3), splits, policy, CPU, evaluate_test=True,
            on_trained=lambda classify: weights.append(classify(splits.test_images[:5])),
        )  # fmt: skip
        return replace(trained, seconds=0.0, startup_seconds=0.0), weights[0]

    (there, logits_there), (here, logits_here) = (result(splits) for splits in both)
    assert here == there
    assert torch.equal(logits_here, logits_there)


def test_a_probe_from_a_file_is_the_same(both):
    records = [measure_probe(config(), splits, CPU, types=("rotate", "invert"), max_images=10) for splits in both]
    assert records[0].effects == records[1].effects
    assert records[0].baseline == records[1].baseline


def test_only_what_a_trial_uses_has_to_fit(tmp_path, rng, monkeypatch):
    write_classes(tmp_path, rng, per_class=50)
    image_bytes = 16 * 16 * 3
    monkeypatch.setattr(free_memory, "free_bytes", lambda: 50 * image_bytes / free_memory.SHARE_OF_FREE_MEMORY)
    settings = DataConfig(data=f"folder:{tmp_path}", validation_size=10, test_size=20)
    assert isinstance(load_splits(replace(settings, train_size=20)).train_images, torch.Tensor)
    assert isinstance(load_splits(replace(settings, train_size=21)).train_images, StoredImages)


def test_the_memory_never_holds_all_images(tmp_path, rng, monkeypatch, little_memory):
    root, other = tmp_path / "images", tmp_path / "other"
    load_splits(DataConfig(data=f"folder:{write_classes(other, rng)}"))  # loads modules, which take memory, too
    write_classes(root, rng, classes=("grey",), per_class=150, mode="L", size=(64, 64))
    write_classes(root, rng, classes=("with colour",), per_class=150, size=(64, 64))  # all are written anew for it
    little_memory()
    monkeypatch.setattr(image_files, "FILES_AT_ONCE", 2)
    monkeypatch.setattr(image_facts, "PART_BYTES", 2**16)
    monkeypatch.setattr(decoded_cache, "WRITTEN_AT_ONCE", 2**17)
    everything = 300 * 3 * 64 * 64
    for _ in range(2):
        tracemalloc.start()
        try:
            splits = load_splits(DataConfig(data=f"folder:{root}"))
            for _ in placed(splits.train_images, splits.train_labels, CPU, 8).in_order():
                pass
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert splits.channels == 3
        assert peak < everything / 2


def test_on_the_cpu_stored_splits_stay_stored(both):
    _, stored = both
    moved = stored.to("cpu")
    assert isinstance(moved.train_images, StoredImages)
    assert stored.to("meta").train_images.shape == stored.train_images.shape


@pytest.mark.parametrize("stored", [False, True])
def test_photographs_of_224_pixels_train_without_a_hitch(tmp_path, rng, caplog, little_memory, stored):
    for name, colour in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
        (tmp_path / name).mkdir()
        for number in range(24):
            size = tuple(rng.integers(224, 400, 2).tolist()) if number % 3 else (224, 224)
            noise = np.asarray(random_image(rng, size=size), dtype=float)
            pixels = (0.5 * noise + 0.5 * np.array(colour)).astype(np.uint8)
            image = Image.fromarray(pixels)
            image.save(tmp_path / name / f"{number}.jpg", quality=90)
    if stored:
        little_memory()
    with caplog.at_level(logging.WARNING):
        splits = load_splits(DataConfig(data=f"folder:{tmp_path}", image_size=224))
    assert not caplog.records
    assert (splits.channels, splits.image_size) == (3, 224)
    assert isinstance(splits.train_images, StoredImages if stored else torch.Tensor)
    result = train(config(epochs=15, learning_rate=0.05), splits, FLIP, CPU, evaluate_test=True)
    assert result.score == 1.0
    assert result.test_score == 1.0

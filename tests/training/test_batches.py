"""Mini-batches are the same wherever the images lie."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from tuun_da.training.batches import BATCHES_AHEAD, Batches, placed
from tuun_da.training.stored_images import StoredImages

CPU = torch.device("cpu")


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (50, 3, 6, 6), dtype=np.uint8)


LABELS = torch.arange(50)


def both(images, batch_size):
    """The same batches from memory and from a file."""
    return (placed(made, LABELS, CPU, batch_size) for made in (torch.from_numpy(images), StoredImages(images)))


def epochs(batches, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return [*batches.shuffled(generator), *batches.in_order(), *batches.shuffled(generator)]


@pytest.mark.parametrize("batch_size", [1, 7, 25, 50, 64])
def test_batches_from_a_file_are_those_from_memory(images, batch_size):
    memory, file = (epochs(batches) for batches in both(images, batch_size))
    assert len(memory) == len(file)
    for (images_there, labels_there), (images_here, labels_here) in zip(memory, file, strict=True):
        assert torch.equal(images_there, images_here)
        assert torch.equal(labels_there, labels_here)


def test_images_keep_their_labels_and_come_once_an_epoch(images):
    for batches in both(images, 8):
        seen = []
        for part, labels in batches.shuffled(torch.Generator().manual_seed(0)):
            np.testing.assert_array_equal(part, images[labels])
            seen += labels.tolist()
        assert len(seen) == len(set(seen)) == 48
        assert seen != sorted(seen)
        assert [len(labels) for _, labels in batches.in_order()] == [8] * 6 + [2]


def test_a_transform_that_works_in_place_changes_no_image_of_a_file(images):
    before = images.copy()
    for part, _ in placed(StoredImages(images), LABELS, CPU, 8).in_order():
        part.zero_()
    np.testing.assert_array_equal(images, before)


class Counting(StoredImages):
    """Knows how often it was read, and by which thread; the third time it may fail."""

    def __init__(self, images, *, fails=False):
        super().__init__(images)
        self.threads, self.fails = [], fails

    def __getitem__(self, index):
        self.threads.append(threading.current_thread())
        if self.fails and len(self.threads) == 3:
            raise OSError("the disk is gone")
        return super().__getitem__(index)


def test_a_file_is_read_beside_the_computation_and_not_further_ahead_than_said(images):
    counting = Counting(images)
    for number, _ in enumerate(Batches(counting, LABELS, CPU, 2).shuffled(torch.Generator()), 1):
        assert len(counting.threads) <= number + BATCHES_AHEAD + 1
    assert len(counting.threads) == 25
    assert threading.main_thread() not in counting.threads


def test_a_training_that_stops_early_or_fails_leaves_no_thread(images):
    before = threading.active_count()
    for _ in Batches(Counting(images), LABELS, CPU, 2).in_order():
        break
    assert threading.active_count() == before
    with pytest.raises(OSError, match="the disk is gone"):
        list(Batches(Counting(images, fails=True), LABELS, CPU, 2).in_order())
    assert threading.active_count() == before


@pytest.mark.cuda
@pytest.mark.parametrize("fits", [True, False])
def test_on_a_gpu_the_batches_are_the_same(images, monkeypatch, fits):
    monkeypatch.setattr("tuun_da.training.batches.MAX_SHARE_OF_FREE_MEMORY", 0.4 if fits else 0.0)
    device = torch.device("cuda", 0)
    expected = epochs(placed(torch.from_numpy(images), LABELS, CPU, 8))
    for made in (torch.from_numpy(images), StoredImages(images)):
        batches = placed(made, LABELS, device, 8)
        assert (batches.images.device == device) == fits
        for (images_there, labels_there), (images_here, labels_here) in zip(expected, epochs(batches), strict=True):
            assert images_here.device == labels_here.device == device
            assert torch.equal(images_there, images_here.cpu())
            assert torch.equal(labels_there, labels_here.cpu())

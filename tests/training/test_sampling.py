"""Shuffled epochs hold every image, balanced ones every class equally often."""

from __future__ import annotations

import pytest
import torch

from tuun_da.training.sampling import SAMPLINGS, epoch_order
from tuun_da.training.schedule import SAMPLING_NAMES

LABELS = torch.tensor([0] * 50 + [1] * 3 + [3] * 7)  # 2 has no image


def order(count, sampling, seed=0):
    return epoch_order(LABELS, count, sampling, torch.Generator().manual_seed(seed))


def test_a_shuffled_epoch_holds_every_image_once():
    assert sorted(order(60, "shuffled").tolist()) == list(range(60))
    assert len(set(order(40, "shuffled").tolist())) == 40


@pytest.mark.parametrize("count", [1, 2, 30, 60, 61, 200])
def test_a_balanced_epoch_holds_every_class_equally_often(count):
    found = order(count, "balanced")
    assert len(found) == count
    counts = torch.bincount(LABELS[found], minlength=4)[[0, 1, 3]]
    assert counts.max() - counts.min() <= 1


def test_no_image_of_a_class_comes_again_before_all_others_have_come():
    counts = torch.bincount(order(60, "balanced"), minlength=60)
    assert counts[:50].max() == 1
    assert set(counts[50:53].tolist()) == {6, 7}
    assert set(counts[53:].tolist()) == {2, 3}


def test_the_classes_of_a_balanced_epoch_are_mixed():
    labels = LABELS[order(60, "balanced")]
    assert len(labels[:20].unique()) == 3
    assert (labels[1:] != labels[:-1]).sum() > 20


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_generator_decides(sampling):
    assert torch.equal(order(60, sampling), order(60, sampling))
    assert not torch.equal(order(60, sampling), order(60, sampling, seed=1))


def test_an_epoch_of_every_class_takes_the_odd_image_from_any_class():
    odd = {int(torch.bincount(LABELS[order(4, "balanced", seed)], minlength=4).argmax()) for seed in range(30)}
    assert odd == {0, 1, 3}


def test_the_settings_know_the_same_names():
    assert SAMPLING_NAMES == SAMPLINGS

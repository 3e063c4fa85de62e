"""Augmenting several mini-batches at once changes no pixel of them."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from tuun_da.augment.named import BASELINES, build_transform
from tuun_da.augment.policy import Policy
from tuun_da.operations import OPERATION_TYPES, Operation, SubPolicy
from tuun_da.training.augmented import IMAGES_AT_ONCE, augmented


def batches(n, size, *, side=12, channels=3):
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.randint(0, 256, (size, channels, side, side), dtype=torch.uint8, generator=generator),
            torch.arange(size),
        )
        for _ in range(n)
    ]


def policy(per="batch", unchanged_share=0.0):
    """Every type once."""
    names = list(OPERATION_TYPES)
    pairs = zip(names, names[7:] + names[:7], strict=True)
    sub_policies = [SubPolicy((Operation(a, 0.7, 0.6), Operation(b, 0.8, 0.3))) for a, b in pairs]
    return Policy.from_sub_policies(sub_policies, per=per, unchanged_share=unchanged_share)


TRANSFORMS = {
    **{name: (lambda name=name: build_transform(name, None)) for name in BASELINES if name != "none"},
    "policy per batch": policy,
    "policy per image": lambda: policy("image", 0.2),
    "etp+search": lambda: build_transform("etp+search", policy().to_params()),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_together_is_as_one_by_one(name):
    transform, given = TRANSFORMS[name](), batches(70, 16)
    assert 16 * len(given) > IMAGES_AT_ONCE
    one_by_one = torch.Generator().manual_seed(5)
    together = torch.Generator().manual_seed(5)
    expected = [transform(images, generator=one_by_one) for images, _ in given]
    found = list(augmented(given, transform, together, 16))
    assert len(found) == len(given)
    for images, (result, labels), (_, given_labels) in zip(expected, found, given, strict=True):
        assert torch.equal(labels, given_labels)
        assert torch.equal(result, images)
    assert torch.equal(one_by_one.get_state(), together.get_state())


def test_no_more_batches_are_taken_than_are_worked_on_together():
    taken = []

    def counted():
        for batch in batches(200, 16):
            taken.append(batch)
            yield batch

    list(islice(augmented(counted(), policy(), torch.Generator(), 16), 1))
    assert len(taken) == IMAGES_AT_ONCE // 16


def test_of_large_images_fewer_are_taken(monkeypatch):
    given, taken = batches(6, 4, side=64), []
    monkeypatch.setattr("tuun_da.training.augmented.BYTES_AT_ONCE", 2 * given[0][0].nbytes)

    def counted():
        for batch in given:
            taken.append(batch)
            yield batch

    list(islice(augmented(counted(), policy(), torch.Generator(), 4), 1))
    assert len(taken) == 2


def test_batches_of_different_sizes_stay_what_they_are():
    given = batches(3, 5) + batches(1, 2)
    found = list(augmented(given, policy(), torch.Generator().manual_seed(0), 5))
    assert [len(images) for images, _ in found] == [5, 5, 5, 2]


def test_a_transform_of_the_users_gets_one_mini_batch_at_a_time():
    sizes = []

    def own(images, *, generator):
        sizes.append(len(images))
        return images

    list(augmented(batches(4, 16), own, torch.Generator(), 16))
    assert sizes == [16] * 4

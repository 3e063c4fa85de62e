"""Two policies are one if no image could tell them apart by how they are written."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tuun_da.augment.policy import Policy
from tuun_da.engines.policy_identity import policy_digest, policy_key
from tuun_da.operations import OPERATION_TYPES, Operation, SubPolicy
from tuun_da.policy_format import PolicyRecord


def policy(*sub_policies):
    return tuple(SubPolicy(tuple(Operation(*operation) for operation in operations)) for operations in sub_policies)


ROTATE, INVERT = ("rotate", 0.5, 0.25), ("invert", 0.25, 0.75)
BASE = policy((ROTATE, INVERT), (INVERT, ROTATE))


@pytest.mark.parametrize(
    "same",
    [
        policy((INVERT, ROTATE), (ROTATE, INVERT)),  # the order of sub-policies
        policy((ROTATE, ("invert", 0.25, 0.1)), (INVERT, ROTATE)),  # a type without magnitude
        policy((ROTATE, INVERT, ("shearX", 0.0, 0.3)), (INVERT, ROTATE)),  # never happens
        policy((ROTATE, ("randomHorizontalFlip", 0.5, 0.0), INVERT), (INVERT, ROTATE)),  # flips no image
        policy((("posterize", 1.0, 0.1), ROTATE, INVERT), (INVERT, ROTATE, ("solarize", 1.0, 0.0))),  # as it is
    ],
)
def test_the_same_policy_in_other_words(same):
    assert policy_key(same) == policy_key(BASE)
    assert policy_digest(PolicyRecord(same)) == policy_digest(PolicyRecord(BASE))


@pytest.mark.parametrize(
    "other",
    [
        policy((ROTATE, INVERT), (ROTATE, INVERT)),  # the order within a sub-policy
        policy((ROTATE, INVERT), (INVERT, ROTATE), (INVERT, ROTATE)),  # another mixture
        policy((ROTATE, INVERT), (INVERT, ("rotate", 0.5, 0.26))),
        policy((ROTATE, INVERT), (INVERT, ("shearX", 0.5, 0.25))),
    ],
)
def test_another_policy(other):
    assert policy_key(other) != policy_key(BASE)
    assert policy_digest(PolicyRecord(other)) != policy_digest(PolicyRecord(BASE))


def test_how_it_is_applied_is_part_of_the_digest():
    base = PolicyRecord(BASE)
    assert (
        len({policy_digest(one) for one in (base, replace(base, per="image"), replace(base, unchanged_share=0.2))}) == 3
    )
    assert policy_digest(replace(base, searched={"score": 1.0})) == policy_digest(base)


@pytest.mark.parametrize("name", OPERATION_TYPES)
def test_what_is_said_to_do_nothing_leaves_images_as_they_are(name):
    images = torch.randint(0, 256, (32, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for magnitude in (0.0, 0.5):
        record = PolicyRecord(policy(((name, 1.0, magnitude),)))
        augmented = Policy.from_record(record)(images, generator=torch.Generator().manual_seed(1))
        assert OPERATION_TYPES[name].does_nothing_at(magnitude) == torch.equal(augmented, images)

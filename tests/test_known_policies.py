"""The published policies are those of torchvision's own tables, and say the same strengths in our types."""

from __future__ import annotations

import pytest
from torchvision.transforms.autoaugment import AutoAugment, AutoAugmentPolicy

from tuun_da.augment.policy import Policy
from tuun_da.known_policies import KNOWN_POLICIES
from tuun_da.operations import OPERATION_TYPES

ORACLES = {"autoaugment-cifar10": AutoAugmentPolicy.CIFAR10, "autoaugment-svhn": AutoAugmentPolicy.SVHN}


def test_every_published_policy_has_an_oracle():
    assert set(KNOWN_POLICIES) - {"none", "etp"} == set(ORACLES)


@pytest.mark.parametrize("name", ORACLES)
def test_types_and_probabilities_are_the_published_ones_in_their_order(name):
    oracle = AutoAugment(ORACLES[name]).policies
    ours = [
        tuple((operation.type.lower(), operation.probability) for operation in sub_policy.operations)
        for sub_policy in KNOWN_POLICIES[name]
    ]
    assert ours == [tuple((kind.lower(), probability) for kind, probability, _ in pair) for pair in oracle]


@pytest.mark.parametrize("name", ORACLES)
def test_every_operation_is_as_strong_as_torchvisions(name):
    oracle = AutoAugment(ORACLES[name])
    space = oracle._augmentation_space(10, (32, 32))
    for sub_policy, pair in zip(KNOWN_POLICIES[name], oracle.policies, strict=True):
        for operation, (kind, _, level) in zip(sub_policy.operations, pair, strict=True):
            values, signed = space[kind]
            assert OPERATION_TYPES[operation.type].signed == signed
            assert OPERATION_TYPES[operation.type].has_magnitude == (level is not None)
            if level is None:
                continue
            unit = 32 if kind.startswith("Translate") else 1  # torchvision's are pixels, ours a share of the side
            # torchvision's solarize starts from 255, the paper's and ours from 256
            tolerance = 1.0 if kind == "Solarize" else 1e-5
            assert operation.value * unit == pytest.approx(float(values[level]), abs=tolerance)


@pytest.mark.parametrize("name", ORACLES)
def test_a_transform_can_be_made_of_it(name):
    assert len(Policy.from_sub_policies(KNOWN_POLICIES[name], per="image").record.sub_policies) == 25

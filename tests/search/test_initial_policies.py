"""Known policies as settings of a space: the same policy, cut and filled to the size that the space has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nni_spaces import MIXED_JSON, UNIT, policy_json
from policy_spaces import BESIDE, levels_json, space_of

from tuun_da.augment.policy import Policy
from tuun_da.errors import SearchSpaceError
from tuun_da.known_policies import KNOWN_POLICIES
from tuun_da.operations import Operation, SubPolicy
from tuun_da.policy_format import sub_policies_from_parameters
from tuun_da.search.initial_policies import settings_of_policy
from tuun_da.search.space import SearchSpace

AUTOAUGMENT = KNOWN_POLICIES["autoaugment-cifar10"]


def settings_in(json, name):
    return settings_of_policy(SearchSpace.from_nni(json), name, KNOWN_POLICIES[name])


def one(kind, probability=1.0, magnitude=0.5):
    return Operation(kind, probability, magnitude)


@pytest.mark.parametrize("name", ["autoaugment-cifar10", "autoaugment-svhn"])
def test_autoaugment_is_its_five_policies_again(name):
    found = settings_in(policy_json(), name)
    assert len(found) == 5
    joined = [sub_policy for params in found for sub_policy in sub_policies_from_parameters(params)]
    assert tuple(joined) == KNOWN_POLICIES[name]


@pytest.mark.parametrize(("name", "shares"), [("none", {0.0}), ("etp", {1.0})])
def test_the_two_baselines_are_one_setting_each(name, shares):
    [params] = settings_in(policy_json(), name)
    assert {value for key, value in params.items() if key.startswith("prob")} == shares
    assert sub_policies_from_parameters(params) == KNOWN_POLICIES[name]


@pytest.mark.parametrize(("sub_policies", "n_settings"), [(1, 25), (2, 12), (3, 8), (10, 2), (25, 1)])
def test_a_longer_policy_is_cut_and_the_rest_is_left_out(sub_policies, n_settings):
    found = settings_in(policy_json(sub_policies), "autoaugment-cifar10")
    assert len(found) == n_settings
    joined = [sub_policy for params in found for sub_policy in sub_policies_from_parameters(params)]
    assert tuple(joined) == AUTOAUGMENT[: n_settings * sub_policies]


def test_a_shorter_policy_comes_again_in_turn():
    [params] = settings_in(policy_json(30), "autoaugment-svhn")
    found = sub_policies_from_parameters(params)
    assert found == (*KNOWN_POLICIES["autoaugment-svhn"], *KNOWN_POLICIES["autoaugment-svhn"][:5])


def test_shorter_sub_policies_are_filled_with_what_never_happens():
    [params] = settings_of_policy(space_of("3x4"), "mine", [SubPolicy((one("rotate"), one("invert", 0.5, 0.0)))])
    for sub_policy in sub_policies_from_parameters(params):
        assert sub_policy.operations[:2] == (one("rotate"), one("invert", 0.5, 0.0))
        assert {operation.probability for operation in sub_policy.operations[2:]} == {0.0}


def test_what_stands_beside_the_policy_is_at_the_middle_of_its_prior():
    space = SearchSpace.from_nni(policy_json() | BESIDE | {"n": MIXED_JSON["n"]})
    for params in settings_of_policy(space, "etp", KNOWN_POLICIES["etp"]):
        assert params["lr"] == pytest.approx(0.01)
        assert params["n"] == 5
        assert params["optimizer"]["_name"] in ("sgd", "adam")
        space.validate(params)


def test_without_probabilities_a_policy_that_always_acts_can_be_written():
    [params] = settings_in(policy_json(prob=False), "etp")
    assert len(params) == 20
    assert {params[f"operation{i}_1"] for i in range(1, 6)} == {"randomCrop"}


def test_without_probabilities_no_augmentation_can_be_written_and_leaves_every_image_alone():
    [params] = settings_in(policy_json(prob=False), "none")
    images = torch.randint(0, 256, (40, 3, 9, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    for per in ("batch", "image"):
        torch.testing.assert_close(Policy(params, per=per)(images), images, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("json", "name", "message"),
    [
        ({"lr": UNIT}, "etp", "initial policy etp needs a search space with a policy in it"),
        (policy_json(5, 1), "etp", "initial policy etp has sub-policies of 2 operations, .* search space have 1"),
        (policy_json(5, 3, prob=False), "etp", "initial policy etp has sub-policies of 2 operations, .* have 3"),
        (policy_json(prob=False), "autoaugment-svhn", "autoaugment-svhn has probabilities below 1, .* without prob"),
        (
            {
                name: UNIT if "mag" in name else {"_type": "choice", "_value": ["rotate"]}
                for name in policy_json(1, prob=False)
            },
            "none",
            "initial policy none is none of this search space: parameter operation1_1 must be one of 'rotate'",
        ),
        (
            policy_json(1) | {"operation1_2": {"_type": "choice", "_value": ["rotate"]}},
            "etp",
            "initial policy etp is none of this search space: parameter operation1_2 must be one of 'rotate'; "
            "got 'randomHorizontalFlip'",
        ),
        (
            policy_json(1) | {"magnitude1_1": {"_type": "uniform", "_value": [0, 0.5]}},
            "etp",
            r"none of this search space: parameter magnitude1_1 must be a number in \[0, 0.5\]; got 1.0",
        ),
        (levels_json(), "autoaugment-cifar10", "none of this search space: parameter prob1_1 must be a multiple of"),
    ],
)
def test_a_policy_that_the_space_cannot_write_is_refused_by_name(json, name, message):
    with pytest.raises(SearchSpaceError, match=message):
        settings_in(json, name)


def test_every_known_policy_fits_the_space_of_the_project():
    space = space_of("30")
    for name, sub_policies in KNOWN_POLICIES.items():
        for params in settings_of_policy(space, name, sub_policies):
            np.testing.assert_array_equal(space.snap(space.encode(params)[None, :])[0], space.encode(params))

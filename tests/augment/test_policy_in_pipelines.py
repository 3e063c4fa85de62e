"""Where a policy can stand: Compose of both versions, DataLoader workers, collate functions; on images and batches."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from augment_samples import make_images, make_policy, seeded
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as v1
from torchvision.transforms import v2

from tuun_da import Operation, Policy, SubPolicy
from tuun_da.augment import Chain, CropAndFlip


def per_batch_warnings(caught: list[warnings.WarningMessage]) -> int:
    return sum("per='batch'" in str(one.message) for one in caught)


@pytest.mark.parametrize("through_chain", [False, True])
def test_a_per_batch_policy_says_once_that_it_sees_single_images(through_chain: bool) -> None:
    policy = make_policy("batch")
    transform = Chain([CropAndFlip(), policy]) if through_chain else policy
    image = make_images()[0]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        transform(make_images(1))
        assert per_batch_warnings(caught) == 0
        for _ in range(3):
            assert transform(image).shape == image.shape
        assert per_batch_warnings(caught) == 1
        copy.deepcopy(policy)(image)
        assert per_batch_warnings(caught) == 1
        make_policy("image")(image)
        assert per_batch_warnings(caught) == 1
        make_policy("batch")(image)
        assert per_batch_warnings(caught) == 2


@pytest.mark.parametrize("wrap", [lambda policy: policy, lambda policy: Chain([policy]), lambda p: v2.Compose([p])])
def test_the_warning_points_at_the_users_line_and_names_the_remedy(wrap: Callable[[Policy], Any]) -> None:
    transform = wrap(make_policy("batch"))
    with pytest.warns(UserWarning, match=r"Policy\.load\(path, per='image'\)") as caught:
        transform(make_images()[0])
    assert [one.filename for one in caught] == [__file__]


def test_single_images_of_a_per_batch_policy_draw_their_own_sub_policies() -> None:
    policy = Policy.from_sub_policies(
        SubPolicy((Operation(name, 1.0, magnitude),))
        for name, magnitude in (("invert", 0.0), ("solarize", 0.0), ("posterize", 1.0))
    )
    image, generator = torch.full((1, 1, 1), 9, dtype=torch.uint8), seeded()
    with pytest.warns(UserWarning, match="called on single images"):
        seen = {policy(image, generator=generator).item() for _ in range(50)}
    assert seen == {246, 9, 0}


class Images(Dataset[tuple[Tensor, int]]):
    """Forty times the same image, and how often the transform has warned."""

    def __init__(self, transform: Policy | Chain) -> None:
        self.transform = transform
        self.image = make_images(1)[0]

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            image = self.transform(self.image)
        return image, per_batch_warnings(caught)


def test_data_loader_workers_draw_differently_and_warn_once_in_all() -> None:
    data = Images(Policy.from_sub_policies([SubPolicy((Operation("randomCrop", 1.0, 1.0),) * 2)]))
    loader = DataLoader(data, batch_size=20, num_workers=2, multiprocessing_context="fork", generator=seeded())
    epochs = [list(loader) for _ in range(2)]
    warned = sum(int(count.sum()) for epoch in epochs for _, count in epoch)
    assert warned == 1
    batches = [images for epoch in epochs for images, _ in epoch]
    assert len(batches) == 4
    assert all(not torch.equal(batches[a], batches[b]) for a in range(4) for b in range(a))
    assert len(torch.unique(batches[0], dim=0)) > 10


def test_batches_can_be_transformed_in_the_collate_function() -> None:
    policy = make_policy("batch")
    loader = DataLoader(
        list(make_images(12)),
        batch_size=6,
        num_workers=2,
        collate_fn=StackAndTransform(policy),
        multiprocessing_context="fork",
    )
    assert [batch.shape for batch in loader] == [(6, 3, 17, 23)] * 2


class StackAndTransform:
    """A collate function that workers can be sent."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def __call__(self, images: list[Tensor]) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result: Tensor = self.policy(torch.stack(images))
        return result


@pytest.mark.parametrize("version", [v1, v2], ids=["v1", "v2"])
def test_stands_in_a_compose(version: object) -> None:
    policy = make_policy()
    before = [version.ToPILImage(), policy, version.RandomHorizontalFlip(0.0)]  # type: ignore[attr-defined]
    compose = version.Compose([*before, version.PILToTensor()])  # type: ignore[attr-defined]
    image = make_images(1)[0]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        result = compose(image)
        torch.manual_seed(3)
        assert torch.equal(result, policy(image))
    assert any(not torch.equal(compose(image), image) for _ in range(20))

"""``collate_fn=policy.collate``: the mini-batch that torch would make, with its images transformed."""

from __future__ import annotations

import pickle
import re
import warnings
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from augment_samples import make_images, make_policy
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset, default_collate
from torchvision import tv_tensors

from tuun_da.augment import BatchTransform, Chain, CropAndFlip
from tuun_da.errors import PolicyError

TRANSFORMS = {"per batch": make_policy("batch"), "per image": make_policy(), "Chain": Chain([CropAndFlip()])}
every_transform = pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS.keys())
Pair = namedtuple("Pair", ["image", "label"])
SAMPLES: dict[str, Callable[[Tensor, int], Any]] = {
    "tuple": lambda image, label: (image, label),
    "list": lambda image, label: [image, label],
    "named tuple": lambda image, label: Pair(image, label),
    "more": lambda image, label: (image, label, {"name": str(label), "weight": 0.5}),
    "array": lambda image, label: (image.numpy(), np.int64(label)),
    "tv_tensor": lambda image, label: (tv_tensors.Image(image), torch.tensor(label)),
}


@pytest.mark.parametrize(
    "beside",
    [
        tv_tensors.Mask(torch.zeros(8, 8, dtype=torch.int64)),
        tv_tensors.BoundingBoxes(torch.tensor([[0, 0, 1, 1]]), format="XYXY", canvas_size=(8, 8)),
        tv_tensors.Image(torch.zeros(3, 8, 8, dtype=torch.uint8)),
        {"boxes": torch.zeros(4)},
        {"label": 1, "more": {"masks": [1]}},
        torch.zeros(8, 8, dtype=torch.int64),
        np.zeros((2, 4)),
    ],
    ids=["mask", "boxes", "another image", "named boxes", "masks within", "mask as a tensor", "boxes as an array"],
)
def test_what_would_have_to_move_along_is_refused(beside: Any) -> None:
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    with pytest.raises(PolicyError, match=r"beside its image.*only image classification"):
        make_policy().collate([(image, 0, beside)])
    one_hot = torch.tensor([0.0, 1.0])
    images, labels, more = make_policy().collate([(image, one_hot, {"weight": 1.0})] * 2)
    assert images.shape == (2, 3, 8, 8)
    assert torch.equal(labels, torch.stack([one_hot, one_hot]))
    assert more["weight"].tolist() == [1.0, 1.0]


def with_seed(seed: int, function: Callable[..., Any], *arguments: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return function(*arguments)


@every_transform
@pytest.mark.parametrize("make_sample", SAMPLES.values(), ids=SAMPLES.keys())
def test_images_are_transformed_and_the_rest_is_torchs(
    transform: BatchTransform[Any], make_sample: Callable[[Tensor, int], Any]
) -> None:
    images = make_images(12)
    samples = [make_sample(image, label) for label, image in enumerate(images)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        augmented, *others = with_seed(3, transform.collate, samples)
    assert type(augmented) is Tensor
    assert torch.equal(augmented, with_seed(3, transform, images))
    wanted = list(default_collate(samples)[1:])
    assert torch.equal(others[0], wanted[0])
    assert [str(other) for other in others[1:]] == [str(other) for other in wanted[1:]]


@every_transform
def test_samples_may_be_images_alone(transform: BatchTransform[Any]) -> None:
    images = make_images(12).float() / 255
    augmented = with_seed(3, transform.collate, list(images))
    assert torch.equal(augmented, with_seed(3, transform, images))


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([], "a mini-batch is made of one or more samples, got none"),
        (make_images(2), "a mini-batch is made of a list of samples, got a Tensor"),
        ("ab", "a list of samples, got a str"),
        ([(PIL.Image.new("L", (4, 4)), 1)], "got images of type Image: put torchvision's PILToTensor at the end"),
        ([PIL.Image.new("L", (4, 4))], "got samples of type Image: put torchvision's PILToTensor at the end"),
        ([{"image": make_images()[0], "label": 1}], "got samples of type dict: write a function that collates"),
        (
            [(3, make_images()[0])],
            "must be an image as a tensor (c, h, w), or a tuple of it and more, .*; got images of type int",
        ),
        ([((make_images()[0], make_images()[1]), 3)], "got images of type tuple"),
        ([()], "got samples of type tuple"),
        # three grey images without a channel, stacked, look like one with three
        ([(torch.zeros(8, 8), 1)] * 3, "must have shape (n, c, h, w), got (3, 8, 8)"),
        ([np.float64(0.5)] * 3, "must have shape (n, c, h, w), got (3,)"),
        ([(torch.full((3, 8, 8), -1.0), 1)], "apply the transform before normalizing"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_other_samples_are_refused(samples: Any, message: str) -> None:
    pattern = ".*".join(re.escape(part) for part in message.split(".*"))
    with pytest.raises(PolicyError, match=pattern):
        make_policy("batch").collate(samples)


def test_images_of_several_sizes_are_torchs_error() -> None:
    with pytest.raises(RuntimeError, match="stack expects each tensor to be equal size"):
        make_policy().collate([(make_images()[0], 1), (make_images(size=(8, 8))[0], 2)])


def test_it_can_be_sent_to_a_spawned_worker() -> None:
    policy, images = make_policy("batch"), make_images(12)
    sent = pickle.loads(pickle.dumps(policy.collate))
    samples = [(image, 0) for image in images]
    assert torch.equal(with_seed(3, sent, samples)[0], with_seed(3, policy, images))
    loader = DataLoader(
        TensorDataset(images, torch.arange(12)),
        batch_size=6,
        num_workers=1,
        multiprocessing_context="spawn",
        collate_fn=policy.collate,
        generator=torch.Generator().manual_seed(0),
    )
    batches = list(loader)
    assert torch.equal(torch.cat([labels for _, labels in batches]), torch.arange(12))
    augmented = torch.cat([batch for batch, _ in batches])
    assert augmented.shape == images.shape
    assert not torch.equal(augmented, images)

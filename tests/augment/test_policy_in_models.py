"""A policy inside a model: it follows wherever the model goes, and leaves no trace in its weights."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable

import pytest
import torch
from augment_samples import make_images, make_policy, seeded
from torch import Tensor, nn

from tuun_da.augment import BatchTransform, Chain, CropAndFlip, TrivialAugment


class Classifier(nn.Module):
    """A network that augments its own images, in training."""

    def __init__(self, transform: nn.Module | None) -> None:
        super().__init__()
        if transform is not None:
            self.transform = transform
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 17 * 23, 5))

    def forward(self, images: Tensor) -> Tensor:
        images = self.transform(images) if self.training else images
        result: Tensor = self.network(images.to(self.network[1].weight.dtype) / 255)
        return result


TRANSFORMS = {
    "per batch": make_policy("batch"),
    "per image": make_policy(),
    "Chain": Chain([CropAndFlip(), make_policy()]),
    "TrivialAugment": TrivialAugment(),
}
every_transform = pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS.keys())


@every_transform
def test_it_adds_nothing_to_the_weights(transform: BatchTransform) -> None:
    transform(make_images())  # what it may keep from a call is no weight either
    assert transform.state_dict() == {}
    assert list(transform.parameters()) == list(transform.buffers()) == []
    with_it, without = Classifier(transform), Classifier(None)
    assert list(with_it.state_dict()) == list(without.state_dict())
    with_it.load_state_dict(without.state_dict(), strict=True)
    without.load_state_dict(with_it.state_dict(), strict=True)


MOVES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "to(device)": lambda model: model.to(torch.device("cpu")),
    "to(dtype)": lambda model: model.to(torch.float64),
    "half": lambda model: model.half(),
    "bfloat16": lambda model: model.bfloat16(),
    "channels_last": lambda model: model.to(memory_format=torch.channels_last),
    "to(meta)": lambda model: model.to("meta"),
    "eval": lambda model: model.eval(),
    "requires_grad_": lambda model: model.requires_grad_(False),
    "zero_grad": lambda model: model.zero_grad() or model,
    "share_memory": lambda model: model.share_memory(),
    "apply": lambda model: model.apply(lambda part: None),
}


@every_transform
@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES.keys())
def test_moving_the_model_changes_no_image(transform: BatchTransform, move: Callable[[nn.Module], nn.Module]) -> None:
    images = make_images()
    wanted = transform(images, generator=seeded())
    model = move(Classifier(copy.deepcopy(transform)))
    result = model.transform(images, generator=seeded())
    assert result.dtype == torch.uint8
    assert torch.equal(result, wanted)


@every_transform
def test_the_model_can_be_saved_and_copied_whole(transform: BatchTransform) -> None:
    images = make_images()
    model = Classifier(transform)
    wanted = transform(images, generator=seeded())
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    for again in (torch.load(buffer, weights_only=False), copy.deepcopy(model)):
        assert repr(again) == repr(model)
        assert torch.equal(again.transform(images, generator=seeded()), wanted)
        assert torch.equal(again.eval()(images), model.eval()(images))


def test_the_weights_learn_from_augmented_images() -> None:
    model = Classifier(make_policy("batch"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = model.network[1].weight.detach().clone()
    nn.functional.cross_entropy(model(make_images(10)), torch.arange(10) % 5).backward()
    optimizer.step()
    assert not torch.equal(model.network[1].weight, before)


def test_the_repr_of_a_model_shows_the_policy() -> None:
    lines = repr(Classifier(make_policy())).splitlines()
    assert any("Policy(per='image', unchanged_share=0.1)" in line for line in lines)
    assert any(line.split()[:4] == ["1", "shearX", "0.80", "0.60"] for line in lines)

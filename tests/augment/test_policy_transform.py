"""What a policy does to batches, under a draw and in one compiled graph."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from augment_samples import ALL_TYPES, make_images, make_policy, seeded
from torch import Tensor
from torchvision import tv_tensors
from torchvision_oracle import BLENDED, EXACT, expected

from tuun_da import Operation, Policy, SubPolicy
from tuun_da.augment import BatchTransform, Chain, CropAndFlip, TrivialAugment
from tuun_da.augment.policy import PolicyDraw
from tuun_da.errors import PolicyError
from tuun_da.operations import OPERATION_TYPES


def replay(policy: Policy, image: Tensor, draw: PolicyDraw, i: int) -> Tensor:
    """What ``draw`` says of image i, done by torchvision, one operation at a time."""
    sub_policy = policy.record.sub_policies[int(draw.sub_policy[i])]
    for j, operation in enumerate(sub_policy.operations):
        if draw.taken[i, j]:
            sign = draw.sign[i, j].item() if OPERATION_TYPES[operation.type].signed else 1.0
            image = expected(operation.type, image, sign * operation.value, tuple(draw.chance[i, j].tolist()))
    return image


@pytest.mark.parametrize("per", ["batch", "image"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_gets_what_its_draw_says_in_order(per: str, channels: int) -> None:
    policy, generator = make_policy(per), seeded(1)
    images = make_images(channels=channels) / 255
    for _ in range(12 if per == "batch" else 3):
        draw = policy.draw(len(images), generator)
        result = policy.transform(images, draw)
        for i, image in enumerate(images):
            apart = (result[i] - replay(policy, image, draw, i)).abs() * 255
            # posterize, solarize and equalize turn the last bit of what came before into a level, or into white
            assert (apart > 0.05).double().mean() < 0.01


def test_uint8_batches_are_exact_where_every_operation_is() -> None:
    exact = [name for name in EXACT if name != "randomHorizontalFlip"]
    policy = Policy.from_sub_policies(
        [SubPolicy((Operation(a, 0.7, 0.4), Operation(b, 0.7, 0.8))) for a in exact for b in exact], per="image"
    )
    images = make_images(200, size=(20, 20))
    draw = policy.draw(200, seeded(2))
    result = policy.transform(images, draw)
    assert all(torch.equal(result[i], replay(policy, image, draw, i)) for i, image in enumerate(images))
    assert (result != images).flatten(1).any(1).sum() > 100


@pytest.mark.parametrize("order", [("invert", "solarize"), ("solarize", "invert")])
def test_operations_apply_in_order(order: tuple[str, str]) -> None:
    policy = Policy.from_sub_policies([SubPolicy(tuple(Operation(name, 1.0, 0.7) for name in order))])
    images = torch.tensor([10, 200], dtype=torch.uint8).view(1, 1, 1, 2)
    by_hand = {("invert", "solarize"): [10, 55], ("solarize", "invert"): [245, 200]}  # threshold 76.8
    assert policy(images).flatten().tolist() == by_hand[order]


@pytest.mark.parametrize("per", ["batch", "image"])
@pytest.mark.parametrize("n", [0, 1])
def test_batches_of_0_and_1(per: str, n: int) -> None:
    images = make_images(2)[:n]
    policy = make_policy(per)
    for seed in range(20):
        result = policy(images, generator=seeded(seed))
        assert (result.shape, result.dtype) == (images.shape, images.dtype)


def test_common_sub_policy_only_saves_work() -> None:
    policy, images = make_policy("batch"), make_images()
    for seed in range(8):
        draw = policy.draw(len(images), seeded(seed))
        unknown = PolicyDraw(draw.sub_policy, draw.taken, draw.sign, draw.chance, common=None)
        assert torch.equal(policy.transform(images, draw), policy.transform(images, unknown))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_input_is_neither_changed_nor_returned(share: float) -> None:
    images = make_images()
    before = images.clone()
    policy = make_policy(unchanged_share=share)
    result = policy(images, generator=seeded())
    result.zero_()
    assert torch.equal(images, before)


def test_memory_format_does_not_change_the_result() -> None:
    policy, images = make_policy(), make_images(96) / 255
    result = policy(images, generator=seeded())
    last = policy(images.contiguous(memory_format=torch.channels_last), generator=seeded())
    assert torch.equal(result, last)
    assert last.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
@pytest.mark.parametrize("per", ["batch", "image"])
def test_a_fixed_policy_compiles_to_one_graph_with_the_same_result(per: str, dtype: torch.dtype) -> None:
    """But for crops, which a graph resizes in another order; others' results are the same to the last bit."""
    torch._dynamo.reset()
    without_crop = [sub_policy for sub_policy in ALL_TYPES if not has_crop(sub_policy)]
    policy = Policy.from_sub_policies(without_crop, per=per, unchanged_share=0.1)
    images = make_images() if dtype == torch.uint8 else make_images() / 255
    draw = policy.draw(len(images), seeded())
    compiled = torch.compile(policy.transform, fullgraph=True, backend="eager")
    assert torch.equal(compiled(images, draw), policy.transform(images, draw))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_a_compiled_crop_is_within_a_level(dtype: torch.dtype) -> None:
    torch._dynamo.reset()
    policy = Policy.from_sub_policies([SubPolicy((Operation("randomCrop", 0.9, 0.4),))], per="image")
    images = make_images() if dtype == torch.uint8 else make_images() / 255
    draw = policy.draw(len(images), seeded())
    compiled = torch.compile(policy.transform, fullgraph=True, backend="eager")
    difference = (compiled(images, draw).double() - policy.transform(images, draw).double()).abs()
    assert difference.max() <= (1.0 if dtype == torch.uint8 else 1e-5)
    assert difference.mean() < (0.25 if dtype == torch.uint8 else 1e-6)


def test_one_graph_serves_all_sub_policies_of_a_batch() -> None:
    """Else there would be a graph for each, and torch.compile gives up after eight."""
    torch._dynamo.reset()
    policy = Policy.from_sub_policies([SubPolicy((Operation("rotate", 1.0, k / 12),)) for k in range(12)], per="batch")
    images, generator = make_images(3), seeded()
    compiled = torch.compile(policy.transform, fullgraph=True, backend="eager")
    compiled(images, policy.draw(3, generator))
    seen = set()
    with torch.compiler.set_stance("fail_on_recompile"):
        for _ in range(40):
            draw = policy.draw(3, generator)
            seen.add(draw.common)
            assert torch.equal(compiled(images, draw), policy.transform(images, draw))
    assert len(seen) > 8
    # and so it does on another device than that of the draw
    compiled(images.to("meta"), draw)
    with torch.compiler.set_stance("fail_on_recompile"):
        for _ in range(12):
            assert compiled(images.to("meta"), policy.draw(3, generator)).device.type == "meta"


def test_inductor_compiles_the_whole_transform_to_nearly_the_same_picture() -> None:
    """The compiler that users get by default; it may contract sums, so a pixel in thousands is a level off."""
    torch._dynamo.reset()
    pairs = (("rotate", "equalize"), ("color", "contrast"), ("posterize", "solarize"))
    sub_policies = [SubPolicy((Operation(a, 0.8, 0.6), Operation(b, 0.8, 0.6))) for a, b in pairs]
    policy = Policy.from_sub_policies(sub_policies, per="image")
    images = make_images(16, 3, (16, 16))
    draw = policy.draw(len(images), seeded())
    result = torch.compile(policy.transform, fullgraph=True)(images, draw)
    difference = (result.int() - policy.transform(images, draw).int()).abs()
    assert not torch.equal(result, images)
    assert (difference > 1).double().mean() < 0.01
    assert (difference > 0).double().mean() < 0.02


def has_crop(sub_policy: SubPolicy) -> bool:
    return any(operation.type == "randomCrop" for operation in sub_policy.operations)


@pytest.mark.parametrize("per", ["batch", "image"])
def test_a_compiled_policy_takes_batches_of_several_sizes(per: str) -> None:
    torch._dynamo.reset()
    policy = Policy.from_sub_policies([SubPolicy((Operation("invert", 1.0, 0.0),))], per=per)
    compiled = torch.compile(policy, backend="eager")
    for n in (4, 7, 9):
        images = make_images(n)
        assert torch.equal(compiled(images), 255 - images)


def test_a_draw_of_another_transform_is_refused() -> None:
    policy, images = make_policy(), make_images(4)
    with pytest.raises(PolicyError, match="Policy acts on a PolicyDraw, got SpaceDraw"):
        policy.transform(images, TrivialAugment().draw(4))  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match="CropAndFlip acts on a CropAndFlipDraw, got PolicyDraw"):
        CropAndFlip().transform(images, policy.draw(4))  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match="a chain is made of a list of transforms, got a Policy"):
        Chain(policy)  # type: ignore[arg-type]


@pytest.mark.parametrize("transform", [make_policy(), TrivialAugment(), CropAndFlip()], ids=lambda t: type(t).__name__)
def test_the_default_device_is_not_asked_where_images_are(transform: BatchTransform[Any]) -> None:
    images, generator = make_images(9), seeded()
    wanted = transform(images, generator=seeded())
    with torch.device("meta"):
        assert torch.equal(transform(images, generator=generator), wanted)


def test_an_untouched_tv_tensor_is_copied_too() -> None:
    policy = Policy.from_sub_policies([SubPolicy((Operation("rotate", 0.0, 0.5),))])
    images = tv_tensors.Image(make_images(3))
    result = policy.transform(images, policy.draw(3, seeded()))
    assert type(result) is Tensor
    result.zero_()
    assert images.sum() > 0


def test_operations_in_two_places_and_small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The result of the first place may be overwritten by the second, in place and a few images at a time."""
    policy, images = make_policy(), make_images(60)
    draw = policy.draw(60, seeded())
    before = images.clone()
    wanted = torch.cat([policy.transform(images[i : i + 1], row_of(draw, i)) for i in range(60)])
    for chunk in (1, 3 * images[0].numel(), 2**20):
        monkeypatch.setattr("tuun_da.augment.apply.CHUNK", chunk)
        assert torch.equal(policy.transform(images, draw), wanted)
    assert torch.equal(images, before)


def row_of(draw: PolicyDraw, i: int) -> PolicyDraw:
    """What ``draw`` says of image i alone."""
    rows = (draw.sub_policy, draw.taken, draw.sign, draw.chance)
    return PolicyDraw(*(row[i : i + 1] for row in rows), draw.common)


@pytest.mark.parametrize("name", list(OPERATION_TYPES))
def test_gradients_are_numbers_on_black_and_white_too(name: str) -> None:
    policy = Policy.from_sub_policies([SubPolicy((Operation(name, 1.0, 0.7),))])
    images = (make_images(4) / 255).round().requires_grad_()
    policy(images, generator=seeded()).sum().backward()
    assert images.grad is None or images.grad.isfinite().all()


def test_gradients_flow_to_the_images() -> None:
    policy = Policy.from_sub_policies([SubPolicy((Operation("rotate", 1.0, 0.5), Operation("contrast", 1.0, 0.5)))])
    images = (make_images(2) / 255).requires_grad_()
    policy(images).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_training_mode_makes_no_difference_and_there_is_no_state() -> None:
    policy, images = make_policy(), make_images()
    training = policy.train()(images, generator=seeded())
    assert torch.equal(training, policy.eval()(images, generator=seeded()))
    assert policy.state_dict() == {}
    assert list(policy.parameters()) + list(policy.buffers()) == []
    assert isinstance(policy, torch.nn.Module)


def test_a_draw_must_fit() -> None:
    policy, images = make_policy(), make_images(5)
    with pytest.raises(PolicyError, match="the draw must be for the batch of 5 images, got one for 4"):
        policy.transform(images, policy.draw(4))
    short = Policy.from_sub_policies([SubPolicy((Operation("invert", 1.0, 0.0),))])
    with pytest.raises(PolicyError, match="sub-policies of 2 operations, got one for 1"):
        policy.transform(images, short.draw(5))


@pytest.mark.parametrize("channels", [1, 3])
def test_blended_operations_round_as_torchvision_does_in_a_whole_policy(channels: int) -> None:
    policy = Policy.from_sub_policies(
        [SubPolicy((Operation(name, 1.0, magnitude / 16),)) for name in BLENDED for magnitude in range(17)], per="image"
    )
    images = make_images(256, channels, (32, 32))
    draw = policy.draw(256, seeded())
    result = policy.transform(images, draw)
    assert all(torch.equal(result[i], replay(policy, image, draw, i)) for i, image in enumerate(images))

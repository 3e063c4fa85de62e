"""Crop and flip, and Cutout, against references that take one image at a time; chains; what all baselines keep to."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from tuun_da import Operation, Policy, SubPolicy
from tuun_da.augment import AutoAugment, BatchTransform, Chain, CropAndFlip, Cutout, RandAugment, TrivialAugment
from tuun_da.augment.crop_and_flip import CropAndFlipDraw, CutoutDraw
from tuun_da.augment.named import CHOICES, SEARCHED, build_transform
from tuun_da.engines.confirm import LABELS
from tuun_da.errors import PolicyError
from tuun_da.policy_format import PolicyRecord

SUB_POLICIES = (
    SubPolicy((Operation("shearX", 0.7, 1.0), Operation("color", 0.7, 1.0))),
    SubPolicy((Operation("invert", 1, 0),)),
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_images(n: int, channels: int = 3, size: tuple[int, int] = (32, 32)) -> Tensor:
    return torch.randint(0, 256, (n, channels, *size), dtype=torch.uint8, generator=seeded(5))


def assert_share(events: Tensor, share: float) -> None:
    """Within 4.5 standard deviations; the seeds are fixed."""
    bound = 4.5 * math.sqrt(share * (1 - share) / len(events))
    assert abs(events.double().mean().item() - share) <= bound


def make_chain() -> Chain:
    return Chain([CropAndFlip(), Policy.from_sub_policies(SUB_POLICIES)])


BASELINES: dict[str, Callable[[], BatchTransform[Any]]] = {
    "CropAndFlip": CropAndFlip,
    "Cutout": Cutout,
    "AutoAugment": lambda: AutoAugment("cifar10"),
    "RandAugment": RandAugment,
    "TrivialAugment": TrivialAugment,
    "Chain": make_chain,
}
every_baseline = pytest.mark.parametrize("transform", [make() for make in BASELINES.values()], ids=BASELINES)


# ---- crop and flip ----


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (17, 23), (1, 1), (2, 2)], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_crop_and_flip_is_torchvisions_pad_crop_flip(size: tuple[int, int], channels: int) -> None:
    images = make_images(60, channels, size)
    transform = CropAndFlip()
    draw = transform.draw(60, seeded(1))
    result = transform.transform(images, draw)
    down, across = (round(side / 8) for side in size)
    flips = set()
    for image, place, flip, ours in zip(images, draw.place.tolist(), draw.flip[:, 0].tolist(), result, strict=True):
        framed = F.pad(image, [across, down], padding_mode="reflect")
        top, left = int(place[0] * (2 * down + 1)), int(place[1] * (2 * across + 1))
        wanted = F.crop(framed, top, left, *size)
        flips.add(flip < 0.5)
        assert torch.equal(ours, F.horizontal_flip(wanted) if flip < 0.5 else wanted)
    assert flips == {True, False}


def test_crops_of_32_pixels_are_distributed_as_torchvisions() -> None:
    """A ramp down and to the right tells where a crop was taken; RandomCrop has 81 equally likely places."""
    ramp = torch.arange(32).view(1, 1, 32) + 40 * torch.arange(32).view(1, 32, 1)
    images = ramp.to(torch.float64).unsqueeze(0) / 2000
    reference = v2.RandomCrop(32, padding=4, padding_mode="reflect")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = {round(reference(images)[0, 0, 16, 16].item() * 2000) for _ in range(2000)}
    n = 8000
    result = CropAndFlip()(images.expand(n, -1, -1, -1), generator=seeded(2))
    flipped = result[:, 0, 16, 16] < result[:, 0, 16, 15]
    assert_share(flipped, 0.5)
    # a flip swaps columns 15 and 16
    centre = torch.where(flipped, result[:, 0, 16, 15], result[:, 0, 16, 16]) * 2000
    places, counts = centre.round().unique(return_counts=True)
    assert {int(place) for place in places} == theirs
    assert len(theirs) == 81
    expected = n / 81
    chi_square = ((counts - expected) ** 2 / expected).sum().item()
    assert chi_square < 80 + 4.5 * math.sqrt(2 * 80)


def test_crop_and_flip_treats_float_alike() -> None:
    images = make_images(40)
    transform = CropAndFlip()
    as_bytes = transform(images, generator=seeded())
    assert torch.equal(transform(images / 255, generator=seeded()), as_bytes / 255)


# ---- Cutout ----


def papers_cutout(image: Tensor, length: int, y: int, x: int, fill: float) -> Tensor:
    """The authors' own code for one hole (github.com/uoguelph-mlrg/Cutout), with a fill other than 0."""
    height, width = image.shape[-2:]
    y1, y2 = np.clip(y - length // 2, 0, height), np.clip(y + length // 2, 0, height)
    x1, x2 = np.clip(x - length // 2, 0, width), np.clip(x + length // 2, 0, width)
    result = image.clone()
    result[:, y1:y2, x1:x2] = fill
    return result


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("size", "length"), [((32, 32), 16), ((8, 8), 4), ((17, 23), 8), ((40, 24), 12), ((2, 2), 1), ((1, 1), 0)], ids=str
)
def test_cutout_is_the_papers(size: tuple[int, int], length: int, channels: int) -> None:
    images = make_images(80, channels, size)
    transform = Cutout()
    draw = transform.draw(80, seeded(1))
    result = transform.transform(images, draw)
    as_floats = transform.transform(images / 255, draw)
    for image, (down, across), ours, ours_as_floats in zip(
        images, draw.centre.tolist(), result, as_floats, strict=True
    ):
        y, x = int(down * size[0]), int(across * size[1])
        if length % 2 == 1:  # the paper's code makes an even side of an odd one
            wanted = image.clone()
            wanted[:, y - length // 2 : y + length // 2 + 1, x - length // 2 : x + length // 2 + 1] = 128
        else:
            wanted = papers_cutout(image, length, y, x, 128)
        assert torch.equal(ours, wanted)
        assert torch.allclose(ours_as_floats, wanted / 255)


def test_centres_of_cutout_are_uniform_over_all_pixels_and_squares_are_clipped_at_the_border() -> None:
    n = 20_000
    images = torch.zeros((n, 1, 8, 8), dtype=torch.uint8)
    result = Cutout(share=0.25, fill=255)(images, generator=seeded(3)) == 255
    areas = result.sum((1, 2, 3))
    # of 8 centres along a side, 7 leave both lines of a square of 2 x 2 inside
    for area, share in ((4, (7 / 8) ** 2), (2, 2 * 7 / 64), (1, 1 / 64)):
        assert_share(areas == area, share)
    # pixel (r, c) is covered by the centres r, r + 1 and c, c + 1, as far as they exist
    lines = torch.tensor([2.0] * 7 + [1.0]) / 8
    for row in range(8):
        for column in range(8):
            assert_share(result[:, 0, row, column], (lines[row] * lines[column]).item())


def test_cutout_of_the_whole_side_at_the_middle_covers_all() -> None:
    images = make_images(1, 3, (9, 9))
    result = Cutout(share=1.0, fill=7).transform(images, CutoutDraw(torch.full((1, 2), 0.5)))
    assert (result == 7).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"share": 0}, r"share must lie in \(0, 1\], got 0"),
        ({"share": 1.5}, "got 1.5"),
        ({"share": True}, "got True"),
        ({"fill": -1}, r"fill must lie in \[0, 255\], got -1"),
        ({"fill": "grey"}, "got 'grey'"),
    ],
    ids=str,
)
def test_settings_of_cutout_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        Cutout(**settings)


# ---- by name ----


def test_every_name_makes_its_transform() -> None:
    made = {name: build_transform(name, None) for name in CHOICES if name not in SEARCHED}
    assert {name: repr(transform) for name, transform in made.items()} == {
        "none": "None",
        "etp": "CropAndFlip()",
        "etp+cutout": repr(Chain([CropAndFlip(), Cutout()])),
        "autoaugment-cifar10": repr(AutoAugment("cifar10")),
        "autoaugment-svhn": repr(AutoAugment("svhn")),
        "autoaugment-imagenet": repr(AutoAugment("imagenet")),
        "randaugment": repr(RandAugment(2, 9)),
        "trivialaugment": repr(TrivialAugment()),
        "trivialaugment-narrow": repr(TrivialAugment(space="narrow")),
    }
    assert set(LABELS) == set(made)  # confirm compares with all of them


@pytest.mark.parametrize("name", SEARCHED)
def test_a_searched_policy_is_made_of_parameters_or_a_record(name: str) -> None:
    record = PolicyRecord(SUB_POLICIES)
    transforms = [build_transform(name, given) for given in (record, Policy.from_record(record).to_params())]
    links = [list(one.transforms) if isinstance(one, Chain) else [one] for one in transforms]
    for parts in links:
        assert [type(part) for part in parts] == ([Policy] if name == "search" else [CropAndFlip, Policy])
        assert parts[-1].record.sub_policies == SUB_POLICIES
    with pytest.raises(PolicyError, match=r"choose none, etp, etp\+cutout, .*, trivialaugment-narrow or a policy file"):
        build_transform(name, None)


def test_another_name_is_a_policy_file_or_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    PolicyRecord(SUB_POLICIES).save(path)
    transform = build_transform(str(path), None)
    assert isinstance(transform, Policy)
    assert transform.record.sub_policies == SUB_POLICIES
    with pytest.raises(
        PolicyError, match=r"policy must be one of none, etp, .*, search, .* there is no file 'nothing'"
    ):
        build_transform("nothing", None)


# ---- chains, and what all keep to ----


@pytest.mark.parametrize("first", [CropAndFlip(), RandAugment(), Cutout()], ids=lambda one: type(one).__name__)
def test_a_chain_applies_its_parts_in_order_under_one_generator(first: BatchTransform[Any]) -> None:
    images, policy = make_images(20), Policy.from_sub_policies(SUB_POLICIES)
    chain = Chain([first, policy])
    for seed in range(4):
        generator = seeded(seed)
        draws = first.draw(20, generator), policy.draw(20, generator)
        wanted = policy.transform(first.transform(images, draws[0]), draws[1])
        assert torch.equal(chain(images, generator=seeded(seed)), wanted)
        assert not torch.equal(wanted, policy.transform(images, draws[1]))


def test_an_empty_chain_copies() -> None:
    images = make_images(3)
    result = Chain([])(images)
    assert torch.equal(result, images)
    assert result.data_ptr() != images.data_ptr()


def test_a_chain_holds_batch_transforms_only() -> None:
    with pytest.raises(PolicyError, match="must hold tuun_da's transforms, got RandomHorizontalFlip"):
        Chain([v2.RandomHorizontalFlip()])  # type: ignore[list-item]


@every_baseline
def test_generator_copies_state_and_compilation(transform: BatchTransform[Any]) -> None:
    images = make_images(24)
    wanted = transform(images, generator=seeded(0))
    assert torch.equal(transform(images, generator=seeded(0)), wanted)
    assert not torch.equal(transform(images, generator=seeded(1)), wanted)
    for one in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        assert torch.equal(one(images, generator=seeded(0)), wanted)
    assert transform.state_dict() == {}
    draw = transform.draw(24, seeded(0))
    compiled = torch.compile(transform.transform, fullgraph=True, backend="eager")
    assert torch.equal(compiled(images, draw), wanted)


@every_baseline
def test_a_compiled_baseline_takes_batches_of_several_sizes(transform: BatchTransform[Any]) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(transform, backend="eager")
    assert [compiled(make_images(n)).shape[0] for n in (4, 7, 9)] == [4, 7, 9]


@every_baseline
def test_each_image_has_its_own_draw(transform: BatchTransform[Any]) -> None:
    """One image in a batch differs from place to place, and depends on nothing but its own share of the draw."""
    image = make_images(1)
    result = transform(image.expand(200, -1, -1, -1), generator=seeded(8))
    # per="batch", the policy in the chain has one sub-policy for all
    assert len(torch.unique(result.flatten(1), dim=0)) > 20


def test_reprs_name_their_settings() -> None:
    assert repr(CropAndFlip()) == "CropAndFlip()"
    assert repr(Cutout()) == "Cutout(share=0.5, fill=128)"
    assert repr(AutoAugment("svhn")) == "AutoAugment(policy='svhn', interpolation='nearest', fill=0)"
    settings = "num_magnitude_bins=31, interpolation='nearest', fill"
    assert repr(RandAugment(3, 5)) == f"RandAugment(num_ops=3, magnitude=5, {settings}=0)"
    assert repr(TrivialAugment(fill=128)) == f"TrivialAugment(space='wide', {settings}=128)"


@every_baseline
def test_draws_have_the_size_of_their_batch(transform: BatchTransform[Any]) -> None:
    assert [len(transform.draw(n)) for n in (0, 1, 5)] == [0, 1, 5]


def test_the_crop_at_the_middle_is_the_image() -> None:
    half = CropAndFlipDraw(place=torch.full((4, 2), 0.5), flip=torch.full((4, 2), 0.5))
    images = make_images(4)
    assert torch.equal(CropAndFlip().transform(images, half), images)

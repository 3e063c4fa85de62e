"""Crop and flip, and TrivialAugment, against torchvision's: pixel by pixel under a given draw, and draw by draw."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from tuun_da import Operation, Policy, SubPolicy
from tuun_da.augment import Chain, CropAndFlip, TrivialAugment
from tuun_da.augment.baselines import WIDE_OPERATIONS, CropAndFlipDraw, TrivialAugmentDraw
from tuun_da.errors import PolicyError

N = 30_000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_images(n: int, channels: int = 3, size: tuple[int, int] = (32, 32)) -> Tensor:
    return torch.randint(0, 256, (n, channels, *size), dtype=torch.uint8, generator=seeded(5))


def assert_share(events: Tensor, share: float) -> None:
    """Within 4.5 standard deviations; the seeds are fixed."""
    bound = 4.5 * math.sqrt(share * (1 - share) / len(events))
    assert abs(events.double().mean().item() - share) <= bound


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


# ---- TrivialAugment ----


def test_the_space_is_torchvisions() -> None:
    theirs = v2.TrivialAugmentWide._AUGMENTATION_SPACE
    assert list(WIDE_OPERATIONS) == list(theirs)
    for name, (magnitudes, signed) in theirs.items():
        row = WIDE_OPERATIONS[name]
        assert row.signed == signed
        wanted = magnitudes(31, 32, 32)
        if wanted is None:
            assert (row.low, row.high) == (0.0, 0.0)
        else:  # torchvision's threshold of solarize is a share, ours is of 255
            torch.testing.assert_close(row.values(31), wanted.float() * (255 if name == "Solarize" else 1))


@pytest.mark.parametrize("fill", [None, 90.0])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(32, 32), (17, 23), (40, 40)], ids=str)
@pytest.mark.parametrize("name", WIDE_OPERATIONS)
def test_pixels_are_torchvisions(name: str, size: tuple[int, int], channels: int, fill: float | None) -> None:
    reference = v2.TrivialAugmentWide(fill=fill)
    transform = TrivialAugment() if fill is None else TrivialAugment(fill=fill)
    row = WIDE_OPERATIONS[name]
    values = row.values(31)
    if row.signed:
        values = torch.cat([values, -values])
    images = make_images(len(values), channels, size)
    index = list(WIDE_OPERATIONS).index(name)
    result = transform.transform(images, TrivialAugmentDraw(torch.full((len(values),), index), values))
    different = 0
    for image, value, ours in zip(images, values.tolist(), result, strict=True):
        magnitude = value / 255 if name == "Solarize" else value
        wanted = reference._apply_image_or_video_transform(
            image, name, magnitude, interpolation=reference.interpolation, fill=reference._fill
        )
        apart = (ours.int() - wanted.int()).abs()
        different += int((apart > 0).sum())
    # The last bit of float32 decides between neighbours at equal distance.
    assert different <= 0.002 * result.numel() if row.geometric else different == 0


@pytest.mark.parametrize("name", ["ShearX", "ShearY", "TranslateX", "Rotate"])
def test_bilinear_pixels_are_torchvisions_inside(name: str) -> None:
    reference = v2.TrivialAugmentWide(interpolation=F.InterpolationMode.BILINEAR)
    values = WIDE_OPERATIONS[name].values(31)
    images = make_images(31)
    index = list(WIDE_OPERATIONS).index(name)
    transform = TrivialAugment(interpolation="bilinear")
    result = transform.transform(images, TrivialAugmentDraw(torch.full((31,), index), values))
    for image, value, ours in zip(images, values.tolist(), result, strict=True):
        wanted = reference._apply_image_or_video_transform(
            image, name, value, interpolation=reference.interpolation, fill=reference._fill
        )
        assert (ours.int() - wanted.int()).abs().max() <= 1  # with black as fill also at the rim


@pytest.mark.parametrize("transform", [CropAndFlip(), TrivialAugment()], ids=lambda one: type(one).__name__)
def test_a_compiled_baseline_takes_batches_of_several_sizes(transform: CropAndFlip | TrivialAugment) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(transform, backend="eager")
    assert [compiled(make_images(n)).shape[0] for n in (4, 7, 9)] == [4, 7, 9]


def test_operation_magnitude_and_sign_are_drawn_uniformly() -> None:
    draw = TrivialAugment().draw(N, seeded(3))
    for index, row in enumerate(WIDE_OPERATIONS.values()):
        mine = draw.operation == index
        assert_share(mine, 1 / 14)
        value = draw.value[mine]
        if row.high == row.low:
            assert (value == 0).all()
            continue
        assert value.abs().min() >= min(row.low, row.high)
        for step in row.values(31).unique():
            assert_share(value.abs() == step, (row.values(31) == step).double().mean().item())
        if row.signed:
            assert_share(value[value != 0] > 0, 0.5)
        else:
            assert (value >= 0).all()


def test_draws_are_distributed_as_torchvisions() -> None:
    """The mean level of a bright image with one dark pixel tells operation, magnitude and sign apart."""
    reference = v2.TrivialAugmentWide()
    image = torch.full((1, 9, 9), 200, dtype=torch.uint8)
    image[0, 4, 4] = 10
    n = 6000
    with torch.random.fork_rng():
        torch.manual_seed(4)
        theirs = torch.stack([reference(image).float().mean() for _ in range(n)])
    ours = TrivialAugment()(image.expand(n, 1, 9, 9), generator=seeded(5)).float().mean((1, 2, 3))
    # Two-sample Kolmogorov-Smirnov; 2.0 is the critical value for a chance of 7e-4.
    points = torch.cat([ours, theirs]).unique()
    gap = (torch.searchsorted(ours.sort()[0], points, right=True) / n) - (
        torch.searchsorted(theirs.sort()[0], points, right=True) / n
    )
    assert gap.abs().max() < 2.0 * math.sqrt(2 / n)


def test_each_image_takes_one_operation() -> None:
    images = make_images(300)
    transform = TrivialAugment()
    draw = transform.draw(300, seeded(6))
    result = transform.transform(images, draw)
    alone = torch.cat(
        [
            transform.transform(images[i : i + 1], TrivialAugmentDraw(draw.operation[[i]], draw.value[[i]]))
            for i in range(300)
        ]
    )
    assert torch.equal(result, alone)
    identity = draw.operation == 0
    assert torch.equal(result[identity], images[identity])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"magnitude_bins": 1}, "magnitude_bins must be a whole number, 2 or more; got 1"),
        ({"magnitude_bins": 2.5}, "got 2.5"),
        ({"interpolation": "bicubic"}, "must be 'nearest' or 'bilinear', got 'bicubic'"),
        ({"fill": 256}, r"fill must lie in \[0, 255\], got 256"),
        ({"fill": float("nan")}, "got nan"),
        ({"fill": None}, "got None"),
    ],
    ids=str,
)
def test_settings_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        TrivialAugment(**settings)  # type: ignore[arg-type]


def test_magnitude_bins_are_used() -> None:
    draw = TrivialAugment(magnitude_bins=2).draw(2000, seeded())
    rotated = draw.value[draw.operation == list(WIDE_OPERATIONS).index("Rotate")]
    assert set(rotated.tolist()) == {0.0, 135.0, -135.0}


# ---- both, and chains ----


def make_chain() -> Chain:
    policy = Policy.from_sub_policies(
        [
            SubPolicy((Operation("shearX", 0.7, 1.0), Operation("color", 0.7, 1.0))),
            SubPolicy((Operation("invert", 1, 0),)),
        ]
    )
    return Chain([CropAndFlip(), policy])


def test_a_chain_applies_its_parts_in_order_under_one_generator() -> None:
    chain, images = make_chain(), make_images(20)
    crop_and_flip, policy = chain.transforms
    for seed in range(4):
        generator = seeded(seed)
        first, second = crop_and_flip.draw(20, generator), policy.draw(20, generator)
        wanted = policy.transform(crop_and_flip.transform(images, first), second)
        assert torch.equal(chain(images, generator=seeded(seed)), wanted)
        assert not torch.equal(wanted, policy.transform(images, second))


def test_an_empty_chain_copies() -> None:
    images = make_images(3)
    result = Chain([])(images)
    assert torch.equal(result, images)
    assert result.data_ptr() != images.data_ptr()


def test_a_chain_holds_batch_transforms_only() -> None:
    with pytest.raises(PolicyError, match="must hold tuun_da's transforms, got RandomHorizontalFlip"):
        Chain([v2.RandomHorizontalFlip()])  # type: ignore[list-item]


@pytest.mark.parametrize("transform", [CropAndFlip(), TrivialAugment(), make_chain()], ids=lambda t: type(t).__name__)
def test_generator_copies_state_and_compilation(transform: Chain) -> None:
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


def test_reprs_name_their_settings() -> None:
    assert repr(CropAndFlip()) == "CropAndFlip()"
    assert repr(TrivialAugment(fill=128)) == "TrivialAugment(magnitude_bins=31, interpolation='nearest', fill=128)"


def test_draws_have_the_size_of_their_batch() -> None:
    for transform in (CropAndFlip(), TrivialAugment(), make_chain()):
        assert [len(transform.draw(n)) for n in (0, 1, 5)] == [0, 1, 5]
    half = CropAndFlipDraw(place=torch.full((4, 2), 0.5), flip=torch.full((4, 2), 0.5))
    images = make_images(4)
    assert torch.equal(CropAndFlip().transform(images, half), images)

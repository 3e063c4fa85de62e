"""AutoAugment, RandAugment and TrivialAugment against torchvision's classes: pixel by pixel under a given draw, and
draw by draw."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from tuun_da.augment import AutoAugment, RandAugment, TrivialAugment
from tuun_da.augment.operation_space import AUTO_SPACE, MOVES, NARROW_SPACE, WIDE_SPACE, Space
from tuun_da.augment.space_transform import LEFT_ALONE, SpaceDraw, SpaceTransform
from tuun_da.errors import PolicyError
from tuun_da.known_policies import AUTOAUGMENT

N = 30_000
CASES: list[tuple[Space, type[Any]]] = [
    (AUTO_SPACE, v2.AutoAugment),
    (NARROW_SPACE, v2.RandAugment),
    (WIDE_SPACE, v2.TrivialAugmentWide),
]
every_space = pytest.mark.parametrize(("space", "theirs"), CASES, ids=["auto", "narrow", "wide"])
POLICIES = {
    "cifar10": v2.AutoAugmentPolicy.CIFAR10,
    "svhn": v2.AutoAugmentPolicy.SVHN,
    "imagenet": v2.AutoAugmentPolicy.IMAGENET,
}


class NarrowReference(v2.TrivialAugmentWide):
    """TrivialAugment on RandAugment's ranges, which torchvision does not have: its own sampling, its own space."""

    _AUGMENTATION_SPACE = v2.RandAugment._AUGMENTATION_SPACE


PAIRS = {
    **{name: (AutoAugment(name), v2.AutoAugment(policy)) for name, policy in POLICIES.items()},
    "rand": (RandAugment(), v2.RandAugment()),
    "rand 3 25": (RandAugment(3, 25), v2.RandAugment(3, 25)),
    "trivial": (TrivialAugment(), v2.TrivialAugmentWide()),
    "trivial narrow": (TrivialAugment(space="narrow"), NarrowReference()),
}
every_pair = pytest.mark.parametrize(("transform", "reference"), PAIRS.values(), ids=PAIRS)


class Everything(SpaceTransform):
    """Any operation of a space at any magnitude; the draws are made by the tests."""

    def __init__(self, space: Space, *, interpolation: str = "nearest", fill: float = 0.0, bins: int = 31) -> None:
        super().__init__(space, used=(space,), num_magnitude_bins=bins, interpolation=interpolation, fill=fill)

    def _draw(self, n: int, generator: torch.Generator | None) -> SpaceDraw:
        raise NotImplementedError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_images(n: int, channels: int = 3, size: tuple[int, int] = (32, 32)) -> Tensor:
    return torch.randint(0, 256, (n, channels, *size), dtype=torch.uint8, generator=seeded(5))


def assert_share(events: Tensor, share: float) -> None:
    """Within 4.5 standard deviations; the seeds are fixed."""
    bound = 4.5 * math.sqrt(share * (1 - share) / len(events))
    assert abs(events.double().mean().item() - share) <= bound


def every_magnitude(name: str, row: Any, space: Space, bins: int = 31) -> SpaceDraw:
    """All magnitudes of an operation, with both signs if it is signed."""
    bin_ = torch.arange(bins).repeat(2 if row.signed else 1).view(-1, 1)
    operation = torch.full_like(bin_, list(space).index(name))
    negative = torch.arange(len(bin_)).view(-1, 1) >= bins
    return SpaceDraw(operation, bin_, negative)


def torchvisions(reference: Any, image: Tensor, name: str, bin_: int, negative: bool, bins: int = 31) -> Tensor:
    """What torchvision makes of one image; only the choice is not left to its chance."""
    magnitudes, _ = reference._AUGMENTATION_SPACE[name]
    values = magnitudes(bins, *image.shape[-2:])
    magnitude = 0.0 if values is None else float(values[bin_])
    result: Tensor = reference._apply_image_or_video_transform(
        image,
        name,
        -magnitude if negative else magnitude,
        interpolation=reference.interpolation,
        fill=reference._fill,
    )
    return result


# ---- the spaces ----


@every_space
@pytest.mark.parametrize("bins", [2, 10, 31, 256])
@pytest.mark.parametrize("size", [(32, 32), (17, 331), (224, 160)], ids=str)
def test_the_spaces_are_torchvisions(space: Space, theirs: type[Any], bins: int, size: tuple[int, int]) -> None:
    assert list(space) == list(theirs._AUGMENTATION_SPACE)
    for name, (magnitudes, signed) in theirs._AUGMENTATION_SPACE.items():
        row = space[name]
        assert row.signed == signed
        wanted = magnitudes(bins, *size)
        if wanted is None:
            assert (row.low, row.high) == (0.0, 0.0)
        else:
            assert torch.equal(row.values(bins, *size), wanted.float())


@pytest.mark.parametrize("space", [AUTO_SPACE, NARROW_SPACE, WIDE_SPACE], ids=["auto", "narrow", "wide"])
def test_operations_that_move_pixels_stand_together(space: Space) -> None:
    names = list(space)
    first = names.index(MOVES[0])
    assert tuple(names[first : first + len(MOVES)]) == MOVES


@pytest.mark.parametrize("name", POLICIES)
def test_autoaugments_tables_are_torchvisions(name: str) -> None:
    theirs = v2.AutoAugment(POLICIES[name])._policies
    ours = [
        tuple((kind.lower(), probability, level) for kind, probability, level in pair) for pair in AUTOAUGMENT[name]
    ]
    assert ours == [
        tuple((kind.lower(), probability, level or 0) for kind, probability, level in pair) for pair in theirs
    ]


# ---- pixels ----


@every_space
@pytest.mark.parametrize("fill", [None, 90.0])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(32, 32), (17, 23), (40, 40)], ids=str)
def test_pixels_are_torchvisions(
    space: Space, theirs: type[Any], size: tuple[int, int], channels: int, fill: float | None
) -> None:
    reference = theirs(fill=fill)
    transform = Everything(space) if fill is None else Everything(space, fill=fill)
    for name, row in space.items():
        draw = every_magnitude(name, row, space)
        images = make_images(len(draw), channels, size)
        result = transform.transform(images, draw)
        choices = zip(draw.magnitude[:, 0].tolist(), draw.negative[:, 0].tolist(), strict=True)
        wanted = torch.stack(
            [torchvisions(reference, image, name, *choice) for image, choice in zip(images, choices, strict=True)]
        )
        different = (result != wanted).double().mean().item()
        # The last bit of float32 decides between neighbours at equal distance.
        assert different <= (0.002 if name in MOVES else 0.0), name


@every_space
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (1, 40)], ids=str)
def test_tiny_images_are_torchvisions(space: Space, theirs: type[Any], size: tuple[int, int]) -> None:
    reference, transform = theirs(), Everything(space)
    different = total = 0
    for name, row in space.items():
        draw = every_magnitude(name, row, space)
        images = make_images(len(draw), 3, size)
        result = transform.transform(images, draw)
        choices = zip(draw.magnitude[:, 0].tolist(), draw.negative[:, 0].tolist(), strict=True)
        for image, choice, ours in zip(images, choices, result, strict=True):
            apart = int((ours != torchvisions(reference, image, name, *choice)).sum())
            assert apart == 0 or name in MOVES
            different, total = different + apart, total + ours.numel()
    assert different <= 0.002 * total


@pytest.mark.parametrize("name", MOVES)
def test_bilinear_pixels_are_torchvisions_inside(name: str) -> None:
    reference = v2.TrivialAugmentWide(interpolation=F.InterpolationMode.BILINEAR)
    transform = Everything(WIDE_SPACE, interpolation="bilinear")
    draw = every_magnitude(name, WIDE_SPACE[name], WIDE_SPACE)
    images = make_images(len(draw))
    result = transform.transform(images, draw)
    choices = zip(draw.magnitude[:, 0].tolist(), draw.negative[:, 0].tolist(), strict=True)
    for image, choice, ours in zip(images, choices, result, strict=True):
        wanted = torchvisions(reference, image, name, *choice)
        assert (ours.int() - wanted.int()).abs().max() <= 1  # with black as fill also at the rim


@every_pair
@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_of_a_batch_is_torchvisions_under_its_own_draw(
    transform: SpaceTransform, reference: Any, channels: int
) -> None:
    """Operation by operation: where one moved pixel differs, a later equalize would spread that to the whole image."""
    n, size = 160, (24, 32)
    images = make_images(n, channels, size)
    draw = transform.draw(n, seeded(1))
    names = list(reference._AUGMENTATION_SPACE)
    bins = transform.num_magnitude_bins
    places = draw.operation.shape[1]
    exact = torch.ones(n, dtype=torch.bool)
    steps = [images]
    for place in range(places):
        operation = draw.operation.clone()
        operation[:, place + 1 :] = LEFT_ALONE
        steps.append(transform.transform(images, SpaceDraw(operation, draw.magnitude, draw.negative)))
    assert torch.equal(steps[-1], transform.transform(images, draw))
    for place in range(places):
        for i in range(n):
            number, bin_, negative = (
                field[i, place].item() for field in (draw.operation, draw.magnitude, draw.negative)
            )
            before, after = steps[place][i], steps[place + 1][i]
            if number == LEFT_ALONE:
                assert torch.equal(after, before)
                continue
            wanted = torchvisions(reference, before, names[int(number)], int(bin_), bool(negative), bins)
            different = (after != wanted).double().mean()
            exact[i] &= bool(different == 0)
            assert different <= (0.02 if names[int(number)] in MOVES else 0.0)
    assert exact.double().mean() > 0.95


@every_pair
def test_floats_are_treated_as_bytes_are(transform: SpaceTransform, reference: Any) -> None:
    """Operations round in between for uint8 only; nothing else may differ."""
    images = make_images(120)
    draw = transform.draw(120, seeded(2))
    apart = (transform.transform(images, draw).double() - transform.transform(images / 255, draw).double() * 255).abs()
    assert apart.median() < 0.6
    assert (apart < 8).double().mean() > 0.9


@every_pair
def test_a_batch_is_its_images_one_at_a_time(transform: SpaceTransform, reference: Any) -> None:
    images = make_images(100)
    draw = transform.draw(100, seeded(6))
    alone = [
        transform.transform(images[i : i + 1], SpaceDraw(draw.operation[[i]], draw.magnitude[[i]], draw.negative[[i]]))
        for i in range(100)
    ]
    assert torch.equal(transform.transform(images, draw), torch.cat(alone))


@every_pair
def test_what_is_computed_where_the_host_must_not_wait_is_the_same(transform: SpaceTransform, reference: Any) -> None:
    """A graph has every operation computed on every image, as a GPU has."""
    torch._dynamo.reset()
    images = make_images(40)
    draw = transform.draw(40, seeded(7))
    compiled = torch.compile(transform.transform, fullgraph=True, backend="eager")
    assert torch.equal(compiled(images, draw), transform.transform(images, draw))


@pytest.mark.cuda
@every_pair
def test_a_gpu_is_not_waited_for_and_gives_the_same_pictures(transform: SpaceTransform, reference: Any) -> None:
    images = make_images(200)
    draw = transform.draw(200, seeded(9))
    there = images.cuda()
    transform.transform(there, draw)  # loads what CUDA loads on first use
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = transform.transform(there, draw)
    finally:
        torch.cuda.set_sync_debug_mode(before)
    apart = (result.cpu().int() - transform.transform(images, draw).int()).abs()
    assert (apart <= 1).double().mean() > 0.99  # neighbours at equal distance, and what equalize makes of them


# ---- draws ----


@pytest.mark.parametrize("space", ["wide", "narrow"])
def test_trivialaugment_draws_operation_magnitude_and_sign_uniformly(space: str) -> None:
    draw = TrivialAugment(space=space).draw(N, seeded(3))
    assert draw.operation.shape == (N, 1)
    for index, row in enumerate(WIDE_SPACE.values()):
        mine = draw.operation[:, 0] == index
        assert_share(mine, 1 / 14)
        magnitude, negative = draw.magnitude[mine, 0], draw.negative[mine, 0]
        for number in range(31):
            assert_share(magnitude == number, 1 / 31)
        if row.signed:
            assert_share(negative, 0.5)
        else:
            assert not negative.any()
    assert (draw.operation >= 0).all()
    assert draw.operation.max() == 13


@pytest.mark.parametrize(("num_ops", "magnitude"), [(1, 0), (2, 9), (3, 30)])
def test_randaugment_draws_operations_independently_and_uniformly(num_ops: int, magnitude: int) -> None:
    draw = RandAugment(num_ops, magnitude).draw(N, seeded(4))
    assert draw.operation.shape == (N, num_ops)
    assert (draw.magnitude == magnitude).all()
    for place in range(num_ops):
        for index, row in enumerate(NARROW_SPACE.values()):
            mine = draw.operation[:, place] == index
            assert_share(mine, 1 / 14)
            if row.signed:
                assert_share(draw.negative[mine, place], 0.5)
            else:
                assert not draw.negative[mine, place].any()
            if place:
                assert_share(draw.operation[mine, 0] == index, 1 / 14)  # the first says nothing about the next


def test_randaugment_without_operations_changes_nothing() -> None:
    images = make_images(5)
    assert torch.equal(RandAugment(0)(images), images)


@pytest.mark.parametrize("name", POLICIES)
def test_autoaugment_draws_sub_policies_uniformly_and_operations_by_their_probability(name: str) -> None:
    """The expected share of every pair of taken operations, from torchvision's table."""
    n = 4 * N
    draw = AutoAugment(name).draw(n, seeded(5))
    names = list(AUTO_SPACE)
    shares: dict[tuple[tuple[int, int], tuple[int, int]], float] = {}
    for first, second in v2.AutoAugment(POLICIES[name])._policies:
        for a in (True, False):
            for b in (True, False):
                key = tuple(
                    (names.index(kind), level or 0) if taken else (LEFT_ALONE, 0)
                    for (kind, _, level), taken in ((first, a), (second, b))
                )
                share = (first[1] if a else 1 - first[1]) * (second[1] if b else 1 - second[1]) / 25
                shares[key] = shares.get(key, 0.0) + share  # type: ignore[index,arg-type]
    assert math.isclose(sum(shares.values()), 1.0)
    level = draw.magnitude.masked_fill(draw.operation == LEFT_ALONE, 0)
    for ((a, i), (b, j)), share in shares.items():
        mine = (draw.operation == torch.tensor([a, b])).all(1) & (level == torch.tensor([i, j])).all(1)
        assert_share(mine, share)
    signed = torch.tensor([row.signed for row in AUTO_SPACE.values()])[draw.operation] & (draw.operation != LEFT_ALONE)
    assert_share(draw.negative[signed], 0.5)
    assert not draw.negative[~signed].any()
    both = signed.all(1)
    if both.any():
        assert_share(draw.negative[both, 0] == draw.negative[both, 1], 0.5)


@every_pair
def test_pictures_are_distributed_as_torchvisions(transform: SpaceTransform, reference: Any) -> None:
    """The mean level of a bright image with one dark corner tells operations, magnitudes and signs apart."""
    image = torch.full((1, 16, 16), 200, dtype=torch.uint8)
    image[0, :5, :3] = 10
    n = 4000
    with torch.random.fork_rng():
        torch.manual_seed(4)
        theirs = torch.stack([reference(image).float().mean() for _ in range(n)])
    ours = transform(image.expand(n, 1, 16, 16), generator=seeded(5)).float().mean((1, 2, 3))
    # Two-sample Kolmogorov-Smirnov; 2.0 is the critical value for a chance of 7e-4.
    points = torch.cat([ours, theirs]).unique()
    gap = (torch.searchsorted(ours.sort()[0], points, right=True) / n) - (
        torch.searchsorted(theirs.sort()[0], points, right=True) / n
    )
    assert len(points) > 20
    assert gap.abs().max() < 2.0 * math.sqrt(2 / n)


# ---- settings ----


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (TrivialAugment, {"num_magnitude_bins": 1}, "num_magnitude_bins must be a whole number, 2 or more; got 1"),
        (TrivialAugment, {"num_magnitude_bins": 2.5}, "got 2.5"),
        (TrivialAugment, {"space": "large"}, "space must be 'wide' or 'narrow', got 'large'"),
        (TrivialAugment, {"space": ["wide"]}, "got \\['wide'\\]"),
        (TrivialAugment, {"interpolation": "bicubic"}, "must be 'nearest' or 'bilinear', got 'bicubic'"),
        (TrivialAugment, {"fill": 256}, r"fill must lie in \[0, 255\], got 256"),
        (TrivialAugment, {"fill": float("nan")}, "got nan"),
        (TrivialAugment, {"fill": None}, "got None"),
        (RandAugment, {"num_ops": -1}, "num_ops must be a whole number, 0 or more; got -1"),
        (RandAugment, {"num_ops": True}, "got True"),
        (RandAugment, {"magnitude": 31}, "magnitude must be a whole number from 0 to 30; got 31"),
        (RandAugment, {"magnitude": 9.0}, "got 9.0"),
        (RandAugment, {"magnitude": 10, "num_magnitude_bins": 10}, "from 0 to 9; got 10"),
        (RandAugment, {"num_magnitude_bins": 1}, "num_magnitude_bins must be a whole number, 2 or more; got 1"),
        (AutoAugment, {"policy": "cifar100"}, "policy must be one of cifar10, svhn, imagenet; got 'cifar100'"),
        (AutoAugment, {"policy": None}, "got None"),
        (AutoAugment, {"policy": "svhn", "fill": -1}, "got -1"),
    ],
    ids=str,
)
def test_settings_are_checked(make: type[Any], settings: dict[str, object], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        make(**settings)


def test_magnitude_bins_are_used() -> None:
    transform = TrivialAugment(num_magnitude_bins=2)
    draw = transform.draw(500, seeded())
    assert set(draw.magnitude.flatten().tolist()) == {0, 1}
    image = make_images(1)
    results = transform.transform(image.expand(500, -1, -1, -1), draw)
    turned = {
        tuple(result.flatten().tolist()) for result in results[draw.operation[:, 0] == list(WIDE_SPACE).index("Rotate")]
    }
    wanted = [F.rotate(image[0], angle) for angle in (0.0, 135.0, -135.0)]
    assert turned == {tuple(one.flatten().tolist()) for one in wanted}


def test_a_draw_must_have_as_many_operations_as_the_transform() -> None:
    with pytest.raises(PolicyError, match="for 2 operations an image, got one for 3"):
        RandAugment(2).transform(make_images(4), RandAugment(3).draw(4))

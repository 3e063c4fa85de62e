"""One contract for every row of OPERATION_TYPES; torchvision and Pillow decide what is right."""

from __future__ import annotations

import dataclasses

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor
from torchvision_oracle import AFFINE, BLENDED, EXACT, ROUNDED, affine, expected

from tuun_da import Operation, Policy, SubPolicy
from tuun_da.augment.apply import FUNCTIONS, RANDOM_FUNCTIONS, apply_each
from tuun_da.augment.pixels import from_levels, to_levels
from tuun_da.augment.policy import PolicyDraw
from tuun_da.operations import OPERATION_TYPES, PUBLISHED_TYPES

NAMES = list(OPERATION_TYPES)
SIZES = [(8, 8), (32, 32), (17, 23)]
KINDS = [torch.uint8, torch.float32]
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
NEUTRAL = {
    **dict.fromkeys([*AFFINE, *BLENDED, "randomHorizontalFlip"], 0.0),
    "posterize": 8.0,
    "solarize": 256.0,
    "randomCrop": 1.0,
    **{name: 0.0 for name in NAMES if name not in PUBLISHED_TYPES and OPERATION_TYPES[name].has_magnitude},
}
"""The value that changes nothing; the crop of full size does so at chance 1/2, which is the middle."""


def make_images(
    n: int, channels: int, size: tuple[int, int], dtype: torch.dtype = torch.uint8, seed: int = 1
) -> Tensor:
    """Images with smooth parts, noise, flat channels, and both ends of the range: float ones lie on the 256 levels."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(0, 256, (n, channels, *size), generator=generator, dtype=torch.uint8)
    ramp = torch.linspace(0, 255, size[1]).round().to(torch.uint8).expand(channels, *size)
    for i in range(1, n, 3):
        noise[i] = ramp
    if n > 2:
        noise[2, 0] = 77
    return noise if dtype == torch.uint8 else (noise / 255).to(dtype)


def make_settings(name: str, n: int, seed: int = 2) -> tuple[Tensor, Tensor]:
    """Values from one end of the range to the other, with both signs if the type is signed, and chances (n, 2)."""
    row = OPERATION_TYPES[name]
    value = torch.tensor([row.value((i // 2) / ((n - 1) // 2)) for i in range(n)])
    if row.signed:
        value = value * torch.tensor([1.0, -1.0]).repeat(n)[:n]
    chance = torch.rand((n, 2), generator=torch.Generator().manual_seed(seed))
    chance[0], chance[1] = 0.0, 1 - 2**-24
    return value, chance


def call(name: str, images: Tensor, value: Tensor, chance: Tensor) -> Tensor:
    if name in RANDOM_FUNCTIONS:
        return RANDOM_FUNCTIONS[name](images, value, chance)
    return FUNCTIONS[name](images, value)


def levels_apart(a: Tensor, b: Tensor) -> Tensor:
    """Absolute difference in levels of 255."""
    return (a.double() - b.double()).abs() * (255.0 if a.is_floating_point() else 1.0)


def test_every_type_has_one_function() -> None:
    assert sorted([*FUNCTIONS, *RANDOM_FUNCTIONS]) == sorted(OPERATION_TYPES)
    assert not set(FUNCTIONS) & set(RANDOM_FUNCTIONS)


@pytest.mark.parametrize("dtype", KINDS, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_torchvision(name: str, size: tuple[int, int], channels: int, dtype: torch.dtype) -> None:
    images = make_images(18, channels, size, dtype)
    value, chance = make_settings(name, len(images))
    result = call(name, images, value, chance)
    wanted = torch.stack(
        [
            expected(name, image, number.item(), tuple(two.tolist()))
            for image, number, two in zip(images, value, chance, strict=True)
        ]
    )
    assert result.dtype == dtype
    apart = levels_apart(result, wanted)
    if dtype.is_floating_point:
        assert apart.max() < 0.02  # 2 ** -24 of 255 levels, times the length of the arithmetic and 32 pixels of place
    elif name in EXACT:
        assert torch.equal(result, wanted)
    else:  # one level, where the last bit of float32 decides which way a number is rounded or cut off
        assert apart.max() <= 1
        # torchvision's resize of uint8 rounds after the rows and again after the columns
        assert (apart > 0).double().mean() < (0.2 if name == "randomCrop" else 0.05)


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (17, 23)], ids=str)
@pytest.mark.parametrize("name", AFFINE)
def test_rim_differs_from_torchvision_only_by_its_second_weighting(name: str, size: tuple[int, int]) -> None:
    """torchvision returns m s + (1 - m) fill where s is already weighted by m, the share of the pixel inside.

    Ours is s + (1 - m) fill: equal inside, and at most m (1 - m) 255 < 64 levels brighter at the rim.
    """
    images = make_images(18, 3, size, torch.float32)
    value, chance = make_settings(name, len(images))
    result = call(name, images, value, chance)
    for image, number, ours in zip(images, value.tolist(), result, strict=True):
        theirs = affine(name, image, number, 128 / 255)
        sampled = affine(name, image, number, None)
        share = affine(name, torch.ones_like(image), number, None)
        inside = share > 1 - 1e-5
        assert levels_apart(ours, theirs)[inside].max() < 0.02
        assert levels_apart(ours, theirs).max() < 64
        assert levels_apart(ours, theirs + (1 - share) * sampled).max() < 0.02


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_all_256_levels_survive_the_way_through_floats(dtype: torch.dtype) -> None:
    """bfloat16 is left out: it has 8 bits of precision, too few to tell the levels near white apart."""
    levels = torch.arange(256).to(torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_levels((levels / 255).to(dtype)), levels)
    assert torch.equal(from_levels(levels, torch.empty(0, dtype=dtype)), (levels.double() / 255).to(dtype))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_uint8_and_float_agree(name: str, size: tuple[int, int], channels: int) -> None:
    """Within what the rounding of uint8 loses: of the result, and of the luma that color and contrast go by."""
    lost = {
        **dict.fromkeys(EXACT, 0.01),
        **dict.fromkeys([*AFFINE, *ROUNDED], 0.51),
        # a crop of uint8 is rounded after its rows and after its columns, as torchvision's resize does it
        **dict.fromkeys(["autocontrast", "brightness", "gamma", "randomCrop"], 1.01),
        **dict.fromkeys(["color", "contrast"], 1.91),
        "grayscale": 2.01,
        "hueSaturation": 4.71,  # a level of the hue, times 1.9, two of the luma, times 0.9, and one of the result
        "sharpness": 1.5,
    }
    images = make_images(18, channels, size)
    value, chance = make_settings(name, len(images))
    as_bytes = call(name, images, value, chance)
    as_floats = call(name, images / 255, value, chance)
    assert (as_bytes.double() - as_floats.double() * 255).abs().max() <= lost[name]


@pytest.mark.parametrize("dtype", [torch.uint8, *FLOATS], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_batch_is_its_images_one_at_a_time(name: str, dtype: torch.dtype) -> None:
    images = make_images(9, 3, (17, 23), dtype)
    value, chance = make_settings(name, len(images))
    before = images.clone()
    batch = call(name, images, value, chance)
    alone = torch.cat([call(name, images[i : i + 1], value[i : i + 1], chance[i : i + 1]) for i in range(9)])
    assert torch.equal(batch, alone)
    assert torch.equal(images, before)
    assert (batch.dtype, batch.shape) == (images.dtype, images.shape)
    if dtype.is_floating_point:
        assert batch.min() >= 0
        assert batch.max() <= 1


@pytest.mark.parametrize("dtype", [torch.uint8, *FLOATS], ids=str)
@pytest.mark.parametrize("name", sorted(NEUTRAL))
def test_neutral_value_changes_nothing(name: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    images = torch.rand((4, 3, 17, 23), generator=generator, dtype=torch.float64).to(dtype)  # off the 256 levels
    if dtype == torch.uint8:
        images = make_images(4, 3, (17, 23))
    value = torch.full((4,), NEUTRAL[name])
    assert torch.equal(call(name, images, value, torch.full((4, 2), 0.5)), images)


@pytest.mark.parametrize("dtype", KINDS, ids=str)
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 2), (3, 1), (3, 3), (4, 5), (1, 40)], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_tiny_images_agree_with_torchvision(name: str, size: tuple[int, int], dtype: torch.dtype) -> None:
    images = make_images(18, 3, size, dtype)
    value, chance = make_settings(name, len(images))
    result = call(name, images, value, chance)
    for image, number, two, ours in zip(images, value.tolist(), chance.tolist(), result, strict=True):
        apart = levels_apart(ours, expected(name, image, number, tuple(two)))
        assert apart.max() <= (0.02 if dtype.is_floating_point else name not in EXACT)


@pytest.mark.parametrize("name", ["posterize", "solarize", "invert", "equalize"])
@pytest.mark.parametrize("channels", [1, 3])
def test_agrees_with_pillow(name: str, channels: int) -> None:
    images = make_images(12, channels, (32, 32))
    value = make_settings(name, len(images))[0].round().clamp(max=256)
    result = FUNCTIONS[name](images, value)
    for image, number, ours in zip(images, value.tolist(), result, strict=True):
        picture = F.to_pil_image(image)
        theirs = {
            "posterize": lambda p, v: PIL.ImageOps.posterize(p, int(v)),
            "solarize": lambda p, v: PIL.ImageOps.solarize(p, int(v)),
            "invert": lambda p, v: PIL.ImageOps.invert(p),
            "equalize": lambda p, v: PIL.ImageOps.equalize(p),
        }[name](picture, number)
        assert torch.equal(F.pil_to_tensor(theirs), ours)


def test_directions_agree_with_pillow() -> None:
    """A mark in one corner shows which way is positive, by another library than the one that the signs are from."""
    image = torch.zeros((1, 1, 9, 9), dtype=torch.uint8)
    image[0, 0, 0, 0] = 255
    quarter = FUNCTIONS["rotate"](image, torch.tensor([90.0]))[0, 0]
    turned = np.asarray(PIL.Image.fromarray(image[0, 0].numpy()).rotate(90))
    assert np.array_equal(quarter.numpy(), turned)
    moved = FUNCTIONS["translateX"](image, torch.tensor([3 / 9]))[0, 0]
    assert moved[0, 3] == 255
    assert (moved[:, :3] == 128).all()
    moved = FUNCTIONS["translateY"](image, torch.tensor([-3 / 9]))[0, 0]
    assert (moved[6:] == 128).all()


def test_color_leaves_grey_images_alone() -> None:
    images = make_images(5, 1, (8, 8))
    assert torch.equal(FUNCTIONS["color"](images, torch.full((5,), -0.9)), images)


def test_invert_twice_is_nothing() -> None:
    images = make_images(5, 3, (8, 8))
    none = torch.zeros(5)
    assert torch.equal(FUNCTIONS["invert"](FUNCTIONS["invert"](images, none), none), images)


def test_flat_and_small_channels_stay_under_autocontrast_and_equalize() -> None:
    flat = torch.full((2, 3, 32, 32), 90, dtype=torch.uint8)
    small = make_images(2, 3, (8, 8))  # 64 pixels are fewer than the 255 steps of Pillow's table
    none = torch.zeros(2)
    assert torch.equal(FUNCTIONS["autocontrast"](flat, none), flat)
    assert torch.equal(FUNCTIONS["equalize"](flat, none), flat)
    assert torch.equal(FUNCTIONS["equalize"](small, none), small)


def test_full_crops_are_copied_pixels() -> None:
    """A crop of 32/32 interpolates nothing: every pixel of the result is one of the image."""
    images = torch.arange(32 * 32).view(1, 1, 32, 32).expand(200, 1, 32, 32).double() / 1024
    chance = torch.rand((200, 2), generator=torch.Generator().manual_seed(0))
    result = RANDOM_FUNCTIONS["randomCrop"](images, torch.ones(200), chance) * 1024
    assert torch.equal(result, result.round())
    corners = {tuple(corner) for corner in (chance * 9).floor().int().tolist()}
    assert len(corners) > 60  # of 81 places


def draw_for(operation_count: int, n: int, seed: int) -> PolicyDraw:
    generator = torch.Generator().manual_seed(seed)
    return PolicyDraw(
        sub_policy=torch.zeros(n, dtype=torch.int64),
        taken=torch.ones((n, operation_count), dtype=torch.bool),
        sign=torch.randint(0, 2, (n, operation_count), generator=generator) * 2.0 - 1.0,
        chance=torch.rand((n, operation_count, 2), generator=generator),
        common=0,
    )


@pytest.mark.parametrize("dtype", [torch.uint8, *FLOATS], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_type_memory_format_and_device_are_kept(name: str, dtype: torch.dtype) -> None:
    policy = Policy.from_sub_policies([SubPolicy((Operation(name, 1.0, 0.7),))])
    images = make_images(6, 3, (17, 23), dtype)
    draw = draw_for(1, 6, seed=4)
    result = policy.transform(images, draw)
    last = images.contiguous(memory_format=torch.channels_last)
    strided = images.flip(3).flip(3)[..., 1:]
    before = last.clone()
    result_last = policy.transform(last, draw)
    assert torch.equal(last, before)
    assert torch.equal(result, result_last)
    assert result.is_contiguous()
    assert result_last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(policy.transform(strided, draw), policy.transform(strided.contiguous(), draw))
    assert {result.dtype, result_last.dtype} == {dtype}
    assert result.device == images.device


@pytest.mark.parametrize("name", [name for name, row in OPERATION_TYPES.items() if row.signed])
def test_both_signs_occur_and_differ(name: str) -> None:
    """An earlier system turned only one way: a sign of 0 or 1 in place of -1 or 1."""
    policy = Policy.from_sub_policies([SubPolicy((Operation(name, 1.0, 1.0),))])
    image = make_images(1, 3, (16, 16), seed=9)
    images = image.expand(64, -1, -1, -1)
    draw = policy.draw(64, torch.Generator().manual_seed(0))
    value = OPERATION_TYPES[name].high
    chance = torch.full((1, 2), 0.25)
    draw = dataclasses.replace(draw, chance=chance.expand(64, 1, 2))
    result = policy.transform(images, draw)
    plus, minus = (call(name, image, torch.tensor([sign * value], dtype=torch.float64), chance)[0] for sign in (1, -1))
    assert not torch.equal(plus, minus)
    is_plus = torch.tensor([torch.equal(one, plus) for one in result])
    is_minus = torch.tensor([torch.equal(one, minus) for one in result])
    assert (is_plus ^ is_minus).all()
    assert torch.equal(is_plus, draw.sign[:, 0] > 0)
    assert 16 < is_plus.sum() < 48


@pytest.mark.parametrize(
    "chosen",
    [[-1] * 6, [1] * 6, [0, -1, 1, -1, 1, 0], [2, 2, 1, 0, 1, -1], [2, 0, 2, 0, 2, 0]],
    ids=["none", "one for all", "some", "all of them", "not the middle one"],
)
def test_apply_each_computes_on_the_cpu_what_it_computes_elsewhere(chosen: list[int]) -> None:
    images = make_images(6, 3, (8, 8))
    value = torch.linspace(-0.9, 0.9, 6)
    functions = [FUNCTIONS[name] for name in ("contrast", "brightness", "invert")]
    wanted = images.clone()
    for i, number in enumerate(chosen):
        if number >= 0:
            wanted[i] = functions[number](images[i : i + 1], value[i : i + 1])[0]
    numbers = torch.tensor(chosen)
    assert torch.equal(apply_each(images, numbers, functions, value), wanted)
    compiled = torch.compile(apply_each, fullgraph=True, backend="eager")
    assert torch.equal(compiled(images, numbers, functions, value), wanted)


def test_a_batch_that_is_worked_on_in_chunks_gives_what_its_images_give_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuun_da.augment.apply.CHUNK", 3 * 8 * 8 * 2)
    images = make_images(7, 3, (8, 8))
    value = torch.linspace(-0.9, 0.9, 7)
    sizes: list[int] = []

    def noted(part: torch.Tensor, setting: torch.Tensor) -> torch.Tensor:
        sizes.append(len(part))
        return FUNCTIONS["contrast"](part, setting)

    result = apply_each(images, torch.zeros(7, dtype=torch.int64), [noted], value)
    assert sizes == [2, 2, 2, 1]
    assert torch.equal(result, FUNCTIONS["contrast"](images, value))

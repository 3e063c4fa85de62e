"""The rivals of the augmentation benchmark do our work; those not installed are deselected (conftest.py)."""

from __future__ import annotations

from random import Random

import pytest
import torch
from torchvision.transforms import v2

from benchmarks.augment_rivals import CONTESTANTS, OURS, PACKAGES, make_contestant, make_library
from benchmarks.augment_works import (
    BILINEAR_GREY,
    BINS,
    NEAREST_BLACK,
    NONE,
    WORKS,
    Step,
    make_images,
    make_works,
    trivial_table,
)
from tuun_da.augment import geometric
from tuun_da.augment.apply import FUNCTIONS, RANDOM_FUNCTIONS
from tuun_da.operations import OPERATION_TYPES, PUBLISHED_TYPES

SIDE = 32
CPU = torch.device("cpu")
CHANCE = (0.3, 0.8)
TOLERANCE = {
    "pillow": 1.0,  # rounds to whole levels in other places
    "torchvision_pil": 1.0,
    "torchvision_tensor": 0.05,
    "kornia": 1.0,  # floats, which are not cut off to levels
    "kornia_grouped": 1.0,
    "albumentations": 1.0,
}
"""The largest mean difference, in levels of 255, over the pixels that come whole from the image."""
EXCEPTIONS = {
    ("albumentations", "equalize"): 10.0,  # OpenCV's, which scales the histogram in another way than Pillow
    ("torchvision_tensor", "randomCrop"): 0.3,  # resizes uint8 in whole numbers
    ("kornia_grouped", "randomCrop"): 4.0,  # crop_and_resize puts outermost pixels on outermost pixels
}
MOVES = ("shearX", "shearY", "translateX", "translateY", "rotate")
every_rival = pytest.mark.parametrize("augmentation_rival", list(PACKAGES))


def ours(name, images, value):
    values = torch.full((len(images),), value, dtype=torch.float32 if name in MOVES else torch.float64)
    if name in FUNCTIONS:
        return FUNCTIONS[name](images, values)
    return RANDOM_FUNCTIONS[name](images, values, torch.tensor([CHANCE] * len(images)))


def theirs(rival, name, images, value, style):
    """Of kornia_grouped two images at once: for one, kornia takes other ways."""
    if rival == "kornia_grouped":
        from benchmarks import augment_kornia

        prepared = torch.cat([augment_kornia.prepared(image) for image in images])
        operation = augment_kornia.operations(style)[name]
        return augment_kornia.pixels(operation(prepared, [value] * len(images), [CHANCE] * len(images)))
    library = make_library(rival)
    operation = library.operations(style)[name]
    results = [library.leave(operation(library.enter(library.prepared(image)), value, CHANCE)) for image in images]
    return torch.stack([library.pixels(result) for result in results])


def inside(name, value):
    """Pixels (h, w) that neither empty space nor a rim, which libraries treat in different ways, has a part in."""
    if name == "sharpness":
        mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
        mask[1:-1, 1:-1] = True
        return mask
    if name not in MOVES:
        return torch.ones(SIDE, SIDE, dtype=torch.bool)
    dark, bright = (ours(name, torch.full((1, 3, SIDE, SIDE), level).to(torch.uint8), value) for level in (0, 255))
    return ((dark == 0) & (bright == 255))[0, 0]


@every_rival
@pytest.mark.parametrize("magnitude", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("name", PUBLISHED_TYPES)
def test_a_type_of_the_table_gives_our_picture(augmentation_rival, name, magnitude):
    images = make_images(6, SIDE)
    row = OPERATION_TYPES[name]
    for sign in (1.0, -1.0) if row.signed else (1.0,):
        value = sign * row.value(magnitude)
        expected = ours(name, images, value).float()
        mask = inside(name, value)
        assert mask.float().mean() > 0.3
        got = theirs(augmentation_rival, name, images, value, BILINEAR_GREY).float()
        difference = (got - expected).abs()[..., mask].mean()
        allowed = EXCEPTIONS.get((augmentation_rival, name), TOLERANCE[augmentation_rival])
        assert difference <= allowed
        if name in MOVES and magnitude > 0.0:  # the same empty space, in all channels
            outside = (ours(name, torch.zeros_like(images), value) == 128)[0, 0]
            assert outside.any()
            assert (got[..., outside] - 128.0).abs().mean() < 4.0


@every_rival
def test_the_style_of_published_policies_takes_the_nearest_pixel_and_leaves_black(augmentation_rival):
    images = make_images(6, SIDE)
    value = torch.full((6,), 25.0)
    expected = geometric.rotate(images, value, fill=0.0, interpolation="nearest").float()
    got = theirs(augmentation_rival, "rotate", images, 25.0, NEAREST_BLACK).float()
    assert ((got - expected).abs() > 1.5).float().mean() < 0.06  # a rotated centre between two pixels may take either
    assert (got[..., 0, 0] == 0).all()


@every_rival
@pytest.mark.parametrize("work_name", WORKS)
def test_a_rival_gives_as_many_images_of_the_same_size_and_changes_most(augmentation_rival, work_name):
    images = make_images(40, 24)
    contestant = make_contestant(augmentation_rival, make_works(work_name, 1)[0], CPU, side=24)
    native = contestant.prepare(images)
    got = contestant.pixels(contestant.apply(native))
    assert got.shape == images.shape
    assert got.dtype == torch.uint8
    changed = (got != images).flatten(1).any(dim=1).float().mean()
    assert 0.3 < changed <= 1.0
    again = contestant.pixels(native if torch.is_tensor(native) else list(native))
    assert torch.equal(again, images)  # what they were given is as it was


@pytest.mark.parametrize("name", [name for name in OURS if not name.endswith("_compiled")])
def test_ours_takes_part_and_has_no_autoaugment_of_a_batch(name):
    images = make_images(40, 24)
    for work_name in WORKS:
        contestant = make_contestant(name, make_works(work_name, 1)[0], CPU, side=24)
        if name == "ours_batch" and work_name != "policies":
            assert contestant is None
        else:
            assert contestant.pixels(contestant.apply(contestant.prepare(images))).shape == images.shape


def test_compiled_ours_gives_the_picture_of_eager_ours(monkeypatch):
    compile_ = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda function, **options: compile_(function, fullgraph=True, backend="eager")
    )
    images = make_images(12, 16)
    work = make_works("policies", 1)[0]
    results = []
    for name in ("ours_image", "ours_image_compiled"):
        contestant = make_contestant(name, work, CPU, side=16, seed=3)
        results.append(contestant.apply(contestant.prepare(images)))
    assert (results[0].float() - results[1].float()).abs().max() <= 1.0


@pytest.mark.parametrize("work_name", WORKS)
def test_drawn_one_by_one_and_as_a_batch_the_distribution_is_the_same(work_name):
    distribution = make_works(work_name, 1)[0].distribution
    n = 20_000
    steps = distribution.draw_batch(n, torch.Generator().manual_seed(1), SIDE)
    random = Random(2)
    counts: dict[tuple[int, str], list[float]] = {}
    for _ in range(n):
        places = distribution.draw(random, SIDE)
        for step in places:
            counts.setdefault((0, step.type), []).append(step.value)
    for number, name in enumerate(PUBLISHED_TYPES):
        mask = steps.type == number
        one_by_one = counts.get((0, name), [])
        share = mask.sum().item() / n
        assert abs(len(one_by_one) / n - share) < 5 * (2 * max(share, 1 / n) / n) ** 0.5
        if one_by_one:
            values = steps.value[mask]
            spread = values.std().item() * (2 / len(one_by_one)) ** 0.5
            assert abs(sum(one_by_one) / len(one_by_one) - values.mean().item()) <= 5 * spread + 1e-6
            assert {round(value, 6) for value in one_by_one} == {round(value, 6) for value in values.tolist()}
    assert (steps.type >= NONE).all()


def test_the_random_policies_have_the_distribution_of_our_policy():
    work = make_works("policies", 3)[2]
    policy = work.ours("image")
    assert [[operation.type for operation in row.operations] for row in policy.record.sub_policies] == [
        [name for name, *_ in row] for row in work.distribution._rows
    ]
    n = 20_000
    draw = policy.draw(n, torch.Generator().manual_seed(0))
    steps = work.distribution.draw_batch(n, torch.Generator().manual_seed(1), SIDE)
    taken = (steps.type != NONE).float().mean().item()
    assert abs(taken - draw.taken.float().mean().item()) < 0.02


def test_trivialaugment_has_torchvisions_operations_and_magnitudes():
    kinds, values, signed = trivial_table(SIDE)
    theirs = v2.TrivialAugmentWide()._AUGMENTATION_SPACE
    assert [kind or "identity" for kind in kinds] == [
        name[0].lower() + name[1:] if name[-1] in "XY" else name.lower() for name in theirs
    ]
    for row, has_sign, (name, (magnitudes, is_signed)) in zip(values, signed, theirs.items(), strict=True):
        assert has_sign == is_signed
        wanted = magnitudes(BINS, SIDE, SIDE)
        if wanted is None:
            continue
        scale = {"TranslateX": 1 / SIDE, "TranslateY": 1 / SIDE, "Solarize": 255.0}.get(name, 1.0)
        assert torch.allclose(torch.tensor(row), wanted * scale, atol=1e-4)


def test_synthetic_images_are_the_same_each_time_and_look_like_photographs():
    images = make_images(64, 32)
    assert torch.equal(images, make_images(64, 32))
    pixels = images.float()
    assert 25 < pixels.flatten(1).std(dim=1).mean() < 90
    neighbours = (pixels[..., 1:] - pixels[..., :-1]).abs().mean()
    apart = (pixels[..., 16:] - pixels[..., :16]).abs().mean()
    assert neighbours < 0.5 * apart


def test_an_unknown_contestant_and_an_unknown_work_are_refused():
    with pytest.raises(ValueError, match="must be one of"):
        make_contestant("imgaug", make_works("policies", 1)[0], CPU, side=SIDE)
    with pytest.raises(ValueError, match="must be one of"):
        make_works("randaugment", 1)
    assert len(set(CONTESTANTS)) == len(CONTESTANTS)
    assert Step("rotate", 1.0, CHANCE).type in PUBLISHED_TYPES

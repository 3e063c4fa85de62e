"""What the one contract (test_operation_functions.py) does not ask of the types beyond the 16 published ones."""

from __future__ import annotations

import math

import numpy as np
import numpy_oracle
import pytest
import scipy.ndimage
import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor

from tuun_da import Operation, Policy, SubPolicy
from tuun_da.augment.apply import FUNCTIONS, RANDOM_FUNCTIONS
from tuun_da.augment.policy import PolicyDraw
from tuun_da.operations import OPERATION_TYPES, PUBLISHED_TYPES

FURTHER = [name for name in OPERATION_TYPES if name not in PUBLISHED_TYPES]
WITH_MAGNITUDE = [name for name in FURTHER if OPERATION_TYPES[name].has_magnitude]
DTYPES = [torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64]


def photographs(n: int, size: tuple[int, int] = (32, 32), dtype: torch.dtype = torch.uint8) -> Tensor:
    """Smooth coloured noise, as photographs are: most neighbours are alike."""
    rng = np.random.default_rng(0)
    smooth = scipy.ndimage.gaussian_filter(rng.standard_normal((n, 3, *size)), (0, 0.5, 2, 2), mode="wrap")
    levels = torch.from_numpy((128 + 60 * smooth / smooth.std()).clip(0, 255)).round()
    return levels.to(torch.uint8) if dtype == torch.uint8 else (levels / 255).to(dtype)


def chances(n: int, seed: int = 0) -> Tensor:
    return torch.rand((n, 2), generator=torch.Generator().manual_seed(seed))


def call(name: str, images: Tensor, value: float, chance: Tensor) -> Tensor:
    values = torch.full((len(images),), value, dtype=torch.float64)
    if name in RANDOM_FUNCTIONS:
        return RANDOM_FUNCTIONS[name](images, values, chance)
    return FUNCTIONS[name](images, values)


def distance(a: Tensor, b: Tensor) -> float:
    return (a.double() - b.double()).abs().mean().item()


# ---- what holds for each of them ----


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", list(OPERATION_TYPES))
def test_batches_of_none_and_one(name: str, dtype: torch.dtype) -> None:
    policy = Policy.from_sub_policies([SubPolicy((Operation(name, 1.0, 0.7),))])
    images, draw = photographs(3, (9, 7), dtype), policy.draw(3, torch.Generator().manual_seed(0))
    whole = policy.transform(images, draw)
    one = PolicyDraw(draw.sub_policy[:1], draw.taken[:1], draw.sign[:1], draw.chance[:1], draw.common)
    assert torch.equal(policy.transform(images[:1], one), whole[:1])
    nothing = call(name, images[:0], OPERATION_TYPES[name].value(0.7), draw.chance[:0, 0])
    assert (nothing.shape, nothing.dtype) == ((0, 3, 9, 7), dtype)


@pytest.mark.parametrize("name", WITH_MAGNITUDE)
def test_a_larger_magnitude_changes_more(name: str) -> None:
    images, chance = photographs(200), chances(200)
    row = OPERATION_TYPES[name]
    found = [distance(call(name, images, row.value(m), chance), images) for m in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert found[0] == 0.0
    assert (np.diff(found) > 0).all()
    assert found[-1] > 2.0  # levels: nobody needs a type that does nothing


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", WITH_MAGNITUDE)
def test_magnitude_0_changes_no_pixel(name: str, dtype: torch.dtype) -> None:
    policy = Policy.from_sub_policies([SubPolicy((Operation(name, 1.0, 0.0),))])
    images = torch.rand((8, 3, 11, 6), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    images = (images * 255).to(dtype) if dtype == torch.uint8 else images.to(dtype)
    assert torch.equal(policy(images, generator=torch.Generator().manual_seed(0)), images)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
@pytest.mark.parametrize("name", FURTHER)
def test_it_compiles_to_one_graph_with_the_same_result(name: str, dtype: torch.dtype) -> None:
    """In one graph nothing is asked of the images, as on a GPU, where such a question would make the host wait."""
    policy = Policy.from_sub_policies([SubPolicy((Operation(name, 1.0, 0.3),))])
    images = photographs(4, (12, 17), dtype)
    draw = policy.draw(4, torch.Generator().manual_seed(0))
    torch._dynamo.reset()  # else it counts the types as so many compilations of one function
    compiled = torch.compile(policy.transform, fullgraph=True, backend="eager")
    assert torch.equal(compiled(images, draw), policy.transform(images, draw))


@pytest.mark.cuda
@pytest.mark.parametrize("name", FURTHER)
def test_a_gpu_makes_the_same_picture_and_nobody_waits_for_it(name: str) -> None:
    policy = Policy.from_sub_policies([SubPolicy((Operation(name, 1.0, 0.7),))])
    images, draw = photographs(16), policy.draw(16, torch.Generator().manual_seed(0))
    on_gpu, moved = images.cuda(), draw.to(torch.device("cuda"))
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = policy.transform(on_gpu, moved)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    apart = (result.cpu().int() - policy.transform(images, draw).int()).abs()
    assert apart.max() <= (2 if name == "hueSaturation" else 1)
    assert (apart > 0).double().mean() < 0.02


# ---- colour ----


def test_full_grayscale_is_torchvisions() -> None:
    images = photographs(20)
    wanted = F.rgb_to_grayscale(images, num_output_channels=3)
    assert torch.equal(call("grayscale", images, 1.0, chances(20)), wanted)


def test_gamma_is_torchvisions_on_nearly_every_level() -> None:
    """All 256 levels at 400 exponents; float32 rounds the power of some to the other side of a level."""
    levels = torch.arange(256).to(torch.uint8).view(1, 1, 16, 16)
    values = np.linspace(-1, 1, 400).tolist()
    apart = [(call("gamma", levels, v, chances(1)).int() - F.adjust_gamma(levels, 2.0**v).int()).abs() for v in values]
    assert torch.stack(apart).max() <= 1
    assert torch.stack(apart).double().mean() < 1e-3


def test_a_hue_turned_there_and_back_and_all_the_way_round() -> None:
    images = photographs(10, dtype=torch.float64)
    chance = chances(10)
    for turns in (0.1, 1 / 3, 0.5):
        turned = F.adjust_hue(images.float(), turns)
        whole = call("hueSaturation", images, turns, chance)
        assert distance(whole, images) > 0.02
        assert turned.amax(1) == pytest.approx(images.amax(1).float(), abs=1e-6)  # so the value of HSV stays
    red = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64).view(1, 3, 1, 1)
    from tuun_da.augment.hue import _turned

    thirds = [_turned(red, torch.full((1, 1, 1, 1), k / 3, dtype=torch.float64)).flatten().tolist() for k in range(4)]
    np.testing.assert_allclose(thirds, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]], atol=1e-12)


def test_saturation_goes_both_ways() -> None:
    images, chance = photographs(400), chances(400)
    value = OPERATION_TYPES["hueSaturation"].value(0.5)

    def saturation(batch: Tensor) -> Tensor:
        return (batch.amax(1) - batch.amin(1)).double().mean(dim=(1, 2))

    more = saturation(call("hueSaturation", images, value, chance)) > saturation(images)
    assert torch.equal(more, chance[:, 0] >= 0.5)


def test_every_other_order_of_the_channels_is_as_likely_and_the_own_one_never_comes() -> None:
    images = torch.tensor([10, 20, 30], dtype=torch.uint8).view(1, 3, 1, 1).expand(5000, 3, 2, 2)
    result = call("channelPermutation", images, 0.0, chances(5000))
    orders, counts = result[:, :, 0, 0].unique(dim=0, return_counts=True)
    assert len(orders) == 5
    assert [10, 20, 30] not in orders.tolist()
    assert (orders.sum(1) == 60).all()
    assert counts.min() > 1000 - 4.5 * math.sqrt(800)
    grey = photographs(5)[:, :1]
    assert torch.equal(call("channelPermutation", grey, 0.0, chances(5)), grey)


def test_offsets_of_channels_are_independent_and_uniform() -> None:
    images = torch.full((20_000, 3, 1, 1), 0.5, dtype=torch.float64)
    offsets = (call("addPerChannel", images, 40.0, chances(20_000)) - images).view(-1, 3) * 255
    assert offsets.abs().max() <= 40
    assert offsets.std(dim=0).tolist() == pytest.approx([40 / math.sqrt(3)] * 3, rel=0.02)
    assert np.abs(np.corrcoef(offsets.T.numpy()) - np.eye(3)).max() < 0.03


# ---- blur ----


@pytest.mark.parametrize("size", [(32, 32), (1, 1), (2, 9), (5, 5), (64, 40)], ids=str)
def test_blur_is_scipys_gaussian_at_any_size(size: tuple[int, int]) -> None:
    images = photographs(6, size, torch.float64)
    for value in (0.004, 0.02, 1 / 16):
        result = call("gaussianBlur", images, value, chances(6))
        wanted = [numpy_oracle.gaussian_blur(image.numpy(), value, (0.0, 0.0), 1.0) for image in images]
        np.testing.assert_allclose(result.numpy(), np.stack(wanted), atol=1e-12)


def test_a_flat_image_stays_flat_under_blur_sharpen_and_emboss() -> None:
    flat = torch.full((2, 3, 20, 20), 77, dtype=torch.uint8)
    for name in ("gaussianBlur", "sharpen", "emboss"):
        assert torch.equal(call(name, flat, OPERATION_TYPES[name].high, chances(2)), flat)


def test_sharpen_undoes_some_blur_and_emboss_lights_from_above_and_left() -> None:
    step = torch.zeros((1, 1, 9, 9), dtype=torch.uint8)
    step[..., 4:] = 100
    assert call("sharpen", step, 0.1, chances(1))[0, 0, 4].tolist() == [0, 0, 0, 0, 130, 100, 100, 100, 100]
    assert call("emboss", step, 0.25, chances(1))[0, 0, 4].tolist() == [0, 0, 0, 75, 175, 100, 100, 100, 100]


# ---- noise and occlusion ----


def test_the_deviation_of_the_noise_is_the_value() -> None:
    images = torch.full((50, 3, 32, 32), 0.5)
    for value in (0.02, 0.1):  # 0.5 is far enough from both ends
        noise = call("gaussianNoise", images, value, chances(50)) - images
        assert noise.std().item() == pytest.approx(value, rel=0.01)
        assert abs(noise.mean().item()) < 4.5 * value / math.sqrt(noise.numel())
        assert np.abs(np.corrcoef(noise.transpose(0, 1).reshape(3, -1).numpy()) - np.eye(3)).max() < 0.02


@pytest.mark.parametrize("name", ["dropout", "coarseDropout", "coarseSaltAndPepper"])
def test_so_many_pixels_are_hit_and_stay_so_at_larger_magnitudes(name: str) -> None:
    images, chance = torch.full((300, 3, 32, 32), 100, dtype=torch.uint8), chances(300)
    units = 300 * (32 * 32 if name == "dropout" else 64)
    before = torch.zeros((300, 3, 32, 32), dtype=torch.bool)
    for magnitude in (0.2, 0.6, 1.0):
        share = OPERATION_TYPES[name].value(magnitude)
        result = call(name, images, share, chance)
        hit = result != 100
        assert abs(hit.double().mean().item() - share) < 4.5 * math.sqrt(share * (1 - share) / units)
        assert (hit.all(1) == hit.any(1)).all()  # in all channels alike
        assert (hit | ~before).all()
        before = hit
        black, white = (result[hit] == 0).double().mean().item(), (result[hit] == 255).double().mean().item()
        assert black + white == 1.0
        assert white == pytest.approx(0.5 if name == "coarseSaltAndPepper" else 0.0, abs=0.02)


def test_cells_are_hit_as_wholes() -> None:
    images = torch.full((20, 1, 32, 32), 100, dtype=torch.uint8)
    dropped = call("coarseDropout", images, 0.3, chances(20)) == 0
    cells = dropped.view(20, 8, 4, 8, 4)
    assert torch.equal(cells.any(4).any(2), cells.all(4).all(2))


def test_cutouts_lie_everywhere_and_are_cut_at_the_rim() -> None:
    images = torch.zeros((4000, 1, 16, 24), dtype=torch.uint8)
    hidden = call("cutout", images, 0.5, chances(4000)) == 128
    rows, columns = hidden[:, 0].any(2).sum(1), hidden[:, 0].any(1).sum(1)
    assert torch.equal(hidden.sum(dim=(1, 2, 3)), rows * columns)  # rectangles
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 8, 4, 8)
    # a pixel is hidden where the centre is one of the 8 x 8 around it, as far as those are in the image
    share = hidden.double().mean(0)[0]
    assert share[8, 12] == pytest.approx(64 / 384, abs=4.5 * math.sqrt(64 / 384 / 4000))
    assert share[0, 0] == pytest.approx(25 / 384, abs=4.5 * math.sqrt(25 / 384 / 4000))


def test_erased_rectangles_have_their_area_and_ratio_and_lie_within() -> None:
    images = torch.full((4000, 1, 60, 60), 2.0 / 255, dtype=torch.float64)
    for value in (0.1, 0.4):
        erased = call("randomErasing", images, value, chances(4000))[:, 0] != images[:, 0]
        rows, columns = erased.any(2).sum(1).double(), erased.any(1).sum(1).double()
        # a random level is that of the image in one of 256 pixels
        assert erased.double().mean().item() == pytest.approx(value * 255 / 256, rel=0.01)
        ratio = (rows / columns).log()
        bound = -math.log(max(0.3, value))
        assert ratio.abs().max() < bound + 0.2  # rounded to pixels
        assert abs(ratio.mean()) < 0.1
        assert ratio.std().item() == pytest.approx(2 * bound / math.sqrt(12), rel=0.1)
        assert rows.max() <= 60
        place = erased.double().mean(0)
        assert place[30, 30] > 2 * place[0, 0] > 0


def test_what_is_erased_is_noise_of_every_channel_for_itself() -> None:
    images = torch.zeros((200, 3, 32, 32), dtype=torch.uint8)
    erased = call("randomErasing", images, 0.4, chances(200))
    inside = erased.float().mean(1) > 0
    levels = erased.permute(1, 0, 2, 3)[:, inside].double()
    assert levels.mean() == pytest.approx(127.5, abs=0.5)
    assert np.abs(np.corrcoef(levels.numpy()) - np.eye(3)).max() < 0.02


# ---- warps ----


def test_perspective_shows_nothing_but_the_image() -> None:
    """No empty space comes in, and what was straight stays so: a ramp keeps between its ends."""
    images = torch.full((50, 1, 20, 30), 255, dtype=torch.uint8)
    assert torch.equal(call("perspective", images, 0.25, chances(50)), images)
    ramp = torch.linspace(0, 1, 30, dtype=torch.float64).expand(50, 1, 20, 30)
    result = call("perspective", ramp, 0.25, chances(50))
    assert (result.diff(dim=3) > 0).all()


def test_elastic_never_folds_over() -> None:
    """A ramp that rises from left to right still does so, though by other steps: at full magnitude, for many draws."""
    ramp = torch.linspace(0.3, 0.7, 64, dtype=torch.float64).expand(300, 1, 64, 64)
    inner = call("elastic", ramp, OPERATION_TYPES["elastic"].high, chances(300))[:, 0, 8:-8, 8:-8]
    assert (inner.diff(dim=2) > 0).all()
    assert inner.diff(dim=2).std() > 0.1 * inner.diff(dim=2).mean()


def test_elastic_moves_by_no_more_than_its_value_and_not_all_the_same_way() -> None:
    chance = chances(200)
    pixels = np.stack([numpy_oracle.elastic_displacement(32, 48, 0.1, (a, b)) for a, b in chance.tolist()])
    assert np.abs(pixels[:, 0]).max() < 4.8
    assert np.abs(pixels[:, 1]).max() < 3.2
    assert np.abs(pixels.mean(axis=0)).max() < 0.5
    assert 0.5 < pixels[:, 1].std() < 1.5

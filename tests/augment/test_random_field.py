"""Random numbers made of an image's chances: uniform, normal, independent, and always the same."""

from __future__ import annotations

import math

import numpy as np
import numpy_oracle
import pytest
import scipy.stats
import torch
from torch import Tensor

from tuun_da.augment import random_field
from tuun_da.augment.random_field import bits, normal, uniform, uniform_cells

N, COUNT = 200, 5_000  # images, and numbers of each: a million
LEAST_P = 1e-4  # a fair generator fails one test in ten thousand; the chances are fixed


def chances(n: int, seed: int = 0) -> Tensor:
    return torch.rand((n, 2), generator=torch.Generator().manual_seed(seed))


def close_chances(n: int) -> Tensor:
    """Chances that differ in the last of their 24 bits only, or hardly more: the hardest for a weak mixer."""
    k = torch.arange(n)
    return torch.stack((k // 16, k % 16), dim=1).float() / 2**24


CHANCES = {"random": chances(N), "close": close_chances(N)}
every_kind = pytest.mark.parametrize("kind", sorted(CHANCES))


def test_it_is_the_generator_that_it_says() -> None:
    """Against Python's whole numbers, which do not overflow; at the ends of the chances too."""
    chance = torch.cat((chances(20), torch.tensor([[0.0, 0.0], [1 - 2**-24, 1 - 2**-24], [0.5, 2**-24]])))
    for stream in (1, 2, 255):
        wanted = [numpy_oracle.bits((a, b), 300, stream) for a, b in chance.tolist()]
        assert bits(chance, 300, stream=stream).tolist() == wanted
    assert uniform(chance, 9, stream=3).tolist() == [
        numpy_oracle.uniform((a, b), 9, 3).tolist() for a, b in chance.tolist()
    ]


def test_the_mixer_is_a_bijection_of_every_16_bits() -> None:
    """Of the high bits, of the low ones, and of neighbours of any number: no two become one."""
    k = torch.arange(2**16)
    for numbers in (k, k << 16, 123_456_789 + k * 65_537):
        found = random_field._mixed(numbers)
        assert len(found.unique()) == 2**16
        assert found.min() >= 0
        assert found.max() < 2**32


def test_nothing_overflows() -> None:
    """The largest numbers that are multiplied: below 2 ** 32 and 2 ** 31."""
    assert max(0x604BAA5D, 0x43D6CE97) < 2**31
    assert (2**32 - 1) * (2**31 - 1) < 2**63
    assert random_field._mixed(torch.tensor([2**32 - 1])).item() == numpy_oracle.mixed(2**32 - 1)


@every_kind
def test_it_is_uniform(kind: str) -> None:
    numbers = uniform(CHANCES[kind], COUNT, stream=1)
    assert numbers.dtype == torch.float32
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0
    counts = np.histogram(numbers.numpy(), bins=1000, range=(0, 1))[0]
    assert LEAST_P < scipy.stats.chisquare(counts).pvalue < 1 - LEAST_P
    assert scipy.stats.kstest(numbers.flatten().numpy(), "uniform").pvalue > LEAST_P


@every_kind
def test_every_bit_is_set_in_half_of_the_numbers(kind: str) -> None:
    numbers = bits(CHANCES[kind], COUNT, stream=1).flatten()
    for bit in range(32):
        share = (numbers >> bit & 1).double().mean().item()
        assert abs(share - 0.5) < 4.5 * 0.5 / math.sqrt(N * COUNT)


@every_kind
def test_the_first_numbers_of_images_are_uniform(kind: str) -> None:
    """What decides where a rectangle lies: one number of each of many images."""
    chance = chances(100_000) if kind == "random" else close_chances(100_000)
    for column in uniform(chance, 3, stream=1).unbind(1):
        counts = np.histogram(column.numpy(), bins=100, range=(0, 1))[0]
        assert LEAST_P < scipy.stats.chisquare(counts).pvalue < 1 - LEAST_P


def correlation(a: Tensor, b: Tensor) -> float:
    return float(np.corrcoef(a.flatten().numpy(), b.flatten().numpy())[0, 1])


@every_kind
def test_neighbours_images_and_streams_are_independent(kind: str) -> None:
    numbers = uniform(CHANCES[kind], COUNT, stream=1)
    bound = 4.5 / math.sqrt(N * COUNT * 0.9)
    for distance in (1, 2, 3, 16, 32, 224):
        assert abs(correlation(numbers[:, :-distance], numbers[:, distance:])) < bound
    for distance in (1, 2, 16):
        assert abs(correlation(numbers[:-distance], numbers[distance:])) < bound
    assert abs(correlation(numbers, uniform(CHANCES[kind], COUNT, stream=2))) < bound
    exchanged = CHANCES[kind].flip(1)
    others = exchanged[:, 0] != exchanged[:, 1]
    assert abs(correlation(numbers[others], uniform(exchanged[others], COUNT, stream=1))) < bound


@every_kind
def test_pairs_of_neighbours_fill_the_square_evenly(kind: str) -> None:
    """Correlations see straight lines only."""
    numbers = uniform(CHANCES[kind], COUNT, stream=1)
    for distance in (1, 32):
        pairs = (numbers[:, :-distance].flatten().numpy(), numbers[:, distance:].flatten().numpy())
        counts = np.histogram2d(*pairs, bins=32, range=((0, 1), (0, 1)))[0]
        assert LEAST_P < scipy.stats.chisquare(counts.flatten()).pvalue < 1 - LEAST_P
    counts = np.histogram2d(numbers[:-1].flatten(), numbers[1:].flatten(), bins=32, range=((0, 1), (0, 1)))[0]
    assert LEAST_P < scipy.stats.chisquare(counts.flatten()).pvalue < 1 - LEAST_P


def test_the_spread_of_sums_is_that_of_independent_numbers() -> None:
    """Between images and within them: a generator that repeats itself has other sums."""
    numbers = uniform(chances(2_000), 3_072, stream=1).double() - 0.5
    for sums, length in ((numbers.sum(1), 3_072), (numbers.sum(0), 2_000)):
        z = sums / math.sqrt(length / 12)
        assert scipy.stats.kstest(z.numpy(), "norm").pvalue > LEAST_P


@every_kind
def test_normal_numbers_are_normal(kind: str) -> None:
    numbers = normal(CHANCES[kind], COUNT, stream=1)
    assert numbers.dtype == torch.float32
    assert scipy.stats.kstest(numbers.flatten().numpy(), "norm").pvalue > LEAST_P
    flat = numbers.double().flatten()
    bound = 4.5 / math.sqrt(len(flat))
    assert abs(flat.mean()) < bound
    assert abs(flat.var() - 1) < bound * math.sqrt(2) + 1e-3  # 1e-3: they end at 4.0
    assert abs((flat**3).mean()) < bound * math.sqrt(15)
    assert abs((flat**4).mean() - 3) < bound * math.sqrt(96) + 0.02
    assert flat.abs().max() == pytest.approx(scipy.stats.norm.ppf(1 - 2**-15), abs=0.01)


def test_normal_numbers_are_quantiles() -> None:
    chance = chances(3)
    wanted = [numpy_oracle.normal((a, b), 500, 7) for a, b in chance.tolist()]
    np.testing.assert_allclose(normal(chance, 500, stream=7).numpy(), wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("function", [bits, uniform, normal])
def test_an_image_has_the_same_numbers_in_any_batch(function) -> None:  # type: ignore[no-untyped-def]
    chance = chances(17)
    together = function(chance, 1000, stream=2)
    for i in range(17):
        assert torch.equal(function(chance[i : i + 1], 1000, stream=2)[0], together[i])
        assert torch.equal(function(chance[i : i + 1], 10, stream=2)[0], together[i, :10])
    assert torch.equal(function(chance.flip(0), 1000, stream=2), together.flip(0))
    assert torch.equal(function(chance.double(), 1000, stream=2), together)
    assert function(chance[:0], 5, stream=1).shape == (0, 5)


@pytest.mark.cuda
@pytest.mark.parametrize("function", [bits, uniform, normal])
def test_a_gpu_gives_the_same_numbers(function) -> None:  # type: ignore[no-untyped-def]
    chance = chances(17)
    on_gpu = function(chance.cuda(), 1000, stream=2).cpu()
    if function is normal:  # whose table is made on the device
        torch.testing.assert_close(on_gpu, function(chance, 1000, stream=2), rtol=1e-6, atol=1e-7)
    else:
        assert torch.equal(on_gpu, function(chance, 1000, stream=2))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (17, 23), (5, 40), (8, 8), (1, 1), (3, 2)])
def test_cells_are_even_and_fill_the_image(height: int, width: int) -> None:
    chance = chances(4)
    numbers = uniform_cells(chance, 8, height, width, stream=1)
    assert numbers.shape == (4, 1, height, width)
    for image, (a, b) in zip(numbers, chance.tolist(), strict=True):
        assert image[0].tolist() == numpy_oracle.uniform_cells((a, b), height, width, 1).tolist()
        assert len(image.unique()) == min(8, height) * min(8, width)
    for dim, side in ((2, height), (3, width)):
        lines = numbers.select(5 - dim, 0)[0, 0]
        _, sizes = torch.unique_consecutive(lines, return_counts=True)
        assert set(sizes.tolist()) <= {side // min(8, side), -(-side // min(8, side))}

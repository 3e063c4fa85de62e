"""What the augmentation benchmark has done to images: three distributions of operations, and the images themselves.

A distribution can be drawn from in two ways: for one image, with Python's generator, which is the fastest for a single
draw, and for a batch, as tensors.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from tuun_da.augment.auto_augment import AutoAugment
from tuun_da.augment.batch_transform import BatchTransform
from tuun_da.augment.operation_space import WIDE_SPACE
from tuun_da.augment.policy import Policy
from tuun_da.augment.trivial_augment import TrivialAugment
from tuun_da.known_policies import KNOWN_POLICIES
from tuun_da.operations import OPERATION_TYPES, PUBLISHED_TYPES, Operation, SubPolicy

WORKS = ("policies", "autoaugment", "trivialaugment")
SEED = 20
SUB_POLICIES, OPERATIONS = 5, 2
BINS = 31  # magnitudes of TrivialAugment
NONE = -1  # in place of a type's number: no operation
TYPE_NUMBERS: Mapping[str, int] = MappingProxyType({name: i for i, name in enumerate(PUBLISHED_TYPES)})


@dataclass(frozen=True)
class Step:
    """One operation on one image: the value in the unit of its type, sign included, and two numbers in [0, 1)."""

    type: str
    value: float
    chance: tuple[float, float]


@dataclass(frozen=True, eq=False)
class BatchSteps:
    """For each of n images k operations: ``type`` (n, k), numbers in ``PUBLISHED_TYPES`` or ``NONE``; ``value`` (n, k),
    float64 with its sign; ``chance`` (n, k, 2). All on the CPU."""

    type: Tensor
    value: Tensor
    chance: Tensor


@dataclass(frozen=True)
class Style:
    """How empty space is filled, 0 to 255, and whether moved pixels are taken by "bilinear" or "nearest"."""

    interpolation: str
    fill: int


BILINEAR_GREY = Style("bilinear", 128)
NEAREST_BLACK = Style("nearest", 0)


class Distribution(Protocol):
    """Which operations an image gets."""

    def draw(self, random: Random, side: int) -> list[Step]:
        """The operations of one image of side ``side``."""

    def draw_batch(self, n: int, generator: torch.Generator, side: int) -> BatchSteps:
        """The operations of ``n`` images."""


class SubPolicyDistribution:
    """A sub-policy for each image, each operation with its probability, and a sign where the type has one."""

    def __init__(self, sub_policies: Sequence[SubPolicy]) -> None:
        self._rows = tuple(
            tuple(
                (operation.type, operation.probability, operation.value, OPERATION_TYPES[operation.type].signed)
                for operation in sub_policy.operations
            )
            for sub_policy in sub_policies
        )
        self._type = torch.tensor([[TYPE_NUMBERS[name] for name, *_ in row] for row in self._rows])
        self._probability = torch.tensor([[probability for _, probability, *_ in row] for row in self._rows])
        self._value = torch.tensor([[value for _, _, value, _ in row] for row in self._rows], dtype=torch.float64)
        self._signed = torch.tensor([[signed for *_, signed in row] for row in self._rows])

    def draw(self, random: Random, side: int) -> list[Step]:
        del side
        return [
            Step(name, -value if signed and random.random() < 0.5 else value, (random.random(), random.random()))
            for name, probability, value, signed in self._rows[int(random.random() * len(self._rows))]
            if random.random() < probability
        ]

    def draw_batch(self, n: int, generator: torch.Generator, side: int) -> BatchSteps:
        del side
        choice = torch.randint(len(self._rows), (n,), generator=generator)
        take, turn, first, second = torch.rand((4, n, self._type.shape[1]), generator=generator).unbind(0)
        kind = self._type[choice].masked_fill(take >= self._probability[choice], NONE)
        value = self._value[choice]
        return BatchSteps(
            kind, torch.where(self._signed[choice] & (turn < 0.5), -value, value), torch.stack((first, second), dim=2)
        )


class TrivialDistribution:
    """One of TrivialAugment's 14 operations for each image, one of 31 magnitudes, and a sign where there is one."""

    def draw(self, random: Random, side: int) -> list[Step]:
        kinds, values, signed = trivial_table(side)
        number = int(random.random() * len(kinds))
        kind, value = kinds[number], values[number][int(random.random() * BINS)]
        if kind is None:
            return []
        return [Step(kind, -value if signed[number] and random.random() < 0.5 else value, (0.0, 0.0))]

    def draw_batch(self, n: int, generator: torch.Generator, side: int) -> BatchSteps:
        kinds, values, signed = trivial_table(side)
        number = torch.randint(len(kinds), (n, 1), generator=generator)
        level = torch.randint(BINS, (n, 1), generator=generator)
        turned = torch.rand((n, 1), generator=generator) < 0.5
        value = torch.tensor(values, dtype=torch.float64)[number, level]
        types = torch.tensor([NONE if kind is None else TYPE_NUMBERS[kind] for kind in kinds])
        value = torch.where(torch.tensor(signed)[number] & turned, -value, value)
        return BatchSteps(types[number], value, torch.zeros((n, 1, 2)))


Table = tuple[tuple[str | None, ...], tuple[tuple[float, ...], ...], tuple[bool, ...]]
_TABLES: dict[int, Table] = {}


def trivial_table(side: int) -> Table:
    """Of each operation of TrivialAugment the type (None: identity), its values in our units, whether it has a sign.

    torchvision translates by up to 32 pixels, and its threshold of solarize is a share of white.
    """
    if side not in _TABLES:
        lower = {name.lower(): name for name in PUBLISHED_TYPES}
        kinds, values, signed = [], [], []
        for name, row in WIDE_SPACE.items():
            unit = {"TranslateX": 1 / side, "TranslateY": 1 / side, "Solarize": 255.0}.get(name, 1.0)
            kinds.append(lower.get(name.lower()))
            values.append(tuple(value * unit for value in row.values(BINS, side, side).tolist()))
            signed.append(row.signed)
        _TABLES[side] = tuple(kinds), tuple(values), tuple(signed)
    return _TABLES[side]


@dataclass(frozen=True)
class Work:
    """One distribution in all its forms."""

    name: str
    number: int
    distribution: Distribution
    style: Style

    def ours(self, per: str) -> BatchTransform[Any] | None:
        """Our transform of this distribution, drawn ``per`` "image" or "batch"; None where we have no such form."""
        if self.name == "policies":
            return Policy.from_sub_policies(random_policy(self.number), per=per)
        if per == "batch":
            return None  # AutoAugment and TrivialAugment are defined for each image
        return AutoAugment("cifar10") if self.name == "autoaugment" else TrivialAugment()


def make_works(name: str, policies: int) -> list[Work]:
    """All distributions of a work: as many random ones as wanted, or the one published."""
    if name == "policies":
        return [
            Work(name, number, SubPolicyDistribution(random_policy(number)), BILINEAR_GREY)
            for number in range(policies)
        ]
    if name == "autoaugment":
        return [Work(name, 0, SubPolicyDistribution(KNOWN_POLICIES["autoaugment-cifar10"]), NEAREST_BLACK)]
    if name == "trivialaugment":
        return [Work(name, 0, TrivialDistribution(), NEAREST_BLACK)]
    raise ValueError(f"work must be one of {', '.join(WORKS)}; got {name!r}")


def random_policy(number: int) -> tuple[SubPolicy, ...]:
    """The ``number``-th policy: five sub-policies of two operations, all uniform over the 16 published types."""
    random = Random(SEED * 10_000 + number)
    return tuple(
        SubPolicy(
            tuple(
                Operation(random.choice(PUBLISHED_TYPES), random.random(), random.random()) for _ in range(OPERATIONS)
            )
        )
        for _ in range(SUB_POLICIES)
    )


def make_images(n: int, side: int, folder: Path | None = None) -> Tensor:
    """uint8 (n, 3, side, side): those of ``folder``, again from the first where there are fewer, or synthetic ones."""
    return synthetic_images(n, side) if folder is None else folder_images(n, side, folder)


def synthetic_images(n: int, side: int) -> Tensor:
    """Smooth shades of grey, with a tint and noise of 6 levels; the same for every machine of one torch version."""
    generator = torch.Generator().manual_seed(SEED)

    def smooth(channels: int, knots: int) -> Tensor:
        coarse = torch.randn((n, channels, knots, knots), generator=generator)
        return torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=False)

    level = 128.0 + 60.0 * torch.rand((n, 1, 1, 1), generator=generator) - 30.0
    pixels = level + 45.0 * smooth(1, 4) + 15.0 * smooth(1, 12) + 18.0 * smooth(3, 3)
    pixels = pixels + 6.0 * torch.randn((n, 3, side, side), generator=generator)
    return pixels.round().clamp(0.0, 255.0).to(torch.uint8)


def folder_images(n: int, side: int, folder: Path) -> Tensor:
    """The first ``n`` images below ``folder`` in order of their paths, their middle squares resized."""
    from PIL import Image, ImageOps

    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
    if not paths:
        raise ValueError(f"{folder} must hold images, has no .png or .jpg")
    made = []
    for path in itertools.islice(itertools.cycle(paths), n):
        with Image.open(path) as image:
            made.append(np.array(ImageOps.fit(image.convert("RGB"), (side, side), Image.Resampling.BILINEAR)))
    return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).contiguous()

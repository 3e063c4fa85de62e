"""The table of operation types against the ranges that architecture and papers give, and the values made from it."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest

from tuun_da.errors import PolicyError, TuunDaError
from tuun_da.operations import CATEGORIES, DEEPAUGMENT_TYPES, OPERATION_TYPES, PUBLISHED_TYPES, Operation, SubPolicy

RANGES = {  # value at magnitude 0 and 1, and whether the sign is drawn
    "shearX": (0.0, 0.3, True),
    "shearY": (0.0, 0.3, True),
    "translateX": (0.0, 150 / 331, True),
    "translateY": (0.0, 150 / 331, True),
    "rotate": (0.0, 30.0, True),
    "color": (0.0, 0.9, True),
    "posterize": (8.0, 4.0, False),
    "solarize": (256.0, 0.0, False),
    "contrast": (0.0, 0.9, True),
    "sharpness": (0.0, 0.9, True),
    "brightness": (0.0, 0.9, True),
    "autocontrast": (None, None, False),
    "equalize": (None, None, False),
    "invert": (None, None, False),
    "randomCrop": (28 / 32, 1.0, False),
    "randomHorizontalFlip": (0.0, 1.0, False),
    "gaussianBlur": (0.0, 1 / 16, False),
    "sharpen": (0.0, 1.0, False),
    "emboss": (0.0, 1.0, False),
    "gaussianNoise": (0.0, 0.2, False),
    "dropout": (0.0, 0.5, False),
    "coarseDropout": (0.0, 0.3, False),
    "gamma": (0.0, 1.0, True),
    "addPerChannel": (0.0, 40.0, False),
    "hueSaturation": (0.0, 45 / 255, True),
    "coarseSaltAndPepper": (0.0, 0.3, False),
    "verticalFlip": (0.0, 1.0, False),
    "perspective": (0.0, 0.25, False),
    "elastic": (0.0, 0.1, False),
    "grayscale": (0.0, 1.0, False),
    "cutout": (0.0, 0.5, False),
    "randomErasing": (0.0, 0.4, False),
    "channelPermutation": (None, None, False),
}
DEEPAUGMENT = {  # its augmenter.py's names, and ours; fog, clouds and super-pixels have none
    "crop": ["randomCrop"],
    "gaussian-blur": ["gaussianBlur"],
    "rotate": ["rotate"],
    "shear": ["shearX", "shearY"],
    "translate-x": ["translateX"],
    "translate-y": ["translateY"],
    "horizontal-flip": ["randomHorizontalFlip"],
    "vertical-flip": ["verticalFlip"],
    "sharpen": ["sharpen"],
    "emboss": ["emboss"],
    "additive-gaussian-noise": ["gaussianNoise"],
    "dropout": ["dropout"],
    "coarse-dropout": ["coarseDropout"],
    "gamma-contrast": ["gamma"],
    "brighten": ["addPerChannel"],
    "invert": ["invert"],
    "histogram-equalize": ["equalize"],
    "perspective-transform": ["perspective"],
    "elastic-transform": ["elastic"],
    "add-to-hue-and-saturation": ["hueSaturation"],
    "coarse-salt-pepper": ["coarseSaltAndPepper"],
    "grayscale": ["grayscale"],
}


def test_table_has_the_published_types_first_and_in_order() -> None:
    assert list(OPERATION_TYPES) == list(RANGES)
    assert all(name == row.name for name, row in OPERATION_TYPES.items())
    assert list(RANGES)[:16] == list(PUBLISHED_TYPES)


def test_deepaugments_types_are_there() -> None:
    ours = [name for names in DEEPAUGMENT.values() for name in names]
    assert sorted(ours) == sorted(DEEPAUGMENT_TYPES)
    assert list(DEEPAUGMENT_TYPES) == [name for name in OPERATION_TYPES if name in ours]


def test_categories_are_those_of_the_table() -> None:
    assert CATEGORIES == ("geometric", "color", "blur", "noise", "occlusion")
    assert {row.category for row in OPERATION_TYPES.values()} == set(CATEGORIES)


def test_further_types_do_nothing_at_magnitude_0_by_their_value() -> None:
    """Only chances, shares, sizes and offsets: 0 is nothing for each of them."""
    further = [row for name, row in OPERATION_TYPES.items() if name not in PUBLISHED_TYPES]
    assert {row.low for row in further} == {0.0}
    assert [row.name for row in further if not row.has_magnitude] == ["channelPermutation"]


@pytest.mark.parametrize("name", RANGES)
def test_range_and_sign(name: str) -> None:
    low, high, signed = RANGES[name]
    row = OPERATION_TYPES[name]
    assert row.signed == signed
    assert row.has_magnitude == (low is not None)
    if low is not None and high is not None:
        assert row.value(0.0) == low
        assert row.value(1.0) == pytest.approx(high, abs=1e-12)
        values = [row.value(i / 50) for i in range(51)]
        assert values == sorted(values, reverse=low > high)


def test_only_posterize_takes_whole_numbers() -> None:
    assert [name for name, row in OPERATION_TYPES.items() if row.integer] == ["posterize"]
    values = [Operation("posterize", 1.0, i / 20).value for i in range(21)]
    assert set(values) == {4.0, 5.0, 6.0, 7.0, 8.0}
    assert Operation("posterize", 1.0, 0.4).value == 6.0  # 6.4 bits


def test_value_is_in_the_unit_of_the_type() -> None:
    assert Operation("rotate", 0.4, 0.7).value == pytest.approx(21.0)
    assert Operation("solarize", 0.4, 0.5).value == 128.0


def test_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        OPERATION_TYPES["blur"] = OPERATION_TYPES["invert"]  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        OPERATION_TYPES["invert"].low = 1.0  # type: ignore[misc]


def test_operations_are_values() -> None:
    operation = Operation("rotate", 1, 0)
    assert operation == Operation("rotate", 1.0, 0.0)
    assert hash(operation) == hash(Operation("rotate", 1.0, 0.0))
    assert isinstance(operation.probability, float)
    with pytest.raises(dataclasses.FrozenInstanceError):
        operation.magnitude = 0.5  # type: ignore[misc]


@pytest.mark.parametrize("quantity", ["probability", "magnitude"])
@pytest.mark.parametrize("number", [-0.001, 1.001, 1.7, math.nan, math.inf, -math.inf, -1, 2, 10**400])
def test_numbers_outside_0_to_1_are_refused(quantity: str, number: float) -> None:
    settings = {"type": "rotate", "probability": 0.5, "magnitude": 0.5, quantity: number}
    with pytest.raises(PolicyError, match=rf"{quantity} of rotate must lie in \[0, 1\], got"):
        Operation(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("quantity", ["probability", "magnitude"])
@pytest.mark.parametrize("thing", ["0.5", None, True, np.bool_(True), np.array([0.5]), [0.5], 1j])
def test_what_is_no_number_is_refused(quantity: str, thing: object) -> None:
    settings = {"type": "rotate", "probability": 0.5, "magnitude": 0.5, quantity: thing}
    with pytest.raises(PolicyError, match=rf"{quantity} of rotate must be a number in \[0, 1\], got"):
        Operation(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), np.float16(0.5), Fraction(1, 2), np.int64(1)])
def test_numbers_of_any_library_are_taken(number: float) -> None:
    operation = Operation("rotate", number, number)
    assert operation == Operation("rotate", float(number), float(number))
    assert type(operation.probability) is type(operation.magnitude) is float


@pytest.mark.parametrize("name", ["Rotate", "", None, 3, ["rotate"]])
def test_unknown_types_are_refused(name: object) -> None:
    with pytest.raises(PolicyError, match=r"operation type must be one of shearX, .*; got"):
        Operation(name, 0.5, 0.5)  # type: ignore[arg-type]


def test_sub_policies_hold_operations_in_order() -> None:
    first, second = Operation("rotate", 0.5, 0.5), Operation("invert", 0.5, 0.5)
    assert SubPolicy([first, second]).operations == (first, second)  # type: ignore[arg-type]
    assert SubPolicy((first, second)) != SubPolicy((second, first))
    with pytest.raises(PolicyError, match="at least one operation, got none"):
        SubPolicy(())
    with pytest.raises(PolicyError, match="must hold Operations, got 'rotate'"):
        SubPolicy(("rotate",))  # type: ignore[arg-type]


def test_policy_errors_are_for_the_user() -> None:
    assert issubclass(PolicyError, TuunDaError)
    assert issubclass(PolicyError, ValueError)

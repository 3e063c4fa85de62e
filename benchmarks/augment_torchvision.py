"""The 16 types in torchvision's v2 functionals, for PIL images and for tensors (3, h, w) uint8 alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torchvision.transforms.v2 as v2
import torchvision.transforms.v2.functional as F
from torch import Tensor

from benchmarks.augment_moves import crop_box
from benchmarks.augment_works import Style, Work

Operation = Callable[[Any, float, tuple[float, float]], Any]


def operations(style: Style) -> Mapping[str, Operation]:
    """``(image, value, chance) -> image`` by the name of the type."""
    mode = {"bilinear": F.InterpolationMode.BILINEAR, "nearest": F.InterpolationMode.NEAREST}[style.interpolation]
    fill = [float(style.fill)] * 3

    def affine(
        image: Any, *, translate: tuple[float, float] = (0.0, 0.0), shear: tuple[float, float] = (0.0, 0.0)
    ) -> Any:
        return F.affine(image, 0.0, list(translate), 1.0, list(shear), interpolation=mode, fill=fill)

    def degrees(value: float) -> float:
        return math.degrees(math.atan(value))

    return {
        "shearX": lambda image, value, chance: affine(image, shear=(degrees(value), 0.0)),
        "shearY": lambda image, value, chance: affine(image, shear=(0.0, degrees(value))),
        "translateX": lambda image, value, chance: affine(image, translate=(value * F.get_size(image)[1], 0.0)),
        "translateY": lambda image, value, chance: affine(image, translate=(0.0, value * F.get_size(image)[0])),
        "rotate": lambda image, value, chance: F.rotate(image, value, interpolation=mode, fill=fill),
        "color": lambda image, value, chance: F.adjust_saturation(image, 1.0 + value),
        "posterize": lambda image, value, chance: F.posterize(image, int(value)),
        # torchvision refuses a threshold over 255, where nothing is inverted
        "solarize": lambda image, value, chance: F.solarize(image, value) if value <= 255.0 else image,
        "contrast": lambda image, value, chance: F.adjust_contrast(image, 1.0 + value),
        "sharpness": lambda image, value, chance: F.adjust_sharpness(image, 1.0 + value),
        "brightness": lambda image, value, chance: F.adjust_brightness(image, 1.0 + value),
        "autocontrast": lambda image, value, chance: F.autocontrast(image),
        "equalize": lambda image, value, chance: F.equalize(image),
        "invert": lambda image, value, chance: F.invert(image),
        "randomCrop": random_crop,
        "randomHorizontalFlip": lambda image, value, chance: F.horizontal_flip(image) if chance[0] < value else image,
    }


def random_crop(image: Any, value: float, chance: tuple[float, float]) -> Any:
    height, width = F.get_size(image)
    padding, top, left, rows, columns = crop_box(value, chance, width, height)
    cropped = F.crop(F.pad(image, [padding], padding_mode="reflect"), top, left, rows, columns)
    return cropped if (rows, columns) == (height, width) else F.resize(cropped, [height, width])


def own_class(work: Work) -> Callable[[Any], Any] | None:
    """torchvision's own transform for a published distribution."""
    made = {
        "autoaugment": lambda: v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10),
        "trivialaugment": v2.TrivialAugmentWide,
    }
    return made[work.name]() if work.name in made else None


def prepared_pil(image: Tensor) -> Any:
    return F.to_pil_image(image)


def pixels_of_pil(image: Any) -> Tensor:
    return F.pil_to_tensor(image)

"""The 16 types in Pillow: on one image, an array (h, w, 3) uint8 before and after, as Tuun augmented its images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from benchmarks.augment_moves import MOVES, about, crop_box, source_map
from benchmarks.augment_works import Style

Operation = Callable[[Image.Image, float, tuple[float, float]], Image.Image]


def operations(style: Style) -> Mapping[str, Operation]:
    """``(image, value, chance) -> image`` by the name of the type."""
    resample = {"bilinear": Image.Resampling.BILINEAR, "nearest": Image.Resampling.NEAREST}[style.interpolation]
    fill = (style.fill,) * 3

    def move(name: str) -> Operation:
        def moved(image: Image.Image, value: float, chance: tuple[float, float]) -> Image.Image:
            width, height = image.size
            data = about(width / 2, height / 2, source_map(name, value, width, height))
            return image.transform(image.size, Image.Transform.AFFINE, data, resample, fillcolor=fill)

        return moved

    def enhance(kind: type[Any]) -> Operation:
        return lambda image, value, chance: kind(image).enhance(1.0 + value)

    return {
        **{name: move(name) for name in MOVES if name != "rotate"},
        "rotate": lambda image, value, chance: image.rotate(value, resample, fillcolor=fill),
        "color": enhance(ImageEnhance.Color),
        "posterize": lambda image, value, chance: ImageOps.posterize(image, int(value)),
        "solarize": lambda image, value, chance: ImageOps.solarize(image, value),
        "contrast": enhance(ImageEnhance.Contrast),
        "sharpness": enhance(ImageEnhance.Sharpness),
        "brightness": enhance(ImageEnhance.Brightness),
        "autocontrast": lambda image, value, chance: ImageOps.autocontrast(image),
        "equalize": lambda image, value, chance: ImageOps.equalize(image),
        "invert": lambda image, value, chance: ImageOps.invert(image),
        "randomCrop": random_crop,
        "randomHorizontalFlip": lambda image, value, chance: ImageOps.mirror(image) if chance[0] < value else image,
    }


def random_crop(image: Image.Image, value: float, chance: tuple[float, float]) -> Image.Image:
    """Pillow cannot reflect, so the frame is numpy's."""
    padding, top, left, rows, columns = crop_box(value, chance, *image.size)
    frame = ((padding, padding), (padding, padding), (0, 0))
    padded = Image.fromarray(np.pad(np.asarray(image), frame, mode="reflect"))
    box = (left, top, left + columns, top + rows)
    if (columns, rows) == image.size:
        return padded.crop(box)
    return padded.resize(image.size, Image.Resampling.BILINEAR, box=box)


def prepared(image: Tensor) -> Any:
    """What the clock starts with: an array (h, w, 3)."""
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


enter: Callable[[Any], Image.Image] = Image.fromarray
"""Under the clock: to what the operations take."""

leave: Callable[[Image.Image], Any] = np.asarray
"""Under the clock: back to what came."""

"""The 16 types in albumentations 2.0.8, the last release under the MIT licence: on one array (h, w, 3) uint8.

By its functions: its transforms draw from ranges, where a policy has one value of either sign, and with them each
operation takes some 20 microseconds more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import albumentations.augmentations.geometric.functional as geometric
import albumentations.augmentations.pixel.functional as pixel
import cv2
import numpy as np
from torch import Tensor

from benchmarks.augment_moves import MOVES, about, crop_box, source_map
from benchmarks.augment_works import Style

Array = np.ndarray[Any, np.dtype[np.uint8]]
Operation = Callable[[Array, float, tuple[float, float]], Array]

SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], dtype=np.float32) / 13
SAME = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=np.float32)


def operations(style: Style) -> Mapping[str, Operation]:
    """``(image, value, chance) -> image`` by the name of the type."""
    interpolation = {"bilinear": cv2.INTER_LINEAR, "nearest": cv2.INTER_NEAREST}[style.interpolation]
    fill = (style.fill,) * 3

    def move(name: str) -> Operation:
        def moved(image: Array, value: float, chance: tuple[float, float]) -> Array:
            height, width = image.shape[:2]
            source = about((width - 1) / 2, (height - 1) / 2, source_map(name, value, width, height))
            matrix = np.array((*source, 0.0, 0.0, 1.0)).reshape(3, 3)
            flags = interpolation | cv2.WARP_INVERSE_MAP
            return geometric.warp_affine(image, matrix, flags, fill, cv2.BORDER_CONSTANT, (height, width))

        return moved

    return {
        **{name: move(name) for name in MOVES},
        "color": lambda image, value, chance: pixel.adjust_saturation_torchvision(image, 1.0 + value),
        "posterize": lambda image, value, chance: pixel.posterize(image, int(value)) if value < 8.0 else image,
        "solarize": lambda image, value, chance: pixel.solarize(image, value / 255.0),
        "contrast": lambda image, value, chance: pixel.adjust_contrast_torchvision(image, 1.0 + value),
        # its own sharpening is another; this is the kernel of the blend, by its convolution
        "sharpness": lambda image, value, chance: pixel.convolve(image, (1.0 + value) * SAME - value * SMOOTH),
        "brightness": lambda image, value, chance: pixel.adjust_brightness_torchvision(image, np.float64(1.0 + value)),
        "autocontrast": lambda image, value, chance: pixel.auto_contrast(image, 0, None, "pil"),
        "equalize": lambda image, value, chance: pixel.equalize(image),
        "invert": lambda image, value, chance: pixel.invert(image),
        "randomCrop": random_crop,
        "randomHorizontalFlip": lambda image, value, chance: geometric.hflip(image) if chance[0] < value else image,
    }


def random_crop(image: Array, value: float, chance: tuple[float, float]) -> Array:
    height, width = image.shape[:2]
    padding, top, left, rows, columns = crop_box(value, chance, width, height)
    padded = geometric.pad_with_params(image, padding, padding, padding, padding, cv2.BORDER_REFLECT_101, 0)
    cropped = padded[top : top + rows, left : left + columns]
    return geometric.resize(cropped, (height, width), cv2.INTER_LINEAR)


def prepared(image: Tensor) -> Array:
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def one_thread() -> None:
    cv2.setNumThreads(0)  # 0: in the thread that calls

"""The 16 types in kornia, for a batch (n, 3, h, w) of floats in [0, 1] with a value for each image.

``values`` and ``chances`` are lists of n, so that one image at a time takes as few small tensors as many at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import kornia.augmentation.auto as auto
import kornia.enhance as enhance
import kornia.geometry.transform as geometry
import torch
from torch import Tensor

from benchmarks.augment_moves import MOVES, about, crop_box, source_map
from benchmarks.augment_works import TYPE_NUMBERS, Distribution, Style, Work

Chances = Sequence[tuple[float, float]]
Operation = Callable[[Tensor, Sequence[float], Chances], Tensor]


def operations(style: Style) -> Mapping[str, Operation]:
    """``(images, values, chances) -> images`` by the name of the type."""

    def move(name: str) -> Operation:
        def moved(images: Tensor, values: Sequence[float], chances: Chances) -> Tensor:
            height, width = images.shape[2:]
            centre = (width - 1) / 2, (height - 1) / 2
            # kornia wants the way from the image to the result
            rows = [about(*centre, source_map(name, -value, width, height)) for value in values]
            matrix = torch.tensor(rows, device=images.device).view(-1, 2, 3)
            fill = torch.full((3,), style.fill / 255.0, device=images.device)
            return geometry.warp_affine(
                images, matrix, (height, width), mode=style.interpolation, padding_mode="fill", fill_value=fill
            )

        return moved

    def blend(function: Callable[[Tensor, Tensor], Tensor]) -> Operation:
        def blended(images: Tensor, values: Sequence[float], chances: Chances) -> Tensor:
            return function(images, torch.tensor([1.0 + value for value in values], device=images.device))

        return blended

    return {
        **{name: move(name) for name in MOVES},
        # adjust_saturation, adjust_contrast and adjust_brightness are other operations
        "color": blend(enhance.adjust_saturation_with_gray_subtraction),
        "posterize": posterize,
        "solarize": solarize,
        "contrast": blend(enhance.adjust_contrast_with_mean_subtraction),
        "sharpness": blend(enhance.sharpness),
        "brightness": blend(enhance.adjust_brightness_accumulative),
        "autocontrast": lambda images, values, chances: enhance.normalize_min_max(images),
        "equalize": lambda images, values, chances: enhance.equalize(images),
        "invert": lambda images, values, chances: enhance.invert(images),
        "randomCrop": random_crop,
        "randomHorizontalFlip": random_horizontal_flip,
    }


def posterize(images: Tensor, values: Sequence[float], chances: Chances) -> Tensor:
    return enhance.posterize(images, torch.tensor([int(value) for value in values], device=images.device))


def solarize(images: Tensor, values: Sequence[float], chances: Chances) -> Tensor:
    return enhance.solarize(images, torch.tensor([value / 255.0 for value in values], device=images.device))


def random_crop(images: Tensor, values: Sequence[float], chances: Chances) -> Tensor:
    """Many at once by crop_and_resize, which puts the outermost pixels of a crop on those of the result."""
    height, width = images.shape[2:]
    if len(images) == 1:
        padding, top, left, rows, columns = crop_box(values[0], chances[0], width, height)
        padded = torch.nn.functional.pad(images, [padding] * 4, mode="reflect")
        cropped = padded[..., top : top + rows, left : left + columns]
        return cropped if (rows, columns) == (height, width) else geometry.resize(cropped, (height, width))
    boxes = []
    for value, chance in zip(values, chances, strict=True):
        padding, top, left, rows, columns = crop_box(value, chance, width, height)
        bottom, right = top + rows - 1, left + columns - 1
        boxes.append(((left, top), (right, top), (right, bottom), (left, bottom)))
    padded = torch.nn.functional.pad(images, [padding] * 4, mode="reflect")
    corners = torch.tensor(boxes, dtype=images.dtype, device=images.device)
    return geometry.crop_and_resize(padded, corners, (height, width))


def random_horizontal_flip(images: Tensor, values: Sequence[float], chances: Chances) -> Tensor:
    if len(images) == 1:
        return geometry.hflip(images) if chances[0][0] < values[0] else images
    flipped = torch.tensor(
        [chance[0] < value for value, chance in zip(values, chances, strict=True)], device=images.device
    )
    return torch.where(flipped.view(-1, 1, 1, 1), geometry.hflip(images), images)


class Grouped:
    """kornia at its best: drawn for each image, then one call for all images that get the same operation."""

    def __init__(self, distribution: Distribution, style: Style, number: int) -> None:
        self._distribution = distribution
        self._operations = operations(style)
        self._generator = torch.Generator().manual_seed(number)

    def __call__(self, images: Tensor) -> Tensor:
        steps = self._distribution.draw_batch(len(images), self._generator, images.shape[3])
        result = images.clone()
        for place in range(steps.type.shape[1]):
            kinds = steps.type[:, place]
            for name, number in TYPE_NUMBERS.items():
                chosen = (kinds == number).nonzero().squeeze(1)
                if len(chosen) == 0:
                    continue
                values, chances = steps.value[chosen, place].tolist(), steps.chance[chosen, place].tolist()
                there = chosen.to(images.device)
                result[there] = self._operations[name](result[there], values, chances)
        return result


def own_class(work: Work) -> Callable[[Tensor], Tensor] | None:
    """kornia's own transform for a published distribution, for one image: for a batch, it would draw once.

    Its TrivialAugment has other operations and ranges than the paper's, its AutoAugment other translations.
    """
    made = {"autoaugment": lambda: auto.AutoAugment("cifar10"), "trivialaugment": auto.TrivialAugment}
    return made[work.name]() if work.name in made else None


def prepared(image: Tensor) -> Tensor:
    """float (1, 3, h, w)."""
    return image.unsqueeze(0).to(torch.float32) / 255.0


def pixels(images: Tensor) -> Tensor:
    """uint8 (n, 3, h, w)."""
    return (images * 255.0).round().clamp(0.0, 255.0).to(torch.uint8)

"""What torchvision makes of one image under one operation: the independent judge of tuun_da's batched functions.

Where torchvision has no such operation, numpy_oracle.py has.
"""

from __future__ import annotations

import math

import numpy_oracle
import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor
from torchvision.transforms import InterpolationMode

EXACT = (
    *("posterize", "solarize", "invert", "equalize", "autocontrast", "randomHorizontalFlip", "verticalFlip"),
    *("dropout", "coarseDropout", "coarseSaltAndPepper", "cutout", "randomErasing", "channelPermutation"),
)
BLENDED = ("color", "contrast", "sharpness", "brightness")
ROUNDED = ("gaussianBlur", "sharpen", "emboss", "gaussianNoise", "addPerChannel", "perspective", "elastic")
AFFINE = ("shearX", "shearY", "translateX", "translateY", "rotate")


def expected(name: str, image: Tensor, value: float, chance: tuple[float, float] = (0.5, 0.5)) -> Tensor:
    """Operation ``name`` on one image (c, h, w), uint8 or float32."""
    if name in AFFINE:
        return on_grey_sheet(name, image, value)
    white = 1.0 if image.is_floating_point() else 255.0
    match name:
        case "color":
            return F.adjust_saturation(image, 1.0 + value)
        case "contrast":
            return F.adjust_contrast(image, 1.0 + value)
        case "sharpness":
            return F.adjust_sharpness(image, 1.0 + value)
        case "brightness":
            return F.adjust_brightness(image, 1.0 + value)
        case "posterize":  # torchvision posterizes floats to other levels than uint8; the levels of uint8 count
            levels = F.to_dtype(image, torch.uint8, scale=True)
            return F.to_dtype(F.posterize(levels, int(value)), image.dtype, scale=True) if value < 8 else image
        case "solarize":  # torchvision refuses thresholds over 255, where nothing is inverted
            return F.solarize(image, value / 255.0 * white) if value <= 255.0 else image
        case "autocontrast":
            return F.autocontrast(image)
        case "equalize":
            return F.equalize(image)
        case "invert":
            return F.invert(image)
        case "randomHorizontalFlip":
            return F.horizontal_flip(image) if chance[0] < value else image
        case "verticalFlip":
            return F.vertical_flip(image) if chance[0] < value else image
        case "gamma":
            return F.adjust_gamma(image, 2.0**value)
        case "grayscale":
            return F.adjust_saturation(image, 1.0 - value)
        case "hueSaturation":
            change = (-1.0 if chance[0] < 0.5 else 1.0) * 0.9 * abs(value) / (45 / 255)
            return F.adjust_saturation(F.adjust_hue(image, value), 1.0 + change)
        case "cutout":
            return cutout(image, value, chance)
        case "perspective":
            return perspective(image, value, chance)
        case "elastic":
            return elastic(image, value, chance)
        case "randomCrop":
            height, width = image.shape[-2:]
            across, down = round(width * 4 / 32), round(height * 4 / 32)
            crop_height, crop_width = round(value * height), round(value * width)
            top = int(chance[0] * (height + 2 * down - crop_height + 1))
            left = int(chance[1] * (width + 2 * across - crop_width + 1))
            framed = F.pad(image, [across, down], padding_mode="reflect")
            size = [height, width]
            return F.resized_crop(framed, top, left, crop_height, crop_width, size, InterpolationMode.BILINEAR)
        case "gaussianBlur":
            sigma = value * min(image.shape[-2:])
            reach = math.ceil(3.0 * sigma)
            if 0 < reach < min(image.shape[-2:]):  # torchvision refuses others
                return F.gaussian_blur(image, [2 * reach + 1] * 2, [sigma] * 2)
    return numpy_oracle.expected(name, image, value, chance)


def cutout(image: Tensor, value: float, chance: tuple[float, float]) -> Tensor:
    height, width = image.shape[-2:]
    side = round(value * min(height, width))
    top, left = int(chance[0] * height) - side // 2, int(chance[1] * width) - side // 2
    rows, columns = (range(max(start, 0), min(start + side, end)) for start, end in ((top, height), (left, width)))
    if not rows or not columns:
        return image
    grey = torch.tensor(128 / 255 if image.is_floating_point() else 128.0, dtype=image.dtype)
    return F.erase(image, rows[0], columns[0], len(rows), len(columns), grey.view(1, 1, 1))


def perspective(image: Tensor, value: float, chance: tuple[float, float]) -> Tensor:
    """On a sheet on which the outermost pixels go on, as ``on_grey_sheet``."""
    if value == 0.0:
        return image
    height, width = image.shape[-2:]
    x0, y0, x1, y1, x2, y2, x3, y3 = (numpy_oracle.uniform(chance, 8, 1) * value).tolist()
    inside = [[x0, y0], [1 - x1, y1], [1 - x2, 1 - y2], [x3, 1 - y3]]
    sheet = torch.nn.functional.pad(image[None].double(), [2] * 4, mode="replicate")[0]
    start = [[2 + x * width, 2 + y * height] for x, y in inside]
    end = [[2, 2], [2 + width, 2], [2 + width, 2 + height], [2, 2 + height]]
    moved = F.perspective(sheet, start, end, interpolation=InterpolationMode.BILINEAR)[..., 2:-2, 2:-2]
    return (moved if image.is_floating_point() else moved.round()).to(image.dtype)


def elastic(image: Tensor, value: float, chance: tuple[float, float]) -> Tensor:
    """On a sheet of grey, as ``on_grey_sheet``."""
    height, width = image.shape[-2:]
    margin = max(height, width)
    grey = 128 / 255 if image.is_floating_point() else 128
    sheet = torch.nn.functional.pad(image.double(), [margin] * 4, value=grey)
    pixels = torch.from_numpy(numpy_oracle.elastic_displacement(height, width, value, chance))
    displacement = torch.nn.functional.pad(pixels, [margin] * 4).movedim(0, -1)[None]
    displacement = displacement * 2 / torch.tensor([width + 2.0 * margin, height + 2.0 * margin], dtype=torch.float64)
    moved = F.elastic(sheet, displacement, interpolation=InterpolationMode.BILINEAR)
    moved = moved[..., margin : margin + height, margin : margin + width]
    return (moved if image.is_floating_point() else moved.round()).to(image.dtype)


def affine(name: str, image: Tensor, value: float, fill: float | None) -> Tensor:
    """torchvision's own ``affine`` or ``rotate``, with its way of mixing the fill at the rim."""
    height, width = image.shape[-2:]
    if name == "rotate":
        return F.rotate(image, value, interpolation=InterpolationMode.BILINEAR, fill=fill)
    degrees = math.degrees(math.atan(value))
    settings = {
        "shearX": ([0.0, 0.0], [degrees, 0.0]),
        "shearY": ([0.0, 0.0], [0.0, degrees]),
        "translateX": ([value * width, 0.0], [0.0, 0.0]),
        "translateY": ([0.0, value * height], [0.0, 0.0]),
    }
    translate, shear = settings[name]
    return F.affine(image, 0.0, translate, 1.0, shear, interpolation=InterpolationMode.BILINEAR, fill=fill)


def on_grey_sheet(name: str, image: Tensor, value: float) -> Tensor:
    """The image laid on a large sheet of mid-grey 128, moved by torchvision, and cut out again.

    So every pixel of the result lies inside of what torchvision samples, and its mixing at the rim does not matter.
    """
    height, width = image.shape[-2:]
    margin = 2 * max(height, width) + 2
    grey = 128 / 255 if image.is_floating_point() else 128
    sheet = torch.nn.functional.pad(image, [margin] * 4, value=grey)
    pixels = {"translateX": value * width, "translateY": value * height}
    if name in pixels:  # a share of the image, not of the sheet
        shift = [pixels[name], 0.0] if name == "translateX" else [0.0, pixels[name]]
        moved = F.affine(sheet, 0.0, shift, 1.0, [0.0, 0.0], interpolation=InterpolationMode.BILINEAR)
    else:
        moved = affine(name, sheet, value, None)
    return moved[..., margin : margin + height, margin : margin + width]

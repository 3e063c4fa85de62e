"""What torchvision makes of one image under one operation: the independent judge of tuun_da's batched functions."""

from __future__ import annotations

import math

import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor
from torchvision.transforms import InterpolationMode

EXACT = ("posterize", "solarize", "invert", "equalize", "autocontrast", "randomHorizontalFlip")
BLENDED = ("color", "contrast", "sharpness", "brightness")
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
        case "randomCrop":
            height, width = image.shape[-2:]
            across, down = round(width * 4 / 32), round(height * 4 / 32)
            crop_height, crop_width = round(value * height), round(value * width)
            top = int(chance[0] * (height + 2 * down - crop_height + 1))
            left = int(chance[1] * (width + 2 * across - crop_width + 1))
            framed = F.pad(image, [across, down], padding_mode="reflect")
            size = [height, width]
            return F.resized_crop(framed, top, left, crop_height, crop_width, size, InterpolationMode.BILINEAR)
    raise AssertionError(name)


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

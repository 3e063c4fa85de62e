"""The operation that turns colours around the circle of hues."""

from __future__ import annotations

import torch
from torch import Tensor

from tuun_da.augment.color import color
from tuun_da.augment.pixels import each_image, from_unit, keep_where, to_unit
from tuun_da.operations import OPERATION_TYPES

SATURATION = OPERATION_TYPES["color"].high / OPERATION_TYPES["hueSaturation"].high
"""The change of the saturation's factor for each turn of the hue: at full magnitude it is that of the type color."""


def hue_saturation(images: Tensor, value: Tensor, chance: Tensor) -> Tensor:
    """Turn the hue by ``value`` of the full circle, then change the saturation as ``color`` does.

    Whether that becomes more or less is what ``chance`` (n, 2) in [0, 1) says. These are torchvision's ``adjust_hue``
    and ``adjust_saturation``. Images of one channel have no colour and stay as they are.
    """
    if images.shape[1] == 1:
        return images
    turned = _turned(to_unit(images), each_image(value, images))
    whole = from_unit(turned, images) if images.dtype == torch.uint8 else turned
    direction = torch.where(chance[:, 0] < 0.5, -1.0, 1.0)
    changed = color(whole, direction * (SATURATION * value.abs())).to(images.dtype)
    return keep_where(value == 0.0, images, changed)


def _turned(pixels: Tensor, turns: Tensor) -> Tensor:
    """Pixels (n, 3, h, w) from 0 to 1 with their hue moved by ``turns`` (n, 1, 1, 1), by way of HSV."""
    red, green, blue = pixels.unbind(1)
    value, least = pixels.amax(dim=1), pixels.amin(dim=1)
    chroma = value - least
    divisor = torch.where(chroma == 0.0, torch.ones_like(chroma), chroma)  # a grey pixel has no hue
    sixths = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, (blue - red) / divisor + 2.0, (red - green) / divisor + 4.0),
    )
    sixths = sixths + 6.0 * turns[:, 0]
    channels = []
    for start in (5.0, 3.0, 1.0):
        # Smith 1978: each channel lies below the largest by the chroma times a trapezoid along the circle
        place = (sixths + start).remainder(6.0)
        channels.append(value - chroma * torch.minimum(place, 4.0 - place).clamp(0.0, 1.0))
    return torch.stack(channels, dim=1).clamp(0.0, 1.0)

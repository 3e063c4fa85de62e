"""Shears, translations, rotations and crops as numbers, for libraries that take those."""

from __future__ import annotations

import math

CROP_PADDING = 4 / 32  # of the side, reflected
MOVES = ("shearX", "shearY", "translateX", "translateY", "rotate")

Map = tuple[float, float, float, float, float, float]


def source_map(name: str, value: float, width: int, height: int) -> Map:
    """(a, b, c, d, e, f): the pixel at (u, v) comes from (a u + b v + c, d u + e v + f), from the image's centre.

    With ``-value`` in place of ``value`` it is the inverse.
    """
    if name == "shearX":
        return 1.0, value, 0.0, 0.0, 1.0, 0.0
    if name == "shearY":
        return 1.0, 0.0, 0.0, value, 1.0, 0.0
    if name == "translateX":
        return 1.0, 0.0, -value * width, 0.0, 1.0, 0.0
    if name == "translateY":
        return 1.0, 0.0, 0.0, 0.0, 1.0, -value * height
    cos, sin = math.cos(math.radians(value)), math.sin(math.radians(value))
    return cos, -sin, 0.0, sin, cos, 0.0


def about(centre_x: float, centre_y: float, source: Map) -> Map:
    """The map in coordinates in which the image's centre lies at (``centre_x``, ``centre_y``)."""
    a, b, c, d, e, f = source
    return a, b, c + centre_x - a * centre_x - b * centre_y, d, e, f + centre_y - d * centre_x - e * centre_y


def crop_box(value: float, chance: tuple[float, float], width: int, height: int) -> tuple[int, int, int, int, int]:
    """(padding, top, left, rows, columns) of a random crop of ``value`` of a side, from the top left of the padded."""
    padding = round(CROP_PADDING * width)
    rows, columns = round(value * height), round(value * width)
    top = int(chance[0] * (height + 2 * padding - rows + 1))
    left = int(chance[1] * (width + 2 * padding - columns + 1))
    return padding, top, left, rows, columns

"""The operations that bend an image: perspective and elastic.

Each takes ``images`` (n, c, h, w), uint8 or float in [0, 1], ``value`` (n,), the setting of each image in the unit of
its row in ``OPERATION_TYPES``, and ``chance`` (n, 2), uniform in [0, 1), from which all randomness is made
(random_field.py); it returns new images of the same type and size. Images with a value of 0 stay exactly as they are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tuun_da.augment import random_field
from tuun_da.augment.geometric import centred, resample
from tuun_da.augment.pixels import each_image, working_type

KNOTS = 4
"""Cells, in each direction, of the grid over which an elastic displacement varies."""
CONTROL_POINTS = KNOTS + 3  # of a cubic B-spline


def perspective(images: Tensor, value: Tensor, chance: Tensor) -> Tensor:
    """Show the part of the image within a quadrilateral as the whole.

    Each of its corners lies inside of the image's, by up to ``value`` times the side in each direction. So no empty
    space comes in; at the very rim, the nearest pixel goes on.
    """
    height, width = images.shape[2:]
    inset = random_field.uniform(chance, 8, stream=1).to(torch.float64) * value.to(torch.float64)[:, None]
    x0, y0, x1, y1, x2, y2, x3, y3 = inset.unbind(1)
    # The corners, clockwise from the upper left, as shares of the sides; and the projective map of the unit square onto
    # them (Heckbert 1989, "Fundamentals of texture mapping and image warping", section 2.2.3).
    x1, x2, y2, y3 = 1.0 - x1, 1.0 - x2, 1.0 - y2, 1.0 - y3
    dx1, dx2, dx3 = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    dy1, dy2, dy3 = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    area = dx1 * dy2 - dx2 * dy1
    g, h = (dx3 * dy2 - dx2 * dy3) / area, (dx1 * dy3 - dx3 * dy1) / area
    dtype = working_type(images)

    def column(entry: Tensor) -> Tensor:
        return entry.to(dtype).view(-1, 1, 1)

    u = ((torch.arange(width, dtype=dtype, device=images.device) + 0.5) / width).view(1, 1, width)
    v = ((torch.arange(height, dtype=dtype, device=images.device) + 0.5) / height).view(1, height, 1)
    depth = column(g) * u + column(h) * v + 1.0
    from_x = (column(x1 - x0 + g * x1) * u + column(x3 - x0 + h * x3) * v + column(x0)) / depth
    from_y = (column(y1 - y0 + g * y1) * u + column(y3 - y0 + h * y3) * v + column(y0)) / depth
    return resample(images, value, 2.0 * from_x - 1.0, 2.0 * from_y - 1.0, fill=None)


def elastic(images: Tensor, value: Tensor, chance: Tensor) -> Tensor:
    """Move every pixel by a smooth random displacement, of up to ``value`` times the side in each direction.

    The displacement is a cubic B-spline over a grid of 4 x 4 cells (as of free-form deformations, Rueckert et al.
    1999; Ronneberger et al. 2015 augment so) whose control points are uniform. Below 0.48 of a cell it cannot fold
    over (Choi & Lee 2000, "Injectivity conditions of 2D and 3D uniform cubic B-spline functions"), which is 0.12 of
    the side. Empty space is mid-grey 128.
    """
    height, width = images.shape[2:]
    uniform = random_field.uniform(chance, 2 * CONTROL_POINTS**2, stream=1).to(working_type(images))
    control = (2.0 * uniform - 1.0).view(-1, 2, CONTROL_POINTS, CONTROL_POINTS)
    share = _along(_along(control, height, 2), width, 3) * each_image(value, images)
    from_x = centred(width, images).view(1, 1, width) * (2.0 / width) + 2.0 * share[:, 0]
    from_y = centred(height, images).view(1, height, 1) * (2.0 / height) + 2.0 * share[:, 1]
    return resample(images, value, from_x, from_y)


def _along(control: Tensor, side: int, dim: int) -> Tensor:
    """The cubic B-spline of control points along ``dim``, at the centres of ``side`` pixels."""
    place = (torch.arange(side, dtype=control.dtype, device=control.device) + 0.5) * (KNOTS / side)
    cell = place.floor().clamp(max=KNOTS - 1.0)
    t = place - cell
    weights = (
        (1.0 - t) ** 3 / 6.0,
        (3.0 * t**3 - 6.0 * t**2 + 4.0) / 6.0,
        (-3.0 * t**3 + 3.0 * t**2 + 3.0 * t + 1.0) / 6.0,
        t**3 / 6.0,
    )
    shape = [1] * control.ndim
    shape[dim] = side
    line = cell.to(torch.int64)
    total = control.index_select(dim, line) * weights[0].view(shape)
    for k in (1, 2, 3):
        total = total + control.index_select(dim, line + k) * weights[k].view(shape)
    return total

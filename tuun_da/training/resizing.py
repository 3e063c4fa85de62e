"""One square size for all images of a data set: shorter side to the size, then the middle square.

So does torchvision's usual Resize and CenterCrop; objects keep their proportions, and of oblong images the ends go.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from tuun_da.training.settings import DEFAULT_IMAGE_SIZE

Pixels = npt.NDArray[np.uint8]


def squared(image: Image.Image, size: int) -> Image.Image:
    """The middle square of ``image`` at ``size`` x ``size`` pixels, bilinear with antialiasing."""
    width, height = image.size
    if (width, height) == (size, size):
        return image
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.BILINEAR, box=box)


def keeps_its_size(width: int, height: int) -> bool:
    """Whether an image may stay as it is when no size is asked for: square, and small."""
    return width == height <= DEFAULT_IMAGE_SIZE


def fitted(image: Image.Image, size: int | None) -> Pixels:
    """``image`` (mode L or RGB) as (h, w) or (h, w, 3), at ``size`` or, for None, at its own size if it may keep it."""
    if size is None:
        size = image.size[0] if keeps_its_size(*image.size) else DEFAULT_IMAGE_SIZE
    return np.asarray(squared(image, size))


def stacked(images: Sequence[Pixels]) -> Pixels:
    """Images (h, w) and (h, w, 3) as one array (n, c, h, w); c is 1 only if all are grey.

    They come from ``fitted``; if their sizes differ, all get the default size.
    """
    sizes = {image.shape[0] for image in images}
    size = sizes.pop() if len(sizes) == 1 else DEFAULT_IMAGE_SIZE
    channels = 1 if all(image.ndim == 2 for image in images) else 3
    result = np.empty((len(images), channels, size, size), dtype=np.uint8)
    for place, image in zip(result, images, strict=True):
        if image.shape[0] != size:
            image = np.asarray(squared(Image.fromarray(image), size))
        place[:] = image if image.ndim == 2 else image.transpose(2, 0, 1)
    return result


def widened(images: Pixels, shape: tuple[int, int, int]) -> Pixels:
    """Images (n, c, h, w) in a ``shape`` (c, h, w) that suits others too; what ``stacked`` gives for all at once."""
    resized = resized_array(images, shape[1])
    return np.ascontiguousarray(np.broadcast_to(resized, (len(images), *shape)))


def common_shape(one: tuple[int, int, int], other: tuple[int, int, int]) -> tuple[int, int, int]:
    """The shape (c, h, w) for square images of both shapes: grey only if both are, of other sizes the default one."""
    size = one[1] if one[1] == other[1] else DEFAULT_IMAGE_SIZE
    return max(one[0], other[0]), size, size


def resized_array(images: Pixels, size: int | None) -> Pixels:
    """Images (n, c, h, w), c 1 or 3, at ``size``, by the same rule as image files."""
    height, width = images.shape[2:]
    if size is None:
        size = height if keeps_its_size(width, height) else DEFAULT_IMAGE_SIZE
    if (height, width) == (size, size):
        return np.ascontiguousarray(images)
    result = np.empty((*images.shape[:2], size, size), dtype=np.uint8)
    for place, image in zip(result, images, strict=True):
        for channel, pixels in zip(place, image, strict=True):  # by channel, so that it works for 1 and 3
            channel[:] = np.asarray(squared(Image.fromarray(np.ascontiguousarray(pixels)), size))
    return result

"""The text of a policy's operations in numpy: for each type a function of one image (h, w, c), uint8 or float32.

They stand in files for albumentations in place of its own transforms, because what those make depends on versions and
types: of a rotation with OpenCV 4, which places what it interpolates on a grid of 1/32 pixel, half of the pixels are up
to 5 levels off, with OpenCV 5 none; ``Equalize`` is up to 3 levels off and ``AutoContrast`` 1, ``Affine`` translates by
whole pixels, and a fill of 128 is 128 for floats, too. They also draw from ranges, where a policy has one value of
either sign. Nothing here runs in tuun_da. Each function computes what its namesake in ``color.py`` and ``geometric.py``
computes.
"""

from __future__ import annotations

from tuun_da.augment.export_code import Piece

HELPERS = {
    "white": Piece(
        "white",
        code="""
def white(image: np.ndarray) -> float:
    return 255.0 if image.dtype == np.uint8 else 1.0
""",
    ),
    "finished": Piece(
        "finished",
        calls=("white",),
        code='''
def finished(pixels: np.ndarray, image: np.ndarray, *, rounded: bool) -> np.ndarray:
    """Computed float pixels in the type of ``image``; for uint8, rounded or cut off."""
    pixels = np.clip(pixels, 0.0, white(image))
    return (np.rint(pixels) if rounded and image.dtype == np.uint8 else pixels).astype(image.dtype)
''',
    ),
    "levels": Piece(
        "levels",
        code='''
def levels(image: np.ndarray) -> np.ndarray:
    """The nearest of the 256 levels."""
    return image if image.dtype == np.uint8 else np.clip(np.rint(image * 255.0), 0, 255).astype(np.uint8)
''',
    ),
    "from_levels": Piece(
        "from_levels",
        code="""
def from_levels(levels: np.ndarray, image: np.ndarray) -> np.ndarray:
    return levels if image.dtype == np.uint8 else (levels / 255.0).astype(np.float32)
""",
    ),
    "luma": Piece(
        "luma",
        code='''
def luma(image: np.ndarray) -> np.ndarray:
    """Grey (h, w, 1), whole levels for uint8."""
    pixels = image.astype(np.float32)
    if image.shape[2] == 1:
        return pixels
    weights = np.array([0.2989, 0.587, 0.114], dtype=np.float32)
    grey = (pixels * weights).sum(axis=2, keepdims=True)
    return np.floor(grey) if image.dtype == np.uint8 else grey
''',
    ),
    "fused": Piece(
        "fused",
        code='''
def fused(first: np.ndarray, second: np.ndarray, factor: float) -> np.ndarray:
    """``first + second * factor``, all float32 and rounded once, as torch does it: what is cut off then is the same."""
    return (first + second.astype(np.float64) * np.float64(np.float32(factor))).astype(np.float32)
''',
    ),
    "blended": Piece(
        "blended",
        calls=("finished", "fused"),
        code='''
def blended(image: np.ndarray, other: np.ndarray, value: float) -> np.ndarray:
    """``image`` times 1 + value, plus ``other`` times -value."""
    factor = 1.0 + value
    return finished(fused(image * np.float32(factor), other, 1.0 - factor), image, rounded=False)
''',
    ),
    "moved": Piece(
        "moved",
        calls=("white", "finished"),
        code='''
def moved(image: np.ndarray, x: tuple[float, float, float], y: tuple[float, float, float]) -> np.ndarray:
    """Take the pixel at (u, v) from (x0 u + x1 v + x2, y0 u + y1 v + y2), in pixels from the centre of the image.

    Bilinear, on an endless sheet of mid-grey.
    """
    height, width = image.shape[:2]
    u, v = np.arange(width) - (width - 1) / 2, (np.arange(height) - (height - 1) / 2)[:, None]
    column = x[0] * u + x[1] * v + (x[2] + (width - 1) / 2)
    row = y[0] * u + y[1] * v + (y[2] + (height - 1) / 2)
    # less the grey, in a frame of zeros one pixel wide: what lies further out comes from there, too
    grey = np.float32(128.0 / 255.0 * white(image))
    framed = np.pad(image.astype(np.float32) - grey, ((1, 1), (1, 1), (0, 0)))
    column, row = np.clip(column + 1.0, 0.0, width + 1.0), np.clip(row + 1.0, 0.0, height + 1.0)
    left, top = np.minimum(column.astype(np.int64), width), np.minimum(row.astype(np.int64), height)
    across, down = (column - left)[..., None], (row - top)[..., None]
    upper = framed[top, left] * (1.0 - across) + framed[top, left + 1] * across
    lower = framed[top + 1, left] * (1.0 - across) + framed[top + 1, left + 1] * across
    return finished(upper * (1.0 - down) + lower * down + grey, image, rounded=True)
''',
    ),
    "resized": Piece(
        "resized",
        code='''
def resized(pixels: np.ndarray, side: int, axis: int) -> np.ndarray:
    """Float pixels with ``side`` lines along an axis, in place of as many or fewer; bilinear."""
    size = pixels.shape[axis]
    place = np.clip((np.arange(side) + 0.5) * size / side - 0.5, 0.0, size - 1.0)
    lower = place.astype(np.int64)
    share = (place - lower).reshape([-1 if i == axis else 1 for i in range(3)])
    first, second = pixels.take(lower, axis), pixels.take(np.minimum(lower + 1, size - 1), axis)
    return first + (second - first) * share
''',
    ),
}

OPERATIONS = {
    "shearX": Piece(
        "shear_x",
        calls=("moved",),
        code='''
def shear_x(image: np.ndarray, value: float, chance: tuple[float, float]) -> np.ndarray:
    """About the centre; ``value`` is the tangent of the angle."""
    return moved(image, (1.0, value, 0.0), (0.0, 1.0, 0.0))
''',
    ),
    "shearY": Piece(
        "shear_y",
        calls=("moved",),
        code='''
def shear_y(image: np.ndarray, value: float, chance: tuple[float, float]) -> np.ndarray:
    """About the centre; ``value`` is the tangent of the angle."""
    return moved(image, (1.0, 0.0, 0.0), (value, 1.0, 0.0))
''',
    ),
    "translateX": Piece(
        "translate_x",
        calls=("moved",),
        code='''
def translate_x(image: np.ndarray, value: float, chance: tuple[float, float]) -> np.ndarray:
    """To the right by ``value`` times the width."""
    return moved(image, (1.0, 0.0, -value * image.shape[1]), (0.0, 1.0, 0.0))
''',
    ),
    "translateY": Piece(
        "translate_y",
        calls=("moved",),
        code='''
def translate_y(image: np.ndarray, value: float, chance: tuple[float, float]) -> np.ndarray:
    """Down by ``value`` times the height."""
    return moved(image, (1.0, 0.0, 0.0), (0.0, 1.0, -value * image.shape[0]))
''',
    ),
    "rotate": Piece(
        "rotate",
        calls=("moved",),
        imports=("import math",),
        code='''
def rotate(image: np.ndarray, value: float, chance: tuple[float, float]) -> np.ndarray:
    """By ``value`` degrees, counter-clockwise."""
    cos, sin = math.cos(math.radians(value)), math.sin(math.radians(value))
    return moved(image, (cos, -sin, 0.0), (sin, cos, 0.0))
''',
    ),
    "color": Piece(
        "color",
        calls=("luma", "blended"),
        code='''
def color(image: np.ndarray, value: float, chance: tuple[float, float]) -> np.ndarray:
    """Saturation 1 + value."""
    return image if image.shape[2] == 1 else blended(image, luma(image), value)
''',
    ),
    "posterize": Piece(
        "posterize",
        calls=("levels", "from_levels"),
        code='''
def posterize(image: np.ndarray, value: float, chance: tuple[float, float]) -> np.ndarray:
    """To ``value`` bits."""
    if value >= 8.0:
        return image
    return from_levels(levels(image) & np.uint8(256 - 2 ** (8 - int(value))), image)
''',
    ),
    "solarize": Piece(
        "solarize",
        calls=("white", "levels"),
        code='''
def solarize(image: np.ndarray, value: float, chance: tuple[float, float]) -> np.ndarray:
    """Invert from the threshold ``value`` of 255 on; 256 inverts nothing."""
    return np.where(levels(image) >= value, image.dtype.type(white(image)) - image, image)
''',
    ),
    "contrast": Piece(
        "contrast",
        calls=("luma", "blended"),
        code='''
def contrast(image: np.ndarray, value: float, chance: tuple[float, float]) -> np.ndarray:
    """Contrast 1 + value about the mean grey."""
    return blended(image, luma(image).mean(dtype=np.float64).astype(np.float32), value)
''',
    ),
    "sharpness": Piece(
        "sharpness",
        calls=("finished", "fused"),
        code='''
def sharpness(image: np.ndarray, value: float, chance: tuple[float, float]) -> np.ndarray:
    """Sharpness 1 + value: -1 is smoothed with (1 1 1, 1 5 1, 1 1 1) / 13; the outermost pixels stay."""
    height, width = image.shape[:2]
    if height < 3 or width < 3:
        return image
    pixels = image.astype(np.float32)
    total = 4.0 * pixels[1:-1, 1:-1]
    for top in range(3):
        for left in range(3):
            total = total + pixels[top : top + height - 2, left : left + width - 2]
    smooth = np.rint(total / 13.0) if image.dtype == np.uint8 else total / 13.0
    inner = pixels[1:-1, 1:-1]
    pixels[1:-1, 1:-1] = fused(inner, smooth - inner, 1.0 - (1.0 + value))
    return finished(pixels, image, rounded=False)
''',
    ),
    "brightness": Piece(
        "brightness",
        calls=("finished",),
        code='''
def brightness(image: np.ndarray, value: float, chance: tuple[float, float]) -> np.ndarray:
    """Multiply by 1 + value."""
    return finished(image * np.float32(1.0 + value), image, rounded=False)
''',
    ),
    "autocontrast": Piece(
        "autocontrast",
        calls=("white", "finished"),
        code='''
def autocontrast(image: np.ndarray, value: float, chance: tuple[float, float]) -> np.ndarray:
    """Stretch each channel to the full range; a channel of one value stays as it is."""
    pixels = image.astype(np.float32)
    darkest, brightest = pixels.min(axis=(0, 1)), pixels.max(axis=(0, 1))
    flat = darkest == brightest
    scale = np.where(flat, np.float32(1.0), (brightest - darkest) * np.float32(1.0 / white(image)))
    return finished((pixels - np.where(flat, np.float32(0.0), darkest)) / scale, image, rounded=False)
''',
    ),
    "equalize": Piece(
        "equalize",
        calls=("levels", "from_levels"),
        code='''
def equalize(image: np.ndarray, value: float, chance: tuple[float, float]) -> np.ndarray:
    """Flatten the histogram of each channel as Pillow does."""
    result = image.copy()
    for channel in range(image.shape[2]):
        one = levels(image[..., channel])
        histogram = np.bincount(one.ravel(), minlength=256)
        step = (one.size - int(histogram[one.max()])) // 255
        if step > 0:
            table = (np.cumsum(histogram) - histogram + step // 2) // step
            result[..., channel] = from_levels(np.clip(table, 0, 255).astype(np.uint8)[one], image)
    return result
''',
    ),
    "invert": Piece(
        "invert",
        calls=("white",),
        code="""
def invert(image: np.ndarray, value: float, chance: tuple[float, float]) -> np.ndarray:
    return image.dtype.type(white(image)) - image
""",
    ),
    "randomCrop": Piece(
        "random_crop",
        calls=("finished", "resized"),
        code='''
def random_crop(image: np.ndarray, value: float, chance: tuple[float, float]) -> np.ndarray:
    """Frame by 4/32 of each side, reflected, cut out ``value`` of each side, and resize that to the whole."""
    height, width = image.shape[:2]
    down, across = round(height * 4 / 32), round(width * 4 / 32)
    crop_height, crop_width = max(1, round(value * height)), max(1, round(value * width))
    top = int(chance[0] * (height + 2 * down - crop_height + 1))
    left = int(chance[1] * (width + 2 * across - crop_width + 1))
    framed = np.pad(image, ((down, down), (across, across), (0, 0)), mode="reflect").astype(np.float32)
    cropped = framed[top : top + crop_height, left : left + crop_width]
    return finished(resized(resized(cropped, height, 0), width, 1), image, rounded=True)
''',
    ),
    "randomHorizontalFlip": Piece(
        "random_horizontal_flip",
        code='''
def random_horizontal_flip(image: np.ndarray, value: float, chance: tuple[float, float]) -> np.ndarray:
    """With chance ``value``."""
    return image[:, ::-1].copy() if chance[0] < value else image
''',
    ),
}

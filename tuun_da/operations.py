"""The one table of operation types, and the values made from it: Operation and SubPolicy.

An operation is the triple (type, probability, magnitude) of AutoAugment (Cubuk et al. 2019, section 3.1),
with the magnitude as a share of the type's range, so that 0 and 1 mean the ends of the range for every type.
Nothing here touches an image; ``augment/`` has the functions.

The first 16 types are AutoAugment's as Tuun published them, and the default everywhere. The others are those of
DeepAugment, without its fog and clouds (which paint weather from textures of their own) and its super-pixels (which it
had given up itself), and three more that are in wide use. At magnitude 0 every one of these others leaves the image
exactly as it is, and a larger magnitude changes more; channelPermutation has no magnitude.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from types import MappingProxyType

from tuun_da.errors import PolicyError


@dataclass(frozen=True)
class OperationType:
    """One row of the table.

    ``low`` and ``high`` are the values at magnitude 0 and 1, in ``unit``. With ``signed``, the value is an offset
    to either side and its sign is drawn anew for each image. Without ``has_magnitude`` the magnitude changes nothing.
    """

    name: str
    category: str
    low: float
    high: float
    unit: str
    signed: bool = False
    has_magnitude: bool = True
    integer: bool = False

    def value(self, magnitude: float) -> float:
        """The setting, in ``unit`` and without its sign, that stands for ``magnitude`` in [0, 1]."""
        value = self.low + (self.high - self.low) * magnitude
        return float(round(value)) if self.integer else value

    def does_nothing_at(self, magnitude: float) -> bool:
        """Whether images stay as they are: an offset of 0, 8 bits, a threshold above all values, a flip with chance 0.

        That is where the value is the one at magnitude 0; randomCrop alone crops at every magnitude.
        """
        return self.has_magnitude and self.name != "randomCrop" and self.value(magnitude) == self.value(0.0)


_PUBLISHED_ROWS = (
    OperationType("shearX", "geometric", 0.0, 0.3, "shear factor", signed=True),
    OperationType("shearY", "geometric", 0.0, 0.3, "shear factor", signed=True),
    OperationType("translateX", "geometric", 0.0, 150 / 331, "share of the width", signed=True),
    OperationType("translateY", "geometric", 0.0, 150 / 331, "share of the height", signed=True),
    OperationType("rotate", "geometric", 0.0, 30.0, "degrees", signed=True),
    OperationType("color", "color", 0.0, 0.9, "factor, less 1", signed=True),
    OperationType("posterize", "color", 8.0, 4.0, "bits", integer=True),
    OperationType("solarize", "color", 256.0, 0.0, "threshold of 255"),
    OperationType("contrast", "color", 0.0, 0.9, "factor, less 1", signed=True),
    OperationType("sharpness", "color", 0.0, 0.9, "factor, less 1", signed=True),
    OperationType("brightness", "color", 0.0, 0.9, "factor, less 1", signed=True),
    OperationType("autocontrast", "color", 0.0, 0.0, "", has_magnitude=False),
    OperationType("equalize", "color", 0.0, 0.0, "", has_magnitude=False),
    OperationType("invert", "color", 0.0, 0.0, "", has_magnitude=False),
    OperationType("randomCrop", "geometric", 28 / 32, 32 / 32, "share of the side"),
    OperationType("randomHorizontalFlip", "geometric", 0.0, 1.0, "chance"),
)

# Beside each row what DeepAugment did at magnitude m: deepaugment/augmenter.py of github.com/barisozmen/deepaugment at
# commit 2338dd18, by way of imgaug. It drew most settings for each image between 0 and its range's end, so that the
# mean was half of that; here the magnitude is the setting. Where the range is another, the reason stands with it.
_FURTHER_ROWS = (
    # sigma 0 to 25 m pixels of 32, where nothing is left. At 1/16 of the side, 16 blobs across are left, at any size.
    OperationType("gaussianBlur", "blur", 0.0, 1 / 16, "share of the shorter side"),
    # Sharpen(alpha 0 to 1, lightness 0.5 to 5 m): alpha is the magnitude, lightness is 1, since others brighten.
    OperationType("sharpen", "blur", 0.0, 1.0, "share of the blend"),
    # Emboss(alpha 0 to 1, strength 0 to 20 m): alpha is the magnitude, strength imgaug's usual 1; 20 leaves no shades.
    OperationType("emboss", "blur", 0.0, 1.0, "share of the blend"),
    # Standard deviation 0 to 255 m levels, which drowns the image. 0.2 is twice the strongest noise of CIFAR-10-C and
    # half of that of ImageNet-C (Hendrycks & Dietterich 2019).
    OperationType("gaussianNoise", "noise", 0.0, 0.2, "share of white"),
    # Chance of a pixel 0.01 to m: its mean at full magnitude.
    OperationType("dropout", "noise", 0.0, 0.5, "share of the pixels"),
    # Chance of a cell 0.03 to 0.15, whatever m, which set the size of the cells (and made it no number at 0). Here it
    # is the share, up to twice that largest one.
    OperationType("coarseDropout", "occlusion", 0.0, 0.3, "share of the cells"),
    # Exponent 1.75 m, of which 0 makes everything white and 4/7 changes nothing. Here 2 to the power of +-m.
    OperationType("gamma", "color", 0.0, 1.0, "octaves of the exponent", signed=True),
    # -40 m to 40 m levels; the same for all channels of half of the images, as brightness does it here.
    OperationType("addPerChannel", "color", 0.0, 40.0, "levels of 255, either way"),
    # -45 m to 45 m of 255 added to hue (imgaug: 255 is the full circle) and saturation.
    OperationType("hueSaturation", "color", 0.0, 45 / 255, "turns of the hue", signed=True),
    # A fifth of the cells, whatever m, which set the size of the cells. Here as coarseDropout.
    OperationType("coarseSaltAndPepper", "noise", 0.0, 0.3, "share of the cells"),
    # Chance m.
    OperationType("verticalFlip", "geometric", 0.0, 1.0, "chance"),
    # Corners moved by a normal number of deviation 0.01 to m sides. 0.25 is what torchvision's RandomPerspective does.
    OperationType("perspective", "geometric", 0.0, 0.25, "share of the side"),
    # ElasticTransformation(alpha 0 to 300 m, sigma 5), a deviation of up to 10 pixels of 32. At 0.1 nothing folds over
    # (augment/warp.py).
    OperationType("elastic", "geometric", 0.0, 0.1, "share of the side"),
    # Grayscale(alpha 0 to m).
    OperationType("grayscale", "color", 0.0, 1.0, "share of the blend"),
    # Not of DeepAugment. The side of the square: DeVries & Taylor 2017 cut 16 of 32 pixels for CIFAR-10.
    OperationType("cutout", "occlusion", 0.0, 0.5, "share of the shorter side"),
    # The area: up to 0.4 in Zhong et al. 2020.
    OperationType("randomErasing", "occlusion", 0.0, 0.4, "share of the area"),
    OperationType("channelPermutation", "color", 0.0, 0.0, "", has_magnitude=False),
)

OPERATION_TYPES: Mapping[str, OperationType] = MappingProxyType(
    {row.name: row for row in (*_PUBLISHED_ROWS, *_FURTHER_ROWS)}
)
"""All operation types by name, in the order of the search spaces."""

PUBLISHED_TYPES = tuple(row.name for row in _PUBLISHED_ROWS)
"""The 16 types of the published search space, which is the default."""

DEEPAUGMENT_TYPES = tuple(
    name
    for name in OPERATION_TYPES
    if name
    not in (
        *("color", "posterize", "solarize", "contrast", "sharpness", "brightness", "autocontrast"),
        *("cutout", "randomErasing", "channelPermutation"),
    )
)
"""What DeepAugment's augmenter.py can do, as types of this table: its shear is two here, its brighten addPerChannel.

(The list from which its controller.py at 25d7c11b draws lacks these four: equalize, perspective, elastic and
grayscale.)
"""

CATEGORIES = tuple(dict.fromkeys(row.category for row in OPERATION_TYPES.values()))
"""The categories that search spaces can be made of."""


def is_real(value: object) -> bool:
    """Whether ``value`` is a number, of Python or numpy, and no bool. (numpy's bool is no ``Real``.)"""
    return isinstance(value, Real) and not isinstance(value, bool)


@dataclass(frozen=True)
class Operation:
    """An operation type with its probability and magnitude, both in [0, 1]. Raises PolicyError."""

    type: str
    probability: float
    magnitude: float

    def __post_init__(self) -> None:
        if not isinstance(self.type, str) or self.type not in OPERATION_TYPES:
            raise PolicyError(f"operation type must be one of {', '.join(OPERATION_TYPES)}; got {self.type!r}")
        for quantity in ("probability", "magnitude"):
            number = getattr(self, quantity)
            if not is_real(number):
                raise PolicyError(f"{quantity} of {self.type} must be a number in [0, 1], got {number!r}")
            if not 0.0 <= number <= 1.0:  # False for NaN too
                raise PolicyError(f"{quantity} of {self.type} must lie in [0, 1], got {number!r}")
            object.__setattr__(self, quantity, float(number))

    @property
    def value(self) -> float:
        """The setting in the unit of the type, without its sign."""
        return OPERATION_TYPES[self.type].value(self.magnitude)


@dataclass(frozen=True)
class SubPolicy:
    """Operations that are applied one after the other; the published systems have two. Raises PolicyError."""

    operations: tuple[Operation, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.operations, tuple):
            object.__setattr__(self, "operations", tuple(self.operations))
        if not self.operations:
            raise PolicyError("a sub-policy must have at least one operation, got none")
        for operation in self.operations:
            if not isinstance(operation, Operation):
                raise PolicyError(f"a sub-policy must hold Operations, got {operation!r}")

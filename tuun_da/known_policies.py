"""Published policies, as tables in our types. Needs no torch.

AutoAugment's are of Cubuk et al. 2019 (arXiv:1805.09501), tables 7 to 9: five policies of five sub-policies, which
the authors joined into one of 25. A level from 0 to 9 there is the magnitude level / 9 here, because our ranges are the
paper's. AutoContrast, Equalize and Invert have no magnitude; it is 0 here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tuun_da.operations import Operation, SubPolicy

LEVELS = 9  # the largest level of AutoAugment's tables

Row = tuple[str, float, int]  # type, probability, level

_CIFAR10: tuple[tuple[Row, Row], ...] = (
    (("invert", 0.1, 0), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translateX", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shearY", 0.5, 8), ("translateY", 0.7, 9)),
    (("autocontrast", 0.5, 0), ("equalize", 0.9, 0)),
    (("shearY", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 0), ("equalize", 0.5, 0)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translateX", 0.5, 8)),
    (("equalize", 0.3, 0), ("autocontrast", 0.4, 0)),
    (("translateY", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 0)),
    (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
    (("equalize", 0.2, 0), ("equalize", 0.6, 0)),
    (("color", 0.9, 9), ("equalize", 0.6, 0)),
    (("autocontrast", 0.8, 0), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, 0)),
    (("translateY", 0.9, 9), ("translateY", 0.7, 9)),
    (("autocontrast", 0.9, 0), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 0), ("invert", 0.1, 0)),
    (("translateY", 0.7, 9), ("autocontrast", 0.9, 0)),
)

_SVHN: tuple[tuple[Row, Row], ...] = (
    (("shearX", 0.9, 4), ("invert", 0.2, 0)),
    (("shearY", 0.9, 8), ("invert", 0.7, 0)),
    (("equalize", 0.6, 0), ("solarize", 0.6, 6)),
    (("invert", 0.9, 0), ("equalize", 0.6, 0)),
    (("equalize", 0.6, 0), ("rotate", 0.9, 3)),
    (("shearX", 0.9, 4), ("autocontrast", 0.8, 0)),
    (("shearY", 0.9, 8), ("invert", 0.4, 0)),
    (("shearY", 0.9, 5), ("solarize", 0.2, 6)),
    (("invert", 0.9, 0), ("autocontrast", 0.8, 0)),
    (("equalize", 0.6, 0), ("rotate", 0.9, 3)),
    (("shearX", 0.9, 4), ("solarize", 0.3, 3)),
    (("shearY", 0.8, 8), ("invert", 0.7, 0)),
    (("equalize", 0.9, 0), ("translateY", 0.6, 6)),
    (("invert", 0.9, 0), ("equalize", 0.6, 0)),
    (("contrast", 0.3, 3), ("rotate", 0.8, 4)),
    (("invert", 0.8, 0), ("translateY", 0.0, 2)),
    (("shearY", 0.7, 6), ("solarize", 0.4, 8)),
    (("invert", 0.6, 0), ("rotate", 0.8, 4)),
    (("shearY", 0.3, 7), ("translateX", 0.9, 3)),
    (("shearX", 0.1, 6), ("invert", 0.6, 0)),
    (("solarize", 0.7, 2), ("translateY", 0.6, 7)),
    (("shearY", 0.8, 4), ("invert", 0.8, 0)),
    (("shearX", 0.7, 9), ("translateY", 0.8, 3)),
    (("shearY", 0.8, 5), ("autocontrast", 0.7, 0)),
    (("shearX", 0.7, 2), ("invert", 0.1, 0)),
)

_IMAGENET: tuple[tuple[Row, Row], ...] = (
    (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 0)),
    (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
    (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
    (("equalize", 0.4, 0), ("solarize", 0.2, 4)),
    (("equalize", 0.4, 0), ("rotate", 0.8, 8)),
    (("solarize", 0.6, 3), ("equalize", 0.6, 0)),
    (("posterize", 0.8, 5), ("equalize", 1.0, 0)),
    (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
    (("equalize", 0.6, 0), ("posterize", 0.4, 6)),
    (("rotate", 0.8, 8), ("color", 0.4, 0)),
    (("rotate", 0.4, 9), ("equalize", 0.6, 0)),
    (("equalize", 0.0, 0), ("equalize", 0.8, 0)),
    (("invert", 0.6, 0), ("equalize", 1.0, 0)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("rotate", 0.8, 8), ("color", 1.0, 2)),
    (("color", 0.8, 8), ("solarize", 0.8, 7)),
    (("sharpness", 0.4, 7), ("invert", 0.6, 0)),
    (("shearX", 0.6, 5), ("equalize", 1.0, 0)),
    (("color", 0.4, 0), ("equalize", 0.6, 0)),
    (("equalize", 0.4, 0), ("solarize", 0.2, 4)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 0)),
    (("invert", 0.6, 0), ("equalize", 1.0, 0)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
)

AUTOAUGMENT: Mapping[str, tuple[tuple[Row, Row], ...]] = MappingProxyType(
    {"cifar10": _CIFAR10, "svhn": _SVHN, "imagenet": _IMAGENET}
)
"""AutoAugment's tables by data set: for each of the 25 sub-policies, two triples of type, probability and level."""


def _sub_policies(rows: tuple[tuple[Row, Row], ...]) -> tuple[SubPolicy, ...]:
    return tuple(
        SubPolicy(tuple(Operation(name, probability, level / LEVELS) for name, probability, level in pair))
        for pair in rows
    )


_SIZE = 5  # sub-policies of a policy

KNOWN_POLICIES: Mapping[str, tuple[SubPolicy, ...]] = MappingProxyType(
    {
        "none": (SubPolicy((Operation("randomHorizontalFlip", 0.0, 0.0),) * 2),) * _SIZE,
        "etp": (SubPolicy((Operation("randomCrop", 1.0, 1.0), Operation("randomHorizontalFlip", 1.0, 0.5))),) * _SIZE,
        "autoaugment-cifar10": _sub_policies(_CIFAR10),
        "autoaugment-svhn": _sub_policies(_SVHN),
    }
)
"""The sub-policies of each by name, in the published order; no augmentation, and crop and flip, as policies."""

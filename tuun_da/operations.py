"""The one table of operation types, and the values made from it: Operation and SubPolicy.

An operation is the triple (type, probability, magnitude) of AutoAugment (Cubuk et al. 2019, section 3.1),
with the magnitude as a share of the type's range, so that 0 and 1 mean the ends of the range for every type.
Nothing here touches an image; ``augment/`` has the functions.
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


_ROWS = (
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

OPERATION_TYPES: Mapping[str, OperationType] = MappingProxyType({row.name: row for row in _ROWS})
"""All operation types by name, in the order of the search spaces."""


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

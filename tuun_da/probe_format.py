"""A probe as data: what each operation does to a network that was trained without augmentation. Needs no torch.

The file, version 1::

    {"version": 1, "magnitudes": [0.0, 0.25, 0.5, 0.75, 1.0],
     "measures": ["accuracy", "cross_entropy", "entropy", "pixel_distance"],
     "baseline": [0.94, 0.21, 0.12, 0.0],
     "effects": {"shearX": [[0.0, 0.0, 0.0, 0.0], [-0.01, 0.03, 0.02, 0.05], ...], ..., "invert": [[-0.8, ...]]},
     "about": {"data": "digits", ...}}
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tuun_da.data_files import object_text, parse_object, read_text, shown, write_text
from tuun_da.errors import ProbeError
from tuun_da.operations import OPERATION_TYPES, is_real

PROBE_VERSION = 1
MEASURES = ("accuracy", "cross_entropy", "entropy", "pixel_distance")
"""Accuracy, a share in [0, 1]; cross-entropy and entropy of the prediction, in nats; mean absolute difference of the
pixels, scaled to [0, 1]. Each is a mean over the images."""
MAX_MAGNITUDES = 100
ROUNDING = 1e-6  # of a share that is a baseline and a difference
LARGEST = 1e6  # of a measure, in size: sums and squares of features must stay finite


@dataclass(frozen=True)
class ProbeRecord:
    """What a probe file holds. Raises ProbeError.

    ``magnitudes`` rise within [0, 1]. ``baseline`` has the ``MEASURES`` of the images as they are. ``effects`` has for
    each type that was measured, in the order of ``OPERATION_TYPES``, a row for each magnitude, or one row where the
    type has none: the ``MEASURES`` of the images after the operation, less the baseline. ``about`` says what was
    measured: data set, network, seed, ...
    """

    magnitudes: tuple[float, ...]
    baseline: tuple[float, ...]
    effects: Mapping[str, tuple[tuple[float, ...], ...]]
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        magnitudes = _numbers("magnitudes", self.magnitudes)
        rising = all(low < high for low, high in itertools.pairwise(magnitudes))
        if not 1 <= len(magnitudes) <= MAX_MAGNITUDES or not rising or magnitudes[0] < 0 or magnitudes[-1] > 1:
            raise ProbeError(
                f"magnitudes must be 1 to {MAX_MAGNITUDES} rising numbers in [0, 1], got {shown(magnitudes)}"
            )
        object.__setattr__(self, "magnitudes", magnitudes)
        object.__setattr__(self, "baseline", _measures("baseline", self.baseline))
        if not isinstance(self.effects, Mapping):
            raise ProbeError(f"effects must be a mapping of operation types, got {type(self.effects).__name__}")
        for name in self.effects:
            if name not in OPERATION_TYPES:
                raise ProbeError(f"effects must be of the types {', '.join(OPERATION_TYPES)}; got {shown(name)}")
        if not self.effects:
            raise ProbeError("effects must have at least one operation type, got none")
        effects = {}
        for name, row in OPERATION_TYPES.items():
            if name not in self.effects:
                continue
            wanted = len(magnitudes) if row.has_magnitude else 1
            rows = self.effects[name]
            if not isinstance(rows, list | tuple) or len(rows) != wanted:
                got = len(rows) if isinstance(rows, list | tuple) else shown(rows)
                per = "each magnitude" if row.has_magnitude else "a type without magnitude"
                raise ProbeError(f"effects of {name} must have {wanted} rows, one for {per}; got {got}")
            effects[name] = tuple(_measures(f"effects of {name}", values) for values in rows)
        object.__setattr__(self, "effects", MappingProxyType(effects))
        _check_accuracy("baseline", self.baseline[0])
        for name, values in self.measured("accuracy").items():
            for value in values:
                _check_accuracy(f"baseline and effects of {name}, together", value)
        if not isinstance(self.about, Mapping):
            raise ProbeError(f"about must be a mapping, got {shown(self.about)}")

    def measured(self, measure: str) -> dict[str, tuple[float, ...]]:
        """Of each type, ``measure`` itself, not its difference: a number for each magnitude."""
        place = MEASURES.index(measure)
        return {name: tuple(self.baseline[place] + row[place] for row in rows) for name, rows in self.effects.items()}

    def to_json(self) -> str:
        """The content of a probe file."""
        content = {
            "version": PROBE_VERSION,
            "magnitudes": list(self.magnitudes),
            "measures": list(MEASURES),
            "baseline": list(self.baseline),
            "effects": dict(self.effects),
            "about": dict(self.about),
        }
        return object_text(content, "about", "probe", ProbeError)

    @classmethod
    def from_json(cls, text: str, source: str = "probe") -> ProbeRecord:
        """The probe that ``text`` describes; ``source`` names it in errors. Raises ProbeError."""
        keys = ("magnitudes", "measures", "baseline", "effects", "about")
        content = parse_object(text, source, version=PROBE_VERSION, keys=keys, error_type=ProbeError)
        for key in keys:
            if key not in content:
                raise ProbeError(f"{source}: key {key} is missing")
        if content.pop("measures") != list(MEASURES):
            raise ProbeError(f"{source}: measures must be {', '.join(MEASURES)}")
        try:
            return cls(**content)
        except ProbeError as error:
            raise ProbeError(f"{source}: {error}") from None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ProbeRecord:
        """The probe in the file at ``path``. Raises ProbeError, also when there is no such file."""
        return cls.from_json(read_text(path, "probe file", ProbeError), source=f"probe file {path}")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the probe file; a crash leaves the old file or the new one, never half of one. Raises ProbeError."""
        try:
            text = self.to_json()
        except ProbeError as error:
            raise ProbeError(f"probe file {path} cannot be written: {error}") from None
        write_text(path, text, "probe file", ProbeError)


def _numbers(name: str, values: object) -> tuple[float, ...]:
    """``values`` as floats. Raises ProbeError if it is no list of numbers of a sensible size."""
    if not isinstance(values, list | tuple):
        raise ProbeError(f"{name} must be a list of numbers, got {shown(values)}")
    for value in values:
        if not is_real(value) or not -LARGEST <= value <= LARGEST:  # False for NaN too
            raise ProbeError(f"{name} must be numbers from {-LARGEST:g} to {LARGEST:g}, got {shown(value)}")
    return tuple(float(value) for value in values)


def _measures(name: str, values: object) -> tuple[float, ...]:
    """One number for each of ``MEASURES``. Raises ProbeError."""
    numbers = _numbers(name, values)
    if len(numbers) != len(MEASURES):
        raise ProbeError(f"{name} must be {len(MEASURES)} numbers ({', '.join(MEASURES)}), got {len(numbers)}")
    return numbers


def _check_accuracy(name: str, value: float) -> None:
    if not -ROUNDING <= value <= 1 + ROUNDING:
        raise ProbeError(f"accuracy of {name} must lie in [0, 1], got {value:g}")

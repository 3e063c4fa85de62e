"""A policy as a Python file for those who do not have tuun_da."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tuun_da.augment.export_albumentations import ALBUMENTATIONS
from tuun_da.augment.export_code import FIRST_LINE, Target, written_code
from tuun_da.augment.export_torchvision import TORCHVISION
from tuun_da.errors import PolicyError
from tuun_da.policy_format import PolicyRecord

TARGETS: Mapping[str, Target] = MappingProxyType({target.name: target for target in (TORCHVISION, ALBUMENTATIONS)})
"""What a policy can be written for, by name."""


def policy_code(record: PolicyRecord, target: str) -> str:
    """A Python file that applies the policy to each image, with the distribution that ``Policy`` has per image.

    ``target`` is "torchvision" or "albumentations". Raises PolicyError for another one, and for an operation type that
    it cannot express.
    """
    if target not in TARGETS:
        raise PolicyError(f"a policy can be exported to {' or '.join(TARGETS)}, got {target!r}")
    return written_code(record, TARGETS[target])


def is_exported_file(path: Path) -> bool:
    """Whether the file at ``path`` begins as those do that are written here. Raises OSError."""
    start = FIRST_LINE.encode()
    with open(path, "rb") as file:
        return file.read(len(start)) == start

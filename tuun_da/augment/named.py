"""A transform by its name on a command line: none, etp, search, etp+search, trivialaugment, or a policy file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuun_da.augment.baselines import CropAndFlip, TrivialAugment
from tuun_da.augment.batch_transform import BatchTransform, Chain
from tuun_da.augment.policy import Policy
from tuun_da.errors import PolicyError
from tuun_da.policy_format import PolicyRecord

CHOICES = ("none", "etp", "search", "etp+search", "trivialaugment")


def build_transform(choice: str, policy: Mapping[str, Any] | PolicyRecord | None) -> BatchTransform[Any] | None:
    """The transform that ``choice`` names; None for no augmentation. Raises PolicyError.

    ``policy`` is a trial's flat policy parameters, or a policy as read from its file; only ``search`` and
    ``etp+search`` look at it.
    """
    if choice == "none":
        return None
    if choice == "etp":
        return CropAndFlip()
    if choice == "trivialaugment":
        return TrivialAugment()
    if choice in ("search", "etp+search"):
        if not policy:
            raise PolicyError(
                f"policy {choice} needs the parameters of a trial, and there are none: outside of an experiment "
                "choose none, etp, trivialaugment or a policy file"
            )
        searched = Policy.from_record(policy) if isinstance(policy, PolicyRecord) else Policy(policy)
        return searched if choice == "search" else Chain([CropAndFlip(), searched])
    if not Path(choice).is_file():
        raise PolicyError(f"policy must be one of {', '.join(CHOICES)} or a policy file; there is no file {choice!r}")
    return Policy.load(choice)

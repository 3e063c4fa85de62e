"""A transform by its name on a command line: the names of ``CHOICES``, or a policy file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tuun_da.augment.auto_augment import AutoAugment
from tuun_da.augment.batch_transform import BatchTransform, Chain
from tuun_da.augment.crop_and_flip import CropAndFlip, Cutout
from tuun_da.augment.policy import Policy
from tuun_da.augment.rand_augment import RandAugment
from tuun_da.augment.trivial_augment import TrivialAugment
from tuun_da.errors import PolicyError
from tuun_da.policy_format import PolicyRecord

BASELINES: Mapping[str, Callable[[], BatchTransform[Any] | None]] = MappingProxyType(
    {
        "none": lambda: None,
        "etp": CropAndFlip,
        "etp+cutout": lambda: Chain([CropAndFlip(), Cutout()]),
        "autoaugment-cifar10": lambda: AutoAugment("cifar10"),
        "autoaugment-svhn": lambda: AutoAugment("svhn"),
        "autoaugment-imagenet": lambda: AutoAugment("imagenet"),
        "randaugment": RandAugment,
        "trivialaugment": TrivialAugment,
        "trivialaugment-narrow": lambda: TrivialAugment(space="narrow"),
    }
)
"""What costs no search. RandAugment has torchvision's defaults: 2 operations of magnitude 9 of 30."""

SEARCHED = ("search", "etp+search")
CHOICES = (*BASELINES, *SEARCHED)


def build_transform(choice: str, policy: Mapping[str, Any] | PolicyRecord | None) -> BatchTransform[Any] | None:
    """The transform that ``choice`` names; None for no augmentation. Raises PolicyError.

    ``policy`` is a trial's flat policy parameters, or a policy as read from its file; only ``search`` and
    ``etp+search`` look at it.
    """
    if choice in BASELINES:
        return BASELINES[choice]()
    if choice in SEARCHED:
        if not policy:
            raise PolicyError(
                f"policy {choice} needs the parameters of a trial, and there are none: outside of an experiment "
                f"choose {', '.join(BASELINES)} or a policy file"
            )
        searched = Policy.from_record(policy) if isinstance(policy, PolicyRecord) else Policy(policy)
        return searched if choice == "search" else Chain([CropAndFlip(), searched])
    if not Path(choice).is_file():
        raise PolicyError(f"policy must be one of {', '.join(CHOICES)} or a policy file; there is no file {choice!r}")
    return Policy.load(choice)

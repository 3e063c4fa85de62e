"""AutoAugment: the published policies, as torchvision applies them."""

from __future__ import annotations

import torch

from tuun_da.augment import chance
from tuun_da.augment.device_table import DeviceTable
from tuun_da.augment.operation_space import AUTO_SPACE
from tuun_da.augment.space_transform import LEFT_ALONE, SpaceDraw, SpaceTransform
from tuun_da.errors import PolicyError
from tuun_da.known_policies import AUTOAUGMENT, LEVELS

NAMES = {name.lower(): name for name in AUTO_SPACE}  # torchvision's names are our types' but for upper case


class AutoAugment(SpaceTransform):
    """AutoAugment (Cubuk et al. 2019): one of 25 sub-policies for each image, drawn uniformly.

    ``policy`` is "cifar10", "svhn" or "imagenet". Each of its two operations is applied with its probability. By
    default it is torchvision's ``AutoAugment``, pixel by pixel: "nearest" interpolation and black (``fill`` 0, of 255)
    for empty space, where a ``Policy`` of the same sub-policies interpolates bilinearly over mid-grey. Raises
    PolicyError.
    """

    def __init__(self, policy: str, *, interpolation: str = "nearest", fill: float = 0.0) -> None:
        if not isinstance(policy, str) or policy not in AUTOAUGMENT:
            raise PolicyError(f"policy must be one of {', '.join(AUTOAUGMENT)}; got {policy!r}")
        rows = AUTOAUGMENT[policy]
        super().__init__(
            AUTO_SPACE,
            used=tuple({NAMES[pair[place][0].lower()] for pair in rows} for place in range(2)),
            num_magnitude_bins=LEVELS + 1,
            interpolation=interpolation,
            fill=fill,
        )
        self.policy = policy
        names = list(AUTO_SPACE)
        operations = [[names.index(NAMES[name.lower()]) for name, _, _ in pair] for pair in rows]
        self._operation = DeviceTable(torch.tensor(operations))
        self._probability = DeviceTable(torch.tensor([[probability for _, probability, _ in pair] for pair in rows]))
        self._level = DeviceTable(torch.tensor([[level for _, _, level in pair] for pair in rows]))

    def _draw(self, n: int, generator: torch.Generator | None) -> SpaceDraw:
        choice = chance.integers(len(AUTOAUGMENT[self.policy]), (n,), generator)
        take, turn = chance.uniform((n, 2, 2), generator).unbind(1)
        operation, probability, level = (
            table.on(choice.device)[choice] for table in (self._operation, self._probability, self._level)
        )
        operation = operation.masked_fill(take >= probability, LEFT_ALONE)
        return self._made(operation, level, turn < 0.5)

    def extra_repr(self) -> str:
        return f"policy={self.policy!r}, interpolation={self.interpolation!r}, fill={self.fill:g}"

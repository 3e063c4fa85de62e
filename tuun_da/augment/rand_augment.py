"""RandAugment: a few operations for each image, all of one magnitude."""

from __future__ import annotations

import torch

from tuun_da.augment import chance
from tuun_da.augment.operation_space import NARROW_SPACE
from tuun_da.augment.space_transform import SpaceDraw, SpaceTransform, check_whole


class RandAugment(SpaceTransform):
    """RandAugment (Cubuk et al. 2020): ``num_ops`` operations for each image, drawn uniformly, of one ``magnitude``.

    By default it is torchvision's ``RandAugment``, pixel by pixel: 2 operations of magnitude 9, from 0 to
    ``num_magnitude_bins`` - 1 = 30, "nearest" interpolation and black (``fill`` 0, of 255) for empty space. An
    operation may come twice. Raises PolicyError.
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        *,
        num_magnitude_bins: int = 31,
        interpolation: str = "nearest",
        fill: float = 0.0,
    ) -> None:
        check_whole("num_ops", num_ops, low=0)
        check_whole("num_magnitude_bins", num_magnitude_bins, low=2)
        check_whole("magnitude", magnitude, low=0, high=num_magnitude_bins - 1)
        super().__init__(
            NARROW_SPACE,
            used=(NARROW_SPACE,) * num_ops,
            num_magnitude_bins=num_magnitude_bins,
            interpolation=interpolation,
            fill=fill,
        )
        self.num_ops = num_ops
        self.magnitude = magnitude

    def _draw(self, n: int, generator: torch.Generator | None) -> SpaceDraw:
        operation, turn = (chance.integers(high, (n, self.num_ops), generator) for high in (len(self._rows), 2))
        return self._made(operation, torch.full_like(operation, self.magnitude), turn == 1)

    def extra_repr(self) -> str:
        return f"num_ops={self.num_ops}, magnitude={self.magnitude}, {super().extra_repr()}"

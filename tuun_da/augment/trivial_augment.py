"""TrivialAugment: one operation for each image."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch

from tuun_da.augment import chance
from tuun_da.augment.operation_space import NARROW_SPACE, WIDE_SPACE, Space
from tuun_da.augment.space_transform import SpaceDraw, SpaceTransform
from tuun_da.errors import PolicyError

SPACES: Mapping[str, Space] = MappingProxyType({"wide": WIDE_SPACE, "narrow": NARROW_SPACE})


class TrivialAugment(SpaceTransform):
    """TrivialAugment (Müller & Hutter 2021): one operation for each image, type and magnitude drawn uniformly.

    By default it is torchvision's ``TrivialAugmentWide``, pixel by pixel: 31 magnitudes, "nearest" interpolation, black
    (``fill`` 0, of 255) for empty space, shears about the corner, translations of up to 32 pixels whatever the size of
    the image. ``space="narrow"`` draws from RandAugment's narrower ranges instead, the paper's "TA (RA)".
    ``interpolation="bilinear"`` is the other choice. Raises PolicyError.
    """

    def __init__(
        self,
        *,
        space: str = "wide",
        num_magnitude_bins: int = 31,
        interpolation: str = "nearest",
        fill: float = 0.0,
    ) -> None:
        if not isinstance(space, str) or space not in SPACES:
            raise PolicyError(f"space must be 'wide' or 'narrow', got {space!r}")
        super().__init__(
            SPACES[space],
            used=(SPACES[space],),
            num_magnitude_bins=num_magnitude_bins,
            interpolation=interpolation,
            fill=fill,
        )
        self.space = space

    def _draw(self, n: int, generator: torch.Generator | None) -> SpaceDraw:
        operation, magnitude, turn = (
            chance.integers(high, (n, 1), generator) for high in (len(self._rows), self.num_magnitude_bins, 2)
        )
        return self._made(operation, magnitude, turn == 1)

    def extra_repr(self) -> str:
        return f"space={self.space!r}, {super().extra_repr()}"

"""What AutoAugment, RandAugment and TrivialAugment have in common: operations of a space, one after the other."""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from tuun_da.augment.apply import apply_where
from tuun_da.augment.batch_transform import BatchTransform, Draw
from tuun_da.augment.crop_and_flip import checked_fill
from tuun_da.augment.operation_space import COLOUR_FUNCTIONS, MOVES, Space, move
from tuun_da.errors import PolicyError

LEFT_ALONE = -1
"""In place of the number of an operation: the image takes none."""


@dataclass(frozen=True, eq=False)
class SpaceDraw(Draw):
    """What each of n images takes, k operations one after the other.

    ``operation`` (n, k) is the number of a row of the space, or ``LEFT_ALONE``; ``magnitude`` (n, k) the number of a
    bin; ``negative`` (n, k) says whether the value changes its sign.
    """

    operation: Tensor
    magnitude: Tensor
    negative: Tensor


class SpaceTransform(BatchTransform[SpaceDraw]):
    """Operations of ``space``, drawn for each image by a subclass, as torchvision applies them.

    ``used`` has, for each of the k places, the names that may be drawn there; others are not looked for.
    ``interpolation`` is "nearest" or "bilinear", and ``fill`` of 255 comes into empty space. Raises PolicyError.
    """

    def __init__(
        self,
        space: Space,
        *,
        used: tuple[Collection[str], ...],
        num_magnitude_bins: int,
        interpolation: str,
        fill: float,
    ) -> None:
        check_whole("num_magnitude_bins", num_magnitude_bins, low=2)
        if interpolation not in ("nearest", "bilinear"):
            raise PolicyError(f"interpolation must be 'nearest' or 'bilinear', got {interpolation!r}")
        super().__init__()
        self.num_magnitude_bins = num_magnitude_bins
        self.interpolation = interpolation
        self.fill = checked_fill(fill)
        self._rows = dict(space)
        self._used = tuple(frozenset(names) for names in used)
        # Plain tensors, neither parameters nor buffers: draws happen where the generator is, not where the model is.
        self._signed = torch.tensor([row.signed for row in space.values()])

    def _made(self, operation: Tensor, magnitude: Tensor, turned: Tensor) -> SpaceDraw:
        """The draw of ``operation`` and ``magnitude`` (n, k); the sign changes where ``turned``, if it can."""
        signed = self._signed.to(operation.device, non_blocking=True)[operation]
        return SpaceDraw(operation, magnitude, signed & turned)

    def _act(self, images: Tensor, draw: SpaceDraw) -> Tensor:
        places = draw.operation.shape[1]
        if places != len(self._used):
            raise PolicyError(f"the draw must be for {len(self._used)} operations an image, got one for {places}")
        height, width = images.shape[-2:]
        table = torch.stack([row.values(self.num_magnitude_bins, height, width) for row in self._rows.values()])
        values = table.to(images.device, non_blocking=True)[draw.operation, draw.magnitude]
        values = torch.where(draw.negative, -values, values)
        for place, used in enumerate(self._used):
            images = self._act_once(images, draw.operation[:, place], values[:, place], used)
        return images

    def _act_once(self, images: Tensor, operation: Tensor, value: Tensor, used: frozenset[str]) -> Tensor:
        """One operation for each image: ``operation`` (n,) and its ``value`` (n,), sign included."""
        names = list(self._rows)
        kind = operation - names.index(MOVES[0])
        moving = functools.partial(move, fill=self.fill, interpolation=self.interpolation)
        if images.device.type == "cpu" and not torch.compiler.is_compiling():
            # a few images at a time stay in the cache, which is half as fast again
            for number, name in enumerate(MOVES):
                if name in used:
                    images = apply_where(moving, images, kind == number, kind, value)
        elif not used.isdisjoint(MOVES):  # one sampling of all images, in place of one for each operation
            images = apply_where(moving, images, (kind >= 0) & (kind < len(MOVES)), kind, value)
        for name, function in COLOUR_FUNCTIONS.items():
            if name in used:
                images = apply_where(function, images, operation == names.index(name), value)
        return images

    def extra_repr(self) -> str:
        return f"num_magnitude_bins={self.num_magnitude_bins}, interpolation={self.interpolation!r}, fill={self.fill:g}"


def check_whole(name: str, number: object, *, low: int, high: int | None = None) -> None:
    """Raise PolicyError unless ``number`` is a whole number from ``low`` to ``high``; None: without an upper end."""
    if isinstance(number, bool) or not isinstance(number, int) or number < low or (high is not None and number > high):
        wanted = f"a whole number, {low} or more" if high is None else f"a whole number from {low} to {high}"
        raise PolicyError(f"{name} must be {wanted}; got {number!r}")

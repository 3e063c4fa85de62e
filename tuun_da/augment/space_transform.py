"""What AutoAugment, RandAugment and TrivialAugment have in common: operations of a space, one after the other."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from tuun_da.augment.apply import MOVE, NO_STAGE, apply_each
from tuun_da.augment.batch_transform import BatchTransform, Draw
from tuun_da.augment.crop_and_flip import checked_fill
from tuun_da.augment.device_table import DeviceTable
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

    draw_type = SpaceDraw

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
        self._stages, numbers = _stages(list(space), used)
        self._stage = DeviceTable(torch.tensor(numbers))
        self._signed = DeviceTable(torch.tensor([row.signed for row in space.values()]))
        self._values: tuple[tuple[int, int], DeviceTable] | None = None
        self._functions: dict[str, Callable[..., Tensor]] = {
            name: functools.partial(_without_kind, function) for name, function in COLOUR_FUNCTIONS.items()
        }
        self._functions[MOVE] = functools.partial(move, fill=self.fill, interpolation=interpolation)

    def _made(self, operation: Tensor, magnitude: Tensor, turned: Tensor) -> SpaceDraw:
        """The draw of ``operation`` and ``magnitude`` (n, k); the sign changes where ``turned``, if it can."""
        return SpaceDraw(operation, magnitude, self._signed.on(operation.device)[operation] & turned)

    def _act(self, images: Tensor, draw: SpaceDraw) -> Tensor:
        places, device, given = draw.operation.shape[1], images.device, images
        if places != len(self._stages):
            raise PolicyError(f"the draw must be for {len(self._stages)} operations an image, got one for {places}")
        height, width = images.shape[-2:]
        value = self._value_table(height, width).on(device)[draw.operation, draw.magnitude]
        value = torch.where(draw.negative, -value, value)
        kind = draw.operation - list(self._rows).index(MOVES[0])
        for place, stages in enumerate(self._stages):
            operation = draw.operation[:, place]
            chosen = self._stage.on(device)[place][operation]
            chosen = torch.where(operation == LEFT_ALONE, NO_STAGE, chosen)
            functions = [self._functions[name] for name in stages]
            rows = (value[:, place], kind[:, place])
            images = apply_each(images, chosen, functions, *rows, may_overwrite=images is not given)
        return images

    def _value_table(self, height: int, width: int) -> DeviceTable:
        """The value of each operation of the space at each magnitude; that of the last size of images is kept."""
        kept = self._values
        if kept is not None and kept[0] == (height, width):
            return kept[1]
        values = torch.stack([row.values(self.num_magnitude_bins, height, width) for row in self._rows.values()])
        table = DeviceTable(values)
        if not torch.compiler.is_compiling():
            self._values = ((height, width), table)
        return table

    def extra_repr(self) -> str:
        return f"num_magnitude_bins={self.num_magnitude_bins}, interpolation={self.interpolation!r}, fill={self.fill:g}"


def _without_kind(function: Callable[..., Tensor], images: Tensor, value: Tensor, kind: Tensor) -> Tensor:
    return function(images, value)


def _stages(names: list[str], used: tuple[Collection[str], ...]) -> tuple[tuple[tuple[str, ...], ...], list[list[int]]]:
    """For each place the stages that occur there, and the number of each operation's stage among them.

    All ``MOVES`` are one stage; an operation that does not occur, and one that does nothing, has ``NO_STAGE``.
    """
    of = {name: MOVE if name in MOVES else name for name in names}
    stages = tuple(
        tuple(dict.fromkeys(of[name] for name in names if name in occurring and name != "Identity"))
        for occurring in used
    )
    numbers = [[here.index(of[name]) if of[name] in here else NO_STAGE for name in names] for here in stages]
    return stages, numbers


def check_whole(name: str, number: object, *, low: int, high: int | None = None) -> None:
    """Raise PolicyError unless ``number`` is a whole number from ``low`` to ``high``; None: without an upper end."""
    if isinstance(number, bool) or not isinstance(number, int) or number < low or (high is not None and number > high):
        wanted = f"a whole number, {low} or more" if high is None else f"a whole number from {low} to {high}"
        raise PolicyError(f"{name} must be {wanted}; got {number!r}")

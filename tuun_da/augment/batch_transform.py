"""What the policy and the baselines have in common: draw first, then act; any kind of image in, the same kind out."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from tuun_da.augment.images import (
    ONLY_CLASSIFICATION,
    check_batch,
    check_generator,
    check_samples,
    check_size,
    open_images,
)
from tuun_da.errors import PolicyError


@dataclass(frozen=True, eq=False)
class Draw:
    """All that chance decides for a batch of n images: tensors with n entries along their first dimension.

    The first field is such a tensor, or has the length n.
    """

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def to(self, device: torch.device) -> Self:
        """The same draw on ``device``; for a copy to a GPU nobody waits."""
        tensors = [field.name for field in fields(self) if field.type in ("Tensor", Tensor)]
        if all(getattr(self, name).device == device for name in tensors):
            return self  # a graph that does not read the other fields need not be one for each of their values
        # to the host, a copy that nobody waited for would be read before it is there
        wait = device.type == "cpu"
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=not wait) for name in tensors})

    @classmethod
    def joined(cls, draws: Sequence[Self]) -> Self:
        """The draw for several batches that are put together, one after the other."""
        parts = {field.name: [getattr(draw, field.name) for draw in draws] for field in fields(cls)}
        return cls(**{name: _joined(values) for name, values in parts.items()})


def _joined(values: list[Any]) -> Any:
    """Tensors one below the other; anything else only if all have the same."""
    if isinstance(values[0], Tensor):
        return torch.cat(values)
    return values[0] if all(value == values[0] for value in values) else None


DrawT = TypeVar("DrawT", bound=Draw)


class BatchTransform(nn.Module, abc.ABC, Generic[DrawT]):
    """A transform of whole batches whose parameters are drawn for each image.

    Called on a PIL image ("L" or "RGB"), a (c, h, w) tensor or an (n, c, h, w) batch, of 1 or 3 channels, uint8 or
    float in [0, 1] (float16, bfloat16, float32 or float64), it returns the same kind with the same type, device and
    memory format, and leaves its input as it was. Anything else raises PolicyError. (Whether floats lie in [0, 1] is
    looked up on the CPU only.) Like torchvision's transforms it augments in training and in evaluation mode alike: use
    it for the training split only. Chance comes from ``generator``, or from torch's default generator, which
    DataLoader seeds differently in each worker. It has no parameters and no buffers.
    """

    draw_type: ClassVar[type[Draw]]

    def forward(self, images: Any, *others: Any, generator: torch.Generator | None = None) -> Any:
        """Draw, and transform. ``others`` is there to be refused: boxes, masks, a target."""
        if others:
            raise PolicyError(f"{type(self).__name__} takes one input, got {1 + len(others)}: {ONLY_CLASSIFICATION}")
        opened = open_images(images)
        if opened.single:
            self.notice_single_image()
        return opened.close(self.transform(opened.images, self.draw(len(opened.images), generator)))

    def collate(self, samples: Sequence[Any]) -> Any:
        """A transformed mini-batch of a data set's samples: ``DataLoader(..., collate_fn=policy.collate)``.

        A sample is an image (c, h, w), or a tuple or list of an image and more, such as its label. torch's
        ``default_collate`` makes the mini-batch of them, and its images are transformed: a tensor (n, c, h, w), or
        a list of it and more. Raises PolicyError, and for images of several sizes what ``default_collate`` raises.
        """
        check_samples(samples)
        collated = default_collate(list(samples))
        alone = isinstance(collated, Tensor)
        images = collated if alone else collated[0]
        check_batch(images)
        return self(images) if alone else [self(images), *collated[1:]]

    def draw(self, n: int, generator: torch.Generator | None = None) -> DrawT:
        """All chance for a batch of ``n`` images, on the device of ``generator`` (the CPU without one).

        With a generator on the CPU the numbers are the same for images on every device.
        """
        check_size(n)
        check_generator(generator)
        return self._draw(n, generator)

    def transform(self, images: Tensor, draw: DrawT) -> Tensor:
        """The batch (n, c, h, w) under ``draw``, a plain tensor: no chance, and on CUDA no waiting for the device.

        The same draw gives the same result, whatever the memory format. That floats lie in [0, 1] is not looked up, as
        a call does it. Raises PolicyError for a draw of another size or of another transform.
        """
        check_batch(images)
        if type(images) is not Tensor:  # else the result of a tv_tensors.Image would be one only if nothing changed it
            images = images.as_subclass(Tensor)
        if not isinstance(draw, self.draw_type):
            wanted = self.draw_type.__name__
            raise PolicyError(f"{type(self).__name__} acts on a {wanted}, got {type(draw).__name__}")
        if len(draw) != len(images):
            raise PolicyError(f"the draw must be for the batch of {len(images)} images, got one for {len(draw)}")
        if len(images) == 0:
            return images.clone()
        result = self._act(images.contiguous(), draw.to(images.device))
        if not images.is_contiguous() and images.is_contiguous(memory_format=torch.channels_last):
            result = result.contiguous(memory_format=torch.channels_last)
        # an untouched batch is copied too: whoever normalizes the result in place must not change the data set
        return result.clone() if result is images else result

    def notice_single_image(self) -> None:
        """Called when the input is one image; a transform that means something else on batches says so here."""

    @abc.abstractmethod
    def _draw(self, n: int, generator: torch.Generator | None) -> DrawT:
        """``draw``, of checked arguments."""

    @abc.abstractmethod
    def _act(self, images: Tensor, draw: DrawT) -> Tensor:
        """``transform``, of one or more contiguous images and a draw on their device. May return ``images``."""


@dataclass(frozen=True, eq=False)
class ChainDraw(Draw):
    """One draw for each transform of a chain."""

    n: int
    parts: tuple[Draw, ...]

    def __len__(self) -> int:
        return self.n

    def to(self, device: torch.device) -> Self:
        return replace(self, parts=tuple(part.to(device) for part in self.parts))

    @classmethod
    def joined(cls, draws: Sequence[Self]) -> Self:
        places = zip(*(draw.parts for draw in draws), strict=True)
        return cls(sum(len(draw) for draw in draws), tuple(type(parts[0]).joined(parts) for parts in places))


class Chain(BatchTransform[ChainDraw]):
    """Several transforms, one after the other, under one generator: ``Chain([CropAndFlip(), policy])``."""

    draw_type = ChainDraw

    def __init__(self, transforms: Iterable[BatchTransform[Any]]) -> None:
        super().__init__()
        if isinstance(transforms, BatchTransform) or not isinstance(transforms, Iterable):
            raise PolicyError(f"a chain is made of a list of transforms, got a {type(transforms).__name__}")
        self.transforms = nn.ModuleList()
        for transform in transforms:
            if not isinstance(transform, BatchTransform):
                raise PolicyError(f"a chain must hold tuun_da's transforms, got {type(transform).__name__}")
            self.transforms.append(transform)

    def notice_single_image(self) -> None:
        for transform in self._links():
            transform.notice_single_image()

    def _draw(self, n: int, generator: torch.Generator | None) -> ChainDraw:
        return ChainDraw(n, tuple(transform.draw(n, generator) for transform in self._links()))

    def _act(self, images: Tensor, draw: ChainDraw) -> Tensor:
        for transform, part in zip(self._links(), draw.parts, strict=True):
            images = transform.transform(images, part)
        return images

    def _links(self) -> Iterable[BatchTransform[Any]]:
        return cast("Iterable[BatchTransform[Any]]", self.transforms)

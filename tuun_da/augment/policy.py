"""The searched policy as a transform."""

from __future__ import annotations

import functools
import mmap
import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from tuun_da.augment import chance
from tuun_da.augment.apply import NO_STAGE, act, apply_each
from tuun_da.augment.batch_transform import BatchTransform, Draw
from tuun_da.augment.policy_tables import policy_tables
from tuun_da.errors import PolicyError
from tuun_da.operations import SubPolicy
from tuun_da.policy_format import (
    PolicyRecord,
    describe,
    parameters_from_sub_policies,
    sub_policies_from_parameters,
)


@dataclass(frozen=True, eq=False)
class PolicyDraw(Draw):
    """What chance decides for n images, k being the number of operations in the longest sub-policy.

    ``sub_policy`` (n,) is the index of each image's sub-policy. ``taken`` (n, k) says which of its operations the image
    takes, ``sign`` (n, k) is -1 or 1, and ``chance`` (n, k, 2), uniform in [0, 1), places crops, decides flips and is
    what all other randomness of an operation is made of (random_field.py).
    ``common`` is the one sub-policy of the whole batch where the host knows it; then no other has to be computed.
    """

    sub_policy: Tensor
    taken: Tensor
    sign: Tensor
    chance: Tensor
    common: int | None


class Policy(BatchTransform[PolicyDraw]):
    """A drop-in transform that applies a policy, made from NNI's flat parameters.

    ``per="batch"`` draws one sub-policy for the mini-batch, uniformly, and each image takes each of its operations
    independently with the operation's probability; ``per="image"`` draws a sub-policy for each image.
    ``unchanged_share`` is the share of images left alone, drawn for each image. ``searched`` says where the policy came
    from (data set, image size, score, ...) and is kept in the file. Raises PolicyError.

    A per-batch policy that is called on single images is applied per image, and warns of that once.
    """

    draw_type = PolicyDraw

    def __init__(
        self,
        params: Mapping[str, Any],
        *,
        per: str = "batch",
        unchanged_share: float = 0.0,
        searched: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(params, Mapping):
            raise PolicyError(
                f"a policy is made from a mapping of parameters, got {type(params).__name__}; "
                "Policy.load reads a file, Policy.from_sub_policies takes SubPolicies"
            )
        sub_policies = sub_policies_from_parameters(params)
        record = PolicyRecord(sub_policies, per, unchanged_share, {} if searched is None else searched)
        super().__init__()
        self._record = record
        self._tables = policy_tables(sub_policies)
        self._length = len(self._tables.stages)
        self._has_warned = _SharedFlag()

    @property
    def record(self) -> PolicyRecord:
        """What the policy file holds."""
        return self._record

    @classmethod
    def from_record(cls, record: PolicyRecord) -> Policy:
        """The policy of a policy file."""
        return cls(
            parameters_from_sub_policies(record.sub_policies),
            per=record.per,
            unchanged_share=record.unchanged_share,
            searched=record.searched,
        )

    @classmethod
    def from_sub_policies(
        cls,
        sub_policies: Iterable[SubPolicy],
        *,
        per: str = "batch",
        unchanged_share: float = 0.0,
        searched: Mapping[str, Any] | None = None,
    ) -> Policy:
        """The policy that draws from ``sub_policies``. Raises PolicyError."""
        return cls.from_record(
            PolicyRecord(tuple(sub_policies), per, unchanged_share, {} if searched is None else searched)
        )

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, per: str | None = None, unchanged_share: float | None = None
    ) -> Policy:
        """The policy in the file at ``path``. Raises PolicyError.

        It is applied the way it was searched, unless ``per`` or ``unchanged_share`` says otherwise; None is what the
        file says.
        """
        record = PolicyRecord.load(path)
        if per is not None:
            record = replace(record, per=per)
        if unchanged_share is not None:
            record = replace(record, unchanged_share=unchanged_share)
        return cls.from_record(record)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the policy file. Raises PolicyError if it cannot be written, or ``searched`` holds what JSON cannot."""
        self.record.save(path)

    def to_params(self) -> dict[str, Any]:
        """The flat parameters ``operation{i}_{j}``, ``prob{i}_{j}`` and ``magnitude{i}_{j}``."""
        return parameters_from_sub_policies(self.record.sub_policies)

    def notice_single_image(self) -> None:
        if self.record.per == "batch" and self._has_warned.set_first():
            warnings.warn(
                "this policy was made to draw one sub-policy for each mini-batch (per='batch') but is called on single "
                "images: it draws one for each image. Call it on batches, or make it with per='image', for a policy "
                "file: Policy.load(path, per='image')",
                stacklevel=_frames_to_user(),
            )

    def _draw(self, n: int, generator: torch.Generator | None) -> PolicyDraw:
        per_batch = self.record.per == "batch"
        shape = (1,) if per_batch else (n,)
        choice = chance.integers(len(self.record.sub_policies), shape, generator)
        uniform = chance.uniform((n, 1 + 4 * self._length), generator)
        device = choice.device
        sub_policy = choice.expand(n)
        changed = uniform[:, :1] >= self.record.unchanged_share
        take, turn, first, second = uniform[:, 1:].view(n, 4, self._length).unbind(1)
        probability = self._tables.probability.on(device)[sub_policy]
        return PolicyDraw(
            sub_policy=sub_policy,
            taken=(take < probability) & changed,
            sign=1.0 - 2.0 * (turn < 0.5),
            chance=torch.stack((first, second), dim=2),
            common=int(choice) if per_batch and device.type == "cpu" else None,
        )

    def _act(self, images: Tensor, draw: PolicyDraw) -> Tensor:
        if draw.taken.shape[1] != self._length:
            raise PolicyError(
                f"the draw must be for sub-policies of {self._length} operations, got one for {draw.taken.shape[1]}"
            )
        given, device, tables = images, images.device, self._tables
        stage, kind = tables.stage.on(device)[draw.sub_policy], tables.kind.on(device)[draw.sub_policy]
        value, signed = tables.value.on(device)[draw.sub_policy], tables.signed.on(device)[draw.sub_policy]
        value = torch.where(signed & (draw.sign < 0.0), -value, value)
        for j, stages in enumerate(tables.stages):
            chosen = torch.where(draw.taken[:, j], stage[:, j], NO_STAGE)
            # Only this sub-policy's has to be looked at. A graph is one for all, or there would be one for each.
            if not torch.compiler.is_compiling() and draw.common is not None:
                number = tables.numbers[draw.common][j]
                if number == NO_STAGE:
                    continue
                stages, chosen = stages[number : number + 1], torch.where(draw.taken[:, j], 0, NO_STAGE)
            functions = [functools.partial(act, name) for name in stages]
            rows = (value[:, j], draw.chance[:, j], kind[:, j])
            images = apply_each(images, chosen, functions, *rows, may_overwrite=images is not given)
        return images

    def __repr__(self) -> str:
        head = f"{type(self).__name__}(per={self.record.per!r}, unchanged_share={self.record.unchanged_share:g})"
        return f"{head}\n{describe(self.record.sub_policies)}"


def _frames_to_user() -> int:
    """The ``stacklevel`` for a warning of the caller: the first frame that is not of tuun_da, torch or torchvision."""
    level, frame = 0, sys._getframe(1)
    while True:
        level += 1
        if frame.f_globals.get("__name__", "").partition(".")[0] not in ("tuun_da", "torch", "torchvision"):
            return level
        if frame.f_back is None:
            return level
        frame = frame.f_back


class _SharedFlag:
    """A flag that forked processes share, so that not every DataLoader worker of every epoch warns anew.

    A pickled copy (workers that are spawned) starts as the original stood.
    """

    def __init__(self, value: bool = False) -> None:
        self._byte = mmap.mmap(-1, 1)
        self._byte[0] = value

    def set_first(self) -> bool:
        """Set the flag; true for the first to do so."""
        was_set = bool(self._byte[0])
        self._byte[0] = True
        return not was_set

    def __reduce__(self) -> tuple[type[_SharedFlag], tuple[bool]]:
        return _SharedFlag, (bool(self._byte[0]),)

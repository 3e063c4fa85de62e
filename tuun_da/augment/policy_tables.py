"""A policy as numbers: what each operation of each sub-policy is, looked up for all images of a batch at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from tuun_da.augment.apply import NO_STAGE, stage_of
from tuun_da.augment.device_table import DeviceTable
from tuun_da.augment.geometric import MOVES
from tuun_da.operations import OPERATION_TYPES, Operation, SubPolicy


@dataclass(frozen=True, eq=False)
class PolicyTables:
    """s sub-policies of up to k operations, those of shorter ones filled up with operations of probability 0.

    ``stages`` has for each of the k places the stages (apply.py) that occur there, ``numbers[i][j]`` the stage of
    sub-policy i at place j among them, or ``NO_STAGE``; ``stage`` (s, k) is the same as a table. ``probability``
    (float32), ``value`` (float64, without its sign), ``signed`` (bool) and ``kind`` (index in ``MOVES``, else 0) are
    (s, k), too.
    """

    stages: tuple[tuple[str, ...], ...]
    numbers: tuple[tuple[int, ...], ...]
    stage: DeviceTable
    probability: DeviceTable
    value: DeviceTable
    signed: DeviceTable
    kind: DeviceTable


def policy_tables(sub_policies: Sequence[SubPolicy]) -> PolicyTables:
    """The tables of ``sub_policies``."""
    length = max(len(sub_policy.operations) for sub_policy in sub_policies)
    rows = [[*sub_policy.operations, *[None] * (length - len(sub_policy.operations))] for sub_policy in sub_policies]
    names = [[_stage(operation) for operation in row] for row in rows]
    stages = tuple(tuple(dict.fromkeys(name for row in names if (name := row[j]) is not None)) for j in range(length))
    numbers = tuple(
        tuple(NO_STAGE if name is None else stages[j].index(name) for j, name in enumerate(row)) for row in names
    )

    def table(entry: Callable[[Operation], float], dtype: torch.dtype) -> DeviceTable:
        entries = [[0 if operation is None else entry(operation) for operation in row] for row in rows]
        return DeviceTable(torch.tensor(entries, dtype=dtype))

    return PolicyTables(
        stages=stages,
        numbers=numbers,
        stage=DeviceTable(torch.tensor(numbers)),
        probability=table(lambda operation: operation.probability, torch.float32),
        value=table(lambda operation: operation.value, torch.float64),
        signed=table(lambda operation: OPERATION_TYPES[operation.type].signed, torch.bool),
        kind=table(lambda operation: MOVES.index(operation.type) if operation.type in MOVES else 0, torch.int64),
    )


def _stage(operation: Operation | None) -> str | None:
    return None if operation is None or operation.probability == 0.0 else stage_of(operation.type)

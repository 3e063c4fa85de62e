"""Constants on every device, copied once."""

from __future__ import annotations

import copy
import pickle

import torch

from tuun_da.augment import AutoAugment, Policy
from tuun_da.augment.device_table import DeviceTable
from tuun_da.operations import Operation, SubPolicy

META = torch.device("meta")


def test_a_table_is_copied_to_a_device_once() -> None:
    table = DeviceTable(torch.tensor([1.0, 2.0]))
    there = table.on(META)
    assert there.device == META
    assert table.on(META) is there
    assert table.on(torch.device("cpu")).tolist() == [1.0, 2.0]


def test_copies_hold_the_table_and_no_other_device() -> None:
    table = DeviceTable(torch.tensor([1, 2]))
    table.on(META)
    for copied in (copy.deepcopy(table), pickle.loads(pickle.dumps(table))):
        assert copied.on(torch.device("cpu")).tolist() == [1, 2]
        assert list(copied._on) == [torch.device("cpu")]


def test_transforms_have_no_state_for_their_tables() -> None:
    policy = Policy.from_sub_policies([SubPolicy((Operation("rotate", 0.5, 0.5),))])
    for transform in (policy, AutoAugment("svhn")):
        assert dict(transform.state_dict()) == {}
        assert [*transform.parameters(), *transform.buffers()] == []

"""What a trial says it ran on: names of products, none of people or places."""

from __future__ import annotations

import getpass
import os
import socket

import pytest
import torch

from tuun_da.training import hardware
from tuun_da.training.hardware import cpu_name, described_hardware


def test_the_cpu_is_named_as_the_system_names_it(tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nprocessor\t: 1\n")
    monkeypatch.setattr(hardware, "CPU_FILE", tmp_path / "cpuinfo")
    assert cpu_name() == "Some CPU @ 3 GHz"


@pytest.mark.parametrize("text", [None, "", "model name :\n", "processor : 0\n"])
def test_a_system_that_does_not_tell_is_named_by_its_architecture(tmp_path, monkeypatch, text):
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(hardware, "CPU_FILE", tmp_path / "cpuinfo")
    monkeypatch.setattr(hardware.platform, "machine", lambda: "riscv64")
    assert cpu_name() == "riscv64"


def test_cores_are_those_that_the_process_may_use():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert described_hardware(torch.device("cpu"))["cores"] == 1
    finally:
        os.sched_setaffinity(0, before)
    assert described_hardware(torch.device("cpu"))["cores"] == len(before)


def test_it_names_no_host_no_user_and_no_path():
    said = described_hardware(torch.device("cpu"))
    assert said["device"] == "the CPU"
    assert said["threads"] == torch.get_num_threads()
    words = " ".join(str(value) for value in said.values())
    assert "/" not in words.replace(cpu_name(), "")
    assert socket.gethostname() not in words
    assert getpass.getuser() not in words.split()


@pytest.mark.cuda
def test_a_gpu_is_named_by_its_product():
    device = torch.device("cuda", 0)
    assert described_hardware(device)["device"] == torch.cuda.get_device_name(0)

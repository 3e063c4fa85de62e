"""Trials side by side share the cores, unless the user says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tuun_da.engines.nni_experiment import shared_cores


@pytest.mark.parametrize(("cores", "trials", "each"), [(8, 1, "8"), (8, 2, "4"), (8, 3, "2"), (2, 5, "1")])
def test_each_trial_gets_its_share(monkeypatch, cores, trials, each):
    monkeypatch.setenv("OMP_NUM_THREADS", "")  # so that it is put back
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    with shared_cores(trials):
        assert os.environ["OMP_NUM_THREADS"] == each
    assert "OMP_NUM_THREADS" not in os.environ


def test_what_the_user_has_set_wins(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with shared_cores(100):
        assert os.environ["OMP_NUM_THREADS"] == "3"
    assert os.environ["OMP_NUM_THREADS"] == "3"


def test_torch_takes_it_as_its_number_of_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "")  # so that it is put back
    monkeypatch.delenv("OMP_NUM_THREADS")
    with shared_cores(10**6):
        told = subprocess.run(
            [sys.executable, "-c", "import torch; print(torch.get_num_threads())"],
            capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
    assert told.stdout.strip() == "1"

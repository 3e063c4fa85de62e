"""A training whose GPU memory runs out, in a real trial: it fails in words, and is not repeated with another batch."""

from __future__ import annotations

import pytest
import torch
from fault_table import numbers, seed_of

from tuun_da.engines.local import run_search
from tuun_da.engines.local_trial import TrialPlan
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.search.history import TrialState, read_journal
from tuun_da.space_file import policy_space
from tuun_da.training import loop
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig

MEMORY = "memory runs out in a training"


@pytest.mark.parametrize("number", numbers(MEMORY))
def test_memory_that_runs_out_is_a_failed_trial_with_advice(table, tmp_path, monkeypatch, number):
    """A smaller batch would give a score that compares with no other one, so the batch size stays as it was asked."""
    [seed, *_, place] = seed_of(MEMORY, number)
    calls = []

    def hungry(*arguments, **keywords):
        calls.append(None)
        if len(calls) == 2 + place % 3:  # the second, third or fourth trial
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return build(*arguments, **keywords)

    build = loop.build_model
    monkeypatch.setattr(loop, "build_model", hungry)
    train = TrainConfig(model="child_cnn", epochs=1, batch_size=16, learning_rate=0.02, seed=seed)
    data = DataConfig(data="digits", train_per_class=2, validation_size=20)
    plan = TrialPlan(train=train, data=data, device="cpu", threads=1)
    path = tmp_path / "journal.jsonl"
    with table.injected(MEMORY) as happened:
        settings = TunerSettings(surrogate="random", seed=seed + place)
        content, _ = run_search(plan, policy_space(), settings, 5, journal=path)
        assert read_journal(path) == content
        failed = [trial for trial in content.trials if trial.state is TrialState.FAILED]
        assert [trial.id for trial in failed] == [2 + place % 3]
        for words in ("GPU memory ran out", "batch_size 16", "a smaller batch_size, or fewer trials on one GPU"):
            assert words in failed[0].error
        assert len(calls) == 5  # no second try
        for trial in content.trials:
            assert trial.details["settings"]["train"]["batch_size"] == 16
        happened.append("failed in words; the batch size is never changed")

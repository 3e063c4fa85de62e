"""The journal of the benchmark is one that an engine could have written, and its steps are timed."""

from __future__ import annotations

from benchmarks.long_journal import EPOCHS, STEPS, measure, write_long_journal
from tuun_da.search.history import TrialState, read_journal


def test_its_journal_goes_on_and_can_be_reported(tmp_path):
    path = tmp_path / "journal.jsonl"
    write_long_journal(path, 30)
    content = read_journal(path)
    assert len(content.trials) == 30
    assert sum(trial.state is TrialState.FAILED for trial in content.trials) == 3
    assert {len(trial.curve) for trial in content.trials} == {EPOCHS}
    seconds = measure(path)
    assert all(seconds[step] > 0 for step in STEPS)
    assert seconds["report_bytes"] > 10_000
    assert len(read_journal(path).trials) == 31

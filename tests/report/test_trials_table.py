"""The journal's trials as a table, CSV and JSON: all of them, with all they hold."""

from __future__ import annotations

import csv
import io
import json

import pytest
from made_journals import HOSTILE, made_journal

from tuun_da.api.trial_table import row_of
from tuun_da.report.trials_table import is_trials_file, trial_rows, trials_csv, trials_json, trials_table
from tuun_da.search.history import Journal, Trial, TrialState, read_journal


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return read_journal(made_journal(tmp_path_factory.mktemp("t") / "j", n_trials=8, words='a,"b"\n\x1b[31m=1+1'))


def test_csv_reads_back_as_the_trials(content):
    rows = list(csv.DictReader(io.StringIO(trials_csv(content))))
    assert [int(row["id"]) for row in rows] == [trial.id for trial in content.trials] + list(content.running)
    for row, trial in zip(rows, content.trials, strict=False):
        assert row["state"] == trial.state.value
        assert row["error"] == (trial.error or "")
        assert (float(row["value"]) if row["value"] else None) == trial.value
        assert float(row["seconds"]) == 60.0
        for name, value in trial.parameters.items():
            assert row[f"parameters.{name}"] == str(value)
    assert rows[-1]["state"] == "running"
    assert rows[-1]["value"] == ""


def test_a_clock_that_was_set_back_gives_no_negative_seconds():
    times = ((100.0, 160.0), (200.0, 100.0))
    trials = [
        Trial(id=number, parameters={}, state=TrialState.SUCCEEDED, value=0.5, started=started, ended=ended)
        for number, (started, ended) in enumerate(times, 1)
    ]
    journal = Journal.open(None, space={}, settings={}, versions={})
    for trial in trials:
        journal.record_finished(trial)
    assert [row.seconds for row in trial_rows(journal.content)] == [60.0, None]
    assert [row_of(trial)["seconds"] for trial in trials] == [60.0, None]


def test_json_has_curves_and_details_too(content):
    read = json.loads(trials_json(content))
    assert read["optimize_mode"] == "maximize"
    assert [trial["id"] for trial in read["trials"]][:8] == [trial.id for trial in content.trials]
    for entry, trial in zip(read["trials"], content.trials, strict=False):
        assert entry["parameters"] == dict(trial.parameters)
        assert entry["curve"] == list(trial.curve)
        assert entry["details"] == dict(trial.details)


def test_the_table_is_a_line_a_trial_without_control_characters_and_stars_the_best(content):
    lines = trials_table(content).splitlines()
    assert len(lines) == 1 + 8 + 1
    assert all(line.isprintable() for line in lines)
    [starred] = [line for line in lines if "*" in line]
    best = max((t for t in content.trials if t.state.value == "succeeded"), key=lambda trial: trial.value)
    assert int(starred.split()[0]) == best.id
    assert "it broke: a," in lines[3]


def test_of_an_empty_journal_and_of_one_without_a_policy(tmp_path):
    from tuun_da.search.history import Journal, Trial, TrialState

    space = {HOSTILE: {"_type": "uniform", "_value": [0, 1]}}
    with Journal.open(tmp_path / "j", space=space, settings={"optimize_mode": "minimize"}, versions={}) as journal:
        assert "no trial yet" in trials_table(journal.content)
        assert json.loads(trials_json(journal.content))["trials"] == []
        for number, value in enumerate((0.3, 0.1), 1):
            journal.record_finished(
                Trial(id=number, parameters={HOSTILE: value}, state=TrialState.SUCCEEDED, value=value)
            )
        assert "0.1*" in trials_table(journal.content)
        assert list(csv.DictReader(io.StringIO(trials_csv(journal.content))))[1][f"parameters.{HOSTILE}"] == "0.1"


def test_what_is_written_here_is_known_again(content):
    for form in (trials_table, trials_csv, trials_json):
        assert is_trials_file(form(content))
    for other in ("", "id,state\n", "{}", '{"format": "tuun_da journal"}', "trial"):
        assert not is_trials_file(other)

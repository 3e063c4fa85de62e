"""One journal for many tests, which read it only."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_journals import confirmation_file, made_journal

from tuun_da.api.experiment_report import experiment_report


@pytest.fixture(scope="session")
def experiment(tmp_path_factory) -> Path:
    """The folder of an experiment, named as NNI would."""
    folder = tmp_path_factory.mktemp("experiments") / "abc123"
    made_journal(folder / "checkpoint" / "journal.jsonl", initial=["none"])
    return folder


@pytest.fixture(scope="session")
def plain_report(experiment):
    """Its report, with a confirmation, without pictures."""
    confirmation = confirmation_file(experiment / "c.json")
    return experiment_report(
        experiment / "checkpoint" / "journal.jsonl",
        confirmation=str(confirmation),
        images="none",
        cost_per_hour=3.0,
    )

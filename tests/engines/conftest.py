"""An NNI without processes, whose checkpoint folder is the test's."""

from __future__ import annotations

import pytest
from nni_simulation import SimulatedNni


@pytest.fixture
def nni(tmp_path, monkeypatch):
    """Starts a simulated NNI with a tuner of ours; called again, it resumes on the same journal."""
    monkeypatch.setenv("NNI_CHECKPOINT_DIRECTORY", str(tmp_path))
    made = []

    def start(**arguments):
        for earlier in made:
            earlier.interrupt()
        made.append(SimulatedNni(tmp_path, **arguments))
        return made[-1]

    yield start
    for one in made:
        one.interrupt()

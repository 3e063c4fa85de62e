"""A workplace for each end-to-end test, whose processes are ended with it."""

from __future__ import annotations

import pytest
from nni_harness import workplace


@pytest.fixture
def place(tmp_path):
    with workplace(tmp_path / "home") as made:
        yield made

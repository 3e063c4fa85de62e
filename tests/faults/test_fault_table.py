"""The table of faults: as many injections as were promised, and a page that says no other numbers than it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fault_table import SHARES, FaultTable, numbers

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results" / "faults.json"
PAGE = REPOSITORY / "docs" / "faults.md"


@pytest.mark.parametrize("total", [40, 200])
def test_there_are_as_many_injections_as_are_asked_for(monkeypatch, total):
    monkeypatch.setenv("TUUN_DA_FAULTS", str(total))
    counts = [len(numbers(fault)) for fault in SHARES]
    assert sum(counts) == total
    assert min(counts) >= 1


def test_a_fault_that_was_not_survived_is_counted_as_such(tmp_path):
    table = FaultTable()
    with table.injected("a") as happened:
        happened.append("well")
    with pytest.raises(AssertionError), table.injected("a"):
        raise AssertionError
    table.write(tmp_path / "t.json")
    content = json.loads((tmp_path / "t.json").read_text())
    assert (content["injections"], content["survived"]) == (2, 1)
    assert content["rows"][0]["happened"] == {"well": 1}


def test_the_page_has_the_rows_of_the_stored_run():
    content = json.loads(RESULTS.read_text())
    assert content["injections"] >= 200
    assert {row["fault"] for row in content["rows"]} >= set(SHARES)
    wanted = {row["fault"]: (row["injections"], row["survived"]) for row in content["rows"]}
    found = re.findall(r"^\| ([^|]+) \| (\d+) \| (\d+) \|", PAGE.read_text(), re.MULTILINE)
    assert {fault: (int(n), int(survived)) for fault, n, survived in found} == wanted

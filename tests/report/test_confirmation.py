"""Confirmation files are read as they are written, and refused by name where they cannot be."""

from __future__ import annotations

import json

import pytest
from made_journals import confirmation_file

from tuun_da.engines.confirm import Confirmation, Row
from tuun_da.errors import ConfigError
from tuun_da.report.confirmation import read_confirmation


def test_what_confirm_writes_is_read(tmp_path):
    rows = (Row("none", (0.5, 0.6, 0.7)), Row("found", (0.8, 0.85, 0.8)))
    result = Confirmation(rows, (1, 2, 3), 100, "macro_f1")
    (tmp_path / "c.json").write_text(json.dumps(result.to_dict()))
    read = read_confirmation(tmp_path / "c.json")
    assert (read.metric, read.n_test, read.n_seeds) == ("macro_f1", 100, 3)
    assert [(r.label, r.mean, r.deviation, r.scores) for r in read.rows] == [
        (r.label, r.mean, r.deviation, r.accuracies) for r in rows
    ]
    [difference] = read.differences
    [compared] = result.comparisons()
    assert (difference.low, difference.high, difference.verdict) == (compared.low, compared.high, compared.verdict)


def test_a_single_seed_has_no_interval(tmp_path):
    result = Confirmation((Row("none", (0.5,)), Row("found", (0.8,))), (1,), 100)
    (tmp_path / "c.json").write_text(json.dumps(result.to_dict()))
    [difference] = read_confirmation(tmp_path / "c.json").differences
    assert difference.low is None
    assert difference.verdict == "not distinguishable"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": []}, "rows must not be empty"),
        ({"rows": [1]}, "rows must be a list of objects"),
        ({"rows": [{"label": 3}]}, "label must be a text, got 3"),
        ({"rows": [{"label": "a", "mean": True}]}, "mean must be a number, got True"),
        ({"rows": [{"label": "a", "mean": 1, "deviation": 0, "accuracies": "x"}]}, "accuracies must be a list"),
        ({"comparisons": None}, "comparisons must be a list of objects, got None"),
        ({"n_test": 1e300}, "n_test must be a number"),
        ({"seeds": 3}, "seeds must be a list"),
    ],
    ids=str,
)
def test_what_it_is_not_is_said(tmp_path, change, message):
    path = confirmation_file(tmp_path / "c.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError, match=rf"confirmation file .*c\.json: {message}"):
        read_confirmation(path)


@pytest.mark.parametrize(("text", "message"), [("{", "is not JSON"), ("[]", "JSON object"), ('{"n": NaN}', "NaN")])
def test_no_json_object(tmp_path, text, message):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_confirmation(tmp_path / "c.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_confirmation(tmp_path / "missing.json")

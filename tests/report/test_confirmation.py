"""Confirmation files are read as they are written, and refused by name where they cannot be."""

from __future__ import annotations

import html
import json
import re

import pytest
from made_journals import confirmation_file, earlier_confirmation_file, made_confirmation

from tuun_da.api.experiment_report import experiment_report, report_text
from tuun_da.engines.bootstrap import Interval
from tuun_da.engines.confirmation import Choice, Tried
from tuun_da.engines.export import recommend_several
from tuun_da.errors import ConfigError
from tuun_da.report.confirmation import ConfirmationReport, ConfirmedDifference, read_confirmation
from tuun_da.report.figures import differences_chart
from tuun_da.search.history import read_journal


def test_what_confirm_writes_is_read(tmp_path):
    result = made_confirmation()
    (tmp_path / "c.json").write_text(json.dumps(result.to_dict()))
    read = read_confirmation(tmp_path / "c.json")
    assert (read.metric, read.n_test, read.n_seeds, read.n_validation) == ("accuracy", 500, 5, 300)
    assert [(r.label, r.kind, r.mean, r.deviation, r.scores, r.validation) for r in read.rows] == [
        (r.label, r.kind, r.mean, r.deviation, r.accuracies, r.validation) for r in result.rows
    ]
    assert [(d.difference, d.low, d.high) for d in read.differences] == [
        (d.difference, d.low, d.high) for d in result.differences
    ]
    assert [d.verdict for d in read.differences] == ["better", "undecided"]
    assert (read.verdict, read.sentence, read.best_baseline) == ("better", result.sentence(), "no augmentation")
    assert read.choice == result.choice.sentence()
    assert read.tried == (("trial 4", 0.915, False), ("trial 7 of no augmentation", 0.945, True))
    assert (read.n_readings, read.first_reading) == (2, "2026-09-21T14:13:20+00:00")


def test_without_a_choice_or_an_interval_there_is_none(tmp_path):
    differences = (Interval(0.04, None, None), Interval(0.0, None, None))
    result = made_confirmation(choice=None, best_baseline=None, differences=differences)
    (tmp_path / "c.json").write_text(json.dumps(result.to_dict()))
    read = read_confirmation(tmp_path / "c.json")
    assert (read.choice, read.tried, read.best_baseline, read.verdict) == (None, (), None, "undecided")
    assert {(d.low, d.high, d.verdict) for d in read.differences} == {(None, None, "undecided")}


def test_a_file_of_the_first_version_is_read(tmp_path):
    read = read_confirmation(earlier_confirmation_file(tmp_path / "c.json"))
    assert (read.metric, read.n_seeds, read.sentence, read.n_readings) == ("macro_f1", 3, None, None)
    assert read.rows[1].scores == (0.8, 0.81, 0.79)
    assert read.rows[1].validation_mean is None
    assert [(d.low, d.verdict) for d in read.differences] == [(None, "not distinguishable")]


@pytest.mark.parametrize("form", ["html", "md"])
def test_the_report_says_verdict_choice_and_what_a_reading_means(experiment, tmp_path, form):
    path = confirmation_file(tmp_path / "c.json")
    made = experiment_report(experiment / "checkpoint" / "journal.jsonl", confirmation=str(path), images="none")
    text = re.sub(r"<[^>]*>", " ", html.unescape(report_text(made, form))).replace("\\", "")
    for words in (
        made_confirmation().sentence(), made_confirmation().choice.sentence(), "The verdict is against no augmentation",
        "94.50 %", "96.00 %", "This was reading 2 of these test images", "undecided",
    ):  # fmt: skip
        assert words in text, words
    assert json.loads(report_text(made, "json"))["confirmation"]["verdict"] == "better"


@pytest.mark.parametrize("form", ["html", "md", "json"])
def test_the_report_of_a_file_of_the_first_version_is_as_it_was(experiment, tmp_path, form):
    path = earlier_confirmation_file(tmp_path / "c.json")
    made = experiment_report(experiment / "checkpoint" / "journal.jsonl", confirmation=str(path), images="none")
    text = report_text(made, form)
    assert "not distinguishable" in text.lower()
    assert "The verdict is against" not in text


def test_the_plot_has_an_interval_for_each_difference_and_a_line_at_0():
    differences = (Interval(0.04, 0.02, 0.06), Interval(-0.01, -0.03, 0.01))
    confirmation = ConfirmationReport(
        "accuracy", 500, 5, (), tuple(
            ConfirmedDifference(f"row {i}", d.difference, d.low, d.high, "x") for i, d in enumerate(differences)
        )
    )  # fmt: skip
    wide = differences_chart(confirmation).partition("</svg>")[0]
    [zero] = {float(x) for x in re.findall(r'class="axis" x1="([\d.]+)" x2="\1"', wide)}
    spans = [(float(a), float(b)) for a, b in re.findall(r'class="mean" x1="([\d.]+)" x2="([\d.]+)"', wide)]
    dots = [float(x) for x in re.findall(r'<circle class="found" cx="([\d.]+)"', wide)]
    assert zero < spans[0][0] < dots[0] < spans[0][1]
    assert spans[1][0] < dots[1] < zero < spans[1][1]
    assert spans[0][1] - spans[0][0] == pytest.approx(spans[1][1] - spans[1][0], abs=0.3)
    assert differences_chart(ConfirmationReport("accuracy", 500, 1, (), ())) == ""


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
        ({"version": 3}, "has version 3"),
        ({"version": "x"}, "has version 'x'"),
        ({"verdict": 3}, "verdict must be a text, got 3"),
        ({"readings": 2}, "readings must be an object, got 2"),
        ({"choice": {"sentence": "x", "tried": [{"label": "a", "validation": [], "chosen": True}]}}, "tried must say"),
    ],
    ids=str,
)
def test_what_it_is_not_is_said(tmp_path, change, message):
    path = confirmation_file(tmp_path / "c.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError, match=rf"confirmation file .*c\.json:? {message}"):
        read_confirmation(path)


@pytest.mark.parametrize(("text", "message"), [("{", "is not JSON"), ("[]", "JSON object"), ('{"n": NaN}', "NaN")])
def test_no_json_object(tmp_path, text, message):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_confirmation(tmp_path / "c.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_confirmation(tmp_path / "missing.json")


def test_the_policy_of_the_report_is_the_one_that_fresh_validation_chose(experiment, tmp_path):
    journal = experiment / "checkpoint" / "journal.jsonl"
    first, second = recommend_several(read_journal(journal), 2)
    tried = tuple(Tried(f"trial {one.trial.id}", (0.9,), one is second) for one in (first, second))
    result = made_confirmation(choice=Choice(tried, is_fresh=True))
    second.record.save(tmp_path / "best_policy.json")
    (tmp_path / "best_policy.confirmation.json").write_text(json.dumps(result.to_dict()))
    made = experiment_report(journal, images="none", beside=(tmp_path,))
    assert made.recommended.id == second.trial.id != first.trial.id
    assert made.record.sub_policies == second.record.sub_policies
    assert "by now, trial" not in report_text(made, "md")

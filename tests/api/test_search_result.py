"""What is kept of a search: its report in every format, and what a notebook shows of it."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tuun_da.api.find_policy import find_policy
from tuun_da.api.search_result import BestPolicies, SearchResult
from tuun_da.api.trial_table import SHOWN, TrialTable
from tuun_da.engines.bootstrap import Interval
from tuun_da.engines.confirmation import Confirmation, Row
from tuun_da.engines.readings import Readings
from tuun_da.errors import ConfigError, ExperimentError
from tuun_da.search.history import Journal, Trial, TrialState
from tuun_da.space_file import policy_space

DIGITS = load_digits()
IMAGES = np.rint(DIGITS.images * (255 / 16)).astype(np.uint8)[:400]
LABELS = DIGITS.target[:400]
TINY = {
    "model": "child_cnn", "epochs": 2, "batch_size": 16, "learning_rate": 0.02, "train_per_class": 4,
    "validation_size": 60, "n_initial": 3, "device": "cpu", "threads": 1, "progress": False,
}  # fmt: skip
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Three trials with a journal on disk."""
    return find_policy((IMAGES, LABELS), 3, **TINY, journal=tmp_path_factory.mktemp("found") / "j.jsonl")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def failed_journal(path, error, n=2):
    with Journal.open(path, space=policy_space(), settings={"surrogate": "random"}, versions={}) as journal:
        for number in range(1, n + 1):
            journal.record_finished(Trial(id=number, parameters={}, state=TrialState.FAILED, error=error))
    return SearchResult.load(path)


class Tags(html.parser.HTMLParser):
    """Opened tags of a piece of a page that must all be closed, and its text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.names, self.text = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.names.append(tag)
        if tag not in ("img", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.names.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_a_report_is_written_in_the_format_of_its_ending(found, here):
    assert found.report() == here / "report.html"
    page = (here / "report.html").read_text()
    assert page.count('src="data:image/png;base64,') == 8 * 6  # five sub-policies on the images of the search
    assert "Augmentation policy for images in arrays" in page
    assert found.report("r.md") == here / "r.md"
    assert (here / "r.md").read_text().startswith("<!-- tuun_da report -->")
    said = json.loads(found.report(Path("r.json"), cost_per_hour=2.0).read_text())
    assert [entry["value"] for entry in said["trials"]] == [row["score"] for row in found.trials]
    assert said["hardware"]["cores"] >= 1
    assert said["hardware"]["device"] == "the CPU"
    assert "torch" in said["versions"]
    found.report()  # its own file is replaced


def test_a_search_in_memory_has_a_report_too(here):
    result = find_policy((IMAGES, LABELS), 1, **TINY, journal=None)
    text = result.report("r.md").read_text()
    assert 'found.save("best_policy.json")' in text
    assert "(images, labels)," in text
    assert [path.name for path in here.iterdir()] == ["r.md"]


def test_the_confirmation_is_in_it_whether_a_file_or_what_confirm_returned(found, here):
    rows = (
        Row("a rival of mine", "baseline", (0.88, 0.89), (0.90, 0.91)),
        Row("best policy", "policy", (0.94, 0.95), (0.95, 0.96)),
    )
    confirmation = Confirmation(
        rows, (Interval(0.05, 0.04, 0.06),), (1, 2), 500, 200, "accuracy", "a rival of mine", Readings(1, 1e9)
    )
    for given in (confirmation, here / "c.json"):
        (here / "c.json").write_text(json.dumps(confirmation.to_dict()))
        text = found.report("r.md", confirmation=given, images="none").read_text()
        assert "a rival of mine" in text
        assert "It is not confirmed" not in text
    assert "It is not confirmed" in found.report("r.md").read_text()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("r.txt", r"must end in .html, .htm, .md, .json; got 'r.txt'"),
        ("nowhere/r.html", "a file in a folder that is there"),
        ("mine.html", "is there already and is no report"),
    ],
)
def test_no_other_file_is_replaced_and_no_format_guessed(found, here, name, message):
    (here / "mine.html").write_text("my own page")
    with pytest.raises(ConfigError, match=message):
        found.report(name)
    assert [path.name for path in here.iterdir()] == ["mine.html"]


def test_without_a_score_there_is_nothing_to_report(here):
    result = failed_journal(here / "j.jsonl", "no such folder")
    with pytest.raises(ExperimentError, match="no trial has come to a score yet"):
        result.report()
    assert not (here / "report.html").exists()


def test_a_notebook_shows_scores_and_policy(found):
    shown = Tags(found._repr_html_())
    assert f"3 trials; best score {found.best_score:.4f}" in shown.text
    for operation in (o for sub_policy in found.record.sub_policies for o in sub_policy.operations):
        assert operation.type in shown.text
    assert {"svg", "table"} <= set(shown.names)
    best = BestPolicies(found.content)
    ranks = re.findall(r"<tr><td>(\d)</td><td>(\d)</td><td>([\d.]+)</td>", best._repr_html_())
    assert [float(score) for _, _, score in ranks] == [round(score, 4) for _, score in best]
    assert [rank for rank, _, _ in ranks] == ["1", "2", "3"]


def test_a_notebook_shows_a_search_without_a_score_and_attacks_are_words(here):
    result = failed_journal(here / "j.jsonl", HOSTILE, n=SHOWN + 5)
    shown = Tags(result._repr_html_())
    assert f"{SHOWN + 5} trials, {SHOWN + 5} of them failed; no score yet" in shown.text
    table = Tags(result.trials._repr_html_())
    assert table.text.count(HOSTILE) == SHOWN
    assert "5 more" in table.text
    assert "script" not in table.names


def test_trials_are_rows_of_a_list_and_of_a_table(found):
    assert isinstance(found.trials, TrialTable)
    assert found.trials == [dict(row) for row in found.trials]
    shown = Tags(found.trials._repr_html_())
    assert shown.names.count("tr") == 1 + 3
    for row in found.trials:
        assert f"{row['score']:.4f}" in shown.text
    assert Tags(TrialTable()._repr_html_()).names.count("tr") == 1

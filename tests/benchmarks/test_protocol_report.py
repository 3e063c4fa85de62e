"""The protocol's tables: their arithmetic against numpy and scipy, and that nothing is hidden or made up."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from benchmarks.protocol_records import Plan, Trainings, results_file
from benchmarks.protocol_report import figures_of, write_report
from benchmarks.protocol_settings import SETTINGS
from benchmarks.training_records import read_trainings

SETTING = SETTINGS["steel20"]
SEARCHES, RETRAININGS, TRIALS = 3, 3, 4
RNG = np.random.default_rng(0)
SCORES = {  # rows, by search and retraining
    name: np.clip(mean + 0.02 * RNG.standard_normal((SEARCHES, RETRAININGS)), 0, 1)
    for name, mean in (("none", 0.7), ("etp", 0.75), ("trivialaugment", 0.9), ("random", 0.78), ("tuun", 0.8))
}
SECONDS = {name: 100 * RNG.random((SEARCHES, TRIALS)) for name in ("random", "tuun")}


def record(row, search, role, number, **more):
    known = {"row": row, "search": search, "role": role, "number": number, "policy": {"choice": row}, "seed": number}
    return known | {"score": 0.5, "seconds": 1.0, "wall_seconds": 2.0} | more


@pytest.fixture
def results(tmp_path):
    """A folder with the trainings of five rows."""
    trainings = Trainings(SETTING, Plan(results=tmp_path, data_dir="", trials=TRIALS))
    for name, scores in SCORES.items():
        for (search, number), score in np.ndenumerate(scores):
            trainings.add(record(name, search, "retraining", number, score=float(score)))
    for name, seconds in SECONDS.items():
        for (search, number), taken in np.ndenumerate(seconds):
            trial = record(name, search, "trial", number, seconds=float(taken), seconds_of_suggestion=0.5)
            trainings.add(trial)
    return tmp_path


def stored_rows(results):
    write_report(results)
    stored = json.loads((results / "protocol.json").read_text())
    return {row["row"]: row for row in stored["steel20"]["rows"]}


def cells(text, label):
    detail = text.partition("## steel20")[2]
    (line,) = [line for line in detail.splitlines() if line.startswith(f"| {label} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_mean_deviation_and_cost_are_over_the_searches(results):
    rows = stored_rows(results)
    assert set(rows) == set(SCORES)
    for name, scores in SCORES.items():
        means = scores.mean(axis=1)
        assert rows[name]["mean"] == pytest.approx(means.mean())
        assert rows[name]["deviation"] == pytest.approx(np.std(means, ddof=1))
        cost = (SECONDS[name] + 0.5).sum(axis=1).mean() / 60 if name in SECONDS else 0.0
        assert rows[name]["search_minutes"] == pytest.approx(cost)


@pytest.mark.parametrize("reference", ["etp", "trivialaugment"])
def test_differences_are_paired_by_the_search(results, reference):
    rows = stored_rows(results)
    for name, scores in SCORES.items():
        if name == reference:
            assert reference not in rows[name]["less"]
            continue
        test = stats.ttest_rel(scores.mean(axis=1), SCORES[reference].mean(axis=1))
        low, high = test.confidence_interval(0.95)
        found = rows[name]["less"][reference]
        assert found["difference"] == pytest.approx((scores - SCORES[reference]).mean())
        assert (found["low"], found["high"]) == pytest.approx((low, high))


def test_the_error_reduction_is_the_share_of_wrong_images_that_became_right(results):
    rows = stored_rows(results)
    wrong_without = (1 - SCORES["none"]).sum()
    for name, scores in SCORES.items():
        gone = wrong_without - (1 - scores).sum()
        assert rows[name]["error_reduction"] == pytest.approx(gone / wrong_without)


def test_the_table_says_what_is_stored_and_keeps_the_rows_where_a_rival_wins(results):
    text = write_report(results)
    assert (results / "protocol.md").read_text() == text
    rows = stored_rows(results)
    head = cells(text, "")
    assert head[2:] == [
        "test score",
        "fewer errors than without augmentation",
        "less ETP (crop + flip)",
        "less TrivialAugment",
        "search, CPU minutes",
    ]
    for row in rows.values():
        found = cells(text, row["label"])
        assert found[1] == "3"
        assert found[2] == f"{100 * row['mean']:.2f} ± {100 * row['deviation']:.2f}"
        assert found[3] == ("" if row["row"] == "none" else f"{100 * row['error_reduction']:.1f} %")
        for cell, name in zip(found[4:6], ("etp", "trivialaugment"), strict=True):
            less = row["less"].get(name)
            bounds = less and f"[{100 * less['low']:+.2f}, {100 * less['high']:+.2f}]"
            assert cell == (f"{100 * less['difference']:+.2f} {bounds}" if less else "")
        assert found[6] == f"{row['search_minutes']:.1f}"
    assert rows["tuun"]["less"]["trivialaugment"]["difference"] < 0


def test_the_overview_has_every_row_of_every_setting(results):
    overview = write_report(results).partition("## steel20")[0]
    for name, label in (("none", "no augmentation"), ("etp", "ETP (crop + flip)"), ("tuun", "Tuun (ours)")):
        means = 100 * SCORES[name].mean(axis=1)
        assert f"| {label} | {means.mean():.1f} ± {means.std(ddof=1):.1f} |" in overview
    dearest = max((seconds.sum(axis=1) + 0.5 * TRIALS).mean() for seconds in SECONDS.values()) / 60
    assert f"| dearest search | {dearest:.1f} CPU minutes |" in overview


def test_the_conditions_and_the_published_claim_stand_beside_the_table(results):
    text = write_report(results)
    for words in ("Reduced size, for a CPU", "20 labelled images a class", "32 x 32", "benchmarks.nets:steel_net"):
        assert words in text
    assert f"{SETTING.passes} passes" in text
    assert "A search has 4 trials" in text
    assert "Published: 4.5 %" in text
    assert "Not there yet: AutoAugment; " in text
    assert "cifar10" not in text


def test_a_search_counts_when_all_its_retrainings_are_there():
    records = [record("etp", search, "retraining", number) for search in range(2) for number in range(3 - search)]
    assert set(figures_of(records)["etp"].scores) == {0}
    assert figures_of(records[:2]) == {}


def test_rows_with_different_searches_are_compared_over_the_common_ones():
    records = [
        record(row, search, "retraining", number, score=score)
        for row, scores in (("none", (0.5, 0.6, 0.9)), ("etp", (0.6, 0.8)))
        for search, score in enumerate(scores)
        for number in range(3)
    ]
    figures = figures_of(records)
    assert figures["etp"].less(figures["none"]).difference == pytest.approx(0.15)
    assert figures["etp"].error_reduction(figures["none"]) == pytest.approx(1 - 0.6 / 0.9)


def test_one_search_alone_has_no_deviation_and_no_interval(tmp_path):
    trainings = Trainings(SETTING, Plan(results=tmp_path, data_dir="", trials=TRIALS))
    for row, score in (("none", 0.5), ("etp", 0.75)):
        for number in range(3):
            trainings.add(record(row, 0, "retraining", number, score=score))
    text = write_report(tmp_path)
    assert cells(text, "no augmentation")[2:5] == ["50.00", "", "-25.00"]
    assert cells(text, "ETP (crop + flip)")[2:5] == ["75.00", "50.0 %", ""]
    assert stored_rows(tmp_path)["none"]["less"] == {"etp": {"difference": -0.25}}


def test_the_cost_of_what_is_appended_is_that_of_its_search(results):
    trainings = Trainings(SETTING, Plan(results=results, data_dir="", trials=TRIALS))
    for search in range(SEARCHES):
        for number in range(RETRAININGS):
            trainings.add(record("etp, tuun", search, "retraining", number))
    rows = stored_rows(results)
    assert rows["etp, tuun"]["search_minutes"] == rows["tuun"]["search_minutes"] > 0


def test_there_is_a_plot_and_every_training_has_its_conditions(results):
    text = write_report(results)
    assert "(protocol.png)" in text
    assert (results / "protocol.png").read_bytes().startswith(b"\x89PNG")
    for entry in read_trainings(results_file(results, "steel20")):
        assert entry["training"] == {k: v for k, v in SETTING.to_dict().items() if k != "name"}
        assert entry["tuner"]["surrogate"] == "gp"
        assert entry["hardware"]
        assert "torch" in entry["versions"]


def test_without_any_training_no_table_is_made_up(tmp_path):
    text = write_report(tmp_path)
    assert "|" not in text
    assert json.loads((tmp_path / "protocol.json").read_text()) == {}

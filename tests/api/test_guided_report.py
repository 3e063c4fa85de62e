"""What the baselines of a guided search do in reports and tables: named, shown, and in nobody's way."""

from __future__ import annotations

import numpy as np
import pytest

from tuun_da.api.experiment_report import experiment_report, report_text
from tuun_da.engines.baselines import as_first_trials, expressible
from tuun_da.engines.echo import final_metric, read_metric
from tuun_da.engines.study import Study
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.report.trials_table import trials_table
from tuun_da.search.history import read_journal
from tuun_da.search.space import SearchSpace
from tuun_da.space_file import policy_space

SPACE = policy_space()
N_INITIAL = 8


@pytest.fixture(scope="module", params=["search", "etp+search"])
def journal(request, tmp_path_factory):
    """Baselines, of which TrivialAugment is the best trial of all, and twelve trials with scores drawn at random."""
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    scores = {"none": 0.5, "etp": 0.6, "trivialaugment": 0.99}
    metrics = {name: final_metric({}, value, settings={"policy": name}) for name, value in scores.items()}
    first = as_first_trials(metrics, request.param, expressible(SearchSpace.from_nni(SPACE), request.param))
    study = Study.open(path, SPACE, TunerSettings(seed=0, n_initial=N_INITIAL))
    for name, metric in first.items():
        study.add_baseline(name, read_metric(metric))
    rng = np.random.default_rng(0)
    for _ in range(12):
        trial_id, parameters = study.ask()
        about = {"settings": {"policy": request.param}}
        metric = final_metric({**parameters, "tuun_id": trial_id}, float(rng.uniform(0.5, 0.9)), **about)
        study.finish(read_metric(metric))
    study.journal.close()
    return path, request.param


def test_baselines_have_their_names_whatever_they_were_expressed_as(journal):
    report = experiment_report(journal[0], with_pictures=False)
    assert [(point.label, point.kind) for point in report.points[:3]] == [
        ("no augmentation", "baseline"),
        ("crop + flip", "baseline"),
        ("TrivialAugment", "baseline"),
    ]
    assert {point.label for point in report.points[3:]} == {None}
    for form in ("html", "md", "json"):
        assert "TrivialAugment" in report_text(report, form)


def test_a_baseline_without_parameters_keeps_no_effect_from_being_told(journal):
    report = experiment_report(journal[0], with_pictures=False)
    assert report.effects is not None, report.effects_why_none


def test_the_random_trials_are_those_of_the_design(journal):
    """The optimizer counts those baselines among its first trials that it can express: two, or on top of ETP one."""
    path, choice = journal
    n_learned = 2 if choice == "search" else 1
    kinds = [point.kind for point in experiment_report(path, with_pictures=False).points[3:]]
    n_random = N_INITIAL - n_learned
    assert kinds == ["random"] * n_random + ["proposed"] * (12 - n_random)


def test_the_best_score_of_all_may_be_a_baseline_and_the_recommended_trial_is_none(journal):
    report = experiment_report(journal[0], with_pictures=False)
    assert report.best.details["baseline"] == "trivialaugment"
    assert report.recommended.parameters
    assert report.expectation is not None
    assert max(report.expectation.best) < 0.99  # what random search would have come to knows nothing of it


def test_the_table_of_trials_names_a_baseline_that_is_no_policy(journal):
    lines = trials_table(read_journal(journal[0])).splitlines()
    assert lines[3].endswith("trivialaugment")
    assert "{}" not in "".join(lines)

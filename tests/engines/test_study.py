"""A study keeps optimizer and journal in step."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from nni_simulation import SPACE, echo_of, score_of

from tuun_da.engines.echo import read_metric
from tuun_da.engines.study import Study
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.errors import JournalError, SearchSpaceError, TuunDaError
from tuun_da.policy_format import TRIAL_ID_KEY
from tuun_da.search.history import read_journal

SETTINGS = TunerSettings(seed=0, surrogate="random")


@pytest.fixture
def study(tmp_path):
    made = Study.open(tmp_path / "j", SPACE, SETTINGS)
    yield made
    made.journal.close()


def finish(study, trial_id, parameters, **more):
    study.finish(read_metric(echo_of({**parameters, TRIAL_ID_KEY: trial_id}, **more)))


def test_a_point_is_on_disk_when_it_is_handed_out_and_a_trial_when_it_is_finished(study, tmp_path):
    trial_id, parameters = study.ask()
    assert read_journal(tmp_path / "j").running == {trial_id: parameters}
    finish(study, trial_id, parameters)
    [trial] = read_journal(tmp_path / "j").trials
    assert (trial.id, trial.parameters, trial.value) == (trial_id, parameters, score_of(parameters))
    assert study.has_ended(trial_id)
    assert not study.has_ended(trial_id + 1)


def test_the_journal_says_how_it_was_made(study, tmp_path):
    content = read_journal(tmp_path / "j")
    assert content.settings == SETTINGS.to_dict()
    assert content.space == SPACE
    assert {"tuun_da", "python", "nni", "numpy", "scipy", "scikit-learn"} <= set(content.versions)


@pytest.mark.parametrize(
    "space",
    [
        {name: SPACE[name] for name in ("operation1_1", "prob1_1")},  # no magnitude
        SPACE | {"operation2_1": SPACE["operation1_1"], "magnitude2_1": SPACE["magnitude1_1"]},  # prob for one only
        SPACE | {"operation3_1": SPACE["operation1_1"], "magnitude3_1": SPACE["magnitude1_1"]},  # no sub-policy 2
    ],
)
def test_sub_policies_that_do_not_line_up_are_refused_before_a_journal_is_begun(tmp_path, space):
    with pytest.raises(SearchSpaceError, match="is missing"):
        Study.open(tmp_path / "j", space, SETTINGS)
    assert not (tmp_path / "j").exists()


def test_a_journal_of_other_settings_is_refused_and_free_for_the_next(study, tmp_path):
    study.journal.close()
    for _ in range(2):
        with pytest.raises(JournalError, match="n_initial = 10, and n_initial is 3 now"):
            Study.open(tmp_path / "j", SPACE, replace(SETTINGS, n_initial=3))
    Study.open(tmp_path / "j", SPACE, SETTINGS).journal.close()


def test_a_journal_that_contradicts_itself_is_refused_and_free_for_the_next(study, tmp_path):
    trial_id, parameters = study.ask()
    finish(study, trial_id, parameters)
    study.journal.close()
    good = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(good + good.splitlines(keepends=True)[-1])
    with pytest.raises(TuunDaError, match="finished already"):
        Study.open(tmp_path / "j", SPACE, SETTINGS)
    (tmp_path / "j").write_bytes(good)
    Study.open(tmp_path / "j", SPACE, SETTINGS).journal.close()


def test_ids_are_never_used_twice_even_if_the_disk_refused_them(study, tmp_path, monkeypatch):
    def refuse(*_):
        raise JournalError("full")

    with monkeypatch.context() as patch:
        patch.setattr("tuun_da.search.history._write", refuse)
        refused = [study.ask()[0] for _ in range(3)]
    assert study.ask()[0] == refused[-1] + 1 == 4


def test_a_change_of_the_space_keeps_results_that_are_not_on_disk_yet(study, monkeypatch):
    trial_id, parameters = study.ask()
    with monkeypatch.context() as patch:
        patch.setattr("tuun_da.search.history._write", lambda *_: (_ for _ in ()).throw(JournalError("full")))
        finish(study, trial_id, parameters)
    study.change_space(SPACE | {"x": SPACE["prob1_1"]})
    study.change_space(SPACE)
    assert [observation.id for observation in study._optimizer.observations] == [trial_id]


def test_results_and_points_survive_json(study):
    """What is handed out is what JSON gives back, so that echoes compare equal with it."""
    _, parameters = study.ask()
    assert json.loads(json.dumps(parameters)) == parameters

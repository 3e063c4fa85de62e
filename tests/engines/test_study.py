"""A study keeps optimizer and journal in step."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from made_probes import made_probe
from nni_simulation import SPACE, UNIT, echo_of, score_of

from tuun_da.engines.echo import read_metric
from tuun_da.engines.known import KNOWN
from tuun_da.engines.replay import optimizer_from_journal
from tuun_da.engines.study import Study
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.errors import JournalError, SearchSpaceError, TuunDaError
from tuun_da.operations import PUBLISHED_TYPES, Operation, SubPolicy
from tuun_da.policy_format import TRIAL_ID_KEY, PolicyRecord
from tuun_da.search.history import Journal, Trial, TrialState, read_journal
from tuun_da.search.space import SearchSpace

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


def test_points_that_the_disk_refused_are_in_the_journal_when_it_takes_them_again(study, tmp_path, monkeypatch):
    def refuse(*_):
        raise JournalError("full")

    with monkeypatch.context() as patch:
        patch.setattr("tuun_da.search.history._write", refuse)
        refused = [study.ask() for _ in range(2)]
        finish(study, *refused[0])
        assert [trial.id for trial in study.unwritten] == [1]
        with pytest.raises(JournalError, match="full"):
            study.write_rest()
        assert read_journal(tmp_path / "j").events == ()
    study.write_rest()
    assert study.unwritten == ()
    content = read_journal(tmp_path / "j")
    assert [(event.id, event.trial is None) for event in content.events] == [(1, True), (2, True), (1, False)]
    assert content.running == dict(refused[1:])


def test_a_header_that_was_cut_off_is_begun_anew_with_all_that_the_experiment_knows(tmp_path, knowing):
    path = tmp_path / "j"
    Study.open(path, PAIR, knowing, folders=[tmp_path]).journal.close()
    raw, settings = path.read_bytes(), read_journal(path).settings
    assert KNOWN in settings
    for length in (0, 1, 100, len(raw) - 1):
        path.write_bytes(raw[:length])
        Study.open(path, PAIR, knowing, folders=[tmp_path]).journal.close()
        assert read_journal(path).settings == settings


def test_a_point_that_is_random_since_the_surrogate_failed_is_marked_in_the_journal(study, tmp_path, monkeypatch):
    study.ask()
    with monkeypatch.context() as patch:
        patch.setattr("tuun_da.search.optimizer.Optimizer.ask", lambda *_: 1 / 0)
        study.ask()
    study.ask()
    fallbacks = [event.fallback for event in read_journal(tmp_path / "j").events]
    assert fallbacks == [None, "ZeroDivisionError: division by zero", None]


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


# ---- stopped, failed and interrupted ----

KINDS = ("operation", "prob", "magnitude")
ALL_TYPES = {"_type": "choice", "_value": list(PUBLISHED_TYPES)}
PAIR = {f"{kind}1_{j}": ALL_TYPES if kind == "operation" else UNIT for j in (1, 2) for kind in KINDS}
PAIR |= {"lr": {"_type": "loguniform", "_value": [1e-4, 1]}}
ENDS = ["succeeded", "stopped", "succeeded", "failed", "succeeded", "stopped", "failed", "succeeded", "succeeded"]


@pytest.fixture
def knowing(tmp_path):
    """A folder with a probe, a policy and an earlier journal, and the settings that name them."""
    made_probe().save(tmp_path / "probe.json")
    PolicyRecord((SubPolicy((Operation("rotate", 0.5, 0.25),)),)).save(tmp_path / "mine.json")
    earlier = Journal.open(tmp_path / "old", space=PAIR, settings={"optimize_mode": "minimize"}, versions={})
    for number, parameters in enumerate(SearchSpace.from_nni(PAIR).sample(8, np.random.default_rng(0))):
        earlier.record_finished(Trial(id=number, parameters=parameters, state=TrialState.SUCCEEDED, value=number / 3))
    earlier.close()
    return TunerSettings(
        seed=3,
        n_initial=3,
        optimize_mode="minimize",
        probe="probe.json",
        initial=["mine.json", "etp"],
        warm_start=["old"],
    )


def value_of(parameters):
    return round(sum(map(ord, json.dumps(parameters))) % 97 / 10 - 4, 6)


def run(study, numbers):
    """Trials one after the other, each with its end; what was handed out."""
    handed_out = []
    for number in numbers:
        trial_id, parameters = study.ask()
        handed_out.append((trial_id, parameters))
        value, state = value_of(parameters), ENDS[number % len(ENDS)]
        curve = [value + 2, None, value + 1, value] if state == "stopped" else []
        finish(study, trial_id, parameters, value=value, state=state, curve=curve)
    return handed_out


@pytest.mark.parametrize("changes", [{}, {"acquisition": "thompson"}, {"surrogate": "forest", "acquisition": "pi"}])
def test_an_interrupted_study_goes_on_as_an_uninterrupted_one(tmp_path, knowing, changes):
    """With stopped and failed trials, and a probe, policies and an earlier journal whose files are gone by then."""
    settings = replace(knowing, **changes)
    whole = Study.open(tmp_path / "whole", PAIR, settings, folders=[tmp_path])
    parts = [Study.open(tmp_path / "parts", PAIR, settings, folders=[tmp_path])]
    expected = run(whole, range(9))
    handed_out = run(parts[0], range(4))
    parts[0].journal.close()
    for name in ("probe.json", "mine.json", "old"):
        (tmp_path / name).unlink()
    for numbers in (range(4, 7), range(7, 9)):
        parts.append(Study.open(tmp_path / "parts", PAIR, settings, folders=[tmp_path]))
        handed_out += run(parts[-1], numbers)
        parts[-1].journal.close()
    assert handed_out == expected
    assert len({json.dumps(parameters) for _, parameters in expected}) == 9
    assert expected[0][1]["operation1_1"] == "rotate"
    assert expected[1][1]["operation1_1"] == "randomCrop"
    assert optimizer_from_journal(read_journal(tmp_path / "parts")).recommend() == whole._optimizer.recommend()
    whole.journal.close()


@pytest.mark.parametrize("n_initial", [2, 6])
def test_it_does_so_though_a_suggestion_failed(tmp_path, monkeypatch, n_initial):
    """The random point in its place counts as one that was asked for."""
    settings = TunerSettings(seed=3, n_initial=n_initial)

    def seven_trials(name, interrupted_at):
        study = Study.open(tmp_path / name, PAIR, settings)
        handed_out = []
        for number in range(7):
            if number == interrupted_at:
                study.journal.close()
                study = Study.open(tmp_path / name, PAIR, settings)
            with monkeypatch.context() as patch:
                if number == 3:
                    patch.setattr(study._optimizer, "_suggest", lambda: 1 / 0)
                handed_out += run(study, [0])
        study.journal.close()
        return handed_out

    expected = seven_trials("whole", None)
    assert len({json.dumps(parameters) for _, parameters in expected}) == 7
    assert seven_trials("parts", 4) == seven_trials("more parts", 6) == expected


def test_stopped_and_failed_trials_reach_the_optimizer_with_their_sign(tmp_path):
    study = Study.open(tmp_path / "j", SPACE, replace(SETTINGS, optimize_mode="minimize"))
    told = []
    for name in ("tell", "tell_stopped", "tell_failed", "forget"):
        original = getattr(study._optimizer, name)
        setattr(
            study._optimizer, name, lambda *a, name=name, original=original: told.append((name, *a)) or original(*a)
        )
    asked = [study.ask() for _ in range(4)]
    finish(study, *asked[0], state="stopped", curve=[3.0, None, 0.5], value=7.0)
    finish(study, *asked[1], state="failed")
    finish(study, *asked[2], value=0.25)
    finish(study, *asked[3], state="stopped", curve=[None])
    assert told == [
        ("tell_stopped", asked[0][0], -0.5, asked[0][1]),
        ("tell_failed", asked[1][0], asked[1][1]),
        ("tell", asked[2][0], -0.25, asked[2][1]),
        ("forget", asked[3][0]),
    ]
    study.journal.close()


def test_the_journal_keeps_what_was_in_the_files_and_not_the_settings_of_the_next_start(tmp_path, knowing):
    study = Study.open(tmp_path / "j", PAIR, knowing, folders=[tmp_path])
    study.journal.close()
    content = read_journal(tmp_path / "j")
    assert content.settings["probe"] == "probe.json"
    assert [name for name, _ in content.settings[KNOWN]["initial"]] == ["mine.json", "etp"]
    (tmp_path / "probe.json").write_text("{}")  # what it became since is none of this experiment's
    Study.open(tmp_path / "j", PAIR, knowing, folders=[tmp_path]).journal.close()
    for name, value in (("probe", None), ("initial", ["etp"]), ("warm_start", [])):
        with pytest.raises(JournalError, match=f"was begun with {name} = "):
            Study.open(tmp_path / "j", PAIR, replace(knowing, **{name: value}), folders=[tmp_path])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probe": "missing.json"}, "probe: 'missing.json' cannot be used"),
        ({"initial": ["nobody"]}, "initial: 'nobody' cannot be used"),
        ({"warm_start": ["missing"]}, "warm_start: 'missing' cannot be used"),
        ({"initial": ["etp"]}, "initial policy etp has sub-policies of 2 operations"),
        (
            {"warm_start": ["few"]},
            "warm_start: 'few' has 3 finished trials, of which 3 fit this search space; at least 5",
        ),
    ],
)
def test_files_that_cannot_be_used_are_told_before_a_journal_is_begun(tmp_path, changes, message):
    with Journal.open(tmp_path / "few", space=SPACE, settings={}, versions={}) as few:
        for number, parameters in enumerate(SearchSpace.from_nni(SPACE).sample(3, np.random.default_rng(0))):
            few.record_finished(Trial(id=number, parameters=parameters, state=TrialState.SUCCEEDED, value=0.5))
    with pytest.raises(TuunDaError, match=message):
        Study.open(tmp_path / "j", SPACE, replace(SETTINGS, **changes), folders=[tmp_path])
    assert not (tmp_path / "j").exists()


def test_what_has_no_effect_any_more_in_a_space_that_was_changed_stops_nothing(tmp_path, knowing):
    study = Study.open(tmp_path / "j", PAIR, knowing, folders=[tmp_path])
    other = PAIR | {"operation1_1": {"_type": "choice", "_value": ["randomCrop", "rotate"]}, "lr": UNIT}
    study.change_space(other)
    trial_id, parameters = study.ask()
    finish(study, trial_id, parameters, value=0.5)
    study.journal.close()
    assert optimizer_from_journal(read_journal(tmp_path / "j")).recommend() == parameters
    Study.open(tmp_path / "j", other, knowing, folders=[tmp_path]).journal.close()


def test_a_journal_of_an_older_version_with_fewer_settings_goes_on(tmp_path):
    old = {"optimize_mode": "maximize", "surrogate": "random", "acquisition": "logei", "n_initial": 10, "seed": 0}
    Journal.open(tmp_path / "j", space=SPACE, settings=old, versions={}).close()
    Study.open(tmp_path / "j", SPACE, SETTINGS).journal.close()
    with pytest.raises(JournalError, match=r"begun with initial = \[\], and initial is \['etp'\] now"):
        Study.open(tmp_path / "j", SPACE, replace(SETTINGS, initial=["etp"]))

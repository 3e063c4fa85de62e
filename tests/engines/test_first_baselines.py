"""Baselines come first: kept as they end, they decide on top of what the search goes, and it learns from them."""

from __future__ import annotations

import json

import pytest
import torch

from tuun_da.augment.named import build_transform
from tuun_da.engines.baselines import (
    as_first_trials,
    expressible,
    measured_probe,
    policy_choice,
    read_baselines,
    run_baselines,
    score_of,
)
from tuun_da.engines.echo import final_metric, read_metric
from tuun_da.engines.export import recommend, recommend_several
from tuun_da.engines.local import run_search
from tuun_da.engines.local_trial import BASELINES, TrialPlan, run_planned
from tuun_da.engines.replay import best_trial, optimizer_from_journal
from tuun_da.engines.study import BASELINE_KEY, Study
from tuun_da.engines.task_pool import Ended
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.errors import ConfigError, ExperimentError
from tuun_da.policy_format import PolicyRecord, sub_policies_from_parameters
from tuun_da.probe_format import ProbeRecord
from tuun_da.search.history import read_journal
from tuun_da.search.space import SearchSpace
from tuun_da.space_file import policy_space
from tuun_da.training.datasets import load_splits
from tuun_da.training.loop import train
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig

SPACE = policy_space()
DIGITS = DataConfig(data="digits", train_per_class=3, validation_size=40)
PLAN = TrialPlan(
    train=TrainConfig(model="child_cnn", epochs=1, batch_size=10, learning_rate=0.02, seed=3),
    data=DIGITS,
    device="cpu",
    threads=1,
)
SETTINGS = TunerSettings(seed=0, n_initial=4)


class Here:
    """A pool without processes: the tasks run one after the other, up to the one that is to be the last."""

    def __init__(self, last=99):
        self.last, self.ran = last, []

    def run_all(self, tasks, on_end):
        for key, task in tasks.items():
            if len(self.ran) == self.last:
                raise KeyboardInterrupt
            self.ran.append(key)
            on_end(Ended(key, task()))


def metric(name, value, **more):
    """As a baseline's training ends."""
    return final_metric({}, value, settings={"policy": name, "per": "batch", "train": {}, "data": {}}, **more)


def metrics(none=0.5, etp=0.6, trivialaugment=0.55):
    return {
        "none": metric("none", none),
        "etp": metric("etp", etp),
        "trivialaugment": metric("trivialaugment", trivialaugment),
    }


def first_trials(choice, **scores):
    return as_first_trials(metrics(**scores), choice, expressible(SearchSpace.from_nni(SPACE), choice))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Baselines and a probe, interrupted after the second training and called again."""
    folder = tmp_path_factory.mktemp("kept")
    file, probe = folder / "baselines.json", folder / "probe.json"
    heard = []
    options = {"probe": probe, "types": ("rotate", "invert"), "on_end": lambda name, score: heard.append((name, score))}
    first, second = Here(last=2), Here()
    with pytest.raises(KeyboardInterrupt):
        run_baselines(first, PLAN, file, **options)
    found = run_baselines(second, PLAN, file, **options)
    return found, file, probe, heard, (first.ran, second.ran)


def test_a_baseline_is_the_training_that_it_says(kept):
    found, _, _, heard, _ = kept
    splits = load_splits(DIGITS)
    for name in BASELINES:
        result = train(PLAN.train, splits, build_transform(name, None), torch.device("cpu"))
        assert score_of(found[name]) == result.score
        echo = read_metric(found[name])
        assert (echo.curve, echo.parameters, echo.details["settings"]["policy"]) == (result.curve, {}, name)
    assert dict(heard) == {**{name: score_of(found[name]) for name in BASELINES}, "probe": None}


def test_what_has_ended_is_kept_and_not_trained_again(kept):
    found, file, probe, _, (first, second) = kept
    assert (first, second) == (["none", "etp"], ["trivialaugment", "probe"])
    assert read_baselines(file) == found
    assert set(ProbeRecord.load(probe).effects) == {"rotate", "invert"}
    again = Here()
    assert run_baselines(again, PLAN, file, probe=probe, types=("rotate",), on_end=lambda *_: None) == found
    assert again.ran == []


def test_a_baseline_that_fails_ends_it_and_is_not_kept(tmp_path):
    broken = TrialPlan(train=TrainConfig(model="local_models:broken", epochs=1), data=DIGITS, device="cpu")
    with pytest.raises(ExperimentError, match="baseline none failed: ValueError: no such layer"):
        run_baselines(Here(), broken, tmp_path / "b.json", probe=None, types=(), on_end=lambda *_: None)
    assert not (tmp_path / "b.json").exists()
    assert measured_probe(broken, ("rotate",)) == {"error": "ValueError: no such layer"}


@pytest.mark.parametrize(
    "text",
    [
        '{"version": 1}',
        '{"version": 1, "baselines": {"nine": {}}}',
        '{"version": 1, "baselines": {"none": {"default": null}}}',
    ],
)
def test_a_file_of_baselines_that_holds_something_else_is_refused(tmp_path, text):
    file = tmp_path / "b.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=f"file of baselines {file} must hold final metrics"):
        read_baselines(file)
    assert read_baselines(tmp_path / "none.json") == {}


@pytest.mark.parametrize(
    ("none", "etp", "said", "choice"),
    [
        (0.5, 0.6, "auto", "etp+search"),
        (0.6, 0.5, "auto", "search"),
        (0.5, 0.5, "auto", "search"),
        (0.6, 0.5, "etp", "etp+search"),
        (0.5, 0.6, "none", "search"),
    ],
)
def test_the_search_goes_on_top_of_crop_and_flip_if_that_is_better_than_nothing_or_as_told(none, etp, said, choice):
    assert policy_choice(metrics(none=none, etp=etp), said) == choice


def test_the_baselines_that_a_space_can_express_do_what_their_names_say():
    space = SearchSpace.from_nni(SPACE)
    alone, on_top = expressible(space, "search"), expressible(space, "etp+search")
    assert (set(alone), set(on_top)) == ({"none", "etp"}, {"etp"})
    for parameters in (alone["none"], on_top["etp"]):
        space.validate(parameters)
        assert {o.probability for s in sub_policies_from_parameters(parameters) for o in s.operations} == {0.0}
    [(crop, flip)] = {s.operations for s in sub_policies_from_parameters(alone["etp"])}
    assert (crop.type, crop.probability, crop.magnitude) == ("randomCrop", 1.0, 1.0)
    assert (flip.type, flip.probability, flip.value) == ("randomHorizontalFlip", 1.0, 0.5)


def test_a_space_without_crop_and_flip_can_still_do_nothing():
    few = SearchSpace.from_nni(policy_space(["rotate", "invert"]))
    assert set(expressible(few, "search")) == {"none"}
    assert set(expressible(few, "etp+search")) == {"etp"}
    always = SearchSpace.from_nni(policy_space(["rotate"], probabilities=False))
    assert expressible(always, "search") == {}
    joint = SearchSpace.from_nni(SPACE | {"learning_rate": {"_type": "uniform", "_value": [0.1, 0.2]}})
    assert expressible(joint, "search") == {}  # the baselines were trained with no learning rate of that space


@pytest.mark.parametrize(("choice", "known"), [("search", ["none", "etp"]), ("etp+search", ["etp"])])
def test_the_optimizer_learns_from_those_it_can_express_and_passes_over_the_others(tmp_path, choice, known):
    trials = first_trials(choice)
    study = Study.open(tmp_path / "j", SPACE, SETTINGS)
    for name, one in trials.items():
        study.add_baseline(name, read_metric(one))
    study.journal.close()
    content = read_journal(tmp_path / "j")
    assert [trial.details[BASELINE_KEY] for trial in content.trials] == list(BASELINES)
    assert [trial.id for trial in content.trials] == [1, 2, 3]
    learned = optimizer_from_journal(content).observations
    assert [(o.value, dict(o.params)) for o in learned] == [
        (score_of(trials[name]), read_metric(trials[name]).parameters) for name in known
    ]


def test_adding_baselines_again_after_a_crash_adds_what_is_missing(tmp_path):
    trials = first_trials("search")
    for n in (0, 1, 2, 3, 3):
        study = Study.open(tmp_path / "j", SPACE, SETTINGS)
        for name, one in list(trials.items())[:n]:
            study.add_baseline(name, read_metric(one))
        study.journal.close()
        assert len(read_journal(tmp_path / "j").trials) == n


@pytest.mark.parametrize("choice", ["search", "etp+search"])
def test_a_baseline_without_a_policy_is_never_recommended_though_it_be_the_best(tmp_path, choice):
    trials = first_trials(choice, none=0.3, etp=0.2, trivialaugment=0.99)
    content, _ = run_search(
        TrialPlan(train=PLAN.train, data=DIGITS, policy=choice, device="cpu", threads=1),
        SPACE, SETTINGS, 5, journal=tmp_path / "j", baselines=trials,
    )  # fmt: skip
    assert len(content.trials) == 5
    assert best_trial(content).details[BASELINE_KEY] == "trivialaugment"
    recommendation = recommend(content)
    assert isinstance(recommendation.record, PolicyRecord)
    # a baseline that is recommended is used as it was trained: on top of crop + flip, or alone
    assert recommendation.record.searched["settings"]["policy"] == choice


def test_a_journal_of_baselines_without_a_policy_recommends_nothing(tmp_path):
    study = Study.open(tmp_path / "j", policy_space(["rotate"], probabilities=False), SETTINGS)
    study.add_baseline("trivialaugment", read_metric(metrics()["trivialaugment"]))
    study.journal.close()
    with pytest.raises(ExperimentError, match="no trial has come to a score yet besides the baselines"):
        recommend(read_journal(tmp_path / "j"))


@pytest.mark.parametrize("choice", ["search", "etp+search"])
def test_a_baseline_is_never_recommended_as_what_the_search_found(tmp_path, choice):
    """Doing nothing and crop + flip beat all that was tried; they are policies of the space, and the model knows it."""
    trials = first_trials(choice, none=0.9, etp=0.95, trivialaugment=0.2)
    study = Study.open(tmp_path / "j", SPACE, SETTINGS)
    for name, one in trials.items():
        study.add_baseline(name, read_metric(one))
    with pytest.raises(ExperimentError, match="besides the baselines"):
        recommend(study.journal.content)
    for score in (0.3, 0.5, 0.4):
        trial_id, parameters = study.ask()
        study.finish(read_metric(final_metric({**parameters, "tuun_id": trial_id}, score)))
    content = study.journal.content
    study.journal.close()
    assert optimizer_from_journal(content).recommend() in [trial.parameters for trial in content.trials[:2]]
    found = [recommendation.trial for recommendation in recommend_several(content, 9)]
    assert sorted(trial.id for trial in found) == [4, 5, 6]
    assert not any(BASELINE_KEY in trial.details for trial in found)


def test_a_search_goes_on_after_its_baselines_with_the_plan_it_had(tmp_path):
    trials = first_trials("etp+search")
    plan = TrialPlan(train=PLAN.train, data=DIGITS, policy="etp+search", device="cpu", threads=1)
    for n in (4, 5):
        content, _ = run_search(plan, SPACE, SETTINGS, n, journal=tmp_path / "j", baselines=trials)
        assert len(content.trials) == n
    assert [BASELINE_KEY in trial.details for trial in content.trials] == [True] * 3 + [False] * 2


def test_a_baseline_is_no_plan_of_a_search():
    with pytest.raises(ConfigError, match="policy of a search must be one of search, etp"):
        run_search(TrialPlan(policy="none"), SPACE, SETTINGS, 1)
    assert run_planned(TrialPlan(train=PLAN.train, data=DIGITS, policy="none", threads=1), 7, {})["default"] > 0
    with pytest.raises(ConfigError, match="baseline none must be a final metric"):
        run_search(PLAN, SPACE, SETTINGS, 1, baselines={"none": {"default": 0.5}})


def test_metrics_are_plain_json():
    assert json.loads(json.dumps(metrics())) == metrics()

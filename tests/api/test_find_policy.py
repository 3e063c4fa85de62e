"""One call in Python: what it finds, keeps and shows, and what it refuses."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import tuun_da
from tuun_da.api.find_policy import KEYWORDS, find_policy
from tuun_da.api.search_result import SearchResult
from tuun_da.augment.policy import Policy
from tuun_da.errors import ConfigError, DataError, ExperimentError, SearchSpaceError
from tuun_da.search.history import Journal, TrialState, read_journal
from tuun_da.space_file import policy_space, space_text

DIGITS = load_digits()
IMAGES = np.rint(DIGITS.images * (255 / 16)).astype(np.uint8)[:400]
LABELS = DIGITS.target[:400]
TINY = {
    "model": "child_cnn", "epochs": 1, "batch_size": 16, "learning_rate": 0.02, "train_per_class": 4,
    "validation_size": 60, "n_initial": 3, "device": "cpu", "threads": 1,
}  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Four trials on arrays, in a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("found"))
        yield find_policy((IMAGES, LABELS), 4, **TINY, progress=False)


def test_the_public_names_are_these():
    assert tuun_da.find_policy is find_policy
    assert tuun_da.SearchResult is SearchResult


def test_the_same_call_again_goes_on_and_another_one_does_not(capsys, here):
    first = find_policy((IMAGES, LABELS), 2, **TINY)
    assert "Searching: 2 of 2 trials, best score" in capsys.readouterr().out
    second = find_policy((IMAGES.copy(), LABELS.tolist()), 3, **TINY)
    assert f"Journal: {first.journal_path}, which goes on after 2 trials" in capsys.readouterr().out
    assert second.journal_path == first.journal_path
    assert second.trials[:2] == first.trials
    assert len(second.trials) == 3
    other = find_policy((IMAGES, LABELS), 1, **TINY, label_smoothing=0.1, progress=False)
    assert other.journal_path != first.journal_path
    assert {path.parent for path in (first.journal_path, other.journal_path)} == {here / "tuun_da_search"}


def test_the_baselines_come_first(found):
    names = [{row[f"operation{i}_1"] for i in range(1, 6)} for row in found.trials[:2]]
    assert names == [{"randomHorizontalFlip"}, {"randomCrop"}]
    assert {found.trials[0][f"prob{i}_{j}"] for i in range(1, 6) for j in (1, 2)} == {0.0}


def test_on_top_of_crop_and_flip_every_trial_says_so(here):
    result = find_policy((IMAGES, LABELS), 1, **TINY, on_top_of_etp=True, journal=None, progress=False)
    assert result.content.trials[0].details["settings"]["policy"] == "etp+search"
    assert result.content.settings["initial"] == ["none"]
    assert result.journal_path is None
    assert list(here.iterdir()) == []


def test_the_result_is_the_recommended_policy(found, here):
    images = torch.from_numpy(IMAGES)[:, None]
    assert isinstance(found.policy, Policy)
    assert found.policy(images).shape == images.shape
    assert found.policy.record == found.record
    assert found.record.searched["dataset"] == found.record.searched["settings"]["data"]["data"]
    rows = [row for row in found.trials if row["trial"] == found.record.searched["trial"]]
    assert {key: rows[0][key] for key in found.best_params} == found.best_params
    found.save(here / "policy.json")
    assert Policy.load(here / "policy.json").record == found.record
    assert found.best_score == max(row["score"] for row in found.trials)
    assert "4 trials, best score" in repr(found)
    assert "sub-policy" in str(found)


def test_the_trials_are_the_same_as_rows_as_a_table_and_as_csv(found, here):
    frame = found.to_frame()
    assert [list(row) for row in frame.values.tolist()] == [list(row.values()) for row in found.trials]
    found.to_csv(here / "trials.csv")
    with open(here / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["score"]) for row in rows] == [row["score"] for row in found.trials]
    assert list(rows[0]) == list(frame.columns) == list(found.trials[0])
    assert len(rows[0]) == 5 + 30


def test_any_journal_can_be_loaded_while_nothing_has_finished_too(found, here):
    again = SearchResult.load(found.journal_path)
    assert again.trials == found.trials
    with Journal.open(here / "empty.jsonl", space=policy_space(), settings={}, versions={}):
        empty = SearchResult.load(here / "empty.jsonl")
    assert (empty.trials, empty.best_score, len(empty.to_frame())) == ([], None, 0)
    assert "no score yet" in str(empty)
    with pytest.raises(ExperimentError, match="no trial has come to a score yet"):
        _ = empty.policy


def test_ctrl_c_returns_what_there_is(capsys):
    def on_trial(trial, content):
        if trial.id == 2:
            raise KeyboardInterrupt

    result = find_policy((IMAGES, LABELS), 5, **TINY, on_trial=on_trial)
    assert result.interrupted
    assert (
        "Interrupted after 2 of 5 trials, which are kept; the same call goes on from there." in capsys.readouterr().out
    )
    assert len(result.trials) == 2
    assert [trial.state for trial in read_journal(result.journal_path).trials] == [TrialState.SUCCEEDED] * 2
    assert "interrupted" in repr(result)


def test_confirm_trains_as_the_search_did_and_finds_the_arrays(found):
    confirmed = found.confirm(baselines=["none"], n_candidates=2, n_seeds=1, n_workers=1, device="cpu", progress=False)
    assert [row.label for row in confirmed.rows] == ["no augmentation", "best policy"]
    assert confirmed.n_test == 80


def test_a_space_without_flips_and_crops_has_its_own_baselines(here):
    (here / "space.json").write_text(space_text(policy_space(["rotate", "invert"], sub_policies=1)))
    result = find_policy((IMAGES, LABELS), 1, **TINY, space="space.json", progress=False)
    assert result.content.settings["initial"] == []
    assert set(result.best_params) == set(policy_space(sub_policies=1))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"epoch": 3}, ConfigError, "no keyword 'epoch'; did you mean 'epochs'"),
        ({"acquisiton": "ucb"}, ConfigError, "did you mean 'acquisition'"),
        ({"epochs": 0}, ConfigError, "epochs must be a whole number of at least 1"),
        ({"seed": -1}, ConfigError, "seed must be"),
        ({"surrogate": "svm"}, ConfigError, "surrogate must be one of"),
        ({"on_top_of_etp": "yes"}, ConfigError, "on_top_of_etp must be true or false"),
        ({"space": {"lr": {"_type": "uniform", "_value": [0, 1]}}}, SearchSpaceError, "holds no policy"),
        ({"space": "nowhere.json"}, ConfigError, "nowhere.json cannot be read"),
        ({"initial": ["everything"]}, ConfigError, "initial: 'everything' cannot be used"),
        ({"journal": 3}, ConfigError, "journal must be auto, the path of a file, or None; got 3"),
        ({"device": "gpu"}, ConfigError, "device must be"),
        ({"model": lambda: None}, ConfigError, "file of its own"),
        ({"train_per_class": 30}, DataError, "train_per_class must be at most"),
        ({"validation_size": 4000}, DataError, "validation_size must be at most"),
    ],
)
def test_a_wrong_keyword_is_refused_before_there_is_a_journal(change, error, message, here):
    with pytest.raises(error, match=message):
        find_policy((IMAGES, LABELS), 3, **TINY | change, progress=False)
    assert not list(here.rglob("*.jsonl"))


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ((IMAGES / 255, LABELS), DataError, "images must be uint8"),
        ((IMAGES, LABELS[1:]), DataError, "as many as the images, 400, got 399"),
        ((IMAGES, LABELS * 0), DataError, "at least two classes, got only 0"),
        ((IMAGES[:2], [0, 1]), DataError, "arrays"),
        ((IMAGES,), ConfigError, "a pair of arrays"),
        ("no/such/folder", ConfigError, "one of digits"),
    ],
)
def test_wrong_data_are_refused(data, error, message):
    with pytest.raises(error, match=message):
        find_policy(data, 3, **TINY, progress=False)


def test_the_keywords_are_the_names_of_all_settings():
    assert {"model", "image_size", "repeats", "surrogate", "probe", "per", "threads"} <= set(KEYWORDS)
    assert len(set(KEYWORDS)) == len(KEYWORDS)
    assert set(KEYWORDS).isdisjoint({"seed", "data", "space", "initial", "journal"})

"""DeepAugment's call as it was published: its keys and defaults, its protocol, its tables."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import tuun_da
from tuun_da.api.deep_augment import DeepAugment, DeepAugmentConfig
from tuun_da.augment.policy import Policy
from tuun_da.errors import ConfigError, DataError, ExperimentError
from tuun_da.operations import DEEPAUGMENT_TYPES
from tuun_da.policy_format import PolicyRecord
from tuun_da.training.datasets import load_splits
from tuun_da.training.fresh_validation import fresh_validation
from tuun_da.training.loop import train
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig

DIGITS = load_digits()
IMAGES = np.rint(DIGITS.images * (255 / 16)).astype(np.uint8)
LABELS = DIGITS.target
TINY = {
    "train_set_size": 60, "opt_samples": 2, "opt_last_n_epochs": 2, "opt_initial_points": 2, "child_epochs": 3,
    "child_batch_size": 16, "child_first_train_epochs": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Two trials, then two more, of which the last one is a suggestion of the forest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("deep"))
        search = DeepAugment(IMAGES, LABELS, TINY, device="cpu", threads=1, progress=False)
        first = search.optimize(2)
        yield search, first, search.optimize(4)


def test_the_public_name_is_this():
    assert tuun_da.DeepAugment is DeepAugment


def test_keys_and_defaults_are_the_published_ones():
    found = DeepAugmentConfig()
    assert (found.model, found.method, found.train_set_size, found.opt_samples) == (
        "child_cnn", "bayesian_optimization", 2000, 3,
    )  # fmt: skip
    assert (found.opt_last_n_epochs, found.opt_initial_points, found.child_epochs) == (3, 10, 50)
    assert (found.child_first_train_epochs, found.child_batch_size) == (0, 64)
    assert DeepAugmentConfig.from_mapping({"model": "wrn_40_2"}).child_learning_rate == TrainConfig.learning_rate
    assert DeepAugmentConfig(child_learning_rate=0.5).child_learning_rate == 0.5


def test_the_first_trial_is_no_augmentation_and_the_space_has_20_dimensions(searched):
    _, first, _ = searched
    parameters = first.content.trials[0].parameters
    assert len(first.content.space) == len(parameters) == 20
    assert set(first.content.space["operation1_1"]["_value"]) == set(DEEPAUGMENT_TYPES)
    images = torch.from_numpy(IMAGES[:50])[:, None]
    torch.testing.assert_close(Policy(parameters)(images), images, rtol=0, atol=0)
    assert first.content.settings["surrogate"] == "forest"
    assert first.content.settings["acquisition"] == "logei"


def test_a_trial_is_the_published_protocol(searched):
    """The mean of two trainings, each from the first weights, on 1,000 fresh images, by its two best epochs."""
    _, _, result = searched
    for trial in result.content.trials:
        settings = trial.details["settings"]
        config, data = TrainConfig.from_mapping(settings["train"]), DataConfig.from_mapping(settings["data"])
        whole = load_splits(data)
        assert (len(whole.train_labels), len(whole.test_labels)) == (60, 359)
        policy = Policy.from_record(PolicyRecord(Policy(trial.parameters).record.sub_policies, "image", 0.2))
        scores = []
        for repeat in range(2):
            splits = fresh_validation(whole, 1000, 2 * trial.id + repeat, data.split_seed)
            reports = []
            seeded = TrainConfig.from_mapping(config.to_dict() | {"seed": config.seed + repeat})
            train(seeded, splits, policy, torch.device("cpu"), reports.append)
            fitting = [r for r in reports if r.train_accuracy - r.validation_accuracy <= 0.05] or reports[-1:]
            scores.append(np.mean(sorted(r.validation_score for r in fitting)[-2:]))
        assert trial.value == pytest.approx(np.mean(scores), abs=1e-12)


def test_every_training_starts_from_the_weights_of_the_first_epochs(searched):
    _, _, result = searched
    settings = result.content.trials[0].details["settings"]
    config = TrainConfig.from_mapping(settings["train"])
    kept = torch.load(config.weights, weights_only=True)["model"]
    before = TrainConfig.from_mapping(settings["train"] | {"weights": None, "reward": "last", "epochs": 1})
    trained = {}

    def keep(network):
        trained.update({name: value.clone() for name, value in network.args[0].state_dict().items()})

    train(before, load_splits(DataConfig.from_mapping(settings["data"])), None, torch.device("cpu"), on_trained=keep)
    for name, value in kept.items():
        torch.testing.assert_close(value, trained[name], rtol=0, atol=0)


def test_optimize_goes_on_and_ranks_the_policies_by_their_scores(searched):
    search, first, result = searched
    assert search.result is result
    assert result.trials[:2] == first.trials
    assert (len(first), len(result)) == (2, 4)
    scores = [score for _, score in result]
    assert scores == sorted((row["score"] for row in result.trials), reverse=True)
    policy, score = result[0]
    assert isinstance(policy, Policy)
    assert (policy.record.per, policy.record.unchanged_share) == ("image", 0.2)
    assert policy.record.searched["score"] == score
    assert [value for _, value in result[1:3]] == scores[1:3]
    assert (result.record.per, result.record.unchanged_share) == ("image", 0.2)


def test_the_history_is_a_table_and_a_file_beside_the_journal(searched):
    search, _, result = searched
    assert search.history["score"].tolist() == [row["score"] for row in result.trials]
    with open(result.journal_path.with_suffix(".csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["trial"]) for row in rows] == [1, 2, 3, 4]
    assert [float(row["score"]) for row in rows] == search.history["score"].tolist()


def test_a_result_that_was_interrupted_goes_on_in_another_object(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = TINY | {"child_first_train_epochs": 0, "opt_samples": 1, "child_epochs": 1, "method": "random_search"}

    def on_trial(trial, content):
        raise KeyboardInterrupt

    few = slice(0, 300)
    first = DeepAugment(IMAGES[few], LABELS[few], config, device="cpu").optimize(2, on_trial=on_trial)
    assert first.interrupted
    assert "validates on the same 180 images, all that there are" in capsys.readouterr().out
    again = DeepAugment(IMAGES[few], LABELS[few], config, device="cpu").optimize(2)
    assert again.trials[:1] == first.trials
    assert len(again.trials) == 2
    assert again.content.settings["surrogate"] == "random"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"child_epoch": 3}, "no config key 'child_epoch'; did you mean 'child_epochs'"),
        ({"opt_sample": 3}, "did you mean 'opt_samples'"),
        ({"zzz": 3}, r"no config key 'zzz'\. There are model, method"),
        ({"method": "random"}, "method must be one of bayesian_optimization, random_search; got 'random'"),
        ({"opt_samples": 0}, "opt_samples must be a whole number of at least 1, got 0"),
        ({"child_first_train_epochs": -1}, "child_first_train_epochs must be"),
        ({"child_learning_rate": 0}, "child_learning_rate must be a number in"),
        ({"model": torch.nn.Linear(1, 1)}, "model must be a name, or a function or class"),
        (["model"], "config must be a mapping of keys to values, got list"),
    ],
)
def test_a_wrong_config_is_refused_at_once(config, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        DeepAugment(IMAGES, LABELS, config, journal=tmp_path / "j.jsonl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES, LABELS, "train_set_size must be less than 1438, .* 1797 images 359 are kept for the test .* got 2000"),
        (IMAGES / 255.0, LABELS, "images must be uint8"),
        (IMAGES, LABELS[:-1], "labels must be as many as the images"),
        (IMAGES, LABELS * 0, "at least two classes"),
    ],
)
def test_wrong_images_are_refused_at_once(images, labels, message, tmp_path):
    with pytest.raises(DataError, match=message):
        DeepAugment(images, labels, journal=tmp_path / "j.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_there_is_no_history_before_there_is_a_trial(tmp_path):
    search = DeepAugment(IMAGES, LABELS, TINY, journal=tmp_path / "j.jsonl")
    with pytest.raises(ExperimentError, match="before optimize has run"):
        _ = search.history

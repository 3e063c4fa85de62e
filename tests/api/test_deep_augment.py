"""DeepAugment's call as it was published: its keys and defaults, its protocol, its tables."""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import tuun_da
from tuun_da.api.deep_augment import DeepAugment, DeepAugmentConfig
from tuun_da.api.search_result import BestPolicies
from tuun_da.augment.policy import Policy
from tuun_da.engines.replay import optimizer_from_journal
from tuun_da.errors import ConfigError, DataError, ExperimentError
from tuun_da.operations import DEEPAUGMENT_TYPES, Operation, SubPolicy
from tuun_da.policy_format import PolicyRecord
from tuun_da.training.checkpoint import Checkpoint
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
        (
            {"notebook_path": "x.csv"},
            "'notebook_path' of the published package has no meaning here: the history is kept",
        ),
        ({"logging": None}, "'logging' of the published package has no meaning here"),
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
        (IMAGES, None, "labels must be an array of numbers, got NoneType"),
        (
            IMAGES,
            [f"class {label}" for label in LABELS],
            r"got texts such as .*; np.unique\(labels, ret",
        ),
        (np.repeat(IMAGES[:, None], 3, axis=1), LABELS, "channels last"),
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


QUICK = TINY | {"child_first_train_epochs": 0, "opt_samples": 1, "child_epochs": 1, "method": "random_search"}


@pytest.mark.parametrize("name", ["digits", "folder", "npz with all splits"])
def test_images_may_be_a_name_or_a_path_and_keep_their_own_splits(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = name
    if name == "folder":
        images = tmp_path / "images"
        for number, (pixels, label) in enumerate(zip(IMAGES[:200], LABELS[:200], strict=True)):
            (images / str(label)).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(images / str(label) / f"{number}.png")
    elif name != "digits":
        images = "own.npz"
        np.savez(
            images, x_train=IMAGES[:400], y_train=LABELS[:400], x_val=IMAGES[400:700], y_val=LABELS[400:700],
            x_test=IMAGES[700:850], y_test=LABELS[700:850],
        )  # fmt: skip
    result = DeepAugment(images, config=QUICK, device="cpu", threads=1, progress=False).optimize(1)
    data = DataConfig.from_mapping(result.content.trials[0].details["settings"]["data"])
    splits = load_splits(data)
    sizes = [len(labels) for labels in (splits.train_labels, splits.validation_labels, splits.test_labels)]
    assert sizes == {"digits": [60, 1378, 359], "folder": [60, 100, 40]}.get(name, [60, 300, 150])
    assert result.best_score is not None


def test_a_name_has_labels_of_its_own(tmp_path):
    with pytest.raises(ConfigError, match="labels are for images in arrays; the images are 'digits'"):
        DeepAugment("digits", LABELS, QUICK, journal=tmp_path / "j.jsonl")
    with pytest.raises(ConfigError, match="one of digits, cifar10"):
        DeepAugment("fashion_mnist", config=QUICK, journal=tmp_path / "j.jsonl")


def test_the_table_does_not_replace_a_journal_that_is_called_csv(tmp_path):
    few = slice(0, 300)
    search = DeepAugment(IMAGES[few], LABELS[few], QUICK, journal=tmp_path / "n.csv", device="cpu", progress=False)
    result = search.optimize(1)
    assert len(BestPolicies.load(tmp_path / "n.csv")) == 1
    assert (tmp_path / "n.trials.csv").read_text() == result.trials.to_text()


def test_the_first_epochs_train_once_and_an_interrupt_in_them_returns_what_there_is(tmp_path, monkeypatch, capsys):
    few = slice(0, 300)
    config = QUICK | {"child_first_train_epochs": 3}
    epochs = []
    saved = Checkpoint.save

    def save(self, reports):
        saved(self, reports)
        epochs.append(len(reports))
        if epochs == [1]:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", save)

    def optimize(n):
        return DeepAugment(IMAGES[few], LABELS[few], config, journal=tmp_path / "j", device="cpu").optimize(n)

    first = optimize(2)
    assert (first.interrupted, len(first), first.trials) == (True, 0, [])
    assert "Interrupted in the first epochs" in capsys.readouterr().out
    assert "no score yet" in first._repr_html_()
    assert len(optimize(1)) == 1
    assert epochs == [1, 2, 3]  # it went on
    assert len(optimize(2)) == 2
    assert epochs == [1, 2, 3]  # and trained no more


def test_each_image_takes_one_of_five_sub_policies_or_none(searched):
    """16 % each and 20 %, counted on images that each sub-policy changes to a value of its own."""
    _, _, result = searched
    record = result.record
    values = (40.0, 80.0, 120.0, 160.0, 200.0)
    sub_policies = tuple(SubPolicy((Operation("solarize", 1.0, 1 - value / 256),)) for value in values)
    policy = Policy.from_record(dataclasses.replace(record, sub_policies=sub_policies))
    ramp = torch.arange(0, 250, dtype=torch.uint8)[:, None].expand(250, 250)
    n = 4000
    images = policy(ramp.expand(n, 1, 250, 250)[..., :8], generator=torch.Generator().manual_seed(0))
    inverted = (images[:, 0, :, 0] != torch.arange(250)).sum(1)  # the larger the threshold, the fewer
    shares = {count: int((inverted == count).sum()) / n for count in inverted.unique().tolist()}
    assert len(shares) == 6
    assert shares.pop(0) == pytest.approx(0.2, abs=0.03)
    assert list(shares.values()) == pytest.approx([0.16] * 5, abs=0.03)


def test_the_trial_without_augmentation_is_told_to_the_optimizer(searched):
    _, first, result = searched
    optimizer = optimizer_from_journal(result.content)
    told = [dict(seen.params) for seen in optimizer.observations]
    assert told[0] == dict(first.content.trials[0].parameters)
    assert len(told) == len(result)

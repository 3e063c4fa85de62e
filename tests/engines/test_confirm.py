"""The found policy against the baselines: the statistics, the settings, and real trainings that repeat."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from tuun_da.augment.named import build_transform
from tuun_da.engines.confirm import (
    FIRST_SEED,
    Comparison,
    Confirmation,
    Row,
    check_request,
    compare,
    confirm,
    default_workers,
    settings_of,
)
from tuun_da.errors import ConfigError
from tuun_da.operations import Operation, SubPolicy
from tuun_da.policy_format import PolicyRecord
from tuun_da.training.datasets import load_splits
from tuun_da.training.loop import train
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig

accuracies = st.floats(0, 1)


@given(st.lists(st.tuples(accuracies, accuracies), min_size=2, max_size=12))
def test_difference_and_interval_are_those_of_the_paired_t_test(pairs):
    first, second = np.array(pairs).T
    assume(np.std(first - second) > 1e-6)
    made = compare(first.tolist(), second.tolist())
    expected = stats.ttest_rel(first, second)
    low, high = expected.confidence_interval(0.95)
    assert made.difference == pytest.approx(np.mean(first) - np.mean(second), abs=1e-9)
    assert (made.low, made.high) == pytest.approx((low, high), abs=1e-9)
    assume(abs(expected.pvalue - 0.05) > 1e-6)
    significant = "better" if made.difference > 0 else "worse"
    assert made.verdict == (significant if expected.pvalue < 0.05 else "not distinguishable")


def test_one_pair_alone_tells_nothing():
    made = compare([0.9], [0.1])
    assert (made.difference, made.low, made.high) == (0.8, -math.inf, math.inf)
    assert made.verdict == "not distinguishable"


def test_equal_accuracies_are_not_distinguishable():
    assert compare([0.5, 0.75], [0.5, 0.75]).verdict == "not distinguishable"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.02, "better"), (-0.02, -0.01, "worse"), (-0.01, 0.02, "not distinguishable"),
     (0.0, 0.01, "not distinguishable"), (-0.01, 0.0, "not distinguishable")],
)  # fmt: skip
def test_verdicts(low, high, verdict):
    assert Comparison("x", 0.0, low, high).verdict == verdict


def test_the_table_says_what_the_numbers_are():
    rows = (Row("no augmentation", (0.5, 0.6)), Row("best policy", (0.7, 0.81)))
    made = Confirmation(rows, (1, 2), 898)
    text = made.to_text()
    for expected in ("898 test images, 2 trainings each", "55.00 %  +- 7.07", "75.50 %  +- 7.78", "+20.50", "better"):
        assert expected in text
    as_json = made.to_dict()
    assert as_json["rows"][1] == {
        "label": "best policy", "mean": 0.755, "deviation": pytest.approx(np.std([0.7, 0.81], ddof=1)),
        "accuracies": [0.7, 0.81],
    }  # fmt: skip
    [comparison] = as_json["comparisons"]
    assert comparison["against"] == "no augmentation"
    assert comparison["difference"] == pytest.approx(0.205)


TRAIN = TrainConfig(model="child_cnn", epochs=1, batch_size=32, learning_rate=0.02)
DATA = DataConfig(data="digits", train_per_class=10, validation_size=100)


def record(choice="search", **changes):
    settings = {"train": TRAIN.to_dict(), "data": DATA.to_dict(), "policy": choice} | changes
    operations = (Operation("rotate", 1.0, 1.0), Operation("invert", 0.5, 0.5))
    return PolicyRecord((SubPolicy(operations),), searched={"settings": settings})


def test_settings_are_those_of_the_trials_with_what_is_overridden():
    assert settings_of(record(), {}) == (TRAIN, DATA, "search")
    assert settings_of(record("etp+search"), {})[2] == "etp+search"
    train_config, data_config, _ = settings_of(record(), {"epochs": 7, "image_size": 16})
    assert (train_config.epochs, data_config.image_size) == (7, 16)
    assert train_config.to_dict() | {"epochs": 1} == TRAIN.to_dict()


def test_a_policy_file_is_data_so_the_code_that_it_names_does_not_run():
    settings = {"train": TRAIN.to_dict() | {"model": "os:system"}, "data": DATA.to_dict(), "policy": "search"}
    hostile = PolicyRecord(record().sub_policies, searched={"settings": settings})
    with pytest.raises(ConfigError, match="--model os:system"):
        settings_of(hostile, {})
    assert settings_of(hostile, {"model": "child_cnn"})[0].model == "child_cnn"
    assert settings_of(hostile, {"model": "os:system"})[0].model == "os:system"  # a person named it


@pytest.mark.parametrize("searched", [{}, {"settings": None}, {"settings": "x"}, {"settings": {"train": {}}},
                                      {"settings": {"train": [], "data": {}, "policy": "search"}},
                                      {"settings": {"train": {}, "data": "digits", "policy": "search"}}])  # fmt: skip
def test_a_file_that_does_not_say_how_its_trials_trained_is_refused(searched):
    made = PolicyRecord(record().sub_policies, searched=searched)
    with pytest.raises(ConfigError, match="does not say how its trials trained"):
        settings_of(made, {})


@pytest.mark.parametrize(
    ("made", "overrides", "expected"),
    [
        (record(), {"epoch": 3}, "no setting 'epoch'"),
        (record(), {"epochs": 0}, "epochs must be"),
        (record(train={"epoch": 3}), {}, "unknown TrainConfig setting 'epoch'"),
        (record(data={"data": "mnist"}), {}, "got 'mnist'"),
    ],
)
def test_settings_that_cannot_be_are_named(made, overrides, expected):
    with pytest.raises(ConfigError) as caught:
        settings_of(made, overrides)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ((["none"], 0, None), "n_seeds"),
        ((["none"], True, None), "n_seeds"),
        ((["none"], 2, 0), "workers"),
        (
            (["none", "nine"], 2, None),
            "baseline must be one of none, etp, etp+cutout, autoaugment-cifar10, autoaugment-svhn, "
            "autoaugment-imagenet, randaugment, trivialaugment, trivialaugment-narrow; got 'nine'",
        ),
    ],
)
def test_a_request_that_cannot_be_is_refused(request_, expected):
    with pytest.raises(ConfigError) as caught:
        check_request(*request_)
    assert expected in str(caught.value)
    baselines, n_seeds, workers = request_
    with pytest.raises(ConfigError):
        confirm(record(), baselines=baselines, n_seeds=n_seeds, workers=workers)


def test_without_a_gpu_there_is_a_worker_for_each_core():
    assert default_workers("cpu") == os.cpu_count()


def test_trainings_repeat_use_fresh_seeds_and_read_the_test_images():
    """The numbers are those that the training loop gives here, with seeds that no trial has."""
    told = []
    made = confirm(
        record("etp+search"), baselines=["none"], n_seeds=2, workers=2, device="cpu",
        on_progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert made.seeds == (FIRST_SEED, FIRST_SEED + 1)
    assert told == [(done, 4) for done in range(5)]
    assert [row.label for row in made.rows] == ["no augmentation", "crop + flip, then best policy"]
    splits = load_splits(DATA)
    assert made.n_test == len(splits.test_labels)
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, os.cpu_count() // 2))
    try:
        for row, choice in zip(made.rows, ("none", "etp+search"), strict=True):
            expected = tuple(
                train(
                    TrainConfig.from_mapping(TRAIN.to_dict() | {"seed": seed}), splits,
                    build_transform(choice, record()), torch.device("cpu"), evaluate_test=True,
                ).test_score
                for seed in made.seeds
            )  # fmt: skip
            assert row.accuracies == expected
    finally:
        torch.set_num_threads(threads)


def test_an_error_in_a_worker_comes_out_as_it_is(tmp_path):
    with pytest.raises(Exception, match="nowhere") as caught:
        confirm(record(data={"data": f"folder:{tmp_path}/nowhere"}), baselines=[], n_seeds=1, workers=1, device="cpu")
    assert type(caught.value).__name__ == "DataError"

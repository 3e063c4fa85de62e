"""The found policy against the baselines: what is trained, what decides, when test images are read, what is kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from in_process import InProcess, MadeUp

from tuun_da.augment.named import build_transform
from tuun_da.engines import retraining
from tuun_da.engines.confirm import (
    CHOICE_SPLIT,
    CHOOSING,
    FIRST_CHOICE_SEED,
    FIRST_SEED,
    TRAINING,
    check_request,
    confirm,
    confirm_experiment,
)
from tuun_da.engines.kept_trainings import NETWORKS_NAME, TRAININGS_NAME
from tuun_da.engines.readings import READINGS_NAME
from tuun_da.engines.retraining import default_workers, look_at
from tuun_da.engines.searched_settings import settings_of
from tuun_da.errors import ConfigError, ExperimentError, JournalError
from tuun_da.operations import Operation, SubPolicy
from tuun_da.policy_format import PolicyRecord
from tuun_da.search.history import Journal, Trial, TrialState
from tuun_da.training.datasets import load_splits
from tuun_da.training.loop import train
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig

TRAIN = TrainConfig(model="child_cnn", epochs=1, batch_size=32, learning_rate=0.02)
DATA = DataConfig(data="digits", train_per_class=10, validation_size=100)
UNIT = {"_type": "uniform", "_value": [0, 1]}
SPACE = {"operation1_1": {"_type": "choice", "_value": ["rotate", "invert"]}, "prob1_1": UNIT, "magnitude1_1": UNIT}
N_TEST = 898  # of the digits
NAMES = ["no augmentation", "crop + flip", "TrivialAugment", "crop + flip, then best policy", "best policy"]


def record(choice="search", **changes):
    settings = {"train": TRAIN.to_dict(), "data": DATA.to_dict(), "policy": choice} | changes
    operations = (Operation("rotate", 1.0, 1.0), Operation("invert", 0.5, 0.5))
    return PolicyRecord((SubPolicy(operations),), searched={"settings": settings})


def journal_of(scores, choice="search"):
    """Trials of rotate by their scores; the model has them in this order, since the hill is smooth."""
    settings = {"optimize_mode": "maximize", "surrogate": "gp", "acquisition": "logei", "n_initial": 4, "seed": 0}
    journal = Journal.open(None, space=SPACE, settings=settings, versions={})
    said = {"settings": {"train": TRAIN.to_dict(), "data": DATA.to_dict(), "policy": choice}}
    for number, (magnitude, score) in enumerate(scores.items(), 1):
        parameters = {"operation1_1": "rotate", "prob1_1": 1.0, "magnitude1_1": magnitude}
        journal.record_finished(
            Trial(id=number, parameters=parameters, state=TrialState.SUCCEEDED, value=score, details=said)
        )
    return journal.content


HILL = {m / 20: 1 - (m / 20 - 0.6) ** 2 for m in range(1, 20)}


def magnitude_of(training):
    return training.record.sub_policies[0].operations[0].magnitude


def all_right(training):
    return [3] * N_TEST, [3] * N_TEST


def kept(folder):
    return [json.loads(line) for line in (folder / TRAININGS_NAME).read_text().splitlines()]


# ---- settings and requests ----


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
        ((["none", "none"], 2, None), "different ones"),
        (
            (["none", "nine"], 2, None),
            "baseline must be one of none, etp, etp+cutout, autoaugment-cifar10, autoaugment-svhn, "
            "autoaugment-imagenet, randaugment, trivialaugment, trivialaugment-narrow, etp+policy; got 'nine'",
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


def test_without_a_gpu_there_is_a_worker_for_each_core_that_this_process_may_use(monkeypatch):
    """On a machine that others use too, a batch system gives a job some of the cores."""
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {3, 5, 7, 9}, raising=False)
    assert default_workers("cpu") == 4
    with retraining.Workers(2) as workers:
        assert workers.threads == 2


# ---- the choice on fresh validation ----


def test_the_best_on_fresh_validation_is_chosen_in_pairs(monkeypatch, tmp_path):
    """The search likes 0.6 best; with fresh images it is the other way round, whatever a seed adds."""
    runs = MadeUp(
        monkeypatch, lambda t: 0.5 + (magnitude_of(t) if t.record else 0) / 4 + t.train.seed % 10 / 50, all_right
    )
    made = confirm_experiment(journal_of(HILL), tmp_path, n_seeds=5, baselines=["none"], device="cpu")
    chosen = [t for t in runs.trained if t.train.seed >= FIRST_CHOICE_SEED]
    magnitudes = {magnitude_of(t) for t in chosen}
    assert magnitudes == {0.55, 0.6, 0.65}
    for magnitude in magnitudes:
        pairs = {(t.train.seed, t.data.split_seed) for t in chosen if magnitude_of(t) == magnitude}
        assert pairs == {(FIRST_CHOICE_SEED + k, CHOICE_SPLIT + k) for k in range(3)}
    assert made.record.sub_policies[0].operations[0].magnitude == 0.65
    assert [tried.is_chosen for tried in made.choice.tried] == [
        tried.label == "trial 13" for tried in made.choice.tried
    ]
    assert made.choice.is_fresh
    assert "that of trial 13 was best in 3 trainings each" in made.to_text()
    assert {magnitude_of(t) for t in runs.tested if t.record} == {0.65}
    assert all(t.data == DATA and t.train.seed in range(FIRST_SEED, FIRST_SEED + 5) for t in runs.tested)


def test_the_same_policy_in_other_words_is_no_second_candidate(monkeypatch, tmp_path):
    runs = MadeUp(monkeypatch, lambda t: 0.5, all_right)
    content = journal_of({0.5: 0.9})
    made = confirm_experiment(content, tmp_path, n_seeds=1, baselines=["none"], device="cpu")
    assert made.choice is None
    assert len(runs.trained) == 2


def test_other_split_seeds_give_other_validation_images_unless_the_data_set_brings_its_own(tmp_path):
    from dataclasses import replace

    assert look_at(DATA, replace(DATA, split_seed=CHOICE_SPLIT)).fresh_is_other
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", 40), ("val", 12), ("test", 12)):
        arrays[f"{part}_images"] = rng.integers(0, 256, (n, 8, 8), dtype=np.uint8)
        arrays[f"{part}_labels"] = np.arange(n) % 2
    np.savez(tmp_path / "own.npz", **arrays)
    own = DataConfig(data=f"npz:{tmp_path / 'own.npz'}")
    facts = look_at(own, replace(own, split_seed=CHOICE_SPLIT))
    assert facts.fresh_is_other is False
    assert (facts.n_validation, facts.n_test) == (12, 12)


def test_there_must_be_a_policy_to_confirm(tmp_path):
    journal = Journal.open(None, space={"x": UNIT}, settings={"surrogate": "random"}, versions={})
    journal.record_finished(Trial(id=1, parameters={"x": 0.5}, state=TrialState.SUCCEEDED, value=1.0))
    with pytest.raises(ExperimentError, match="holds no policy"):
        confirm_experiment(journal.content, tmp_path)
    with pytest.raises(ConfigError, match="candidates must be a whole number from 1 on, got 0"):
        confirm_experiment(journal.content, tmp_path, n_candidates=0)


# ---- rows and verdict ----


@pytest.mark.parametrize(("choice", "names"), [("search", NAMES), ("etp+search", [*NAMES[:3], NAMES[3]])])
def test_the_policy_on_top_of_crop_and_flip_is_a_row_once(monkeypatch, choice, names):
    runs = MadeUp(monkeypatch, lambda t: 0.5, all_right)
    made = confirm(record(choice), n_seeds=2, device="cpu")
    assert [row.label for row in made.rows] == names
    assert [row.kind for row in made.rows][:3] == ["baseline"] * 3
    assert made.rows[-1].kind == "policy"
    last = runs.tested[-1]
    assert (last.choice, last.record) == (choice, record(choice))
    for seed in made.seeds:  # everything but the augmentation is the same for all
        settings = {json.dumps([t.train.to_dict(), t.data.to_dict()]) for t in runs.tested if t.train.seed == seed}
        assert len(settings) == 1


def test_the_baseline_to_beat_is_the_best_on_validation_and_not_on_test(monkeypatch):
    """Crop + flip wins on validation; on the test images TrivialAugment is perfect, which must not count."""
    scores = {"none": 0.3, "etp": 0.8, "trivialaugment": 0.7, "etp+search": 0.99, "search": 0.6}
    right = {"none": 500, "etp": 600, "trivialaugment": N_TEST, "etp+search": 700, "search": 800}

    def predict(training):
        n = right[training.choice] + training.train.seed % 3
        return [int(i < n) for i in range(N_TEST)], [1] * N_TEST

    MadeUp(monkeypatch, lambda t: scores[t.choice], predict)
    made = confirm(record(), n_seeds=5, device="cpu")
    assert made.best_baseline == "crop + flip"
    assert made.verdict == "better"
    by_label = {row.label: made.verdict_of(d) for row, d in zip(made.rows, made.differences, strict=False)}
    assert by_label["TrivialAugment"] == "worse"
    assert made.sentence().startswith("Better: the policy has ")
    assert "against crop + flip, the baseline that was best on validation images" in made.sentence()
    assert made.rows[-1].accuracies == tuple((800 + seed % 3) / N_TEST for seed in made.seeds)
    few = confirm(record(), n_seeds=4, device="cpu")
    assert few.differences[1].low > 0
    assert few.verdict == "undecided"
    assert "With fewer than 5 seeds, here 4, nothing is decided" in few.sentence()
    assert {entry["verdict"] for entry in few.to_dict()["comparisons"]} == {"undecided"}


# ---- the test split ----


class Watched:
    """Splits that note when their test images are asked for."""

    def __init__(self, splits, events):
        self._splits, self._events = splits, events

    def __getattr__(self, name):
        if name == "test_images":
            self._events.append("test images")
        return getattr(self._splits, name)


def test_test_images_are_read_after_all_trainings_when_the_reading_is_on_record(monkeypatch, tmp_path):
    events = []
    monkeypatch.setattr("tuun_da.engines.confirm.Workers", InProcess)
    monkeypatch.setattr(retraining, "splits_of", lambda data: Watched(load_splits(data), events))
    on_record = []

    def told(stage, done, total):
        events.append((stage, done, total))
        on_record.append((tmp_path / READINGS_NAME).exists())

    confirm_experiment(
        journal_of({0.2: 0.5, 0.7: 0.6}), tmp_path, n_seeds=2, baselines=["none"], device="cpu", on_progress=told
    )
    first = events.index("test images")
    assert events.index((CHOOSING, 4, 4)) < events.index((TRAINING, 0, 4)) < events.index((TRAINING, 4, 4)) < first
    assert events.count("test images") == 4  # once for each network
    assert on_record[:first] == [False] * (first - 1) + [True]  # what was told before the first image was read
    [_, reading] = (tmp_path / READINGS_NAME).read_text().splitlines()
    said = json.loads(reading)
    assert said["baseline_to_beat"] == "no augmentation"
    assert said["split"] == {"data": "digits", "test_size": None}
    assert said["versions"].keys() == {"tuun_da", "torch"}
    assert len(said["policy"]) == 32
    assert abs(said["time"] - time.time()) < 600


def test_a_second_reading_is_counted_and_warns(monkeypatch, tmp_path, caplog):
    MadeUp(monkeypatch, lambda t: 0.5, all_right)
    options = {"folder": tmp_path, "n_seeds": 2, "baselines": ["none"], "device": "cpu"}
    first = confirm(record(), **options)
    assert (first.readings.count, caplog.records) == (1, [])
    again = confirm(record(), **options)  # nothing is left to do, so nothing is read
    assert again == first
    assert caplog.records == []
    second = confirm(record(), **options, fresh=True)
    assert second.readings.count == 2
    assert second.readings.first == first.readings.first
    [warning] = caplog.messages
    assert "were read before, first on" in warning
    assert "makes the test result flatter" in warning
    assert "Reading 2 of these test images" in second.to_text()
    other = confirm(record(), **(options | {"n_seeds": 3}))
    assert other.readings.count == 3
    elsewhere = record(data=DATA.to_dict() | {"test_size": 0.3})
    assert confirm(elsewhere, **options).readings.count == 1  # other test images


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("notes of mine\n", "is another kind of file"),
        ('{"format": "tuun_da test readings", "version": 1}\n{"reading": "a"', "last line is cut off"),
        ('{"format": "tuun_da test readings", "version": 1}\nx\n', "line 2 is no JSON object"),
        ('{"format": "tuun_da test readings", "version": 1}\n{"reading": "a"}\n', "line 2 must say its split"),
        ('{"format": "tuun_da test readings", "version": 9}\n', "has version 9"),
    ],
)
def test_a_damaged_or_foreign_record_of_readings_is_an_error_before_anything_is_trained(
    monkeypatch, tmp_path, text, message
):
    runs = MadeUp(monkeypatch, lambda t: 0.5, all_right)
    (tmp_path / READINGS_NAME).write_text(text)
    with pytest.raises(JournalError, match=f"{READINGS_NAME}.*{message}"):
        confirm(record(), folder=tmp_path, n_seeds=1, device="cpu")
    assert (tmp_path / READINGS_NAME).read_text() == text
    assert runs.trained == []


# ---- what is finished is kept ----


@pytest.mark.parametrize("after", [0, 2, 5, 9])
def test_an_interrupted_confirmation_does_nothing_twice(monkeypatch, tmp_path, after):
    """Interrupted before the first training, in the choice, in the trainings, and while test images are read."""
    content = journal_of({0.2: 0.5, 0.7: 0.6})
    options = {"n_seeds": 2, "baselines": ["none"], "device": "cpu"}
    jobs = []

    def stop(training):
        if len(jobs) == after:
            raise KeyboardInterrupt
        jobs.append(training)

    def score(training):
        stop(training)
        return (magnitude_of(training) if training.record else 0.4) + training.train.seed % 7 / 100

    def predict(training):
        stop(training)
        return [int(i % 5 > training.train.seed % 2) for i in range(N_TEST)], [1] * N_TEST

    MadeUp(monkeypatch, score, predict)
    with pytest.raises(KeyboardInterrupt):
        confirm_experiment(content, tmp_path, **options)
    assert len(kept(tmp_path)) == 1 + after
    done = list(jobs)
    after = None
    resumed = confirm_experiment(content, tmp_path, **options)
    assert len(jobs) == 4 + 4 + 4
    assert jobs[: len(done)] == done
    assert resumed.readings.count == 1
    assert not (tmp_path / NETWORKS_NAME).exists()
    (tmp_path / "whole").mkdir()
    whole = confirm_experiment(content, tmp_path / "whole", **options)
    assert (whole.rows, whole.differences, whole.choice) == (resumed.rows, resumed.differences, resumed.choice)


def test_what_decides_a_training_is_in_its_key(monkeypatch, tmp_path):
    """Another length, image size or policy trains anew; more seeds only these; another folder of data nothing."""
    runs = MadeUp(monkeypatch, lambda t: 0.5, all_right)
    options = {"folder": tmp_path, "baselines": ["none"], "device": "cpu"}
    counts = []
    for changes in (
        {"n_seeds": 1},
        {"n_seeds": 2},
        {"n_seeds": 2, "overrides": {"data_dir": str(tmp_path)}},
        {"n_seeds": 2, "overrides": {"epochs": 2}},
        {"n_seeds": 2, "overrides": {"image_size": 16}},
    ):
        before = len(runs.trained)
        confirm(record(), **options, **changes)
        counts.append(len(runs.trained) - before)
    assert counts == [2, 2, 0, 4, 4]
    before = len(runs.trained)
    other = PolicyRecord((SubPolicy((Operation("rotate", 1.0, 0.5),)),), searched=record().searched)
    confirm(other, n_seeds=2, **options)
    assert len(runs.trained) - before == 2  # the baseline is known


def test_a_network_that_is_gone_is_trained_again(monkeypatch, tmp_path):
    fail = [True]

    def predict(training):
        if fail[0]:
            raise KeyboardInterrupt
        return all_right(training)

    runs = MadeUp(monkeypatch, lambda t: 0.5, predict)
    options = {"folder": tmp_path, "n_seeds": 1, "baselines": ["none"], "device": "cpu"}
    with pytest.raises(KeyboardInterrupt):
        confirm(record(), **options)
    networks = sorted((tmp_path / NETWORKS_NAME).iterdir())
    assert len(networks) == 2
    networks[0].unlink()
    fail[0] = False
    confirm(record(), **options)
    assert len(runs.trained) == 3


def test_a_foreign_record_of_trainings_is_not_overwritten(monkeypatch, tmp_path):
    MadeUp(monkeypatch, lambda t: 0.5, all_right)
    (tmp_path / TRAININGS_NAME).write_text("mine\n")
    for fresh in (False, True):
        with pytest.raises(JournalError, match="another kind of file"):
            confirm(record(), folder=tmp_path, n_seeds=1, device="cpu", fresh=fresh)
    assert (tmp_path / TRAININGS_NAME).read_text() == "mine\n"


# ---- real trainings ----


def test_trainings_in_workers_are_those_of_the_training_loop(tmp_path):
    """The numbers are those that the loop gives here, with seeds that no trial has."""
    told = []
    made = confirm(
        record("etp+search"), folder=tmp_path, baselines=["none"], n_seeds=2, workers=2, device="cpu",
        on_progress=lambda *progress: told.append(progress),
    )  # fmt: skip
    assert made.seeds == (FIRST_SEED, FIRST_SEED + 1)
    assert told[:5] == [(TRAINING, done, 4) for done in range(5)]
    assert [row.label for row in made.rows] == ["no augmentation", "crop + flip, then best policy"]
    splits = load_splits(DATA)
    assert (made.n_test, made.n_validation) == (len(splits.test_labels), 100)
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, os.cpu_count() // 2))
    try:
        for row, choice in zip(made.rows, ("none", "etp+search"), strict=True):
            expected = [
                train(
                    TrainConfig.from_mapping(TRAIN.to_dict() | {"seed": seed}), splits,
                    build_transform(choice, record()), torch.device("cpu"), evaluate_test=True,
                )
                for seed in made.seeds
            ]  # fmt: skip
            assert row.accuracies == tuple(result.test_score for result in expected)
            assert row.validation == tuple(result.curve[-1] for result in expected)
    finally:
        torch.set_num_threads(threads)
    assert sorted(path.name for path in tmp_path.iterdir()) == [TRAININGS_NAME, READINGS_NAME]


def test_an_error_in_a_worker_comes_out_as_it_is(tmp_path):
    with pytest.raises(Exception, match="nowhere") as caught:
        confirm(record(data={"data": f"folder:{tmp_path}/nowhere"}), baselines=[], n_seeds=1, workers=1, device="cpu")
    assert type(caught.value).__name__ == "DataError"


@pytest.mark.e2e
def test_a_killed_confirmation_goes_on_and_its_workers_end(tmp_path):
    record().save(tmp_path / "p.json")
    program = Path(sys.executable).parent / "tuun-da"
    command = [program, "confirm", "p.json", "--seeds", "3", "--baselines", "none", "--workers", "1"]
    command += ["--device", "cpu", "--epochs", "6"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / TRAININGS_NAME).exists() or len(kept(tmp_path)) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while True:  # the workers notice
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    before = kept(tmp_path)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    after = kept(tmp_path)
    assert after[: len(before)] == before
    keys = [line["key"] for line in after[1:] if "validation" in line]
    assert len(keys) == len(set(keys)) == 6
    assert f"{len(before) - 1} of 6 trainings" in done.stdout
    assert "Undecided" in done.stdout

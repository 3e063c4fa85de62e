"""The protocol's runs: paired, resumable, and blind for the test images until the end. Trainings are made up here."""

from __future__ import annotations

import itertools
import json
import shutil
import statistics
import zlib
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

from benchmarks import protocol, protocol_check, protocol_settings
from benchmarks.protocol_records import results_file
from benchmarks.protocol_rows import ROOT, ROWS, SHIPPED_TUNER, RandAugmentSearch, make_search, params_of, transform_of
from benchmarks.protocol_settings import (
    SETTINGS,
    ProtocolSetting,
    retraining_seed,
    scarce_classes,
    search_images,
    trial_seed,
)
from benchmarks.training_records import read_trainings
from tuun_da.augment.batch_transform import Chain
from tuun_da.augment.crop_and_flip import CropAndFlip
from tuun_da.augment.policy import Policy
from tuun_da.errors import ConfigError
from tuun_da.policy_format import sub_policies_from_parameters

TOY = ProtocolSetting(
    name="toy",
    data_set="steel",
    image_size=8,
    labelled_per_class=6,
    validation_share=1 / 3,
    test_per_class=4,
    divisions=2,
    autoaugment="autoaugment-imagenet",
    passes=3,
    train_config={"model": "benchmarks.nets:digits_net", "epochs": 1, "batch_size": 8, "precision": "float32"},
)
CLASSES = ("a", "b", "c")
TRIALS = 12  # two more than the tuner's initial ones


def write_images(folder: Path, count: int, rng: np.random.Generator) -> None:
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / name / f"{i:02}.png")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of 3 classes of 12 images, of which two are the same, and the setting ``toy`` on it."""
    folder = tmp_path_factory.mktemp("protocol") / "data"
    write_images(folder / "steel" / "all", 12, np.random.default_rng(0))
    shutil.copy(folder / "steel" / "all" / "b" / "03.png", folder / "steel" / "all" / "b" / "09.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SETTINGS, "toy", TOY)
        yield folder


def described(transform) -> str:
    if isinstance(transform, Chain):
        return "+".join(described(part) for part in transform.transforms)
    return json.dumps(transform.to_params()) if isinstance(transform, Policy) else repr(transform)


def pixels(images) -> frozenset[bytes]:
    return frozenset(image.tobytes() for image in images.numpy())


class MadeUpTraining:
    """In place of ``train``: a score that depends on transform, images and seed, and a note of what was asked for."""

    def __init__(self, limit: int | None = None) -> None:
        self.calls: list[SimpleNamespace] = []
        self._limit = limit

    def __call__(self, config, splits, transform, device, on_epoch=None, *, evaluate_test=False):
        if len(self.calls) == self._limit:
            raise KeyboardInterrupt
        call = SimpleNamespace(seed=config.seed, transform=described(transform), reads_test=evaluate_test)
        call.train, call.validation, call.test = map(
            pixels, (splits.train_images, splits.validation_images, splits.test_images)
        )
        call.trained_images = len(splits.train_images)
        self.calls.append(call)
        value = zlib.crc32(f"{call.transform} {call.seed} {sorted(call.train)}".encode()) / 2**32
        return SimpleNamespace(score=value, test_score=value if evaluate_test else None)


def run(monkeypatch, data, results, *options, limit=None, searches=2, trials=TRIALS):
    """Exit code and trainings of the command; a limit of trainings ends it as Ctrl-C does."""
    training = MadeUpTraining(limit)
    monkeypatch.setattr(protocol_settings, "train", training)
    arguments = ["--settings", "toy", "--data-dir", str(data), "--results", str(results)]
    arguments += ["--searches", str(searches), "--trials", str(trials), *options]
    return protocol.main(arguments), training.calls


def outcomes(results):
    """What came out, without the times."""
    times = ("seconds", "wall_seconds", "seconds_of_suggestion")
    records = read_trainings(results_file(results, "toy"))
    return [{name: value for name, value in record.items() if name not in times} for record in records]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """Two searches of every row: the trainings that were asked for, and what came out."""
    results = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        code, calls = run(patch, data, results)
    assert code == 0
    return SimpleNamespace(calls=calls, outcomes=outcomes(results))


def test_an_interrupted_run_ends_as_a_whole_one_and_repeats_no_training(data, tmp_path, monkeypatch, whole):
    done = 0
    for limit in (30, 40, 35):  # in a search, in another one, ...
        with pytest.raises(KeyboardInterrupt):
            run(monkeypatch, data, tmp_path / "cut", searches=1, limit=limit)
        with results_file(tmp_path / "cut", "toy").open("a") as file:
            file.write('{"row": "tuun", "sea')  # as a kill may leave it
        before, done = done, len(outcomes(tmp_path / "cut"))
        assert done > before
    code, _ = run(monkeypatch, data, tmp_path / "cut", searches=1)
    assert code == 0
    assert outcomes(tmp_path / "cut") == [record for record in whole.outcomes if record["search"] == 0]
    code, again = run(monkeypatch, data, tmp_path / "cut", searches=1)
    assert (code, again) == (0, [])
    places = [(r["row"], r["search"], r["role"], r["number"]) for r in outcomes(tmp_path / "cut")]
    assert len(places) == len(set(places)) == 4 * TRIALS + len(ROWS) * 3
    assert len(whole.calls) == 2 * (4 * TRIALS * TOY.divisions + len(ROWS) * 3)


def test_rows_of_one_search_are_paired_and_searches_are_independent(whole):
    seeds = defaultdict(set)
    for record in whole.outcomes:
        seeds[record["search"], record["role"], record["number"]].add(record["seed"])
    assert len(seeds) == 2 * (TRIALS + 3)
    assert all(len(found) == 1 for found in seeds.values())
    assert len(set.union(*seeds.values())) == len(seeds)
    images = defaultdict(set)
    for call in whole.calls:
        images[call.seed].add((call.train, call.validation))
    assert all(len(found) == 1 for found in images.values())
    labelled = {frozenset(call.train) for call in whole.calls if call.reads_test}
    assert len(labelled) == 2  # each search its own
    first_trials = defaultdict(set)
    for record in whole.outcomes:
        if record["role"] == "trial" and record["number"] == 5 and record["row"] != "randaugment":
            first_trials[record["row"]].add(json.dumps(record["policy"]))
    assert all(len(policies) == 2 for policies in first_trials.values())


def test_only_retrainings_read_the_test_images_which_no_search_sees(whole):
    roles = defaultdict(int)
    for record in whole.outcomes:
        roles[record["role"]] += 1
    assert sum(call.reads_test for call in whole.calls) == roles["retraining"]
    assert all(call.reads_test == bool(call.test) for call in whole.calls)
    (test,) = {call.test for call in whole.calls if call.reads_test}
    assert len(test) in (11, 12)  # 4 of each class, the two equal ones among them or not
    assert not any(test & (call.train | call.validation) for call in whole.calls)


def test_a_retraining_has_the_training_and_the_validation_images_together(whole):
    calls = [call for call in whole.calls if call.seed < trial_seed(1, 0) or call.seed == retraining_seed(0, 0)]
    (labelled,) = {call.train for call in calls if call.reads_test}
    trials = [call for call in calls if not call.reads_test]
    assert all(call.train | call.validation == labelled and not call.train & call.validation for call in trials)
    assert len({call.validation for call in trials}) == TOY.divisions
    assert {call.trained_images for call in trials} == {3 * 12}  # passes, images
    assert {call.trained_images for call in calls if call.reads_test} == {3 * 18}


@pytest.mark.parametrize("search", range(6))
def test_identical_images_stay_on_one_side(data, search):
    images = search_images(TOY, search, str(data))
    copies = (data / "steel" / "all" / "b" / "03.png", data / "steel" / "all" / "b" / "09.png")
    twin = np.asarray(Image.open(copies[0])).tobytes()
    assert sum(image.numpy().tobytes() == twin for image in images.labelled.images) in (0, 2)
    for division in range(4):
        splits = images.of_trial(division)
        sides = [twin in pixels(side) for side in (splits.train_images, splits.validation_images)]
        assert sum(sides) <= 1


def test_what_is_appended_to_etp_is_what_tuun_recommended(whole):
    found = {
        (record["row"], record["search"]): record["policy"]
        for record in whole.outcomes
        if record["role"] == "retraining"
    }
    for search in range(2):
        alone, appended = found["tuun", search], found["etp, tuun", search]
        assert (alone["choice"], appended["choice"]) == ("search", "etp+search")
        assert alone["values"] == appended["values"]
        chain = transform_of(appended, TOY.autoaugment)
        assert [type(part) for part in chain.transforms] == [CropAndFlip, Policy]
        assert chain.transforms[1].to_params() == params_of(alone)


@pytest.mark.parametrize("row", ["randaugment", "random", "tuun", "etp+tuun"])
def test_what_is_recommended_was_tried(row, whole):
    records = [record for record in whole.outcomes if record["row"] == row and record["search"] == 1]
    tried = [record["policy"] for record in records if record["role"] == "trial"]
    retrained = [record["policy"] for record in records if record["role"] == "retraining"]
    assert (len(tried), len(retrained)) == (TRIALS, 3)
    assert all(policy == retrained[0] and policy in tried for policy in retrained)


def test_randaugment_tries_every_setting_equally_often_and_recommends_the_best_mean():
    rng = np.random.default_rng(3)
    search, scores = RandAugmentSearch(), defaultdict(list)
    for _ in range(60):
        policy = search.ask()
        score = float(rng.random())
        scores[policy["num_ops"], policy["magnitude"]].append(score)
        search.tell(policy, score)
    assert set(scores) == set(itertools.product((1, 2, 3), range(3, 31, 3)))
    assert {len(found) for found in scores.values()} == {2}
    best = max(scores, key=lambda pair: statistics.fmean(scores[pair]))
    recommended = search.recommend()
    assert (recommended["num_ops"], recommended["magnitude"]) == best


def test_tuun_begins_with_the_shipped_policies_and_random_search_does_not():
    search, first = make_search("tuun", 4), []
    for _ in range(2):
        first.append(search.ask())
        search.tell(first[-1], 0.5)
    none, etp = ([o for s in sub_policies_from_parameters(params_of(policy)) for o in s.operations] for policy in first)
    assert all(operation.probability == 0 for operation in none)
    assert {operation.type for operation in etp} == {"randomCrop", "randomHorizontalFlip"}
    assert all(operation.probability == 1 for operation in etp)
    assert make_search("random", 4).ask()["values"] not in [policy["values"] for policy in first]


@pytest.mark.parametrize("row", [row for row in ROWS if row.search is None], ids=lambda row: row.name)
def test_what_stands_behind_etp_comes_after_crop_and_flip(row):
    transform = transform_of({"choice": row.choice}, "autoaugment-svhn")
    if row.name == "none":
        assert transform is None
    elif row.name.startswith("etp+"):
        alone = transform_of({"choice": row.choice.removeprefix("etp+")}, "autoaugment-svhn")
        assert described(transform) == f"{described(CropAndFlip())}+{described(alone)}"
    else:
        assert not isinstance(transform, Chain)
    if "autoaugment" in row.name:
        assert "svhn" in described(transform)


def test_a_run_ends_before_its_time_and_says_that_something_is_left(data, tmp_path, monkeypatch):
    code, calls = run(monkeypatch, data, tmp_path, "--minutes", "0")
    assert (code, calls) == (protocol.SOMETHING_IS_LEFT, [])
    run(monkeypatch, data, tmp_path, "--rows", "none", searches=1)
    code, calls = run(monkeypatch, data, tmp_path, "--rows", "none", "--minutes", "0", searches=1)
    assert (code, calls) == (0, [])


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn", "folder"])
def test_ours_is_what_the_shipped_configurations_search_with(name):
    content = yaml.safe_load((ROOT / "nni_configs" / f"{name}.yml").read_text(encoding="utf-8"))
    assert content["tuner"]["classArgs"] == SHIPPED_TUNER


def test_other_conditions_do_not_get_into_the_same_file(data, tmp_path, monkeypatch, capsys):
    run(monkeypatch, data, tmp_path, "--rows", "none")
    code, calls = run(monkeypatch, data, tmp_path, "--rows", "none", trials=13, searches=3)
    assert (code, calls) == (1, [])
    assert "trials 12, now it is 13" in capsys.readouterr().err


def test_absent_images_are_said_in_words_and_left_out(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(protocol_settings, "train", MadeUpTraining())
    options = ["--data-dir", str(data), "--results", str(tmp_path), "--rows", "none"]
    assert protocol.main(["--settings", "cifar10", "svhn", "toy", *options]) == 0
    said = capsys.readouterr().err
    assert f"cifar10 is left out: the images of cifar10 are not in {data}" in said
    assert "svhn is left out" in said
    assert {record["setting"] for record in outcomes(tmp_path)} == {"toy"}
    assert protocol.main(["--settings", "cifar10", *options]) == 1
    assert "none of the settings cifar10" in capsys.readouterr().err


def test_an_unknown_setting_is_a_clear_error(capsys):
    assert protocol.main(["--settings", "mnist"]) == 1
    assert "setting must be one of cifar10_small, steel20" in capsys.readouterr().err


def test_scarce_classes_take_turns(data):
    found = [scarce_classes(search, 6) for search in range(3)]
    assert sorted(itertools.chain(*found)) == list(range(6))
    setting = ProtocolSetting(**{**TOY.to_dict(), "scarce_per_class": 2})
    counts = np.bincount(search_images(setting, 1, str(data)).labelled.labels)
    assert counts.tolist() == [2, 6, 2]
    splits = search_images(setting, 1, str(data)).of_trial(0)
    assert np.bincount(splits.validation_labels).tolist() == [1, 2, 1]


def test_the_data_set_s_own_test_images_are_used_where_it_has_some(tmp_path):
    rng = np.random.default_rng(1)
    write_images(tmp_path / "cifar10" / "train", 9, rng)
    write_images(tmp_path / "cifar10" / "test", 4, rng)
    setting = ProtocolSetting(
        **{**TOY.to_dict(), "data_set": "cifar10", "test_per_class": None, "labelled_per_class": None, "divisions": 1}
    )
    images = search_images(setting, 0, str(tmp_path))
    whole = images.of_retraining()
    assert (len(images.labelled), len(whole.test_images)) == (27, 12)
    assert len(images.of_trial(0).validation_images) == 9


@pytest.mark.parametrize("name", SETTINGS)
def test_the_settings_can_be_trained(name):
    config = SETTINGS[name].seeded(7)
    assert config.seed == 7
    assert transform_of({"choice": "autoaugment"}, SETTINGS[name].autoaugment) is not None


def test_a_real_training_repeats_itself(data, tmp_path):
    options = ["--settings", "toy", "--data-dir", str(data), "--searches", "1", "--trials", "1"]
    for results in (tmp_path / "one", tmp_path / "two"):
        assert protocol.main([*options, "--rows", "etp", "random", "--results", str(results)]) == 0
    first, again = outcomes(tmp_path / "one"), outcomes(tmp_path / "two")
    assert first == again
    assert len({record["score"] for record in first}) > 1
    assert all(0 <= record["score"] <= 1 for record in first)


class MadeUpLongTraining:
    """In place of ``train`` with a checkpoint: epochs that are done stay done; the clock goes on by a minute each."""

    def __init__(self, now: list[float]) -> None:
        self._now = now
        self.epochs: list[tuple[str, int]] = []

    def __call__(self, config, splits, transform, device, on_epoch=None, *, evaluate_test=False, checkpoint=None):
        done = int(checkpoint.read_text()) if checkpoint.exists() else 0
        for epoch in range(done + 1, config.epochs + 1):
            self.epochs.append((checkpoint.name, epoch))
            self._now[0] += 60
            checkpoint.write_text(str(epoch))
            on_epoch(SimpleNamespace(epoch=epoch, seconds=60.0))
        return SimpleNamespace(test_score=0.75 if transform is None else 0.9, seconds=60.0 * (config.epochs - done))


def test_the_check_goes_on_from_its_checkpoint_and_leaves_none_behind(data, tmp_path, monkeypatch):
    monkeypatch.setitem(SETTINGS, "cifar10", ProtocolSetting(**{**TOY.to_dict(), "name": "cifar10"}))
    monkeypatch.setattr(protocol_settings, "train", MadeUpTraining())
    options = ["--data-dir", str(data), "--results", str(tmp_path), "--searches", "2"]
    check = ["--check", "wide_resnet_28_10", *options]
    monkeypatch.setitem(
        protocol_check.CHECKS,
        "wide_resnet_28_10",
        ProtocolSetting(**{**TOY.to_dict(), "name": "check_toy", "train_config": TOY.train_config | {"epochs": 5}}),
    )
    assert protocol.main(check) == 1  # no policy is there
    assert protocol.main(["--settings", "cifar10", "--trials", "2", "--rows", "tuun", *options]) == 0
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    training = MadeUpLongTraining(now)
    monkeypatch.setattr(protocol_check, "train", training)
    codes = [protocol.main([*check, "--minutes", "3.5"]) for _ in range(8)]
    assert set(codes) == {0, protocol.SOMETHING_IS_LEFT}
    assert codes == sorted(codes, reverse=True)
    assert codes.count(protocol.SOMETHING_IS_LEFT) == 6  # 20 epochs, 3 of them in a run
    assert len(training.epochs) == len(set(training.epochs)) == 4 * 5
    assert not list(tmp_path.glob("*.pt"))
    records = read_trainings(results_file(tmp_path, "check_toy"))
    assert [(r["row"], r["search"], r["score"]) for r in records] == [
        ("none", 0, 0.75),
        ("tuun", 0, 0.9),
        ("none", 1, 0.75),
        ("tuun", 1, 0.9),
    ]


def test_the_check_asks_for_what_it_needs(tmp_path):
    with pytest.raises(ConfigError, match="search 0 of tuun on cifar10 has recommended nothing yet"):
        protocol_check.recommended(tmp_path, 3)

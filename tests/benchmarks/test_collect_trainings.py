"""Real trainings are collected once each, survive a kill, and are of the same policies every time."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, replace

import pytest

from benchmarks import collect_trainings, real_trainings
from benchmarks.planned_policies import PlannedTraining, planned_trainings, random_policies, structured_policies
from benchmarks.real_trainings import SETTINGS, image_folder, train_policy
from benchmarks.training_records import append_training, read_trainings, trainings_done
from tuun_da.augment.policy import Policy
from tuun_da.errors import ConfigError, DataError

HEADER = {"setting": "digits", "net": "a", "hardware": "one"}


def record(seed):
    return {"kind": "none", "name": "none", "seed": seed, "policy": None, "accuracy": 0.5, "seconds": 1.0}


def append_all(path, seeds, header=HEADER):
    for seed in seeds:
        append_training(path, header, record(seed))


@pytest.fixture
def tiny(monkeypatch):
    """The setting of the digits, with a training of ten passes."""
    setting = replace(SETTINGS["digits"], passes=10)
    monkeypatch.setattr(real_trainings, "SETTINGS", {"digits": setting})
    return setting


def test_a_record_carries_the_fields_of_its_header(tmp_path):
    append_all(tmp_path / "t.jsonl", [0, 1])
    assert read_trainings(tmp_path / "t.jsonl") == [{**HEADER, **record(0)}, {**HEADER, **record(1)}]
    assert (tmp_path / "t.jsonl").read_text().count("header") == 1


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_line_cut_off_by_a_kill_is_ignored_and_then_repaired(tmp_path, cut):
    path = tmp_path / "t.jsonl"
    append_all(path, [0, 1])
    path.write_bytes(path.read_bytes()[:-cut])
    assert [r["seed"] for r in read_trainings(path)] == [0]
    assert trainings_done(path, HEADER) == {("none", 0)}
    append_all(path, [1, 2])
    assert [r["seed"] for r in read_trainings(path)] == [0, 1, 2]


def test_a_cut_off_header_is_written_anew(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"header":{"sett')
    append_all(path, [0])
    assert read_trainings(path) == [{**HEADER, **record(0)}]


def test_another_machine_gets_its_own_header(tmp_path):
    path = tmp_path / "t.jsonl"
    append_all(path, [0])
    append_all(path, [1], {**HEADER, "hardware": "two"})
    assert [r["hardware"] for r in read_trainings(path)] == ["one", "two"]


def test_another_net_does_not_get_into_the_same_file(tmp_path):
    append_all(tmp_path / "t.jsonl", [0])
    with pytest.raises(ConfigError, match="net 'a', now it is 'b'"):
        append_all(tmp_path / "t.jsonl", [1], {**HEADER, "net": "b"})


def test_the_plan_is_the_same_every_time_and_names_each_training_once():
    plan = planned_trainings()
    assert plan == planned_trainings()
    assert len({(task.name, task.seed) for task in plan}) == len(plan)
    digest = hashlib.sha256(json.dumps([astuple(task) for task in plan]).encode()).hexdigest()
    assert digest[:12] == "f0dec054e226"  # that of the plan whose trainings are in benchmarks/results
    assert len(list(random_policies())) == 200
    assert len(list(structured_policies())) >= 60


def test_every_planned_policy_can_be_applied_and_names_one_policy_only():
    policies = {}
    for task in planned_trainings():
        if task.policy is not None:
            Policy(task.policy)
            assert len(task.policy) == 30
        assert policies.setdefault(task.name, task.policy) == task.policy


def test_a_prefix_of_the_plan_holds_every_kind_in_proportion():
    prefix = [task.kind for task in planned_trainings()[:90]]
    assert 60 <= prefix.count("random") <= 75
    assert 12 <= prefix.count("structured") <= 20
    assert {"none", "etp", "trivialaugment", "autoaugment"} <= set(prefix)


def test_a_resumed_collection_trains_only_what_is_not_done(tmp_path, tiny, monkeypatch):
    plan = planned_trainings()[:12]
    path = tmp_path / "t.jsonl"
    trained = []

    def noted(setting, policy, seed, *, data_dir):
        trained.append(seed)
        if len(trained) == 6:
            raise KeyboardInterrupt
        return 0.5

    monkeypatch.setattr(collect_trainings, "train_setting", noted)
    with pytest.raises(KeyboardInterrupt):
        collect_trainings.collect(tiny, plan, path)
    assert len(read_trainings(path)) == 5
    collect_trainings.collect(tiny, plan, path)
    assert trained == [task.seed for task in plan[:6]] + [task.seed for task in plan[5:]]


def test_shards_share_the_plan_among_them(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(collect_trainings, "train_setting", lambda *args, **options: 0.5)
    plan = planned_trainings()[:7]
    for i in range(3):
        collect_trainings.collect(tiny, plan, tmp_path / "t.jsonl", shard=(i, 3))
    records = read_trainings(tmp_path / "t.jsonl")
    assert sorted((r["name"], r["seed"]) for r in records) == sorted((task.name, task.seed) for task in plan)


def test_a_training_is_repeatable_and_better_than_guessing(tiny):
    policy = dict(structured_policies())["structured-often-weak-1"]
    accuracy = train_policy("digits", policy, 0)
    assert accuracy == train_policy("digits", policy, 0)
    assert accuracy > 0.3


@pytest.mark.parametrize("name", ["none", "etp", "trivialaugment", "autoaugment"])
def test_the_baselines_can_be_trained(tiny, name):
    assert 0.0 <= train_policy("digits", name, 0) <= 1.0


def test_the_records_of_a_real_collection_hold_what_is_needed(tmp_path, tiny):
    plan = [PlannedTraining("random", "random-000", next(random_policies()), 0)]
    collect_trainings.collect(tiny, plan, tmp_path / "t.jsonl")
    (found,) = read_trainings(tmp_path / "t.jsonl")
    assert found["policy"] == plan[0].policy
    assert (found["train_images"], found["image_size"], found["epochs"]) == (100, 8, 10)
    assert found["hardware"]
    assert "torch" in found["versions"]


def test_a_file_of_proposed_policies_is_read(tmp_path):
    policy = next(random_policies())
    lines = [{"policy": policy, "seeds": [3, 4]}, {"policy": policy, "name": "best", "seed": 1}]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    tasks = collect_trainings.proposed_trainings(tmp_path / "p.jsonl")
    assert [task.seed for task in tasks] == [3, 4, 1]
    assert {task.kind for task in tasks} == {"proposed"}
    assert tasks[2].name == "best"
    (tmp_path / "p.jsonl").write_text("[1]\n")
    with pytest.raises(ConfigError, match="line 1"):
        collect_trainings.proposed_trainings(tmp_path / "p.jsonl")


def test_missing_images_are_a_clear_error(tmp_path):
    with pytest.raises(DataError, match=r"neu_det_64.tar.xz \(tar -xJf\) into .*--data-dir"):
        image_folder(SETTINGS["steel"], str(tmp_path))
    assert collect_trainings.main(["steel", "--data-dir", str(tmp_path)]) == 1


def test_an_unknown_setting_or_baseline_is_a_clear_error():
    with pytest.raises(ConfigError, match="setting must be one of digits, steel, cifar10, cifar10_500; got 'mnist'"):
        train_policy("mnist", "none", 0)
    with pytest.raises(ConfigError, match="none, etp, trivialaugment, autoaugment; got 'randaugment'"):
        train_policy("digits", "randaugment", 0)

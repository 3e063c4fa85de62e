"""A whole search by the clock: it goes on where it stopped, as if it had not, and its seconds add up."""

from __future__ import annotations

import pytest

from benchmarks import race, timed_training, whole_search
from benchmarks.whole_search import Trained, report
from tuun_da.errors import TrainingError

SMALL = ["paper", "--data", "digits", "--model", "child_cnn", "--epochs", "2", "--train-size", "40",
         "--validation-size", "50", "--batch-size", "16", "--learning-rate", "0.02", "--threads", "1"]  # fmt: skip


def run(path, *arguments, left=False):
    """All records, after a run that leaves something to be done or not."""
    assert whole_search.main([*SMALL, "--results", str(path), *arguments]) == (3 if left else 0)
    return race.read_lines(path)


def trials_of(records):
    return [record for record in records if record["kind"] == "trial"]


@pytest.fixture
def quick(monkeypatch):
    """Trainings that take no time: a score from the parameters; the third trial fails."""
    trained = []

    def train_together(configs, splits, policies, device):
        trained.append([config.seed for config in configs])
        scores = [
            None if config.seed == 2 else policy.record.sub_policies[0].operations[0].probability
            for config, policy in zip(configs, policies, strict=True)
        ]
        return Trained(tuple(scores), 5.0, 2.0)

    monkeypatch.setattr(whole_search, "train_together", train_together)
    return trained


def stop_after(monkeypatch, count):
    room = iter([True] * count + [False])
    monkeypatch.setattr(timed_training.TimeSlice, "has_room_for", lambda self, seconds: next(room))


@pytest.mark.parametrize("at_once", ["1", "4"])
def test_an_interrupted_search_goes_on_as_if_it_had_not_been(quick, tmp_path, monkeypatch, capsys, at_once):
    whole = trials_of(run(tmp_path / "whole.jsonl", "--trials", "14", "--at-once", at_once))
    with monkeypatch.context() as hurried:
        stop_after(hurried, 3)
        run(tmp_path / "parts.jsonl", "--trials", "14", "--at-once", at_once, left=True)
    assert "trials to go: run the same command again" in capsys.readouterr().out
    records = run(tmp_path / "parts.jsonl", "--trials", "14", "--at-once", at_once)
    for name in ("number", "params", "score"):
        assert [trial[name] for trial in trials_of(records)] == [trial[name] for trial in whole]
    assert [record["kind"] for record in records].count("slice") == 2
    assert [trial["score"] is None for trial in whole] == [number == 2 for number in range(14)]
    calls = len(quick)
    assert run(tmp_path / "parts.jsonl", "--trials", "14", "--at-once", at_once) == records
    assert len(quick) == calls


def test_a_search_trains_for_real_and_its_seconds_add_up(tmp_path, capsys):
    clock = race.Clock()
    with clock:
        records = run(tmp_path / "f.jsonl", "--trials", "3")
    trials = trials_of(records)
    assert [trial["number"] for trial in trials] == [0, 1, 2]
    assert all(0 <= trial["score"] <= 1 for trial in trials)
    parts = [trial[f"{part}_seconds"] for trial in trials for part in ("suggestion", "training", "startup")]
    parts += [record["startup_seconds"] for record in records if record["kind"] == "slice"]
    assert min(parts) >= 0
    assert 0.4 * clock.seconds < sum(parts) <= clock.seconds
    assert "| paper | 3 |" in capsys.readouterr().out


def test_a_training_that_fails_costs_its_time_and_the_search_goes_on(tmp_path, monkeypatch):
    def fail(*arguments):
        raise TrainingError("loss became nan")

    monkeypatch.setattr(whole_search, "train", fail)
    assert [trial["score"] for trial in trials_of(run(tmp_path / "f.jsonl", "--trials", "2"))] == [None, None]


def test_several_policies_are_trained_side_by_side(tmp_path):
    trials = trials_of(run(tmp_path / "f.jsonl", "--trials", "3", "--at-once", "2"))
    assert [trial["number"] for trial in trials] == [0, 1, 2]
    assert trials[0]["training_seconds"] == trials[1]["training_seconds"]
    alone = trials_of(run(tmp_path / "alone.jsonl", "--trials", "3"))
    assert trials[0]["params"] == alone[0]["params"]
    assert trials[0]["score"] == pytest.approx(alone[0]["score"], abs=0.1)


def test_another_state_of_the_code_is_another_search(quick, tmp_path, monkeypatch):
    run(tmp_path / "f.jsonl", "--trials", "2")
    monkeypatch.setattr(whole_search, "code_of_ours", lambda: "another")
    records = run(tmp_path / "f.jsonl", "--trials", "2")
    assert [trial["number"] for trial in trials_of(records)] == [0, 1, 0, 1]
    assert report(records).count("| paper | 2 |") == 2


def test_the_report_divides_the_minutes_and_names_what_others_needed(quick, tmp_path):
    path = tmp_path / "f.jsonl"
    records = [
        record | {"suggestion_seconds": 1.0} if record["kind"] == "trial" else record | {"startup_seconds": 8.0}
        for record in run(path, "--trials", "2")
    ]
    best = max(trial["score"] for trial in trials_of(records))
    text = report(records)
    # 2 trials of 1 s of suggestion, 3 s of training and 2 s of start-up, and 8 s at the beginning
    assert f"| paper | 2 | 0.333 | 10.0 % | 30.0 % | 60.0 % | 10 | {100 * best:.2f} |" in text
    assert "Tuun: 60 trials of about 9 minutes each on a V100; AutoAugment: 15,000 trainings" in text
    assert "| paper | 1 of 2 |" in report(records[:-1])
    assert report([]) == "nothing measured yet"


def test_the_published_searches_are_as_published():
    paper, deepaugment = (whole_search.PRESETS[name] for name in ("paper", "deepaugment"))
    assert (paper.trials, paper.config.model, paper.config.epochs) == (60, "basenet_resnet18", 50)
    assert (deepaugment.trials, deepaugment.train_size, deepaugment.validation_size) == (500, 2000, 1000)
    assert (deepaugment.config.batch_size, deepaugment.config.epochs) == (64, 120)
    for preset in (paper, deepaugment):
        assert (race.ROOT / "search_spaces" / f"{preset.space}.json").exists()


@pytest.mark.parametrize("option", ["--trials", "--at-once"])
def test_a_search_of_nothing_is_a_clear_error(tmp_path, capsys, option):
    assert whole_search.main([*SMALL, "--results", str(tmp_path / "f.jsonl"), option, "0"]) == 1
    assert "must be at least 1, got 0" in capsys.readouterr().err

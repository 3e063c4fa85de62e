"""The benchmark of trials: who takes turns, what is kept, what is not done twice, and what its report makes of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import paper_trials, race, timed_training, trial_contestants, trial_floor, trial_speed
from benchmarks.paper_trials import Batch, parsed_rates, planned
from benchmarks.trial_contestants import Contestant, parsed
from benchmarks.trial_speed_report import report
from tuun_da.errors import ConfigError
from tuun_da.training.schedule import TrainConfig

SMALL = ["--model", "child_cnn", "--epochs", "2", "--train-size", "32", "--validation-size", "20", "--threads", "1"]
ROUNDS = ["--batch-size", "16", "--learning-rate", "0.02", "--workers", "1", "--rounds", "2"]
PAPER = ["--paper", "--rates", "16=0.02", "8=0.01", "--seeds", "2", "--compile", "no"]


@pytest.fixture(autouse=True)
def small_matrices(monkeypatch):
    monkeypatch.setitem(trial_floor.SIDES, "cpu", (64,))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two classes of colour images, dark and bright, in an npz file."""
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 2
    images = (rng.integers(0, 100, (100, 12, 12, 3)) + 120 * labels[:, None, None, None]).astype(np.uint8)
    path = tmp_path_factory.mktemp("data") / "shades.npz"
    np.savez(path, images=images, labels=labels)
    return f"npz:{path}"


def run(data, path, *arguments, left=False):
    """All records, after a run that leaves something to be done or not."""
    assert trial_speed.main(["--data", data, "--results", str(path), *SMALL, *arguments]) == (3 if left else 0)
    return race.read_lines(path)


def test_every_round_has_all_contestants_and_is_not_repeated(data, tmp_path, capsys):
    path = tmp_path / "found.jsonl"
    options = [*ROUNDS, "--policies", "random", "--contestants", "ours", "tuun_like", "ours@32"]
    records = run(data, path, *options)
    names = [record["contestant"] for record in records]
    assert names == ["ours@16", "tuun_like@16", "ours@32", "tuun_like@16", "ours@32", "ours@16"]  # everyone is first
    for record in records:
        assert len(record["training"]["curve"]) == 2
        assert 0 < record["training"]["epoch_seconds"][0] < record["training"]["seconds"]
        assert record["conditions"]["threads"] == 1
    assert run(data, path, *options) == records
    assert run(data, path, *options[:-1]) == records  # a part of what is there
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))  # killed in the second round
    again = run(data, path, *options)
    assert [record["round"] for record in again[5:]] == [1, 1, 1]
    text = capsys.readouterr().out
    assert "| tuun_like@16 |" in text
    assert "32 + 20 images of 12 pixels, child_cnn, 2 epochs, policy random" in text


def test_a_contestant_that_cannot_run_is_named_and_the_others_go_on(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(trial_contestants.importlib.util, "find_spec", lambda name: None)
    records = run(data, tmp_path / "f.jsonl", *ROUNDS, "--rounds", "1", "--policies", "none", "--contestants", "ours",
                  "tuun_like")  # fmt: skip
    assert [("training" in record, record.get("error")) for record in records] == [
        (True, None),
        (False, "ConfigError: tuun_like needs PIL, torchvision, not installed"),
    ]
    assert "Not measured: tuun_like@16: ConfigError: tuun_like needs PIL" in capsys.readouterr().out


def test_no_round_is_begun_that_would_not_be_done_in_time(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(timed_training.TimeSlice, "has_room_for", lambda self, seconds: seconds == 0)
    options = [*ROUNDS, "--policies", "none", "--contestants", "ours"]
    assert [record["round"] for record in run(data, tmp_path / "f.jsonl", *options, left=True)] == [0]
    assert "1 still to do: run the same command again" in capsys.readouterr().out
    assert [record["round"] for record in run(data, tmp_path / "f.jsonl", *options)] == [0, 1]


def test_results_of_another_state_of_our_code_are_not_taken_for_the_present(data, tmp_path, monkeypatch):
    options = [*ROUNDS, "--rounds", "1", "--policies", "none", "--contestants", "ours"]
    run(data, tmp_path / "f.jsonl", *options)
    monkeypatch.setattr(trial_speed, "code_of_ours", lambda: "another")
    assert len(run(data, tmp_path / "f.jsonl", *options)) == 2


def test_the_published_trial_goes_on_where_it_stopped_and_trains_nothing_twice(data, tmp_path, monkeypatch, capsys):
    path = tmp_path / "found.jsonl"
    with monkeypatch.context() as hurried:
        room = iter([True, True, True, False])
        hurried.setattr(timed_training.TimeSlice, "has_room_for", lambda self, seconds: next(room))
        first = run(data, path, *PAPER, left=True)
    assert [(record["config"]["seed"], record["config"]["batch_size"]) for record in first] == [
        (0, 16),
        (0, 8),
        (1, 16),
    ]
    assert [record["first_of_process"] for record in first] == [True, True, False]  # of its kind
    assert "1 still to do" in capsys.readouterr().out
    records = run(data, path, *PAPER)
    assert records[:3] == first
    assert [(record["config"]["seed"], record["config"]["batch_size"]) for record in records[3:]] == [(1, 8)]
    assert run(data, path, *PAPER) == records
    for record in records:
        assert 0 <= record["training"]["test_score"] <= 1
        assert record["policy"] == "etp"
        assert record["test_images"] == 20
    assert "| 16 | 0.02 | no | 2 |" in capsys.readouterr().out


@pytest.mark.cuda
def test_all_contestants_train_on_a_gpu_and_compiling_shows_in_the_start_up(data, tmp_path, monkeypatch):
    monkeypatch.setitem(trial_floor.SIDES, "cuda", (1024,))
    options = [*ROUNDS, "--rounds", "1", "--policies", "random", "--device", "cuda", "--contestants"]
    plain, compiled, theirs = run(data, tmp_path / "f.jsonl", *options, "ours", "ours_compiled", "tuun_like")
    assert {record["conditions"]["gpu"] is None for record in (plain, compiled, theirs)} == {False}
    assert compiled["training"]["startup_seconds"] > plain["training"]["startup_seconds"]
    assert len(theirs["training"]["curve"]) == 2


def test_images_that_are_not_there_are_a_clear_error(tmp_path, capsys):
    assert trial_speed.main(["--data", f"folder:{tmp_path / 'nowhere'}", "--results", str(tmp_path / "f.jsonl")]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_a_contestant_has_its_own_mini_batch_and_a_learning_rate_in_proportion():
    base = TrainConfig(batch_size=128, learning_rate=0.1)
    assert parsed("ours", 128) == Contestant("ours", 128)
    found = parsed("ours_compiled@512", 128).config(base)
    assert (found.batch_size, found.learning_rate, found.compile) == (512, pytest.approx(0.4), True)
    assert not parsed("tuun_like", 128).config(base).compile
    for text in ("theirs", "ours@", "ours@many"):
        with pytest.raises(ConfigError, match="contestant must be one of ours, ours_compiled, tuun_like"):
            parsed(text, 128)


def test_the_published_trial_is_planned_with_the_seeds_outermost():
    plan = list(planned(TrainConfig(), [Batch(128, 0.1), Batch(512, 0.4)], 2, [False, True]))
    assert [(config.seed, config.batch_size, config.compile) for config in plan] == [
        (seed, size, compile) for seed in (0, 1) for size in (128, 512) for compile in (False, True)
    ]
    assert {config.learning_rate for config in plan if config.batch_size == 512} == {0.4}


def test_mini_batches_and_learning_rates_are_read_from_the_command_line():
    assert parsed_rates(paper_trials.RATES) == [Batch(128, 0.1), Batch(512, 0.4), Batch(1024, 0.8)]
    with pytest.raises(ConfigError, match=r"must be SIZE=RATE, got '512'"):
        parsed_rates(["512"])


CONDITIONS = {
    "versions": {"torch": "2"}, "gpu": "H", "cpu": "X", "cores": 2, "threads": 1, "commit": "c",
}  # fmt: skip


def training(ends, curve, *, test_score=None):
    return {"curve": curve, "epoch_ends": ends, "seconds": ends[-1], "test_score": test_score}


def turn(contestant, number, ends, curve=(0.2, 0.4, 0.6), *, run="1", code="a"):
    cell = {
        "device": "cuda", "data": "images", "train_images": 100, "validation_images": 10, "image_size": 32,
        "config": {"model": "net", "epochs": 3}, "policy": "random", "workers": 4, "threads": 1,
    }  # fmt: skip
    return {
        "kind": "turn", "cell": cell, "round": number, "run": run, "code": code, "contestant": contestant,
        "conditions": CONDITIONS, "training": training(ends, curve), "flops_of_an_epoch": 1e12,
        "images_of_an_epoch": 96, "matrix_rate": {"flops_per_second": 2e12},
    }  # fmt: skip


def cells(text, name):
    [line] = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_report_compares_within_rounds():
    records = [
        turn("ours@128", 0, [3.0, 4.0, 5.0]),
        turn("tuun_like@128", 0, [6.0, 10.0, 14.0]),
        turn("ours@128", 1, [4.0, 6.0, 8.0]),
        turn("tuun_like@128", 1, [6.0, 10.0, 14.0]),
    ]
    text = report(records, 0.4)
    assert cells(text, "ours@128") == [
        "ours@128", "72 (48 to 96)", "0.75 (0.5 to 1)", "1.5 (1 to 2)", "", "0.5 (0.5 to 0.5)", "38 (25 to 50) %",
        "2", "2", "0.6 (0.6 to 0.6)", "5 (4 to 6) (2 of 2 rounds)",
    ]  # fmt: skip
    assert cells(text, "tuun_like@128")[4] == "3 (2 to 4)"


def test_an_accuracy_that_was_not_reached_is_said_so():
    text = report([turn("ours@128", 0, [3.0, 4.0, 5.0])], 0.9)
    assert cells(text, "ours@128")[-1] == "never (0 of 1 rounds)"


def test_of_several_runs_of_a_round_the_whole_one_counts_and_of_several_codes_the_last():
    records = [
        turn("ours@128", 0, [1.0, 2.0, 3.0], code="old"),
        turn("ours@128", 0, [3.0, 4.0, 5.0]),
        turn("tuun_like@128", 0, [6.0, 10.0, 14.0]),
        turn("ours@128", 0, [30.0, 40.0, 50.0], run="2"),  # killed afterwards
    ]
    assert cells(report(records), "ours@128")[3] == "1"


def test_the_report_of_the_published_trial_is_over_the_seeds():
    def trained(seed, end, score):
        config = {"seed": seed, "batch_size": 512, "learning_rate": 0.4, "compile": True, "epochs": 3, "model": "net"}
        return {
            "kind": "paper", "policy": "etp", "data": "images", "train_images": 100, "validation_images": 10,
            "test_images": 10, "config": config, "code": "a", "conditions": CONDITIONS, "flops_of_an_epoch": 1e12,
            "images_of_an_epoch": 96, "matrix_rate": {"flops_per_second": 2e12}, "first_of_process": seed == 0,
            "training": training([end, end + 1.0, end + 2.0], [0.5, 0.5, 0.9], test_score=score),
        }  # fmt: skip

    text = report([trained(0, 11.0, 0.93), trained(1, 1.0, 0.95)])
    assert cells(text, "512") == [
        "512", "0.4", "yes", "2", "8 (3 to 13)", "1 (1 to 1)", "10", "0", "1.5 (1.5 to 1.5)", "31 (12 to 50) %",
        "50 (50 to 50) %", "94.00 ± 1.41", "90.00 ± 0.00",
    ]  # fmt: skip


def test_nothing_measured_is_said_so(tmp_path, capsys):
    assert trial_speed.main(["--report", "--results", str(tmp_path / "none.jsonl")]) == 0
    assert capsys.readouterr().out == "nothing measured yet\n"


def test_records_are_json_with_finite_numbers_only(data, tmp_path):
    path = tmp_path / "f.jsonl"
    run(data, path, *ROUNDS, "--rounds", "1", "--policies", "random", "--contestants", "ours")
    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)

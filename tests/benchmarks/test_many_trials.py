"""Trials are timed once each and resumed, every way runs the same trials, and FLOPs are counted right."""

from __future__ import annotations

import json
import math

import pytest
import torch

from benchmarks import many_trials
from benchmarks.many_trials import Cell, Timing, flops_an_epoch, images_of, main, record_of, report, run_trials
from benchmarks.race import read_lines

CELL = Cell(device="cpu", data="digits", way="train", graph=False, together=1, processes=1, epochs=1)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Small matrices for the rate; the benchmark's one thread is only its own."""
    monkeypatch.setitem(many_trials.MATRIX_SIDE, "cpu", 64)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def run(tmp_path, *arguments):
    main(["--results", str(tmp_path / "r.jsonl"), "--epochs", "1", "--formulations", "loop", *arguments])
    return read_lines(tmp_path / "r.jsonl")


def test_what_is_there_is_not_measured_again(tmp_path, capsys):
    records = run(tmp_path, "--together", "1", "2", "--repeats", "2")
    assert [(record["way"], record["together"]) for record in records] == [("train", 1), ("loop", 1), ("loop", 2)]
    for record in records:
        assert len(record["seconds_a_trial_as_run"]) == 2
        assert len(record["scores"]) == 2 * record["together"]
        assert record["conditions"]["versions"]["torch"]
        assert record["matrix_flops_a_second"] > 0
    assert run(tmp_path, "--together", "1", "2", "--repeats", "2") == records
    assert len(run(tmp_path, "--together", "2", "4", "--repeats", "1")) == 4
    assert capsys.readouterr().out.count("| loop | 4 | 1 | 1 |") == 1


def test_every_way_runs_the_same_trials():
    splits = images_of("digits", "")
    alone, in_turn = (run_trials(Cell(**{**vars(CELL), "way": way}), splits, 3, 0) for way in ("train", "loop"))
    assert in_turn.scores == pytest.approx(alone.scores, abs=0.01)  # dropout included
    other = run_trials(CELL, splits, 4, 0)
    assert other.scores != alone.scores


def test_processes_run_trials_of_their_own():
    cell = Cell(**{**vars(CELL), "way": "loop", "together": 2, "processes": 2})
    ((first, second),) = many_trials.measure(cell, "", 1)
    assert len(first.scores) == len(second.scores) == 2
    assert first.scores != second.scores
    assert max(first.begin, second.begin) < min(first.end, second.end)  # at the same time


def test_a_repeat_lasts_from_the_first_begin_to_the_last_end_shared_by_all_trials():
    splits = images_of("digits", "")
    cell = Cell(device="cpu", data="digits", way="loop", graph=False, together=3, processes=2, epochs=30)
    repeats = [[Timing(10.0, 15.0, 4.0, (0.5,) * 3), Timing(11.0, 22.0, 8.0, (0.5, None, 0.5))]]
    found = record_of(cell, splits, repeats)
    assert found["seconds_a_trial_as_run"] == [2.0]
    assert found["cpu_seconds_a_trial_as_run"] == [2.0]
    assert found["epochs_run"] == 30
    assert found["extrapolated_seconds_a_trial_of_120_epochs"] == [8.0]
    assert found["scores"].count(None) == 1


def test_flops_are_those_counted_by_hand():
    """2 a multiply-add; backward twice the forward, less the gradient of the images, which nobody needs."""
    splits = images_of("digits", "")
    first = 9 * 32 * 64
    rest = 9 * 32 * 32 * 64 + 9 * 32 * 64 * 16 + 9 * 64 * 64 * 16 + 256 * 512 + 512 * 10
    assert flops_an_epoch(splits) == 2 * (2 * first + 3 * rest) * 64 * (len(splits.train_labels) // 64)


def test_a_way_that_fails_is_noted_tried_again_and_does_not_end_the_others(tmp_path, monkeypatch):
    def failing(cell, *others):
        if cell.way == "loop":
            raise RuntimeError("no memory\nat all")
        return [[Timing(0.0, 1.0, 1.0, (0.5,))]]

    monkeypatch.setattr(many_trials, "measure", failing)
    records = run(tmp_path, "--together", "2", "--repeats", "1")
    assert [record.get("error") for record in records] == [None, "RuntimeError: no memory"]
    assert len(run(tmp_path, "--together", "2", "--repeats", "1")) == 3


def test_the_report_has_medians_spread_and_utilisation():
    splits = images_of("digits", "")
    timings = [[Timing(0.0, seconds, seconds, (0.5,))] for seconds in (3.0, 1.0, 2.0)]
    about = {"hardware": "a GPU", "matrix_flops_a_second": flops_an_epoch(splits) * 120 / 20.0}
    cuda = Cell(**{**vars(CELL), "device": "cuda", "epochs": 60, "way": "grouped", "graph": True})
    record = json.loads(json.dumps(about | record_of(cuda, splits, timings)))
    text = report([about | {**vars(cuda), "error": "an old one"}, record])
    assert "| grouped, CUDA graph | 1 | 1 | 60 | 4 (extrapolated); 2 to 6, n = 3 | 500 % |" in text
    assert "an old one" not in text
    assert "719 training and 180 validation images of 8x8x1" in text


def test_synthetic_images_are_as_many_and_as_large_as_a_trials():
    splits = images_of("synthetic", "")
    assert splits.train_images.shape == (2000, 3, 32, 32)
    assert splits.validation_images.shape == (1000, 3, 32, 32)
    assert splits.train_images.dtype == torch.uint8
    assert math.isclose(splits.train_images.double().mean().item() / 255, 0.5, abs_tol=0.01)

"""The augmentation benchmark: who meets what, what is kept, and what its report makes of that."""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import pytest
import torch

from benchmarks import augment_report, augment_throughput, race
from benchmarks.augment_limits import copy_bandwidth, one_pass_limit, training_steps
from benchmarks.augment_rivals import PACKAGES, make_contestant
from benchmarks.augment_throughput import Cell, Player, Settings
from benchmarks.augment_works import make_images, make_works

SMALL = ["--sizes", "16", "--batches", "16", "--policies", "4", "--repeats", "2"]
TRIO = ["ours_image", "ours_batch", "torchvision_tensor"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(augment_throughput, "MEETING_SECONDS", 1e-4)
    monkeypatch.setattr(augment_throughput, "copy_bandwidth", lambda device: 1e10)
    dynamo, inductor, threads = torch._dynamo.config, torch._inductor.config, torch.get_num_threads()
    before = dynamo.recompile_limit, dynamo.accumulated_recompile_limit, inductor.force_disable_caches
    yield
    dynamo.recompile_limit, dynamo.accumulated_recompile_limit, inductor.force_disable_caches = before
    torch.set_num_threads(threads)


def run(monkeypatch, path, *arguments):
    monkeypatch.setattr(sys, "argv", ["augment_throughput", "--results", str(path), *SMALL, *arguments])
    augment_throughput.main()
    return race.read_lines(path)


def test_a_run_keeps_all_contestants_and_is_not_repeated_until_asked(monkeypatch, tmp_path):
    path = tmp_path / "found.jsonl"
    records = run(monkeypatch, path, "--contestants", *TRIO)
    found = {(record["work"], record["contestant"]) for record in records if "contestant" in record}
    assert found == {("policies", name) for name in TRIO} | {
        (work, name) for work in ("autoaugment", "trivialaugment") for name in ("ours_image", "torchvision_tensor")
    }
    assert len({record["run"] for record in records}) == 1
    for record in records:
        assert record["conditions"]["versions"]["torch"] == torch.__version__.partition("+")[0]
        for _, _, seconds, cpu_seconds in record.get("measured", ()):
            assert 0.0 < seconds < 1.0
            assert 0.0 < cpu_seconds < 1.0
    assert run(monkeypatch, path, "--contestants", *TRIO) == records
    assert run(monkeypatch, path, "--contestants", *TRIO[:2]) == records  # a part of what is there
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))  # a crash before the last line
    again = [entry["work"] for entry in run(monkeypatch, path, "--contestants", *TRIO)[len(records) :]]
    assert again == ["trivialaugment"] * 2
    assert len(run(monkeypatch, path, "--contestants", *TRIO, "--redo")) == 2 * len(records) + 2
    text = (tmp_path / "found.md").read_text()
    assert "16x16, batch of 16" in text
    assert "torchvision_tensor" in text


def test_results_of_another_state_of_our_code_are_not_taken_for_the_present(monkeypatch, tmp_path):
    path = tmp_path / "found.jsonl"
    before = run(monkeypatch, path, "--contestants", "ours_image", "--works", "policies")
    monkeypatch.setattr(augment_throughput, "code_of_ours", lambda: "another")
    assert len(run(monkeypatch, path, "--contestants", "ours_image", "--works", "policies")) == 2 * len(before)


def test_a_library_that_is_not_there_is_named_and_the_others_go_on(monkeypatch, tmp_path):
    monkeypatch.setattr(
        augment_throughput, "missing_packages", lambda name: list(PACKAGES["kornia"]) if name == "kornia" else []
    )
    path = tmp_path / "found.jsonl"
    records = run(monkeypatch, path, "--contestants", "kornia", "ours_image", "--works", "policies")
    by_name = {record["contestant"]: record for record in records if "contestant" in record}
    assert "kornia not installed" in by_name["kornia"]["error"]
    assert by_name["ours_image"]["measured"]
    assert "kornia not installed" in path.with_suffix(".md").read_text()
    assert len(run(monkeypatch, path, "--contestants", "kornia", "ours_image", "--works", "policies")) == len(records)


def test_in_each_repeat_all_contestants_meet_the_same_policies_and_over_all_repeats_every_one_once():
    cell, settings = Cell("cpu", 16, 16, "policies"), Settings(policies=7, repeats=3, images="synthetic")
    images = make_images(16, 16)
    players = [Player(name, cell, settings, images) for name in TRIO]
    seen = []
    for repeat in range(settings.repeats):
        met = [[number for number, *_ in player.turn(repeat, settings.repeats)] for player in players]
        assert met[0] == met[1] == met[2]
        seen += met[0]
    assert sorted(seen) == list(range(7))


def test_slow_ones_get_fewer_images_and_fast_ones_more_calls_but_batches_stay_whole(monkeypatch):
    cell, settings = Cell("cpu", 16, 32, "policies"), Settings(policies=1, repeats=1, images="synthetic")

    def slow(seconds_an_image):
        def made(name, work, device, *, side, seed=0):
            contestant = make_contestant("torchvision_tensor", work, device, side=side)
            sleep = lambda images: time.sleep(seconds_an_image * len(images))  # noqa: E731
            return type(contestant)(name, device, name == "one", contestant.prepare, sleep, contestant.pixels)

        return made

    monkeypatch.setattr(augment_throughput, "MEETING_SECONDS", 0.04)
    for name, seconds, images, calls in (("one", 2e-3, 20, 1), ("one", 2e-4, 32, 6), ("all", 2e-3, 32, 1)):
        monkeypatch.setattr(augment_throughput, "make_contestant", slow(seconds))
        player = Player(name, cell, settings, make_images(32, 16))
        player.warm_up()
        assert player.images_per_call == pytest.approx(images, abs=images * 0.25)
        assert player.calls == pytest.approx(calls, abs=2 if calls > 1 else 0)
        [(_, measured, cpu), _] = player.turn(0, 1)
        assert measured == pytest.approx(seconds, rel=0.6)
        assert cpu < 0.5 * measured  # it slept


def record(contestant, measured, *, device="cpu", size=32, batch=128, work="policies", run="1", **others):
    about = {"device": device, "size": size, "batch": batch, "work": work, "contestant": contestant, "run": run}
    conditions = {"versions": {"torch": "2"}, "gpu": None, "cpu": "X", "cores": 2, "python": "3.11"}
    settings = {"images": "synthetic"}
    kept = {"code": "c", "settings": settings, "runs_on": device, "measured": measured, "conditions": conditions}
    return about | kept | others


def evenly(seconds, repeats=4, policies=4):
    """Policies of which the third costs ten times as much."""
    return [[r, p, 9.0, seconds * (10.0 if p == 2 else 1.0)] for r in range(repeats) for p in [r % policies]]


def test_ratios_are_of_repeats_that_met_the_same_policies_and_by_cpu_seconds():
    ours, theirs = record("ours_image", evenly(1e-5)), record("pillow", evenly(3e-5))
    assert augment_report.ratio(ours, theirs) == pytest.approx(3.0)
    cuda = record("pillow", [[0, 0, 1e-3, 5.0]], device="cuda")
    assert augment_report.rates(cuda) == {0: pytest.approx(1000.0)}


def test_a_compiled_one_is_compared_on_the_policies_that_it_met():
    ours = record("ours_image", evenly(1e-5))
    compiled = record("ours_image_compiled", [[r, 2, 9.0, 5e-5] for r in range(4)], compile_seconds=1.0)
    assert augment_report.ratio(ours, compiled) == pytest.approx(0.5)  # ours takes 1e-4 for policy 2


def test_a_repeats_rate_is_that_of_all_its_images_together():
    found = augment_report.rates(record("pillow", [[0, 0, 9.0, 1e-3], [0, 1, 9.0, 3e-3]]))
    assert found == {0: pytest.approx(500.0)}


def test_the_report_says_which_targets_are_met_and_how_far_the_memory_is(tmp_path):
    records = [
        {"device": "cpu", "limit": "bandwidth", "bytes_per_second": 6144e6, "run": "1"},
        record("ours_image", evenly(1e-5)),
        record("ours_batch", evenly(1e-5)),
        record("pillow", evenly(7e-5)),
        record("albumentations", [], error="albumentations not installed"),
    ]
    text = augment_report.write_report(records, tmp_path / "found.jsonl")
    assert "| cpu, 32x32: ours_image 6 times pillow | 7 times |" in text
    assert "albumentations not installed" in text
    # 2 x 3 x 32 x 32 bytes an image at 6144 MB/s: a million; ours makes a hundred thousand in the median repeat
    assert "| 32 | 128 | 1 M | ours_image | 100 k | 10 % |" in text
    assert (tmp_path / "found_cpu_128.png").read_bytes().startswith(b"\x89PNG")


def test_of_several_runs_of_a_cell_the_newest_with_all_contestants_is_shown():
    records = [
        record("ours_image", evenly(1e-5)),
        record("pillow", evenly(1e-5)),
        record("ours_image", evenly(2e-5), run="2"),
        record("pillow", evenly(2e-5), run="2"),
        record("pillow", evenly(3e-5), run="3"),
    ]
    [found] = augment_report.newest_cells(records).values()
    assert {entry["run"] for entry in found.values()} == {"2"}


def test_training_steps_of_the_gpu_are_set_against_the_target(tmp_path):
    seconds = {"none": [0.010, 0.010, 0.010], "ours_image": [0.0102] * 3, "ours_batch": [0.011] * 3}
    records = [
        record("ours_image", [[0, 0, 1e-6, 1e-6]], device="cuda"),
        {"device": "cuda", "limit": "training_step", "batch": 512, "seconds": seconds},
    ]
    text = augment_report.write_report(records, tmp_path / "found.jsonl")
    assert "less than 3 % of a training step | ours_image: 2.0 %" in text
    assert "| ours_batch | 11.00 | +10.0 % |" in text


def test_one_pass_over_an_image_reads_and_writes_all_its_bytes():
    assert one_pass_limit(6144.0, 32) == pytest.approx(1.0)


def test_the_copy_bandwidth_is_near_numpys():
    source = np.zeros(2**25, dtype=np.uint8)
    target = np.ones_like(source)
    begin = time.perf_counter()
    np.copyto(target, source)
    theirs = 2 * len(source) / (time.perf_counter() - begin)
    assert theirs / 20 < copy_bandwidth(torch.device("cpu"), size=2**25, repeats=3) < theirs * 20


def test_training_steps_take_turns_and_call_each_transform_at_every_step():
    calls = []

    def transform(images):
        calls.append(images.shape)
        time.sleep(0.05)
        return images

    images = make_images(4, 32)
    found = training_steps(torch.device("cpu"), images, {"none": None, "slow": transform}, repeats=2, steps=1)
    assert [len(seconds) for seconds in found.values()] == [2, 2]
    assert len(calls) == 3  # one warms up
    assert min(found["slow"]) > 0.05
    assert torch.equal(images, make_images(4, 32))


def test_records_are_json_with_finite_numbers_only(monkeypatch, tmp_path):
    path = tmp_path / "found.jsonl"
    run(monkeypatch, path, "--contestants", "ours_image", "--works", "trivialaugment")
    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


def test_all_works_have_as_many_distributions_as_asked_for():
    assert [len(make_works(name, 5)) for name in ("policies", "autoaugment", "trivialaugment")] == [5, 1, 1]
    assert len({work.ours("image").record.sub_policies for work in make_works("policies", 5)}) == 5

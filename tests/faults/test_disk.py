"""Disks that are full or read-only, journals that were cut or damaged: what was acknowledged is kept or named."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from fault_table import numbers, seed_of
from invariants import check_search, records_of
from quick_search import SPACE

from tuun_da.engines.study import Study
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.errors import JournalError
from tuun_da.search.history import read_journal

pytestmark = pytest.mark.e2e

N_TRIALS = 10
PAGE = 4096  # bytes, the grain of a tmpfs


def generator_of(fault, number):
    return np.random.default_rng(seed_of(fault, number))


def job_of(folder, rng, **more):
    return {"folder": folder, "n_trials": N_TRIALS, "seed": int(rng.integers(2**31)), "seconds": 0.0, **more}


def finished_ids(path):
    return {record["id"] for record in records_of(path) if record["kind"] == "finished"}


ROOM = "full disk, room is made"
NO_ROOM = "full disk, no room"


@pytest.mark.parametrize("number", numbers(ROOM))
def test_results_that_a_full_disk_refused_are_written_when_there_is_room(mounting_searcher, table, tmp_path, number):
    """From some record on nothing fits; some refusals later somebody deletes a file."""
    rng = generator_of(ROOM, number)
    left, refusals = int(rng.integers(1, 3)) * PAGE, int(rng.integers(1, 5))  # 24 trials take three pages
    job = job_of(tmp_path, rng, part="disk", size=256 * 1024, left=left, n_trials=24, room_after=refusals)
    with table.injected(ROOM) as happened:
        code, [first, second] = mounting_searcher.run(job)
        assert code == 0
        assert (tmp_path / "output.txt").read_text().count("No space left") >= refusals
        assert (first.get("n_trials"), second.get("n_trials")) == (24, 24), first
        check_search(tmp_path, n_trials=24)
        happened.append("records were refused and written later")


@pytest.mark.parametrize("number", numbers(NO_ROOM))
def test_a_disk_that_stays_full_ends_the_search_which_says_what_is_not_on_it(
    mounting_searcher, table, tmp_path, number
):
    rng = generator_of(NO_ROOM, number)
    pages = int(rng.integers(0, 4))
    job = job_of(
        tmp_path, rng, part="disk", size=256 * 1024, left=pages * PAGE, n_trials=60, n_workers=2 * (number % 3 == 2)
    )
    with table.injected(NO_ROOM) as happened:
        code, [full, again] = mounting_searcher.run(job)
        assert full["error"] == "JournalError"
        assert "cannot be written: No space left on device" in full["message"]
        if pages:
            on_disk = finished_ids(tmp_path / "full.jsonl")
            named = {int(n) for n in re.findall(r"(\d+) \(succeeded, score ", full["message"])}
            ran = {json.loads(line)["id"] for line in (tmp_path / "ran_full.jsonl").read_text().splitlines()}
            assert named
            assert named.isdisjoint(on_disk)
            assert len(ran - on_disk - named) <= job["n_workers"]  # those were still running
            for journal in ("full.jsonl", "journal.jsonl"):
                check_search(tmp_path, journal=journal, before="_full", all_noted=False)
        assert (code, again["n_trials"]) == (0, 60)
        check_search(tmp_path, n_trials=60)
        happened.append("the search ended, and named the trials" if pages else "the search did not begin")


READ_ONLY = "read-only file system"


@pytest.mark.parametrize("number", numbers(READ_ONLY))
def test_a_read_only_journal_is_told_and_stays_as_it_is(mounting_searcher, table, tmp_path, number):
    rng = generator_of(READ_ONLY, number)
    part = ("read-only", "begin-read-only")[number % 2]
    stop_at = int(rng.integers(1, N_TRIALS))
    job = job_of(tmp_path, rng, part=part, size=256 * 1024, stop_at=stop_at)
    with table.injected(READ_ONLY) as happened:
        code, outcomes = mounting_searcher.run(job)
        refused, again = outcomes[-2:]
        assert (refused["error"], "Read-only file system" in refused["message"]) == ("JournalError", True)
        if part == "read-only":
            assert outcomes[0] == outcomes[0] | {"n_trials": stop_at, "interrupted": True}
            assert (tmp_path / "read_only.jsonl").read_bytes() == (tmp_path / "full.jsonl").read_bytes()
        else:
            assert not (tmp_path / "read_only.jsonl").exists()
        assert (code, again["n_trials"]) == (0, N_TRIALS)
        check_search(tmp_path, n_trials=N_TRIALS)
        happened.append("after some trials" if part == "read-only" else "before the journal")


@pytest.fixture
def half(searcher, tmp_path):
    """Makes the job of a search that ended in the middle, and its journal."""

    def make(rng):
        job = job_of(tmp_path, rng)
        code, _ = searcher.run(job | {"n_trials": int(rng.integers(2, N_TRIALS))})
        assert code == 0
        return job, tmp_path / "journal.jsonl"

    return make


TORN = "last line torn at every byte"


@pytest.mark.parametrize("number", numbers(TORN))
def test_a_torn_last_line_costs_that_line_only(half, searcher, table, tmp_path, number):
    rng = generator_of(TORN, number)
    with table.injected(TORN) as happened:
        job, path = half(rng)
        raw = path.read_bytes()
        # the last record of the search, or an earlier one, after which the machine had stopped
        lines = raw.splitlines(keepends=True)
        lines = lines[: int(rng.integers(2, len(lines) + 1))]
        before = b"".join(lines[:-1])
        settings = TunerSettings(seed=job["seed"], surrogate="random", n_initial=3)
        for cut in range(len(lines[-1])):
            path.write_bytes(before + lines[-1][:cut])
            assert len(read_journal(path).events) == len(lines) - 2
            if cut % 5 == 0:
                Study.open(path, SPACE, settings).journal.close()
                assert path.read_bytes() == before
        path.write_bytes(before + lines[-1][: int(rng.integers(len(lines[-1])))])
        for name in ("ran.jsonl", "acknowledged.jsonl"):
            (tmp_path / name).unlink()  # of what the machine forgot
        code, _ = searcher.run(job)
        assert code == 0
        check_search(tmp_path, n_trials=N_TRIALS)
        happened.append(f"an {json.loads(lines[-1])['kind']} record".replace("an f", "a f"))


DAMAGE = "a bit, or a block, damaged"
FLIPS = 100


@pytest.mark.parametrize("number", numbers(DAMAGE))
def test_damage_is_reported_with_its_line_and_the_file_left_alone(half, searcher, table, tmp_path, number):
    rng = generator_of(DAMAGE, number)
    with table.injected(DAMAGE) as happened:
        job, path = half(rng)
        raw = path.read_bytes()
        whole = read_journal(path)
        n_harmless = 0
        for _ in range(FLIPS):
            damaged = bytearray(raw)
            place = int(rng.integers(len(raw)))
            if number % 4 == 3:
                size = int(rng.integers(2, 513))
                damaged[place : place + size] = bytes(len(damaged[place : place + size]))
            else:
                damaged[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            line = raw[:place].count(b"\n") + 1
            try:
                content = read_journal(path)
                if number % 4 == 3 and damaged[-1] == 0:  # cannot be told from a line that was never whole
                    assert content.events == whole.events[: line - 2]
                else:
                    assert content == whole, "damage that changes what is read"
                n_harmless += 1  # else in the name of the crc itself
            except JournalError as error:
                words = str(error)
                assert f"line {line}" in words or (line == 1 and "not a journal" in words), words
        assert n_harmless < FLIPS / 4
        path.write_bytes(damaged)
        code, [outcome] = searcher.run(job)
        if code:
            assert outcome["error"] == "JournalError"
            assert path.read_bytes() == damaged
        happened.append(f"{FLIPS} {'blocks' if number % 4 == 3 else 'bits'}, each named with its line")

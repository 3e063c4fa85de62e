"""What must hold after any fault, checked without tuun_da's own reading of the journal."""

from __future__ import annotations

import json
import math
import zlib
from collections import Counter
from pathlib import Path

import psutil
from quick_search import score_of


def records_of(path):
    """The records of a journal that is whole: each line is JSON and has the CRC-32 of the rest of it."""
    raw = Path(path).read_bytes()
    assert raw.endswith(b"\n"), "the last line is cut off"
    records = []
    for number, line in enumerate(raw.splitlines(), 1):
        body, separator, tail = line.rpartition(b', "crc": "')
        assert separator, f"line {number} has no crc"
        assert tail == f'{zlib.crc32(body + b"}"):08x}"}}'.encode(), f"line {number} is not what its crc says"
        records.append(json.loads(line, parse_constant=_refuse))
    assert records[0]["kind"] == "header"
    assert records[0]["format"] == "tuun_da journal"
    return records


def check_search(folder, *, n_trials=None, journal="journal.jsonl", before="", all_noted=True):
    """No trial lost, none paired wrongly, each asked as it ran, no id twice; ``n_trials`` have ended.

    Without ``all_noted``, trials may have run that the disk refused to note. ``before`` is of the names of the files
    that say what was run and acknowledged. Returns the finished records.
    """
    folder = Path(folder)
    records = records_of(folder / journal)
    asked_ids = [record["id"] for record in records if record["kind"] == "asked"]
    assert max(Counter(asked_ids).values(), default=1) == 1, f"an id was asked twice: {asked_ids}"
    asked = {record["id"]: record["parameters"] for record in records if record["kind"] == "asked"}
    points = Counter(json.dumps(parameters, sort_keys=True) for parameters in asked.values())
    assert max(points.values(), default=1) == 1, "a point was asked twice"
    finished = [record for record in records if record["kind"] == "finished"]
    ids = [record["id"] for record in finished]
    assert len(set(ids)) == len(ids), f"a trial has more than one end: {ids}"
    for record in finished:
        assert record["parameters"] == asked[record["id"]], f"trial {record['id']} was asked otherwise"
        if record["state"] == "succeeded":
            assert record["value"] == score_of(record["parameters"]), f"trial {record['id']} has another one's score"
        else:
            assert record["value"] is None or math.isfinite(record["value"])
            assert record.get("error"), f"trial {record['id']} failed without a reason"
        if record.get("started") is not None and record.get("ended") is not None:
            assert record["ended"] >= record["started"], f"trial {record['id']} ended before it began"
    for run in _lines(folder / f"ran{before}.jsonl"):
        if all_noted or run["id"] in asked:
            assert run["parameters"] == asked[run["id"]], f"trial {run['id']} ran other parameters than were asked"
    by_id = {record["id"]: {k: v for k, v in record.items() if k != "crc"} for record in finished}
    for record in _lines(folder / f"acknowledged{before}.jsonl"):
        assert by_id.get(record["id"]) == record, f"trial {record['id']} was acknowledged and is not in the journal so"
    if n_trials is not None:
        assert len(finished) == n_trials
    return finished


def processes_left(folder):
    """Processes whose environment names the folder: the workers of its searches, and what these have started."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in process.environ().get("TUUN_DA_FAULTS_JOB", ""):
                found.append(process)
        except psutil.Error:
            continue
    return [process for process in found if _is_running(process)]


def _is_running(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _refuse(name):
    raise AssertionError(f"{name} in the journal")

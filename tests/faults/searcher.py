"""A process that has loaded everything and forks a search for each job, so that a fault costs no start of Python.

It reads commands from its standard input, a JSON object in each line, and answers with one: ``{"begin": job}`` with the
process id of the search, ``{"wait": pid}`` with its exit code (negative: the signal that killed it). A search that ends
by itself leaves ``outcomes.json`` in its folder: what each of its parts came to. With ``job["part"]``:

    "plain"      one search
    "disk"       on a tmpfs that is full but for ``left`` bytes; when it ends, room is made, and it is started again
    "read-only"  ended after ``stop_at`` trials, the file system made read-only, started; made writable, started again
    "begin-read-only"  the same, before there is a journal
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import quick_search

import tuun_da.engines.local  # noqa: F401  # before the first fork
from tuun_da.errors import TuunDaError
from tuun_da.search.gaussian_process import GaussianProcess
from tuun_da.search.history import Journal


def parts(job):
    """Run the parts of the job; what each came to."""
    folder = Path(job["folder"])
    journal = folder / "journal.jsonl"
    part = job.get("part", "plain")
    if part == "plain":
        return [attempt(job, journal)]
    disk = folder / "disk"
    disk.mkdir()
    mount("-t", "tmpfs", "-o", f"size={job['size']}", "none", disk)
    on_disk = disk / "journal.jsonl"
    try:
        if part == "disk":
            fill(disk, job["left"])
            found = [attempt(job, on_disk)]
            keep(on_disk, folder / "full.jsonl")
            for name in ("ran", "acknowledged"):
                if (folder / f"{name}.jsonl").exists():
                    (folder / f"{name}.jsonl").rename(folder / f"{name}_full.jsonl")
            (disk / "ballast").unlink(missing_ok=True)
            return [*found, attempt(job, on_disk)]
        found = []
        if part == "read-only":
            found.append(attempt(job, on_disk, stop_at=job["stop_at"]))
            keep(on_disk, folder / "full.jsonl")
        mount("-o", "remount,ro", disk)
        found.append(attempt(job, on_disk))
        keep(on_disk, folder / "read_only.jsonl")
        mount("-o", "remount,rw", disk)
        return [*found, attempt(job, on_disk)]
    finally:
        keep(on_disk, journal)


def keep(source, target):
    """Copy what other processes cannot see, if it is there."""
    if source.exists():
        shutil.copyfile(source, target)


def attempt(job, journal, *, stop_at=None):
    """One call of the search; what it came to."""

    def on_trial(trial, content):
        if len(content.trials) == stop_at:
            raise KeyboardInterrupt

    begun = time.monotonic()
    try:
        content, interrupted = quick_search.search(job, journal, on_trial=on_trial)
    except TuunDaError as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {"n_trials": len(content.trials), "interrupted": interrupted, "seconds": time.monotonic() - begun}


def mount(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)


def fill(disk, left):
    """Put so much on the disk that ``left`` bytes fit."""
    room = os.statvfs(disk)
    with open(disk / "ballast", "wb") as file:
        file.write(bytes(max(0, room.f_bavail * room.f_frsize - left)))


def prepare(job):
    """What is wrong in the process of the search itself."""
    if "patience" in job:
        Journal.open.__func__.__kwdefaults__["patience_seconds"] = job["patience"]
    if "clock" in job:
        real, offsets, calls = time.time, job["clock"], []

        def jumping():
            calls.append(None)
            return real() + offsets[len(calls) // job["calls_between_jumps"] % len(offsets)]

        time.time = jumping
    if "surrogate_fails" in job:
        fit, fits = GaussianProcess.fit, []

        def failing(self, *arguments):
            fits.append(None)
            if len(fits) - 1 in job["surrogate_fails"]:
                quick_search.note(job["folder"], "raised.jsonl", len(fits))
                raise np.linalg.LinAlgError("the matrix is not positive definite")
            return fit(self, *arguments)

        GaussianProcess.fit = failing


def begin(job):
    """Fork a search; its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 3
    try:
        os.chdir(job["folder"])
        os.setsid()
        log = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        for number in (1, 2):
            os.dup2(log, number)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        prepare(job)
        outcomes = parts(job)
        with open(job.get("outcomes", "outcomes.json"), "w") as file:
            json.dump(outcomes, file)
        code = 1 if "error" in outcomes[-1] else 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def main():
    for line in sys.stdin:
        command = json.loads(line)
        if "begin" in command:
            answer = begin(command["begin"])
        else:
            _, status = os.waitpid(command["wait"], 0)
            answer = os.waitstatus_to_exitcode(status)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

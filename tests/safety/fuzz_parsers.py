"""A coverage-guided fuzz run over every parser of data (readers.py), by atheris, from real files (seeds.py).

Each input must become a value or a TuunDaError, within ``SECONDS`` and ``MEMORY_MB``. Needs atheris 3.0.0, which the
lock does not have (``uv pip install atheris==3.0.0``). A parser runs in a process of its own, one after the other,
since libFuzzer ends it:

    python tests/safety/fuzz_parsers.py --minutes 10 --found found/ -o benchmarks/results/fuzz.json

Inputs that break the rule stay in the folder ``--found``, and in the result as text.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import importlib.metadata
import json
import logging
import os
import platform
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

SECONDS = 20  # for one input, on a machine that others use too
MEMORY_MB = 4000
LARGEST = 20_000  # bytes of an input; the seeds have up to 15,000
COUNTED_EVERY = 20  # inputs, so that the last few are missing among those refused or taken
N_DAMAGED = 60  # structured damage to each seed, as more seeds
SHARES = {"policy": 1.5, "probe": 1, "space": 1.5, "journal": 2, "report": 2, "confirmation": 0.7, "config": 1.5,
          "settings": 0.7, "npz": 1}  # fmt: skip
"""Of the time, by parser."""
LINE = re.compile(r"#(\d+)\s+(\w+)\s+cov: (\d+) ft: (\d+)(?: corp: (\d+))?")


def main() -> None:
    """Fuzz each parser for its share of the time, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="in all (default: %(default)s)")
    parser.add_argument("--readers", default=",".join(SHARES), help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--found", type=Path, required=True, metavar="FOLDER", help="where findings are kept")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    names = options.readers.split(",")
    options.found.mkdir(parents=True, exist_ok=True)
    readers = instrumented()
    began = time.time()
    runs = {}
    for name in names:
        seconds = round(60 * options.minutes * SHARES[name] / sum(SHARES[other] for other in names))
        runs[name] = fuzz_in_process(name, readers[name], seconds, options.seed, options.found.resolve())
        print(name, {key: value for key, value in runs[name].items() if key != "findings"}, flush=True)
        print(*(f"  {finding['error']}" for finding in runs[name]["findings"]), sep="\n", flush=True)
    result = {
        "what": "coverage-guided fuzzing of the parsers of data: each input becomes a value or a TuunDaError",
        "minutes": round((time.time() - began) / 60, 2),
        "seed": options.seed,
        "limits": {"seconds": SECONDS, "memory_mb": MEMORY_MB, "input_bytes": LARGEST},
        "versions": {name: importlib.metadata.version(name) for name in ("atheris", "numpy", "pyyaml", "pillow")}
        | {"python": platform.python_version(), "tuun_da": commit()},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one process at nice {os.nice(0)}",
        "inputs": sum(run["inputs"] for run in runs.values()),
        "findings": sum(len(run["findings"]) for run in runs.values()),
        "parsers": runs,
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n")


def commit() -> str:
    """The commit of the code, and whether it was changed since."""
    folder = Path(__file__).parents[2]
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=folder, capture_output=True, text=True, check=False
    )
    changed = subprocess.run(["git", "status", "--porcelain", "tuun_da"], cwd=folder, capture_output=True, check=False)
    return head.stdout.strip() + (", changed" if changed.stdout else "")


def fuzz_in_process(
    name: str, read: Callable[[bytes], None], seconds: int, seed: int, found: Path
) -> dict[str, object]:
    """Fuzz one parser; after a finding go on with what is left of the time, and the corpus so far."""
    end = time.monotonic() + seconds
    inputs, coverage, features, corpus_size, findings = 0, 0, 0, 0, []
    refused = taken = 0
    with tempfile.TemporaryDirectory(prefix="tuun_da_fuzz_") as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        counted = Path(folder) / "counted.json"
        while time.monotonic() < end - 2 and len(findings) < 20:
            left = max(2, round(end - time.monotonic()))
            options = [
                f"-max_total_time={left}", f"-seed={seed + len(findings)}", f"-max_len={LARGEST}",
                f"-timeout={SECONDS}", f"-rss_limit_mb={MEMORY_MB}", f"-malloc_limit_mb={MEMORY_MB}",
                f"-artifact_prefix={folder}/",
            ]  # fmt: skip
            log = Path(folder) / "said"
            code, words = forked(left + 300, log, partial(run, name, read, corpus, counted, options))
            log.unlink()
            said = [match for match in map(LINE.search, words.splitlines()) if match]
            if said:
                inputs += int(said[-1][1])
                coverage, features = max(coverage, int(said[-1][3])), max(features, int(said[-1][4]))
            corpus_size = len(list(corpus.iterdir()))
            if counted.exists():
                outcome = json.loads(counted.read_text())
                refused, taken = refused + outcome["refused"], taken + outcome["taken"]
            if code == 0:
                break
            findings.append(finding(name, Path(folder), words, found))
    return {
        "seconds": seconds,
        "inputs": inputs,
        "refused": refused,
        "taken": taken,
        "coverage": coverage,
        "features": features,
        "corpus": corpus_size,
        "findings": findings,
    }


def finding(name: str, folder: Path, said: str, found: Path) -> dict[str, str]:
    """What ended a run: the error, and the input, which is kept."""
    lines = [line for line in said.splitlines() if line.strip()]
    error = next((line for line in lines if "ERROR: libFuzzer" in line), lines[-1] if lines else "no word")
    last = [line.strip() for line in lines if re.match(r"\s*(\w+\.)*\w*(Error|Exception|Exit)\b", line)]
    where = [line.strip() for line in lines if "/tuun_da/" in line and line.strip().startswith("File")]
    kept = ""
    for artifact in sorted(folder.glob("*-*")):
        if artifact.is_file():
            raw = artifact.read_bytes()
            kept = base64.b64encode(raw[:2000]).decode()
            (found / f"{name}_{artifact.name[:40]}").write_bytes(raw)
            artifact.unlink()
    return {"error": " | ".join([error, *last[:1], *where[-1:]])[:600], "input_base64": kept}


def instrumented() -> Mapping[str, Callable[[bytes], None]]:
    """The readers, with the branches of the project's modules counted; what they import is not."""
    import atheris

    for name in ("matplotlib.figure", "scipy.stats", "torch", "torchvision"):
        importlib.import_module(name)  # the large ones first, which are not to be instrumented
    sys.path.insert(0, str(Path(__file__).parent))
    with atheris.instrument_imports(include=["tuun_da", "yaml"]):
        for name in ("engines.export", "report.html_report", "report.markdown_report"):
            importlib.import_module(f"tuun_da.{name}")  # which the readers import when they are called
        readers: Mapping[str, Callable[[bytes], None]] = importlib.import_module("readers").READERS
    return readers


def run(name: str, read: Callable[[bytes], None], corpus: Path, counted: Path, options: list[str]) -> None:
    """In a process of its own: give the parser one input after the other until libFuzzer ends the process."""
    import atheris
    from damage import damaged, damaged_lines
    from seeds import seeds

    from tuun_da.errors import TuunDaError

    logging.getLogger("tuun_da").setLevel(logging.CRITICAL)  # what is left out would be said thousands of times
    rng = random.Random(0)
    for number, raw in enumerate(seeds()[name]):
        (corpus / f"seed{number}").write_bytes(raw)
        if name in ("npz", "config"):
            continue
        for variant in range(N_DAMAGED):
            made = damaged_lines(raw, rng) if name in ("journal", "report") else None
            made = json.dumps(damaged(json.loads(raw), rng)).encode() if made is None else made
            (corpus / f"seed{number}_{variant}").write_bytes(made)
    outcome = {"refused": 0, "taken": 0}

    def one(raw: bytes) -> None:
        try:
            read(raw)
            outcome["taken"] += 1
        except TuunDaError:
            outcome["refused"] += 1
        if sum(outcome.values()) % COUNTED_EVERY == 0:  # libFuzzer ends the process without Python's farewell
            counted.write_text(json.dumps(outcome))

    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


def forked(seconds: float, said: Path, task: Callable[[], None]) -> tuple[int, str]:
    """Exit code of a child that does ``task``, and what it wrote to stderr; it is killed after so many seconds."""
    child = os.fork()
    if child == 0:
        with open(said, "wb") as file:
            os.dup2(file.fileno(), 2)
            os.dup2(file.fileno(), 1)
        try:
            task()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(70)
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), said.read_text(errors="replace")
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.2)


if __name__ == "__main__":
    main()

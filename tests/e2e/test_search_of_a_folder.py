"""``tuun-da search --data`` as a user has it: killed, interrupted, gone on with, done; and nothing done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from tuun_da.api.guided_plan import GuidedRequest
from tuun_da.api.guided_search import guided_search
from tuun_da.engines.replay import optimizer_from_journal
from tuun_da.policy_format import PolicyRecord
from tuun_da.search.history import TrialState, read_journal

pytestmark = pytest.mark.e2e

SEARCH = (
    "search", "--data", "photos", "--minutes", "10", "--trials", "5", "--epochs", "2", "--model", "slow_net:Slow",
    "--seeds", "2", "--workers", "2", "--folder", "out", "-o", "mine.json", "--device", "cpu",
)  # fmt: skip
NET = """
import time
from tuun_da.training.models.child_cnn import ChildCNN

class Slow(ChildCNN):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        time.sleep(0.5)  # so that a search can be stopped in its middle
"""


def write_photos(folder: Path) -> None:
    """Two classes that a network can tell apart: stripes that lie and stripes that stand."""
    rng = np.random.default_rng(0)
    for name, axis in (("lying", 0), ("standing", 1)):
        (folder / name).mkdir(parents=True)
        for number in range(40):
            stripes = np.where((np.arange(16) + rng.integers(4)) % 4 < 2, 70, 180)
            pixels = np.repeat(np.expand_dims(stripes, 1 - axis), 16, axis=1 - axis) + rng.normal(0, 40, (16, 16))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name / f"{number}.png")


@pytest.fixture
def place(tmp_path, monkeypatch):
    write_photos(tmp_path / "photos")
    (tmp_path / "slow_net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start(place, *arguments):
    command = [sys.executable, "-m", "tuun_da.cli", *arguments]
    return subprocess.Popen(
        command,
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": "/tmp"},
    )


def workers_of(process):
    return [child for child in process.children(recursive=True) if "local_worker" in " ".join(child.cmdline())]


def ended(place):
    path = place / "out" / "journal.jsonl"
    return len(read_journal(path).trials) if path.exists() and path.stat().st_size else 0


def wait_for(condition, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.05)


def test_a_search_that_is_killed_and_interrupted_goes_on_and_ends_with_policy_confirmation_and_report(place):
    out = place / "out"
    killed = start(place, *SEARCH)
    wait_for(lambda: ended(place) >= 4, killed)
    workers = workers_of(psutil.Process(killed.pid))
    killed.send_signal(signal.SIGKILL)
    first = killed.communicate()[0]
    assert "Plan, about" in first
    assert "doing nothing" in first
    assert workers
    psutil.wait_procs(workers, timeout=30)
    assert not any(worker.is_running() for worker in workers)
    kept = {name: (out / name).read_bytes() for name in ("plan.json", "baselines.json", "probe.json")}

    interrupted = start(place, *SEARCH)
    wait_for(lambda: ended(place) >= 6, interrupted)
    interrupted.send_signal(signal.SIGINT)
    second = interrupted.communicate(timeout=60)[0]
    assert interrupted.returncode == 130, second
    assert "the same command goes on from there" in second
    assert "Traceback" not in second
    assert (out / "report.html").stat().st_size > 10_000
    policy = PolicyRecord.load(place / "mine.json")
    assert policy == PolicyRecord.load(out / "best_policy.json")

    last = start(place, *SEARCH)
    output = last.communicate(timeout=120)[0]
    assert last.returncode == 0, output
    assert {name: (out / name).read_bytes() for name in kept} == kept  # nothing was measured anew
    content = read_journal(out / "journal.jsonl")
    assert [trial.details.get("baseline") for trial in content.trials] == ["none", "etp", "trivialaugment"] + [None] * 5
    assert len({trial.id for trial in content.trials}) == 8
    assert content.running == {}
    assert {trial.state for trial in content.trials} == {TrialState.SUCCEEDED}
    confirmation = json.loads((out / "best_policy.confirmation.json").read_text())
    assert len(confirmation["seeds"]) == 2
    report = (out / "report.html").read_text()
    for words in ("TrivialAugment", "crop + flip", "no augmentation"):
        assert words in report
    for path in ("mine.json", "report.html", "journal.jsonl"):
        assert path in output

    done = start(place, *SEARCH)
    again = done.communicate(timeout=60)[0]
    assert (done.returncode, "It is done" in again) == (0, True)
    assert read_journal(out / "journal.jsonl") == content
    other = start(place, *SEARCH, "--epochs", "3")
    refusal = other.communicate(timeout=60)[0]
    assert other.returncode == 2
    assert "planned with epochs = 2, and 3 is asked for" in refusal


def test_from_python_a_search_on_top_of_crop_and_flip_learns_from_it(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "tuun_da.report.policy_pictures", None)  # as where there is no matplotlib
    said = []
    request = GuidedRequest(
        data="photos", minutes=10, trials=2, epochs=1, model="child_cnn", workers=1, device="cpu",
        on_top_of="etp", probe=False, confirm=False, folder="out",
    )  # fmt: skip
    result = guided_search(request, say=lambda text, passing: said.append(text))
    assert not result.interrupted
    assert result.record == PolicyRecord.load(place / "out" / "best_policy.json")
    content = read_journal(place / "out" / "journal.jsonl")
    by_name = {trial.details.get("baseline"): trial for trial in content.trials}
    assert by_name["none"].parameters == by_name["trivialaugment"].parameters == {}
    assert {by_name["etp"].parameters[f"prob{i}_1"] for i in range(1, 6)} == {0.0}
    choices = [trial.details["settings"]["policy"] for trial in content.trials]
    assert choices == ["none", "etp+search", "trivialaugment", "etp+search", "etp+search"]
    assert len(optimizer_from_journal(content).observations) == 3
    assert result.record.searched["settings"]["policy"] == "etp+search"
    assert not (place / "out" / "probe.json").exists()
    assert any("goes on top of crop + flip, as you said" in text for text in said)
    assert any("Not confirmed" in text for text in said)
    assert "<html" in (place / "out" / "report.html").read_text()


def test_too_short_a_time_is_refused_with_one_that_would_do(place):
    process = start(place, *SEARCH[:3], "--minutes", "0.1", "--device", "cpu", "--workers", "2", "--folder", "out")
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 2, output
    assert "--minutes 0.1 is too short" in output
    assert "Say --minutes" in output
    assert sorted(path.name for path in (place / "out").iterdir()) == [".lock"]  # nothing to contradict a longer call

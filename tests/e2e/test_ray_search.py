"""``tuun-da search --engine ray`` as a user has it, both ways: stopped by Ctrl-C, gone on with, done; nothing left."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from tuun_da.policy_format import PolicyRecord
from tuun_da.search.history import TrialState, read_journal

pytest.importorskip("ray", reason="Ray is not installed: pip install tuun_da[ray]")

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
RAY = ("search", "--engine", "ray")
GUIDED = (
    *RAY, "--data", "photos", "--minutes", "10", "--trials", "3", "--epochs", "1", "--model", "slow_net:Slow",
    "--seeds", "1", "--folder", "out", "--device", "auto",
)  # fmt: skip
NET = """
import time
from tuun_da.training.models.child_cnn import ChildCNN

class Slow(ChildCNN):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        time.sleep(0.5)  # so that a search can be stopped in its middle
"""


@pytest.fixture
def place(tmp_path):
    """A folder with what is searched on, and a short one for Ray's own files, in which nothing is left."""
    for folder in ("nni_configs", "search_spaces", "trials"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    path = tmp_path / "nni_configs" / "digits.yml"
    text = path.read_text().replace("--epochs 120", "--epochs 30").replace("maxTrialNumber: 24", "maxTrialNumber: 4")
    path.write_text(text)
    rng = np.random.default_rng(0)
    for name, axis in (("lying", 0), ("standing", 1)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(30):
            stripes = np.where((np.arange(16) + rng.integers(4)) % 4 < 2, 70, 180)
            pixels = np.repeat(np.expand_dims(stripes, 1 - axis), 16, axis=1 - axis) + rng.normal(0, 40, (16, 16))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / "photos" / name / f"{number}.png")
    (tmp_path / "slow_net.py").write_text(NET)
    (tmp_path / "short").symlink_to(tempfile.mkdtemp(prefix="tt", dir="/tmp"))  # Ray's sockets want a short path
    try:
        yield tmp_path
        assert list((tmp_path / "short").iterdir()) == []
    finally:
        shutil.rmtree((tmp_path / "short").resolve())


def run(place, *arguments, stop_after=None):
    """The command's exit code and output. On a line with ``stop_after``, it and all it started get a Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tuun_da", *arguments],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={
            **os.environ,
            "TMPDIR": str((place / "short").resolve()),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),  # Ray would write one to the user's home
        },
    )
    lines, started, ray_ran = [], set(), False
    try:
        for line in process.stdout:
            lines.append(line)
            started |= set(psutil.Process(process.pid).children(recursive=True))
            with contextlib.suppress(psutil.Error):  # it has ended meanwhile
                ray_ran = ray_ran or any("raylet" in one.name() for one in started)
            if stop_after is not None and stop_after in line:
                os.killpg(process.pid, signal.SIGINT)
                stop_after = None
        process.wait(60)
    finally:
        process.kill()
    _, alive = psutil.wait_procs(started, timeout=20)
    alive = [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert not alive, [one.cmdline() for one in alive]
    assert ray_ran
    return process.returncode, "".join(lines)


def test_an_nni_configuration_is_searched_on_ray_stopped_and_gone_on_with(place):
    call = (*RAY, "--config", "nni_configs/digits.yml")
    folder = place / "tuun_da_search" / "digits"
    code, output = run(place, *call, stop_after="Searching: 1 of 4")
    assert code == 130, output
    assert "Traceback" not in output
    stopped = read_journal(folder / "journal.jsonl")
    assert 1 <= len(stopped.trials) < 4
    assert f"Interrupted after {len(stopped.trials)} of 4 trials" in output
    assert PolicyRecord.load(folder / "best_policy.json").sub_policies  # of what there is

    code, output = run(place, *call)
    assert code == 0, output
    content = read_journal(folder / "journal.jsonl")
    assert content.trials[: len(stopped.trials)] == stopped.trials
    assert sorted(trial.id for trial in content.trials) == [1, 2, 3, 4]
    assert {trial.state for trial in content.trials} == {TrialState.SUCCEEDED}
    assert {trial.details["settings"]["train"]["epochs"] for trial in content.trials} == {30}
    assert "Recommended after 4 complete trials" in output


def test_images_are_searched_on_ray_stopped_gone_on_with_and_confirmed_here(place):
    code, output = run(place, *GUIDED, stop_after="1 of 3 trials")
    assert code == 130, output
    assert "Traceback" not in output
    assert "the same command goes on from there" in output
    stopped = read_journal(place / "out" / "journal.jsonl")
    assert 4 <= len(stopped.trials) < 6
    kept = {name: (place / "out" / name).read_bytes() for name in ("plan.json", "baselines.json", "probe.json")}

    code, output = run(place, *GUIDED)
    assert code == 0, output
    assert {name: (place / "out" / name).read_bytes() for name in kept} == kept  # nothing was measured anew
    content = read_journal(place / "out" / "journal.jsonl")
    assert content.trials[: len(stopped.trials)] == stopped.trials
    assert [trial.details.get("baseline") for trial in content.trials] == ["none", "etp", "trivialaugment"] + [None] * 3
    assert {trial.state for trial in content.trials} == {TrialState.SUCCEEDED}
    confirmation = json.loads((place / "out" / "best_policy.confirmation.json").read_text())
    assert len(confirmation["seeds"]) == 1
    assert (place / "out" / "report.html").stat().st_size > 10_000

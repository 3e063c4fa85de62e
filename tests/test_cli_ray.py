"""``tuun-da search --engine ray``: what it refuses, by name, before Ray is started. Needs no Ray."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tuun_da.cli import EXIT_MISTAKE, main

ROOT = Path(__file__).parents[1]
CONFIG = ("--config", "nni_configs/digits.yml")
DATA = ("--data", "digits")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Calls the command in a copy of the configurations, where a mistake is a line: that line."""
    for folder in ("nni_configs", "search_spaces", "trials"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "file").touch()
    (tmp_path / "guided").mkdir()
    (tmp_path / "guided" / "plan.json").touch()
    monkeypatch.chdir(tmp_path)

    def run_with(*arguments):
        assert main(["search", "--engine", "ray", *arguments]) == EXIT_MISTAKE
        captured = capsys.readouterr()
        [line] = captured.err.splitlines()
        assert line.startswith("tuun-da search: ")
        return line

    return run_with


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--data or --config must be given"),
        ((*CONFIG, *DATA), "--data or --config must be given"),
        ((*CONFIG, "--minutes", "3"), "--minutes does not go with --config"),
        ((*CONFIG, "--port", "8080"), "--port does not go with --engine ray"),
        ((*CONFIG, "--listen-all"), "--listen-all does not go with --engine ray"),
        ((*CONFIG, "--folder", "file"), "--folder file cannot be made: File exists"),
        ((*CONFIG, "--folder", "file/inside"), "--folder file/inside cannot be made: Not a directory"),
        ((*CONFIG, "--folder", "~no-such-user/x"), "--folder ~no-such-user/x cannot be made: Could not determine home"),
        ((*CONFIG, "--folder", "guided"), "guided has a search with --data; give this one a --folder of its own"),
        ((*CONFIG, "-o", "nowhere/x.json"), "--output must be a file in a folder that can be written"),
        ((*CONFIG, "--confirm", "--seeds", "0"), "seeds must be a whole number from 1 on, got 0"),
        ((*CONFIG, "--confirm", "--device", "tpu"), "device must be auto, cpu, cuda or cuda:N; got 'tpu'"),
        ((*CONFIG, "--device", "cuda"), "--device with --config is that of a confirmation, so it goes with --confirm"),
        ((*CONFIG, "--data-dir", "."), "--data-dir with --config is that of a confirmation, so it goes with --confirm"),
        (
            (*CONFIG, "--baselines", "none"),
            "--baselines with --config is that of a confirmation, so it goes with --confirm",
        ),
        (("--config", "missing.yml"), "configuration missing.yml cannot be read"),
        ((*DATA, "--confirm"), "--confirm does not go with --data"),
        ((*DATA, "--workers", "0"), "workers must be a whole number of at least 1, got 0"),
        ((*DATA, "--folder", "~no-such-user/x"), "folder ~no-such-user/x for the search cannot be used"),
        (("--data", "nothing"), "got 'nothing', and there is no such folder"),
    ],
)
def test_a_mistake_is_named_before_anything_starts(run, arguments, said):
    assert said in run(*arguments)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("maxTrialNumber: 24", "maxExperimentDuration: 1h", "maxExperimentDuration: trials that run without NNI have"),
        ("maxTrialNumber: 24", "maxTrialNumber: 24\nmaxTrialDuration: 5m", "maxTrialDuration: trials that run without"),
        ("platform: local", "platform: kubeflow", "trainingService.platform: must be local without NNI"),
        ("python3 train.py", "python3 mine.py", "trialCommand: "),
    ],
)
def test_what_a_configuration_says_and_ray_cannot_do_is_refused(run, tmp_path, old, new, said):
    shutil.copy(tmp_path / "trials" / "train.py", tmp_path / "trials" / "mine.py")
    (tmp_path / "trials" / "mine.py").open("a").write("\n# changed\n")
    path = tmp_path / "nni_configs" / "digits.yml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert said in run(*CONFIG)
    assert not (tmp_path / "tuun_da_search").exists()

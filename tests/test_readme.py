"""What the README says is so."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from tuun_da import Policy
from tuun_da.cli import main
from tuun_da.engines.tuner_settings import TunerSettings

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text()


def test_python_examples_run(tmp_path, monkeypatch):
    Policy({"operation1_1": "rotate", "prob1_1": 0.5, "magnitude1_1": 0.5}).save(tmp_path / "best_policy.json")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert examples
    for example in examples:
        exec(compile(example, "README.md", "exec"), {})


def test_table_of_class_arguments_is_complete():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", README.split("`classArgs`:")[1], re.MULTILINE))
    defaults = {field.name: field.default for field in dataclasses.fields(TunerSettings)}
    assert set(rows) == set(defaults)
    for name, default in defaults.items():
        nothing = "not set" if name == "initial" else "none"  # `none` is a policy there
        assert rows[name] == (nothing if default in (None, ()) else f"`{default}`")


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"tuun-da (search|best|confirm|probe|init|node-options)", README)))
)
def test_commands_and_their_options_exist(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    known = capsys.readouterr().out
    for line in re.findall(rf"^ +tuun-da {command} .*$", README, re.MULTILINE):
        for option in re.findall(r"--[a-z-]+", line):
            assert option in known


def test_files_that_it_names_exist():
    names = re.findall(r"`((?:\w+/)*\w[\w.-]*\.(?:yml|json|py|md|lock|cfg))`", README)
    made_by_a_command = {"best_policy.json", "probe.json"}
    assert len(set(names)) > 8
    for name in set(names) - made_by_a_command:
        places = (REPOSITORY / name, REPOSITORY / "nni_configs" / name, REPOSITORY / "search_spaces" / name)
        assert any(place.exists() for place in places), name


def test_no_placeholder_is_left():
    assert "@@" not in README


def test_length_of_the_template():
    assert "`trials/train.py`, which has under 100 lines" in README
    assert len((REPOSITORY / "trials" / "train.py").read_text().splitlines()) < 100

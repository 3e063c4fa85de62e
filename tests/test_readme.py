"""What the README and the pages of docs/ say is so."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from pathlib import Path

import pytest

from tuun_da import Policy
from tuun_da.cli import _parser, main
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.operations import OPERATION_TYPES
from tuun_da.policy_format import PolicyRecord, describe, sub_policies_from_parameters
from tuun_da.probe_format import ProbeRecord
from tuun_da.search.history import TrialState, read_journal

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text()
PAGES = {
    path.name: path.read_text() for path in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))
}
TEXT = "\n".join(PAGES.values())
NOT_RUN = "<!-- not run:"
EXAMPLES = [
    pytest.param(name, code, id=f"{name}-{number}")
    for name, text in PAGES.items()
    if name != "drop_in.md"  # test_docs.py has its examples, which belong together
    for number, (before, code) in enumerate(re.findall(r"^(.*)\n```python\n((?s:.*?))```", text, re.MULTILINE))
    if not before.startswith(NOT_RUN)
]
COMMAND_LINES = [
    (name, line)
    for name, text in PAGES.items()
    for line in re.findall(r"^(?: {4}|(?=tuun-da))(tuun-da [a-z].*)$", text, re.MULTILINE)
]


@pytest.mark.parametrize(("page", "code"), EXAMPLES)
def test_python_examples_run(page, code, tmp_path, monkeypatch):
    Policy({"operation1_1": "rotate", "prob1_1": 0.5, "magnitude1_1": 0.5}).save(tmp_path / "best_policy.json")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, page, "exec"), {})


def test_there_are_examples():
    assert {parameters.values[0] for parameters in EXAMPLES} >= {"README.md", "start.md", "formats.md", "api.md"}
    assert len(COMMAND_LINES) > 10


def test_table_of_class_arguments_is_complete():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", PAGES["nni.md"].split("`classArgs`:")[1], re.MULTILINE))
    defaults = {field.name: field.default for field in dataclasses.fields(TunerSettings)}
    assert set(rows) == set(defaults)
    for name, default in defaults.items():
        nothing = "not set" if name == "initial" else "none"  # `none` is a policy there
        assert rows[name] == (nothing if default in (None, ()) else f"`{default}`")


@pytest.mark.parametrize(
    "command",
    sorted(set(re.findall(r"`tuun-da ([a-z][a-z-]*)", TEXT) + [line.split()[1] for _, line in COMMAND_LINES])),
)
def test_commands_and_their_options_exist(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    known = capsys.readouterr().out
    lines = [line for _, line in COMMAND_LINES] + re.findall(r"`(tuun-da [^`]*)`", TEXT)
    for line in lines:
        if line.split()[1:2] == [command]:
            for option in re.findall(r"(?<![\w-])--[a-z-]+", line):
                assert option in known, line


@pytest.mark.parametrize(("page", "line"), COMMAND_LINES)
def test_command_lines_are_understood(page, line):
    """Each line, up to where the command would begin to work."""
    options = _parser()[0].parse_args(shlex.split(line, comments=True)[1:])
    assert callable(options.run)


def test_files_that_they_name_exist():
    names = re.findall(r"`((?:\w+/)*\w[\w.-]*\.(?:yml|json|py|md|lock|cfg|cff))`", TEXT)
    made_by_a_command = {
        "best_policy.json",
        "best_policy.confirmation.json",
        "probe.json",
        "space.json",
        "augmentation.py",
    }
    assert len(set(names)) > 8
    for name in set(names) - made_by_a_command:
        places = [
            REPOSITORY / folder / name for folder in ("", "nni_configs", "search_spaces", "docs", "benchmarks/results")
        ]
        assert any(place.exists() for place in places), name


def test_links_of_the_readme_lead_to_files():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert len(links) > 8
    for link in links:
        assert (REPOSITORY / link).is_file(), link


def test_policy_of_the_picture_is_the_one_that_was_printed():
    record = PolicyRecord.load(REPOSITORY / "docs" / "digits_policy.json")
    line = "The policy of trial 16: /home/you/tuun_da/best_policy.json\n"
    printed = PAGES["start.md"].split(line)[1].split("\n\n")[0]
    assert describe(record.sub_policies) == printed
    from tuun_da.report.contact_sheet import is_contact_sheet

    assert is_contact_sheet(REPOSITORY / "docs" / "digits_policy.png")


def test_tables_of_the_readme_repeat_the_measurements():
    """Rows of the first screen, against the table of all rows and against what the search printed."""

    def rows(text):
        cells = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in text.splitlines() if "±" in line]
        return {row[0]: row[1:] for row in cells}

    all_rows = rows(PAGES["policies_worth.md"].split("## Photographs")[1])
    names = {
        "no augmentation": "no augmentation",
        "crop + flip, free": "ETP (crop + flip)",
        "TrivialAugment, free": "TrivialAugment",
        "random search": "random search",
        "tuun_da": "Tuun (ours)",
        "tuun_da, on top of crop + flip": "ETP + Tuun, searched on top of ETP",
    }
    for page in ("README.md", "index.md"):
        table = {name: row for name, row in rows(PAGES[page]).items() if name in names}
        assert len(table) >= 5
        for name, (digits, *others) in table.items():
            assert others == all_rows[names[name]][: len(others)]
            if digits != "–":
                label = {"tuun_da": "best policy"}.get(name, re.escape(name.removesuffix(", free")))
                mean, deviation = re.search(
                    rf"^  {label} +([\d.]+) % +\+- ([\d.]+)\b", PAGES["start.md"], re.MULTILINE
                ).groups()
                assert digits == f"{mean} ± {deviation}"


def example_of(kind):
    return re.search(rf"<!-- example: {kind} -->\n```json\n(.*?)```", PAGES["formats.md"], re.DOTALL)[1]


def test_policy_of_the_formats_is_one():
    record = PolicyRecord.from_json(example_of("policy"))
    assert json.loads(record.to_json()) == json.loads(example_of("policy"))
    keys = set(re.findall(r"^\| `(\w+)` \|", PAGES["formats.md"].split("## Policy")[1].split("## ")[0], re.MULTILINE))
    assert keys == set(json.loads(example_of("policy")))


def test_flat_parameters_of_the_formats_are_a_policy():
    [sub_policy] = sub_policies_from_parameters(json.loads(example_of("parameters")))
    assert [operation.type for operation in sub_policy.operations] == ["rotate", "invert"]


def test_journal_of_the_formats_is_one(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text(example_of("journal"))
    first, second = read_journal(path).trials
    assert (first.value, first.curve, first.state) == (0.94, (0.61, 0.88, 0.94), TrialState.SUCCEEDED)
    assert (second.value, second.state) == (None, TrialState.FAILED)
    keys = PAGES["formats.md"].split("## Journal")[1].split("## ")[0]
    for line in example_of("journal").splitlines():
        for key in json.loads(line):
            assert f"`{key}`" in keys or key == "time", key


def test_probe_of_the_formats_is_one():
    record = ProbeRecord.from_json(example_of("probe"))
    assert set(record.effects) == {"rotate", "invert"}
    assert all(name in OPERATION_TYPES for name in record.effects)


def test_no_placeholder_is_left():
    assert "@@" not in TEXT


def test_length_of_the_template():
    assert "`trials/train.py`, which has under 100 lines" in PAGES["nni.md"]
    assert len((REPOSITORY / "trials" / "train.py").read_text().splitlines()) < 100

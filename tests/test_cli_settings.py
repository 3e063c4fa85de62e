"""``--config FILE``: the options of a command from a YAML file, by the command's own parser."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import pytest
import yaml

from tuun_da.cli import EXIT_MISTAKE, _parser, main
from tuun_da.commands.command_parser import CommandParser
from tuun_da.commands.settings_file import read_options, settable, settings_in
from tuun_da.commands.settings_template import settings_text
from tuun_da.errors import ConfigError

REPOSITORY = Path(__file__).parents[1]
EVERY_KIND = {
    "text": "a",
    "whole": 3,
    "number": 0.5,
    "choice": "red",
    "switch": True,
    "flag": False,
    "size": 0.2,
    "names": "x,y",
    "many": ["a", "b"],
    "pair": [1, 2],
    "each": ["a"],
    "one": "a",
}


def number_or_share(text):
    return int(text) if text.isdigit() else float(text)


def made():
    """A parser with every kind of option that argparse has, as ``cli._parser`` makes one."""
    parser = CommandParser(prog="p")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("work")
    command.add_argument("place", nargs="?", default="here", metavar="PLACE")
    command.add_argument("--config")
    command.add_argument("--text", "-t", required=True)
    command.add_argument("--whole", type=int, default=1, help="at 100 %%, by default %(default)s")
    command.add_argument("--number", type=float)
    command.add_argument("--choice", choices=("red", "blue"), default="blue")
    command.add_argument("--switch", action="store_true")
    command.add_argument("--flag", action=argparse.BooleanOptionalAction, default=True)
    command.add_argument("--size", type=number_or_share)
    command.add_argument("--names", metavar="NAMES")
    command.add_argument("--many", nargs="+")
    command.add_argument("--pair", nargs=2, type=int)
    command.add_argument("--each", action="append")
    command.add_argument("--loud", action="count", default=0)
    command.add_argument("--long-name", type=int, default=7)
    group = command.add_mutually_exclusive_group(required=True)
    group.add_argument("--one")
    group.add_argument("--two")
    group.add_argument("--three", action="store_true")
    command.set_defaults(run=print)
    return parser, commands.choices


def work():
    return made()[1]["work"]


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Reads options from a file of that content and the further words of a command line."""
    monkeypatch.chdir(tmp_path)

    def read_with(content, *words):
        Path("f.yml").write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return read_options(made, ["work", "--config", "f.yml", *words])

    return read_with


def test_a_file_gives_what_the_command_line_would(read):
    line = (
        "work -t a --whole 3 --number 0.5 --choice red --switch --no-flag --size 0.2 --names x,y --many a b --pair 1 2"
    )
    wanted = read_options(made, [*line.split(), "--each", "a", "--one", "a"])
    found = read(EVERY_KIND)
    assert vars(found) == vars(wanted) | {"given": found.given}
    assert found.config is None
    assert found.place == "here"


def test_the_command_line_wins(read):
    file = EVERY_KIND | {"loud": 2}
    line = "elsewhere --whole 9 -t b --choice blue --each c --many d --flag --loud"
    found = read(file, *line.split())
    assert (found.whole, found.text, found.choice, found.many, found.flag) == (9, "b", "blue", ["d"], True)
    assert found.each == ["c"]  # in place of the file's, not behind it
    assert found.loud == 1
    assert found.place == "elsewhere"
    assert (found.number, found.size) == (0.5, 0.2)


def test_of_options_that_exclude_each_other_the_command_line_wins(read):
    found = read(EVERY_KIND, "--two", "b")
    assert (found.one, found.two) == (None, "b")
    found = read({"text": "a", "three": True}, "--one", "b")
    assert (found.one, found.three) == ("b", False)
    assert "three" not in found.given


def test_train_sizes_exclude_each_other_wherever_they_stand(tmp_path):
    file = tmp_path / "f.yml"
    file.write_text("data: digits\ntrain-size: 100\n")
    options = read_options(_parser, ["check", "--config", str(file), "--train-per-class", "3"])
    assert (options.train_size, options.train_per_class) == (None, 3)
    file.write_text("data: digits\ntrain-size: 100\ntrain_per_class: 3\n")
    with pytest.raises(ConfigError, match="train_per_class: cannot be given together with train-size"):
        read_options(_parser, ["check", "--config", str(file)])


def test_what_is_required_may_stand_in_the_file_and_must_stand_somewhere(read, capsys):
    assert read({"text": "a"}, "--one", "b").text == "a"
    assert read({"one": "b"}, "-t", "a").one == "b"
    for content, missing in (({"one": "b"}, "--text"), ({"text": "a"}, "--one --two --three")):
        with pytest.raises(SystemExit):
            read(content)
        assert missing in capsys.readouterr().err


def test_given_tells_what_the_user_said_from_defaults(read):
    assert read({"text": "a", "one": "b"}, "--whole", "1").given == {"text", "one", "whole"}
    assert read_options(made, ["work", "-t", "a", "--three"]).given == {"text", "three"}
    assert read({"text": "a", "one": "b", "number": None, "switch": False}).given == {"text", "one"}


@pytest.mark.parametrize("key", ["long-name", "long_name"])
def test_keys_have_dashes_or_underscores(read, key):
    assert read({"text": "a", "one": "b", key: 8}).long_name == 8


def test_names_may_be_a_list_and_numbers_may_have_an_exponent(read):
    assert read("text: a\none: b\nnames: [none, etp]\nnumber: 1e-3\n").names == "none,etp"
    assert read("text: a\none: b\nnumber: 1e-3\n").number == 0.001
    assert read("text: a\none: b\nsize: 5\n").size == 5


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"hole": 3}, "f.yml: hole: p work has no such option; did you mean whole?"),
        ({"zzzzzz": 3}, "f.yml: zzzzzz: p work has no such option"),
        ({"config": "g.yml"}, "config: cannot stand in a file"),
        ({"help": True}, "help: cannot stand in a file"),
        ({"place": "x"}, "place: stands on the command line, and is no option"),
        ("no: 1", "must be the name of an option, got False; YAML reads yes, no"),
        ("1: 1", "must be the name of an option, got 1"),
        ({"whole": "3"}, "whole: must be a whole number; got '3'"),
        ({"whole": 3.5}, "must be a whole number; got 3.5"),
        ({"whole": True}, "must be a whole number; got True"),
        ({"whole": None}, "must be a whole number; got None"),
        ({"whole": [3]}, "must be a whole number; got [3]"),
        ({"number": "fast"}, "must be a number; got 'fast'"),
        ({"number": False}, "must be a number; got False"),
        ({"number": {"a": 1}}, "must be a number; got {'a': 1}"),
        ({"text": 2024}, "must be text; got 2024; put it into quotes"),
        ({"text": True}, "must be text; got True; put it into quotes"),
        ({"text": ["a"]}, "must be text; got ['a']"),
        ({"choice": "green"}, "must be one of red, blue; got 'green'"),
        ({"choice": 1}, "must be one of red, blue; got 1"),
        ({"switch": 1}, "must be true or false; got 1"),
        ({"switch": "yes"}, "must be true or false; got 'yes'"),
        ({"flag": "no"}, "must be true or false; got 'no'"),
        ({"size": "half"}, "must be what --size takes; got 'half'"),
        ({"size": True}, "must be what --size takes; got True"),
        ({"many": "a"}, "must be a list, such as [a, b]; got 'a'"),
        ({"many": ["a", 1]}, "must be text; got 1"),
        ({"pair": [1]}, "must be a list of 2, such as [a, b]; got [1]"),
        ({"each": "a"}, "must be a list"),
        ({"loud": "very"}, "must be a whole number; got 'very'"),
        ({"one": "a", "two": "b"}, "two: cannot be given together with one"),
        ("long_name: 1\nlong-name: 2\n", "long-name: is there already, as long_name"),
        ("whole: 1\nwhole: 2\n", "line 2: whole: is there twice"),
    ],
)
def test_a_mistake_in_the_file_is_named(read, content, words):
    with pytest.raises(ConfigError) as caught:
        read(content)
    assert str(caught.value).startswith("f.yml")
    assert words in str(caught.value)


def test_all_mistakes_are_told_at_once(read):
    with pytest.raises(ConfigError) as caught:
        read({"hole": 1, "whole": "x", "choice": "green"})
    assert len(str(caught.value).splitlines()) == 3


def test_help_is_shown_whatever_the_file_holds(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        read_options(made, ["work", "--config", str(tmp_path / "missing.yml"), "--help"])
    assert end.value.code == 0
    assert "by default 1" in capsys.readouterr().out


# ---- the commands ----


def test_a_commands_file_is_read_before_it_runs(tmp_path, monkeypatch):
    from tuun_da.commands import probe

    seen = []
    monkeypatch.setattr(probe, "probe", lambda options: seen.append(options) or 0)
    path = tmp_path / "probe.yml"
    path.write_text("data: digits\nepochs: 3\nlearning_rate: 1e-2\nskip-broken: true\n")
    assert main(["probe", "--config", str(path), "--epochs", "4"]) == 0
    [options] = seen
    assert (options.data, options.epochs, options.learning_rate, options.skip_broken) == ("digits", 4, 0.01, True)
    assert options.model == "child_cnn"  # the command's own default


@pytest.mark.parametrize("command", ["train", "probe"])
def test_an_unknown_key_is_a_mistake_with_the_nearest_one(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    Path("f.yml").write_text("epoch: 3\n")
    assert main([command, "--config", "f.yml", *(["--policy", "none"] if command == "train" else [])]) == EXIT_MISTAKE
    wanted = f"tuun-da {command}: f.yml: epoch: tuun-da {command} has no such option; did you mean epochs?\n"
    assert capsys.readouterr().err == wanted


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("trialCommand: x\noutput: p.json\n", "trialCommand belongs to an NNI experiment"),
        ("max_trial_number: 5\nseeds: 3\n", "and seeds to settings of tuun-da search"),
        ("trialComand: x\n", "did you mean trialCommand?"),
        ("outpt: x\n", "outpt: is a key neither of an NNI experiment"),
        ("outpt: x\n", "did you mean output?"),
        ("debug: true\nzzz: 1\n", "zzz: is a key neither of an NNI experiment"),
        ("trialCommand: x\n", "trialConcurrency: is missing"),  # an NNI experiment, checked as such
        ("a: [\n", "is not YAML"),
    ],
)
def test_searchs_two_kinds_of_files_are_told_apart(tmp_path, monkeypatch, capsys, content, words):
    monkeypatch.chdir(tmp_path)
    Path("f.yml").write_text(content)
    assert main(["search", "--config", "f.yml"]) == EXIT_MISTAKE
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted((REPOSITORY / "nni_configs").glob("*.yml")), ids=lambda path: path.name)
def test_the_shipped_experiments_reach_search_as_they_are(path):
    options = read_options(_parser, ["search", "--config", str(path), "--seeds", "7"])
    assert options.config == str(path)
    assert options.given == {"config", "seeds"}


def test_a_file_of_options_reaches_search_as_options(tmp_path):
    (tmp_path / "f.yml").write_text("output: p.json\nseeds: 7\ndebug: true\n")
    options = read_options(_parser, ["search", "--config", str(tmp_path / "f.yml")])
    assert (options.config, options.output, options.seeds, options.debug) == (None, "p.json", 7, True)


# ---- a file with everything in it ----


def uncommented(text):
    return re.sub(r"^#(?=[a-z])", "", text, flags=re.MULTILINE)


def accepted(text, parser):
    return settings_in(yaml.safe_load(text), parser, "f.yml")


COMMANDS = sorted(_parser()[1])


@pytest.mark.parametrize("name", COMMANDS)
def test_of_every_command_a_template_is_accepted_with_all_options_at_their_defaults(name):
    parser = _parser()[1][name]
    text = settings_text(parser, "A head.", {}, {})
    assert yaml.safe_load(text) is None  # nothing is set
    content = yaml.safe_load(uncommented(text))
    shown = {action.dest for action in settable(parser).values()} - {"debug"}
    assert {key.replace("-", "_") for key in content or {}} == shown
    found = settings_in(content or {}, parser, "f.yml")
    for dest, value in found.items():
        assert value == parser.get_default(dest)
    absent = shown - set(found)
    assert all(parser.get_default(dest) in (None, False) for dest in absent)


def test_a_template_holds_help_choices_and_values_and_notes():
    text = settings_text(work(), "A head.", {"text": "a: b", "whole": 3}, {"number": "Rather 5.", "nothing": "x"})
    assert text.startswith("# A head.\n\ntext: 'a: b'\nwhole: 3\n")
    assert "# at 100 %, by default 1\n# (whole is set above)" in text
    assert "# Rather 5.\n#number: null" in text
    assert "one of red, blue\n#choice: blue" in text
    assert "not together with two, three\n#one: null" in text
    assert "#flag: true" in text
    assert accepted(text, work()) == {"text": "a: b", "whole": 3}
    assert accepted(uncommented(text), work())["flag"] is True
    assert all(len(line) <= 100 for line in text.splitlines())


def test_a_template_cannot_hold_what_the_command_does_not_have():
    with pytest.raises(ConfigError, match="p work has no option for nothing"):
        settings_text(work(), "", {"nothing": 1}, {})


def test_json_is_yaml_too(read):
    assert read(json.dumps({"text": "a", "one": "b", "whole": 4})).whole == 4

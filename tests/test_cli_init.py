"""``tuun-da init --data``: settings of a search for a user's own images, which ``tuun-da search`` takes as they are."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
import yaml
from PIL import Image

from tuun_da.cli import EXIT_MISTAKE, _parser, main
from tuun_da.commands import search
from tuun_da.commands.command_parser import options_of
from tuun_da.commands.search import OF_NNI
from tuun_da.commands.settings_file import read_options, settable
from tuun_da.training.options import add_training_options, add_trial_options


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder, where ``search`` has the options of a training in any case."""
    monkeypatch.chdir(tmp_path)
    add_parser = search.add_parser

    def with_training_options(commands):
        add_parser(commands)
        command = commands.choices["search"]
        if "--data" not in options_of(command):
            for option in ("--model", "--device", "--data-dir"):
                command._handle_conflict_resolve(None, [(option, command._option_string_actions[option])])
            add_training_options(command)
            add_trial_options(command)

    monkeypatch.setattr(search, "add_parser", with_training_options)

    def run_with(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_with


def write(root, counts, size=(16, 16)):
    rng = np.random.default_rng(0)
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (size[1], size[0]), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")


def flat(path):
    """The file's prose without its line breaks."""
    return re.sub(r"(?<!\n)\n# ", " ", path.read_text())


def test_the_file_names_the_images_and_is_what_search_takes(run, tmp_path):
    write(tmp_path / "my images: ä", {"a": 6, "b": 5})
    code, output, errors = run("init", "new/folder", "--data", "my images: ä")
    assert (code, errors) == (0, "")
    assert "11 images of 2 classes, 5 to 6 a class. They are 16x16 pixels." in output
    assert "start with: tuun-da search --config new/folder/search.yml" in output
    path = tmp_path / "new" / "folder" / "search.yml"
    assert [file for file in (tmp_path / "new").rglob("*") if file.is_file()] == [path]
    spec = f"folder:{tmp_path / 'my images: ä'}"
    assert yaml.safe_load(path.read_text()) == {"data": spec}
    options = read_options(_parser, ["search", "--config", str(path)])
    assert (options.data, options.given) == (spec, {"data"})
    assert options.config is None


def test_every_option_of_search_is_there_and_can_be_uncommented(run, tmp_path):
    write(tmp_path / "images", {"a": 6, "b": 5})
    run("init", "--data", "images")
    path = tmp_path / "search.yml"
    plain = read_options(_parser, ["search", "--config", str(path)])
    path.write_text(re.sub(r"^#(?=[a-z])", "", path.read_text(), flags=re.MULTILINE))
    known = settable(_parser()[1]["search"])
    keys = set(yaml.safe_load(path.read_text()))
    assert {known[key].dest for key in keys} == {action.dest for action in known.values()} - {"debug", *OF_NNI}
    everything = read_options(_parser, ["search", "--config", str(path)])
    without = {"given"}
    assert {k: v for k, v in vars(everything).items() if k not in without} == {
        k: v for k, v in vars(plain).items() if k not in without
    }


def test_imbalance_size_and_few_images_are_told_where_they_matter(run, tmp_path):
    write(tmp_path / "odd", {"train/rare": 4, "train/often": 12, "val/rare": 1, "val/often": 1}, size=(200, 130))
    run("init", "odd_search", "--data", "odd")
    text = flat(tmp_path / "odd_search" / "search.yml")
    assert re.search(
        r"# [^\n]*rather balanced_accuracy[^\n]*often has 12 images and rare 4[^\n]*\n#metric: null", text
    )
    assert re.search(r"# [^\n]*balanced may help[^\n]*\n#sampling: null", text)
    assert re.search(r"# [^\n]*130 pixels on their shorter side[^\n]*\n#image-size: null", text)
    assert re.search(r"# [^\n]*There is no folder test[^\n]*\n#test-size: null", text)
    write(tmp_path / "even", {"train/a": 5, "train/b": 5, "test/a": 1, "test/b": 1})
    run("init", "even_search", "--data", "even")
    even = flat(tmp_path / "even_search" / "search.yml")
    assert not re.search(r"rather balanced|balanced may help|shorter side|no folder test", even)


def test_a_named_data_set_is_not_looked_at(run, tmp_path):
    code, output, _ = run("init", "--data", "cifar10")
    assert code == 0
    assert "images of" not in output
    assert yaml.safe_load((tmp_path / "search.yml").read_text()) == {"data": "cifar10"}


def test_it_overwrites_nothing(run, tmp_path):
    write(tmp_path / "images", {"a": 2, "b": 2})
    (tmp_path / "search.yml").write_text("mine")
    code, _, errors = run("init", "--data", "images")
    assert code == EXIT_MISTAKE
    assert "search.yml is there already; nothing was written" in errors
    assert (tmp_path / "search.yml").read_text() == "mine"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("nowhere", "one of digits,"),
        ("folder:nowhere", "does not exist"),
        ("nowhere.npz", "--data must be a folder of images, an .npz file or the name of a data set"),
        ("empty", "must hold a folder of images for each class"),
        ("coco", "looks like detection"),
    ],
)
def test_images_that_cannot_be_used_are_told_and_nothing_is_written(run, tmp_path, data, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "coco" / "annotations").mkdir(parents=True)
    code, _, errors = run("init", "new", "--data", data)
    assert code == EXIT_MISTAKE
    assert errors.startswith("tuun-da init: ")
    assert words in errors
    assert not (tmp_path / "new").exists()


def test_class_folders_without_an_image_are_told(run, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
    code, _, errors = run("init", "--data", "images")
    assert code == EXIT_MISTAKE
    assert "a holds no image" in errors


@pytest.mark.parametrize(
    "name", ["bell\x07", "next\x85line", "line\u2028epochs: 3", "two\nlines", os.fsdecode(b"\xff")]
)
def test_whatever_a_class_is_called_the_file_can_be_read(run, tmp_path, name):
    write(tmp_path / "images", {name: 2, "b": 9})
    assert run("init", "--data", "images")[0] == 0
    assert "b has 9 images and" in flat(tmp_path / "search.yml")
    assert yaml.safe_load((tmp_path / "search.yml").read_text()) == {"data": f"folder:{tmp_path / 'images'}"}


def test_a_folder_that_cannot_be_made_is_told(run, tmp_path):
    (tmp_path / "file").touch()
    code, _, errors = run("init", "file/below", "--data", "cifar10")
    assert code == EXIT_MISTAKE
    assert "file/below/search.yml cannot be written: Not a directory" in errors

"""``tuun-da check``: what it prints, writes and draws, and how it ends."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from tuun_da.cli import main
from tuun_da.report.data_picture import BAR, CELL, DOTS_PER_INCH, GAP, HEAD, NAMES_WIDTH, data_figure
from tuun_da.report.data_text import data_text, width_of
from tuun_da.training.data_check import check_data
from tuun_da.training.data_facts import SUMMARY_LINES, Severity, printable
from tuun_da.training.settings import DataConfig

ODD = "naïve\nline \x1b[31m"
WIDE = "猫 Katze"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(here, capsys):
    def run_with(*arguments):
        capsys.readouterr()
        try:
            code = main(["check", *map(str, arguments)])
        except SystemExit as end:  # argparse
            code = end.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_with


def write_images(folder, numbers, *, seed=0, size=(16, 16)):
    """A folder for each class with so many images of noise."""
    rng = np.random.default_rng(seed)
    for name, number in numbers.items():
        (folder / name).mkdir(parents=True)
        for place in range(number):
            pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"a {place:03}.png")
    return folder


def test_it_ends_with_0_where_a_search_can_run_and_with_1_where_not(run, here):
    write_images(here / "good", {"cat": 60, "dog": 60})
    code, output, errors = run("--data", "good")
    assert (code, errors) == (0, "")
    assert output.splitlines()[-1] == "A search can run, with 1 warning."
    (here / "good" / "cat" / "broken.png").write_bytes(b"")
    code, output, _ = run("--data", "./good")
    assert code == 1
    assert output.splitlines()[-1] == "A search would fail: 1 error, with 1 warning."
    assert "  cat/broken.png: " in output
    assert run("--data", "good", "--skip-broken")[0] == 0
    shutil.rmtree(here / "good" / "cat")
    code, output, _ = run("--data", "good")
    assert code == 1
    assert "must have at least two classes, got 1: dog" in " ".join(output.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--data"),
        (("--data", "missing"), "got 'missing', and there is no such folder"),
        (("--data", "text.txt"), "got 'text.txt', which is a file"),
        (("--data", "missing.npz"), "does not exist"),
        (("--data", "text.npz"), "cannot be read"),
        (("--data", "good", "--validation-size", "1.5"), "validation_size must be"),
        (("--data", "good", "--image-size", "2"), "image_size must be"),
        (("--data", "good", "--columns", "0"), "columns must be"),
        (("--data", "good", "-o", "missing/a.txt"), "--output must be a file in a folder"),
        (("--data", "good", "-o", "text.txt"), "--output is there already, and this command did not write it"),
        (("--data", "good", "--picture", "a.jpg"), "must end in .png"),
        (("--data", "good", "--picture", "own.png"), "--picture is there already, and this command did not"),
        (("--data", "good", "-o", "a.png", "--picture", "a.png"), "--picture must be another file than --output"),
    ],
)
def test_a_mistake_ends_with_2_and_overwrites_nothing(run, here, arguments, words):
    write_images(here / "good", {"cat": 9, "dog": 9})
    (here / "text.txt").write_text("mine")
    (here / "text.npz").write_text("mine")
    Image.new("RGB", (8, 8)).save(here / "own.png")
    before = {path: path.read_bytes() for path in here.iterdir() if path.is_file()}
    code, output, errors = run(*arguments)
    assert (code, output) == (2, "")
    assert words in errors
    assert "Traceback" not in errors
    assert {path: path.read_bytes() for path in here.iterdir() if path.is_file()} == before


def test_its_own_files_are_written_over(run, here):
    write_images(here / "good", {"cat": 20, "dog": 20})
    for _ in range(2):
        for name in ("a.txt", "a.json"):
            code, output, _ = run("--data", "good", "-o", name, "--picture", "a.png")
            assert code == 0
            assert f"Written to {here / name}" in output
            assert f"Written to {here / 'a.png'}" in output
            assert "A search can run" in output
    assert (here / "a.txt").read_text() == run("--data", "good")[1]
    assert json.loads((here / "a.json").read_text()) == json.loads(run("--data", "good", "--format", "json")[1])


def test_json_on_the_terminal_is_json_alone_and_holds_all(run, here):
    write_images(here / "good", {"cat": 20, "dog": 31})
    shutil.copy(here / "good" / "cat" / "a 000.png", here / "good" / "dog" / "same.png")
    code, output, errors = run("--data", "good", "--format", "json", "--picture", "a.png")
    assert code == 0
    assert errors == f"Written to {here / 'a.png'}\n"
    found = json.loads(output)
    assert found["counts"] == {"train": [20, 32]}
    assert found["can_search"] is True
    assert found["copies"][0]["images"] == ["cat/a 000.png", "dog/same.png"]
    assert {one["severity"] for one in found["findings"]} <= {"error", "warning", "note"}
    assert "label conflict" in [one["name"] for one in found["findings"]]


def test_the_table_holds_every_count_and_its_bars_are_in_proportion(run, here):
    write_images(here / "train", {"cat": 40, WIDE: 10}, seed=1)
    write_images(here / "test", {"cat": 6, WIDE: 5}, seed=2)
    facts = check_data(DataConfig(data=f"folder:{here}"))
    lines = run("--data", ".")[1].splitlines()
    rows = {line.split("  ")[0]: line for line in lines}
    for place, name in enumerate(facts.class_names):
        numbers = [facts.counts["train"][place], facts.counts["test"][place]]
        planned = [facts.planned[split][place] for split in ("train", "validation", "test")]
        found = [int(text) for text in re.findall(r"(?<![\d.])\d+(?![\d.%])", rows[name])]
        assert found == numbers + planned
    assert rows["cat"].count("#") == 4 * rows[WIDE].count("#") == 24
    starts = {width_of(rows[name][: rows[name].index("#")]) for name in ("cat", WIDE)}
    assert len(starts) == 1  # letters of two columns included
    assert [int(text) for text in rows["all"].split()[1:3]] == [50, 11]


def test_of_very_many_classes_the_table_shows_the_largest_and_the_smallest(here):
    numbers = {f"class {number:03}": 3 + number // 10 for number in range(70)}
    write_images(here, numbers, size=(4, 4))
    facts = check_data(DataConfig(data=f"folder:{here}"))
    text = data_text(facts)
    shown = set(re.findall(r"^class \d{3}", text, re.MULTILINE))
    assert len(shown) == 40
    assert f"... {70 - 40} classes between these" in text
    hidden = [numbers[name] for name in numbers if name not in shown]
    assert max(hidden) <= sorted(numbers.values())[-20]
    assert min(hidden) >= sorted(numbers.values())[19]


def test_of_a_large_set_of_copies_the_text_names_some(run, here):
    write_images(here / "data", {"cat": 30, "dog": 30})
    for number in range(300):
        for name in ("cat", "dog"):
            Image.new("RGB", (16, 16)).save(here / "data" / name / f"blank {number:03}.png")
    _, output, _ = run("--data", "data")
    assert "1 set of identical images with different labels:\n  cat/blank 000.png = cat/blank 001.png = " in output
    assert "cat/blank 006.png = 592 more (--format json has all) = dog/blank 299.png\n" in output
    assert max(map(len, output.splitlines())) < 300


def test_names_of_files_cannot_write_to_the_terminal(run, here):
    write_images(here / "odd", {ODD: 20, "b": 20})
    (here / "odd" / "b" / "x\n\x1b]0;title\x07.png").write_bytes(b"")
    _, output, _ = run("--data", "odd", "--picture", "a.png")
    assert output.replace("\n", "").isprintable()
    assert r"naïve\nline \x1b[31m" in output
    assert r"b/x\n\x1b]0;title\x07.png" in output
    assert printable("\udcff") == r"\udcff"  # of a name that is no UTF-8


def test_a_summary_has_ten_lines_at_most_and_ends_with_the_verdict(here):
    write_images(here / "train", {ODD: 40, "b": 8, "c": 9}, seed=1)
    write_images(here / "test", {ODD: 4, "b": 3, "c": 3}, seed=2)
    shutil.copy(here / "train" / "b" / "a 000.png", here / "train" / "c" / "same.png")
    shutil.copy(here / "train" / "b" / "a 001.png", here / "test" / "b" / "same.png")
    (here / "train" / "c" / "broken.png").write_bytes(b"")
    facts = check_data(DataConfig(data=f"folder:{here}"))
    grave = facts.of(Severity.ERROR) + facts.of(Severity.WARNING)
    assert len(grave) > SUMMARY_LINES - 5
    lines = facts.summary().split("\n")
    assert len(lines) == SUMMARY_LINES
    assert lines[-1] == facts.verdict()
    assert lines[4] == f"error: {facts.findings[0].message}"
    told = sum(line.startswith(("error: ", "warning: ")) for line in lines)
    assert lines[-2].startswith(f"and {len(grave) - told} more")
    fine = check_data(DataConfig(data="digits", validation_size=0.5)).summary().split("\n")
    assert fine[-1] == "A search can run."
    assert len(fine) == 5


# ---- the picture ----


def test_the_picture_shows_the_images_of_each_class_and_bars_in_proportion(run, here):
    colours = {"red": (200, 20, 20), "lime": (30, 220, 40)}
    rng = np.random.default_rng(0)
    for (name, colour), number in zip(colours.items(), (40, 10), strict=True):
        (here / "x" / name).mkdir(parents=True)
        for place in range(number):
            pixels = np.full((16, 16, 3), colour, dtype=np.uint8)
            pixels[0, 0] = rng.integers(0, 256, 3)  # else they were copies
            Image.fromarray(pixels).save(here / "x" / name / f"{place}.png")
    assert run("--data", "x", "--picture", "a.png", "--columns", "3")[0] == 0
    with Image.open(here / "a.png") as file:
        sheet = np.asarray(file.convert("RGB")).astype(int)
    step = CELL + GAP
    lengths = {}
    for row, name in enumerate(sorted(colours)):
        middle = round((HEAD + row * step + CELL / 2) * DOTS_PER_INCH)
        for column in range(3):
            x = round((NAMES_WIDTH + column * step + CELL / 2) * DOTS_PER_INCH)
            assert tuple(sheet[middle, x]) == colours[name]
        blue = tuple(int(BAR[i : i + 2], 16) for i in (1, 3, 5))
        lengths[name] = int((sheet[middle] == blue).all(axis=1).sum())
    assert lengths["red"] / lengths["lime"] == pytest.approx(4, abs=0.15)


def test_the_picture_of_very_many_classes_has_an_end(here):
    write_images(here, {f"class {number:03}": 3 for number in range(60)}, size=(4, 4))
    facts = check_data(DataConfig(data=f"folder:{here}"))
    figure = data_figure(facts, {place: [] for place in range(60)})
    texts = [text.get_text() for text in figure.texts]
    assert sum(text.startswith("class ") for text in texts) == 40
    assert any("of 60 classes the 20 largest and the 20 smallest" in text for text in texts)

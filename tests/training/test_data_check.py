"""What a check says of a data set is so: counted by hand, and by whether a training can have its images."""

from __future__ import annotations

import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_images import random_image, write_classes
from PIL import Image

from tuun_da.errors import ConfigError, DataError
from tuun_da.training.data_check import check_data, facts_of_look
from tuun_da.training.data_facts import Severity
from tuun_da.training.data_findings import about_sizes, figures
from tuun_da.training.data_look import look_at
from tuun_da.training.data_samples import samples_of
from tuun_da.training.datasets import load_splits
from tuun_da.training.settings import DataConfig


def check(folder, **settings):
    return check_data(DataConfig(data=f"folder:{folder}", **settings))


def finding(facts, name):
    """The one finding of this name."""
    [found] = [found for found in facts.findings if found.name == name]
    return found


def names(facts, severity=None):
    return [found.name for found in facts.findings if severity in (None, found.severity)]


def write_splits(folder, rng, **sizes):
    for split, per_class in sizes.items():
        write_classes(folder / split, rng, per_class=per_class)
    return folder


# ---- counts ----


def test_counts_are_those_of_the_files(tmp_path, rng):
    write_splits(tmp_path, rng, test=7, val=5, train=30)
    for number in range(9):
        random_image(rng).save(tmp_path / "train" / "cat" / f"more {number}.jpg")
    facts = check(tmp_path)
    by_hand = {
        split: tuple(len(list((tmp_path / folder / name).iterdir())) for name in ("cat", "dog"))
        for split, folder in (("train", "train"), ("validation", "val"), ("test", "test"))
    }
    assert dict(facts.counts) == by_hand == {"train": (39, 30), "validation": (5, 5), "test": (7, 7)}
    assert list(facts.counts) == ["train", "validation", "test"]
    assert facts.n_images == 93
    assert facts.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    "settings",
    [{}, {"validation_size": 10, "test_size": 0.3}, {"train_per_class": 4}, {"train_size": 9, "image_size": 8}],
)
def test_planned_counts_are_those_of_a_training(tmp_path, rng, settings):
    write_classes(tmp_path, rng, per_class=25)
    shutil.copy(tmp_path / "cat" / "000.png", tmp_path / "dog" / "same.png")
    facts = check(tmp_path, **settings)
    splits = load_splits(DataConfig(data=f"folder:{tmp_path}", **settings))
    for split in ("train", "validation", "test"):
        labels = getattr(splits, f"{split}_labels")
        assert facts.planned[split] == tuple(np.bincount(labels, minlength=2).tolist())
    assert facts.image_shape == tuple(splits.train_images.shape[1:])


def test_a_named_data_set_and_arrays_are_looked_at_as_well(tmp_path, rng):
    digits = check_data(DataConfig(data="digits"))
    assert (digits.n_images, len(digits.class_names), digits.sizes.commonest) == (1797, 10, (8, 8))
    images = rng.integers(0, 256, (60, 90, 70, 3), dtype=np.uint8)
    images[50] = images[3]  # both of class 7
    labels = np.where(np.arange(60) % 2, 7, 9)
    labels[50] = labels[3]
    np.savez(tmp_path / "x.npz", images=images, labels=labels)
    facts = check_data(DataConfig(data=f"npz:{tmp_path / 'x.npz'}"))
    assert facts.class_names == ("7", "9")
    assert facts.counts == {"train": (int((labels == 7).sum()), int((labels == 9).sum()))}
    assert (facts.sizes.widths, facts.sizes.heights) == ((70, 70, 70), (90, 90, 90))
    assert facts.image_shape == (3, 64, 64)
    assert [copies.images for copies in facts.copies] == [("train[3]", "train[50]")]


def test_names_in_arrays_count_within_their_split(tmp_path, rng):
    arrays = {}
    for split, n in (("train", 40), ("test", 10)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (n, 8, 8), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(n) % 2
    arrays["test_images"][4] = arrays["train_images"][6]
    np.savez(tmp_path / "x.npz", **arrays)
    facts = check_data(DataConfig(data=f"npz:{tmp_path / 'x.npz'}"))
    assert [copies.images for copies in facts.leaks] == [("train[6]", "test[4]")]


# ---- whether a search can run ----


def spoil(folder: Path, how: str, rng) -> None:
    """Write a data set with what is called ``how`` wrong with it."""
    if how == "one class":
        write_classes(folder, rng, classes=("cat",))
    elif how == "one folder too much":
        write_classes(folder / "photos", rng)
    elif how == "few images":
        write_classes(folder, rng, per_class=2)
    elif how == "class that test lacks":
        write_splits(folder, rng, train=9, test=9)
        shutil.rmtree(folder / "test" / "dog")
    elif how == "class that train lacks":
        write_splits(folder, rng, train=9, test=9)
        shutil.rmtree(folder / "train" / "dog")
    elif how == "all of train in test":
        write_splits(folder, rng, train=9)
        shutil.copytree(folder / "train", folder / "test")
    else:
        write_classes(folder, rng)
    if how == "empty class":
        (folder / "eel").mkdir()
    if how in ("broken file", "broken class"):
        for path in [folder / "cat" / "000.png"] if how == "broken file" else list((folder / "cat").iterdir()):
            path.write_bytes(b"no image")


@pytest.mark.parametrize("skip_broken", [False, True])
@pytest.mark.parametrize(
    "how",
    [
        "nothing", "one class", "one folder too much", "few images", "class that test lacks", "class that train lacks",
        "all of train in test", "empty class", "broken file", "broken class",
    ],
)  # fmt: skip
def test_a_search_can_run_exactly_where_a_training_gets_its_images(tmp_path, rng, how, skip_broken):
    spoil(tmp_path, how, rng)
    facts = check(tmp_path, skip_broken=skip_broken)
    error = None
    try:
        load_splits(DataConfig(data=f"folder:{tmp_path}", skip_broken=skip_broken))
    except DataError as problem:
        error = str(problem)
    assert facts.can_search == (error is None)
    assert facts.can_search == (how == "nothing" or (how == "broken file" and skip_broken))
    if error is not None and not how.startswith("broken"):
        assert error in [found.message for found in facts.of(Severity.ERROR)]
    assert facts.findings[0].severity is Severity.ERROR or facts.can_search


def test_a_size_that_cannot_be_is_an_error_and_one_that_is_not_for_it_a_mistake(tmp_path, rng):
    write_classes(tmp_path, rng)
    assert "validation_size must be at most" in finding(check(tmp_path, validation_size=500), "split").message
    write_splits(tmp_path / "split", rng, train=9, test=9)
    with pytest.raises(ConfigError, match="test_size is for data without a test split"):
        check(tmp_path / "split", test_size=3)


@pytest.mark.parametrize("wrong", ["nothing there", "a file", "no folder in it", "images only"])
def test_where_there_is_nothing_to_count_it_is_an_error(tmp_path, rng, wrong):
    folder = tmp_path / "data"
    if wrong == "a file":
        folder.write_text("")
    elif wrong != "nothing there":
        folder.mkdir()
    if wrong == "images only":
        random_image(rng).save(folder / "a.png")
    with pytest.raises(DataError, match=str(folder)):
        check(folder)


# ---- files ----


def test_every_broken_file_is_listed_with_the_reason_and_every_other_one_counted(tmp_path, rng):
    write_classes(tmp_path, rng, per_class=10)
    whole = (tmp_path / "cat" / "001.png").read_bytes()
    (tmp_path / "cat" / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "dog" / "none ü.jpg").write_bytes(b"")
    (tmp_path / "dog" / "notes.txt").write_text("")
    facts = check(tmp_path)
    assert [one.path for one in facts.broken] == ["cat/half.png", "dog/none ü.jpg"]
    assert all(one.why and str(tmp_path) not in one.why for one in facts.broken)
    assert facts.counts == {"train": (10, 10)}
    assert facts.ignored == ("dog/notes.txt",)
    assert finding(facts, "broken files").severity is Severity.ERROR
    assert "--skip-broken" in finding(facts, "broken files").advice
    skipped = check(tmp_path, skip_broken=True)
    assert finding(skipped, "broken files").severity is Severity.WARNING
    assert skipped.broken == facts.broken


def test_progress_goes_from_file_to_file_up_to_all(tmp_path, rng):
    write_classes(tmp_path, rng, per_class=8)
    heard = []
    check_data(DataConfig(data=f"folder:{tmp_path}"), lambda *step: heard.append(step))
    assert heard == [("looking at files", done, 16) for done in range(1, 17)]


def test_what_is_looked_at_a_second_time_is_not_all_in_memory(tmp_path, rng):
    write_classes(tmp_path, rng, per_class=150, size=(64, 64))
    facts = check(tmp_path)
    tracemalloc.start()
    try:
        assert check(tmp_path) == facts
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 300 * 3 * 64 * 64 / 2


# ---- copies ----


def test_copies_are_told_apart_by_where_they_lie(tmp_path, rng):
    write_splits(tmp_path, rng, train=20, test=6)
    train, test = tmp_path / "train", tmp_path / "test"
    shutil.copy(train / "cat" / "001.png", train / "cat" / "again.png")
    Image.open(train / "cat" / "002.png").save(train / "dog" / "other format.bmp")
    shutil.copy(train / "dog" / "003.png", test / "dog" / "leak.png")
    facts = check(tmp_path)
    assert {frozenset(copies.images) for copies in facts.copies} == {
        frozenset({"train/cat/001.png", "train/cat/again.png"}),
        frozenset({"train/cat/002.png", "train/dog/other format.bmp"}),
        frozenset({"train/dog/003.png", "test/dog/leak.png"}),
    }
    assert [copies.classes for copies in facts.conflicts] == [("cat", "dog")]
    assert [set(copies.splits) for copies in facts.leaks] == [{"train", "test"}]
    for name in ("label conflict", "leak"):
        assert finding(facts, name).severity is Severity.WARNING
    assert finding(facts, "copies").severity is Severity.NOTE
    assert "1 image repeats" in finding(facts, "copies").message
    assert facts.planned["test"] == (6, 7)
    assert sum(facts.planned["train"]) + sum(facts.planned["validation"]) == 42 - 1  # the leak stays in test only


def test_without_copies_nothing_is_said_of_them(tmp_path, rng):
    write_splits(tmp_path, rng, train=20, test=6)
    facts = check(tmp_path)
    assert facts.copies == ()
    assert {"label conflict", "leak", "copies"}.isdisjoint(names(facts))


# ---- classes and scores ----


@pytest.mark.parametrize(
    ("large", "severity"), [(40, None), (64, Severity.NOTE), (119, Severity.NOTE), (120, Severity.WARNING)]
)
def test_imbalance_is_a_warning_from_three_times_on(tmp_path, rng, large, severity):
    images = rng.integers(0, 256, (40 + large, 8, 8), dtype=np.uint8)
    labels = (np.arange(40 + large) >= 40).astype(int)
    np.savez(tmp_path / "x.npz", images=images, labels=labels)
    facts = check_data(DataConfig(data=f"npz:{tmp_path / 'x.npz'}"))
    found = [one for one in facts.findings if one.name == "imbalance"]
    assert [one.severity for one in found] == ([] if severity is None else [severity])
    if found:
        assert f"{large / 40:.3g} times" in found[0].message
        assert f"{large / (40 + large):.1%} accuracy" in found[0].message
    if severity is Severity.WARNING:
        assert "--metric balanced_accuracy" in found[0].advice
        assert "--sampling balanced" in found[0].advice


def test_numbers_are_written_out(tmp_path, rng):
    labels = (np.arange(2003) >= 2000).astype(int)
    np.savez(tmp_path / "x.npz", images=rng.integers(0, 256, (2003, 8, 8), dtype=np.uint8), labels=labels)
    facts = check_data(DataConfig(data=f"npz:{tmp_path / 'x.npz'}", validation_size=1))
    assert "has 667 times as many" in finding(facts, "imbalance").message
    assert "on 1 image, each of which is 100 points; at 80% its standard error is 40 points" in (
        finding(facts, "validation").message
    )
    for number, n, text in ((1999.0, 3, "2,000"), (12345.0, 3, "12,300"), (9.1e-5, 2, "0.000091"), (0.5556, 2, "0.56")):
        assert figures(number, n) == text


def test_the_standard_error_of_a_score_is_that_of_draws(tmp_path, rng):
    np.savez(tmp_path / "x.npz", images=rng.integers(0, 256, (300, 8, 8), dtype=np.uint8), labels=np.arange(300) % 2)
    data = f"npz:{tmp_path / 'x.npz'}"
    for size, severity in ((50, Severity.WARNING), (None, Severity.WARNING)):
        facts = check_data(DataConfig(data=data, validation_size=size))
        number = sum(facts.planned["validation"])
        drawn = rng.binomial(number, 0.8, 200_000) / number
        told = finding(facts, "validation")
        assert told.severity is severity
        error = float(told.message.partition("standard error is ")[2].split()[0])
        assert error == pytest.approx(100 * drawn.std(), abs=0.06)
        assert f"{number} images, each of which is {100 / number:.2g} points" in told.message
        assert "--resplit" in told.advice
    assert finding(check_data(DataConfig(data="digits", validation_size=0.5)), "validation").severity is Severity.NOTE


def test_a_validation_split_of_its_own_cannot_be_drawn_anew(tmp_path, rng):
    write_splits(tmp_path, rng, train=20, val=6, test=6)
    assert "--resplit" not in finding(check(tmp_path), "validation").advice
    assert "a larger --validation-size" in finding(check(tmp_path, validation_size=4), "validation").advice


def test_classes_with_few_images_are_named_the_smallest_first(tmp_path, rng):
    for name, number in (("ant", 12), ("bee", 60), ("cat", 8)):
        write_classes(tmp_path, rng, classes=(name,), per_class=number)
    facts = check(tmp_path)
    few = dict(zip(facts.class_names, facts.planned["train"], strict=True))
    assert f"cat ({few['cat']}), ant ({few['ant']})" in finding(facts, "few images").message
    assert "bee" not in finding(facts, "few images").message
    scarce = dict(zip(facts.class_names, facts.planned["validation"], strict=True))
    assert f"cat ({scarce['cat']}), ant ({scarce['ant']})" in finding(facts, "few to score on").message


# ---- pixels ----


def test_sizes_are_those_of_the_upright_files(tmp_path, rng):
    write_classes(tmp_path, rng, per_class=2, size=(100, 100))
    write_classes(tmp_path / "x", rng, per_class=1, size=(200, 50))
    shutil.copy(tmp_path / "x" / "cat" / "000.png", tmp_path / "cat" / "wide.png")
    turned = random_image(rng, "RGB", (300, 40))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "dog" / "turned.jpg", exif=exif)
    shutil.rmtree(tmp_path / "x")
    sizes = check(tmp_path).sizes
    pairs = [(100, 100)] * 4 + [(200, 50), (40, 300)]
    widths, heights = zip(*pairs, strict=True)
    assert (sizes.widths, sizes.heights) == ((40, 100, 200), (50, 100, 300))
    assert (sizes.distinct, sizes.commonest, sizes.commonest_share) == (3, (100, 100), pytest.approx(4 / 6))
    assert sizes.not_square == pytest.approx(2 / 6)
    areas = [1 - min(pair) ** 2 / (pair[0] * pair[1]) for pair in pairs]
    assert sizes.cut_off == pytest.approx(np.mean(areas))
    assert (sizes.smaller, sizes.shorter_side) == (sum(min(pair) < 64 for pair in pairs), 100)
    assert sizes.widths[1] == int(np.median(widths))
    assert sizes.heights[1] == int(np.median(heights))


def test_what_is_cut_off_enlarged_and_reduced_is_told(tmp_path, rng):
    write_classes(tmp_path / "wide", rng, size=(90, 30))
    facts = check(tmp_path / "wide")
    assert finding(facts, "not square").severity is Severity.WARNING
    assert "67% of the area is cut off" in finding(facts, "not square").message
    assert "--image-size 30" in finding(facts, "small images").advice
    write_classes(tmp_path / "large", rng, size=(200, 200))
    facts = check(tmp_path / "large")
    assert "--image-size 128" in finding(facts, "large images").advice
    assert {"not square", "small images"}.isdisjoint(names(facts))
    assert "large images" not in names(check(tmp_path / "large", image_size=128))


def test_a_size_is_advised_only_if_it_can_be_asked_for(tmp_path, rng):
    write_classes(tmp_path / "dots", rng, per_class=8, size=(1, 1))
    random_image(rng, size=(80, 80)).save(tmp_path / "dots" / "cat" / "large.png")
    assert "--image-size" not in finding(check(tmp_path / "dots"), "small images").advice
    facts = replace(check(tmp_path / "dots"), image_shape=(3, 4096, 4096))
    large = replace(facts, sizes=replace(facts.sizes, shorter_side=9000))
    assert [one.advice for one in about_sizes(large) if one.name == "large images"] == [""]


def test_kinds_of_pixels_are_counted(tmp_path, rng):
    write_classes(tmp_path, rng, per_class=1)
    deep = Image.fromarray(rng.integers(0, 65536, (16, 16)).astype(np.uint16))
    deep.save(tmp_path / "cat" / "deep.png")
    for mode in ("L", "LA", "RGBA", "1"):
        random_image(rng, "L" if mode == "1" else mode).convert(mode).save(tmp_path / "cat" / f"{mode}.png")
    random_image(rng).convert("P").save(tmp_path / "dog" / "P.gif")
    random_image(rng).convert("CMYK").save(tmp_path / "dog" / "print.jpg")
    facts = check(tmp_path)
    assert dict(facts.kinds) == {
        "colour": 2, "grey of more than 8 bits": 1, "grey": 1, "grey with alpha": 1, "colour with alpha": 1,
        "black and white": 1, "palette": 1, "CMYK": 1,
    }  # fmt: skip
    assert "4 of 9 images are grey among coloured ones" in finding(facts, "grey and colour").message
    assert "2 images have an alpha channel" in finding(facts, "alpha").message


# ---- samples ----


def test_samples_are_training_images_of_the_class(tmp_path, rng):
    write_splits(tmp_path, rng, test=6, train=12)
    random_image(rng, size=(16, 16)).save(tmp_path / "train" / "dog" / "more.png")
    look = look_at(DataConfig(data=f"folder:{tmp_path}"), lambda stage, done, total: None)
    samples = samples_of(look, 4)
    for label, name in enumerate(facts_of_look(look, DataConfig(data=f"folder:{tmp_path}")).class_names):
        files = sorted((tmp_path / "train" / name).iterdir())
        pixels = [np.asarray(Image.open(path)).transpose(2, 0, 1).tobytes() for path in files]
        places = [pixels.index(image.tobytes()) for image in samples[label]]
        assert len(places) == 4
        assert places == sorted(set(places))
        assert (places[0], places[-1]) == (0, len(files) - 1)
    assert [len(images) for images in samples_of(look, 100).values()] == [12, 13]

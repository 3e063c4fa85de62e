"""Data that cannot be used are refused in words: what it is about, what was wanted, what came; in Python and shell."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tuun_da
from tuun_da.cli import main
from tuun_da.errors import TuunDaError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 8, 8), dtype=np.uint8)
LABELS = np.arange(40) % 2
SHARES = IMAGES / 255
SMALL = {"model": "child_cnn", "epochs": 1, "batch_size": 4, "device": "cpu", "threads": 1, "progress": False}
SMALL_DEEP = {"train_set_size": 8, "opt_samples": 1, "child_epochs": 1, "child_batch_size": 4}


def with_one(array, value):
    changed = array.copy()
    changed.flat[5] = value
    return changed


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- arrays ----

ARRAYS = {
    "lengths differ": (IMAGES, LABELS[:30], "labels must be as many as the images, 40, got 30"),
    "one class": (IMAGES, LABELS * 0, "labels must be of at least two classes, got only 0"),
    "shares": (SHARES, LABELS, "images must be uint8 from 0 to 255, got float64 from 0 to 1; (images * 255).round()"),
    "normalized": (2 * SHARES - 1, LABELS, "uint8 from 0 to 255, got float64 from -1 to 1, which looks normalized"),
    "too bright": (1000 * SHARES, LABELS, "uint8 from 0 to 255, got float64 from 0 to 1000; bring them to the range"),
    "below 0": (IMAGES.astype(int) - 300, LABELS, "uint8 from 0 to 255, got int64 from -300 to -45; bring them to"),
    "NaN": (with_one(SHARES, np.nan), LABELS, "float64, and 1 of its 2560 values are NaN or infinite"),
    "infinite": (with_one(SHARES, np.inf), LABELS, "float64, and 1 of its 2560 values are NaN or infinite"),
    "true and false": (IMAGES > 9, LABELS, "uint8 from 0 to 255, got bool; images.astype('uint8') * 255"),
    "no images": (IMAGES[:0], LABELS[:0], "images must have the shape (n, h, w), (n, h, w, c) or (n, c, h, w), got ("),
    "flat images": (IMAGES.reshape(40, 64), LABELS, "images must have the shape (n, h, w), (n, h, w, c) or"),
    "four channels": (np.stack([IMAGES] * 4, 3), LABELS, "images must have 1 or 3 channels, got the shape (40,"),
    "tiny": (IMAGES[:, :2, :2], LABELS, "images must have at least 4x4 pixels, got the shape (40, 2, 2)"),
    "paths": (np.array(["a.png"] * 40), LABELS, "images must be uint8 from 0 to 255, got <U5"),
    "nothing": (None, LABELS, "images must be an array of numbers, got NoneType"),
    "uneven lists": ([[1, 2], [3]], [0, 1], "images must be an array, got list"),
    "half labels": (IMAGES, LABELS + 0.5, "labels must be whole numbers, one for each image, got float64 with 40 that"),
    "NaN labels": (IMAGES, with_one(LABELS * 1.0, np.nan), "float64 with 1 that are no whole numbers, the first is"),
    "float labels": (IMAGES, LABELS * 1.0, "whole numbers, one for each image, got float64; labels.astype(int) are"),
    "names": (IMAGES, np.array(["cat", "dog"])[LABELS], "got texts such as 'cat'; np.unique(labels, return_"),
    "bool labels": (IMAGES, LABELS == 1, "got true and false; labels.astype(int) are numbers for them"),
    "one-hot": (IMAGES, np.eye(2, dtype=int)[LABELS], "got the shape (40, 2); of one-hot labels, labels.argmax(axis"),
    "mixed labels": (IMAGES, np.array(["a", None] * 20, dtype=object), "must be an array of numbers, got an array"),
    "scarce class": (IMAGES, (np.arange(40) == 7) * 1, "every class needs 3 different images, one for each of train,"),
}  # fmt: skip


@pytest.mark.parametrize("case", ARRAYS)
def test_find_policy_refuses_arrays(case):
    images, labels, message = ARRAYS[case]
    with pytest.raises(TuunDaError, match=re.escape(message)):
        tuun_da.find_policy((images, labels), 1, **SMALL)


@pytest.mark.parametrize("case", ARRAYS)
def test_deep_augment_refuses_arrays(case):
    images, labels, message = ARRAYS[case]
    with pytest.raises(TuunDaError, match=re.escape(message)):
        tuun_da.DeepAugment(images, labels, SMALL_DEEP, device="cpu", threads=1, progress=False).optimize(1)


def test_deep_augment_says_how_many_images_its_settings_leave():
    with pytest.raises(
        TuunDaError, match=r"train_set_size must be less than 32, because of 40 images 8 are kept .* got 50"
    ):
        tuun_da.DeepAugment(IMAGES, LABELS, {"train_set_size": 50})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((IMAGES,), "data must be a pair of arrays, (images, labels), got 1 of them"),
        ((IMAGES, LABELS, LABELS), "data must be a pair of arrays, (images, labels), got 3 of them"),
        (
            IMAGES,
            "data must be a folder of images, the name of a data set, or a pair of arrays (images, labels); got nd",
        ),
        (None, "or a pair of arrays (images, labels); got NoneType"),
    ],
)
def test_data_that_are_no_pair_are_refused(data, message):
    with pytest.raises(TuunDaError, match=re.escape(message)):
        tuun_da.find_policy(data, 1, **SMALL)


# ---- files ----


def put(folder: str, number: int, start: int = 0) -> None:
    """So many images of noise in the ``folder``."""
    Path(folder).mkdir(parents=True)
    for place in range(number):
        pixels = np.random.default_rng([len(folder), sum(folder.encode()), start + place])
        Image.fromarray(pixels.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(f"{folder}/{place}.png")


def empty_folder():
    Path("x").mkdir()


def one_class():
    put("x/cat", 9)


def too_deep():
    put("x/photos/all/cat", 9)
    put("x/photos/all/dog", 9)


def images_only():
    put("x", 9)


def few_images():
    put("x/cat", 2)
    put("x/dog", 9)


def empty_class():
    put("x/cat", 9)
    put("x/dog", 9)
    Path("x/eel").mkdir()


def class_that_test_lacks():
    for folder in ("x/train/cat", "x/train/dog", "x/test/cat"):
        put(folder, 9)


def only_test():
    put("x/test/cat", 9)
    put("x/test/dog", 9)


def train_is_test():
    put("x/train/cat", 9)
    put("x/train/dog", 9)
    shutil.copytree("x/train", "x/test")


def broken_file():
    put("x/cat", 9)
    put("x/dog", 9)
    Path("x/dog/3.png").write_bytes(b"no image")


def all_broken():
    for name in ("cat", "dog"):
        put(f"x/{name}", 1)
        Path(f"x/{name}/0.png").write_bytes(b"no image")


def boxes():
    put("x/images", 3)
    Path("x/labels").mkdir()


def file_for_a_folder():
    Path("x").write_text("")


def nothing_there():
    pass


FOLDERS = {
    empty_folder: (2, "x must hold a folder of images for each class, found none"),
    one_class: (1, "x must have at least two classes, got 1: cat"),
    too_deep: (1, "are of one class, photos; did you mean folder:{here}/x/photos/all, which holds cat, dog?"),
    images_only: (2, "x must hold a folder of images for each class, found 9 images beside each other"),
    few_images: (
        1,
        "every class needs 3 different images, one for each of train, validation and test; too few has cat",
    ),
    empty_class: (1, "x/eel holds no image (.bmp,"),
    class_that_test_lacks: (1, "train and test must have the same classes; they differ in dog"),
    only_test: (2, "x has test/, but no train/"),
    train_is_test: (1, "no image of class cat, dog is left to train on: 18 that it had were dropped as duplicates"),
    broken_file: (1, "3.png"),
    all_broken: (2, "cat/0.png cannot be read"),
    boxes: (2, "x looks like detection or segmentation (images/ and labels/)"),
    file_for_a_folder: (2, "folder:PATH or npz:PATH; got 'x', which is a file"),
    nothing_there: (2, "folder:PATH or npz:PATH; got 'x', and there is no such folder"),
}


@pytest.mark.parametrize("make", FOLDERS)
def test_find_policy_and_check_refuse_folders(make, here, capsys):
    make()
    code, words = FOLDERS[make]
    words = words.format(here=here)
    with pytest.raises(TuunDaError, match=re.escape(words)):
        tuun_da.find_policy("x", 1, **SMALL)
    assert main(["check", "--data", "x"]) == code
    output, errors = capsys.readouterr()
    told = re.sub(r"\s+", " ", errors if code == 2 else output)
    assert words in told
    assert "Traceback" not in errors


FILES = {
    "none": (None, 2, "x.npz does not exist"),
    "torn": (b"PK\x03\x04 torn", 2, "x.npz cannot be read: it is broken, or no npz archive"),
    "empty": (b"", 2, "x.npz cannot be read: it is broken, or no npz archive"),
    "lengths": ({"images": IMAGES, "labels": LABELS[:9]}, 2, "must be as many as the images, 40, got 9"),
    "floats": ({"images": SHARES, "labels": LABELS}, 2, "x.npz must be uint8 from 0 to 255, got float64"),
    "halves": ({"images": IMAGES, "labels": LABELS / 2}, 2, "must be whole numbers of the shape (n,), got float64"),
    "names": ({"pictures": IMAGES}, 2, "must have the arrays train_images and train_labels"),
    "labels only": ({"labels": LABELS}, 2, "has labels, but no images"),
    "one class": ({"images": IMAGES, "labels": LABELS * 0}, 1, "must have at least two classes, got 1: 0"),
    "few": ({"images": IMAGES[:4], "labels": LABELS[:4]}, 1, "every class needs 3 different images"),
}


@pytest.mark.parametrize("case", FILES)
def test_find_policy_and_check_refuse_npz_files(case, here, capsys):
    content, code, words = FILES[case]
    if isinstance(content, bytes):
        (here / "x.npz").write_bytes(content)
    elif content is not None:
        np.savez(here / "x.npz", **content)
    with pytest.raises(TuunDaError, match=re.escape(words)):
        tuun_da.find_policy("x.npz", 1, **SMALL)
    assert main(["check", "--data", "x.npz"]) == code
    output, errors = capsys.readouterr()
    assert words in re.sub(r"\s+", " ", errors if code == 2 else output)
    assert "Traceback" not in errors

"""A quick look at a folder: what its names and a few files tell."""

from __future__ import annotations

import numpy as np
import pytest
from made_images import random_image
from PIL import Image

from tuun_da.errors import DataError
from tuun_da.training.datasets import load_splits
from tuun_da.training.folder_look import FILES_OPENED, look_at_folder
from tuun_da.training.settings import DataConfig


def write(root, counts, size=(20, 10)):
    rng = np.random.default_rng(0)
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            random_image(rng, size=size).save(root / name / f"{number}.png")


def test_it_counts_what_a_training_then_gets(tmp_path):
    counts = {"train/a": 30, "train/bb": 12, "test/a": 6, "test/bb": 5}
    write(tmp_path / "images", counts)
    (tmp_path / "images" / "train" / "a" / "notes.txt").write_text("no image")
    look = look_at_folder(tmp_path / "images")
    config = DataConfig(data=f"folder:{tmp_path / 'images'}", data_dir=str(tmp_path / "cache"))
    splits = load_splits(config)
    assert look.counts == {"train": {"a": 30, "bb": 12}, "test": {"a": 6, "bb": 5}}
    assert sum(look.counts["train"].values()) == len(splits.train_labels) + len(splits.validation_labels)
    assert sum(look.counts["test"].values()) == len(splits.test_labels)
    assert (look.smallest, look.largest, look.imbalance) == (("bb", 12), ("a", 30), 2.5)
    assert look.shorter_side == 10
    assert look.describe() == (
        "53 images of 2 classes (42 in train, 11 in test), 12 to 30 a class. They are 20x10 pixels."
    )


def test_of_many_files_some_are_opened_from_all_over(tmp_path):
    write(tmp_path, {"a": FILES_OPENED + 1, "b": 40}, size=(4, 4))
    write(tmp_path, {"c": 60}, size=(9, 7))
    look = look_at_folder(tmp_path)
    assert look.total == FILES_OPENED + 101
    assert 100 < len(look.sizes) <= FILES_OPENED
    assert set(look.sizes) == {(4, 4), (9, 7)}
    assert f"4 to 9 wide and 4 to 7 high, {len(look.sizes)} of them looked at." in look.describe()


def test_files_that_cannot_be_read_have_no_size(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_text("not an image")
    look = look_at_folder(tmp_path)
    assert (look.total, look.sizes, look.shorter_side) == (2, (), None)
    assert look.describe() == "2 images of 2 classes, 1 a class."


def test_what_is_no_data_folder_is_refused_as_a_training_refuses_it(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loose").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "loose" / "a.png")
    for name, words in (("missing", "does not exist"), ("file", "is not a folder"), ("loose", "must hold a folder of")):
        with pytest.raises(DataError, match=words):
            look_at_folder(tmp_path / name)
        with pytest.raises(DataError, match=words):
            load_splits(DataConfig(data=f"folder:{tmp_path / name}"))

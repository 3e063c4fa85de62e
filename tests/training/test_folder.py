"""A folder of images is read in both layouts, and what is wrong with one is said by its path."""

from __future__ import annotations

import json
import logging
import os
import shutil

import numpy as np
import pytest
import torch
from made_images import random_image, write_classes
from torchvision.datasets import ImageFolder

from tuun_da.errors import DataError
from tuun_da.training.datasets import load_splits
from tuun_da.training.settings import DataConfig


def load(folder, **settings):
    return load_splits(DataConfig(data=f"folder:{folder}", **settings))


def images_of(splits):
    return torch.cat([splits.train_images, splits.validation_images, splits.test_images])


def test_a_folder_for_each_class_is_what_torchvision_reads(tmp_path, rng):
    write_classes(tmp_path, rng, classes=("cat", "ant", "Bee"))
    splits = load(tmp_path)
    oracle = ImageFolder(str(tmp_path))
    assert list(splits.class_names) == oracle.classes
    expected = {np.asarray(image).transpose(2, 0, 1).tobytes(): label for image, label in oracle}
    labels = torch.cat([splits.train_labels, splits.validation_labels, splits.test_labels])
    found = {image.numpy().tobytes(): label for image, label in zip(images_of(splits), labels.tolist(), strict=True)}
    assert found == expected
    assert (splits.channels, splits.image_size) == (3, 16)


def test_train_and_test_folders(tmp_path, rng):
    write_classes(tmp_path / "train", rng, per_class=20)
    write_classes(tmp_path / "test", rng, per_class=6)
    splits = load(tmp_path)
    assert [len(splits.train_labels), len(splits.validation_labels), len(splits.test_labels)] == [32, 8, 12]


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_a_validation_folder_is_used(tmp_path, rng, name):
    write_classes(tmp_path / "train", rng, per_class=20)
    write_classes(tmp_path / name, rng, per_class=5)
    write_classes(tmp_path / "test", rng, per_class=6)
    splits = load(tmp_path)
    assert [len(splits.train_labels), len(splits.validation_labels), len(splits.test_labels)] == [40, 10, 12]


def test_without_a_test_folder_test_is_carved_out_of_train(tmp_path, rng):
    write_classes(tmp_path / "train", rng, per_class=20)
    write_classes(tmp_path / "val", rng, per_class=5)
    splits = load(tmp_path, test_size=0.5)
    assert [len(splits.train_labels), len(splits.validation_labels), len(splits.test_labels)] == [20, 10, 20]


def test_a_class_may_be_called_train(tmp_path, rng):
    write_classes(tmp_path, rng, classes=("train", "plane", "bus"))
    assert load(tmp_path).class_names == ("bus", "plane", "train")


def test_images_lie_at_any_depth_and_with_any_case_of_suffix(tmp_path, rng):
    write_classes(tmp_path, rng)
    (tmp_path / "cat" / "2024" / "may").mkdir(parents=True)
    random_image(rng).save(tmp_path / "cat" / "2024" / "may" / "x.PNG")
    assert len(images_of(load(tmp_path))) == 21


def test_grey_images_stay_grey_and_are_resized_when_asked(tmp_path, rng):
    write_classes(tmp_path, rng, mode="L", size=(20, 30))
    assert images_of(load(tmp_path)).shape == (20, 1, 64, 64)
    assert images_of(load(tmp_path, image_size=12)).shape == (20, 1, 12, 12)


def test_hidden_files_are_passed_over_and_others_counted(tmp_path, rng, caplog):
    write_classes(tmp_path, rng)
    (tmp_path / ".git").mkdir()
    (tmp_path / "cat" / ".DS_Store").write_text("")
    (tmp_path / "README.md").write_text("")
    (tmp_path / "cat" / "notes.txt").write_text("")
    with caplog.at_level(logging.WARNING):
        splits = load(tmp_path)
    assert splits.ignored_files == 2
    assert "left out 2 files" in caplog.text
    assert splits.class_names == ("cat", "dog")


def test_links_out_of_the_folder_are_left_out_and_links_within_followed(tmp_path, rng):
    data, outside = tmp_path / "data", tmp_path / "outside"
    write_classes(data, rng)
    write_classes(outside, rng, classes=("secret",))
    (data / "cat" / "secret").symlink_to(outside / "secret")
    (data / "README.md").symlink_to(outside / "secret" / "000.png")
    (data / "cat" / "stolen.png").symlink_to(outside / "secret" / "000.png")
    (data / "cat" / "again.png").symlink_to(data / "cat" / "000.png")
    (data / "cat" / "loop").symlink_to(data / "cat")
    splits = load(data)
    assert splits.class_names == ("cat", "dog")
    assert splits.ignored_files == 4
    assert len(images_of(splits)) == 21


@pytest.mark.parametrize("target", ["emu", "a disk that is not there"])
@pytest.mark.parametrize("link", ["emu", "train/emu", "train", "test"])
def test_a_class_or_a_split_must_not_vanish_because_it_is_a_link_out(tmp_path, rng, link, target):
    data, outside = tmp_path / "data", tmp_path / "outside"
    write_classes(data / "train" if link in ("train/emu", "test") else data, rng)
    write_classes(outside, rng, classes=("emu",))
    (data / link).symlink_to(outside / target)
    with pytest.raises(DataError, match=f"folder {data}/{link} is a link .* out .*, to {outside}/{target}; put"):
        load(data)


@pytest.mark.parametrize("where", ["x", "x.png", "cat/x", "cat/x.png"])
def test_a_link_to_itself_is_left_out(tmp_path, rng, where):
    write_classes(tmp_path, rng)
    (tmp_path / where).symlink_to(tmp_path / where)
    splits = load(tmp_path)
    assert splits.ignored_files == 1
    assert len(images_of(splits)) == 20


def test_a_class_of_links_out_only_says_so(tmp_path, rng):
    data, outside = tmp_path / "data", tmp_path / "outside"
    write_classes(data, rng)
    write_classes(outside, rng, classes=("emu",), per_class=3)
    (data / "emu").mkdir()
    for path in (outside / "emu").iterdir():
        (data / "emu" / path.name).symlink_to(path)
    with pytest.raises(DataError, match=r"emu holds no image \(.*\), but 3 links that lead out of the data folder"):
        load(data)
    for path in (data / "emu").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"emu holds no image \([^)]*\)$"):
        load(data)


def test_images_of_one_pixel_are_too_small(tmp_path, rng):
    write_classes(tmp_path, rng, size=(3, 3))
    with pytest.raises(DataError, match="must have at least 4x4 pixels, got 3x3"):
        load(tmp_path)
    assert load(tmp_path, image_size=4).image_size == 4


def test_a_pipe_is_no_image(tmp_path, rng):
    write_classes(tmp_path, rng)
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    os.mkfifo(tmp_path / "pipe.json")
    assert load(tmp_path).ignored_files == 2


def test_the_data_folder_itself_may_be_a_link(tmp_path, rng):
    write_classes(tmp_path / "data", rng)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert len(images_of(load(tmp_path / "link"))) == 20


def test_identical_files_are_on_one_side(tmp_path, rng):
    write_classes(tmp_path, rng, per_class=12)
    for name in ("cat", "dog"):
        for number in range(0, 12, 2):
            shutil.copy(tmp_path / name / f"{number:03}.png", tmp_path / name / f"copy{number}.png")
    for seed in range(5):
        splits = load(tmp_path, split_seed=seed, validation_size=0.4)
        train, validation, test = (
            {image.numpy().tobytes() for image in images}
            for images in (splits.train_images, splits.validation_images, splits.test_images)
        )
        assert not train & validation
        assert not (train | validation) & test


class TestBroken:
    @pytest.fixture
    def folder(self, tmp_path, rng):
        write_classes(tmp_path, rng)
        (tmp_path / "dog" / "003.png").write_bytes(b"broken")
        return tmp_path

    def test_the_file_is_named(self, folder):
        with pytest.raises(DataError, match=rf"image {folder}/dog/003\.png cannot be read"):
            load(folder)

    def test_skip_broken_leaves_it_out_and_counts(self, folder, caplog):
        with caplog.at_level(logging.WARNING):
            splits = load(folder, skip_broken=True)
        assert splits.skipped == (str(folder / "dog" / "003.png"),)
        assert "left out 1 broken images" in caplog.text
        labels = torch.cat([splits.train_labels, splits.validation_labels, splits.test_labels])
        assert torch.bincount(labels).tolist() == [10, 9]

    def test_a_class_of_broken_images_only_is_named(self, folder):
        for path in (folder / "cat").iterdir():
            path.write_bytes(b"")
        with pytest.raises(DataError, match="class cat has no readable image in train"):
            load(folder, skip_broken=True)

    def test_broken_images_only(self, folder):
        for path in folder.rglob("*.png"):
            path.write_bytes(b"")
        with pytest.raises(DataError, match="none of its 20 images can be read"):
            load(folder, skip_broken=True)


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match="absent does not exist"):
        load(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file is not a folder"):
        load(tmp_path / "file")


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path} must hold a folder of images for each class, found none"):
        load(tmp_path)


def test_loose_images(tmp_path, rng):
    random_image(rng).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="for each class, found 1 images beside each other"):
        load(tmp_path)


def test_an_empty_class(tmp_path, rng):
    write_classes(tmp_path, rng)
    (tmp_path / "emu").mkdir()
    with pytest.raises(DataError, match=f"data folder {tmp_path}/emu holds no image"):
        load(tmp_path)


def test_one_class(tmp_path, rng):
    write_classes(tmp_path, rng, classes=("cat",))
    with pytest.raises(DataError, match="must have at least two classes, got 1: cat"):
        load(tmp_path)


def test_classes_that_differ_between_train_and_test(tmp_path, rng):
    write_classes(tmp_path / "train", rng, classes=("cat", "dog"))
    write_classes(tmp_path / "test", rng, classes=("cat", "emu"))
    with pytest.raises(DataError, match="train and test must have the same classes; they differ in dog, emu"):
        load(tmp_path)


def test_test_without_train(tmp_path, rng):
    write_classes(tmp_path / "test", rng)
    with pytest.raises(DataError, match="has test/, but no train/"):
        load(tmp_path)


def test_train_without_classes(tmp_path, rng):
    write_classes(tmp_path, rng, classes=("train", "test"))
    with pytest.raises(DataError, match="train must hold a folder for each class, found none"):
        load(tmp_path)


def test_two_folders_for_validation(tmp_path, rng):
    for name in ("train", "val", "valid"):
        write_classes(tmp_path / name, rng)
    with pytest.raises(DataError, match="has two folders for validation: val and valid"):
        load(tmp_path)


@pytest.mark.parametrize(
    "folders",
    [
        ("annotations", "images"), ("Annotations", "JPEGImages"), ("images", "labels"), ("images", "masks"),
        ("train/images", "train/labels", "val/images", "val/labels"),
        ("images/train", "masks/train", "test/a", "train/a"),
    ],
)  # fmt: skip
def test_detection_and_segmentation_layouts(tmp_path, rng, folders):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
        random_image(rng).save(tmp_path / folder / "a.png")
    with pytest.raises(DataError, match="only image classification with one label for each image is supported"):
        load(tmp_path)


@pytest.mark.parametrize("where", ["anything.json", "train/_annotations.coco.json"])
def test_coco_annotations(tmp_path, rng, where):
    write_classes(tmp_path / "train", rng)
    (tmp_path / where).write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    with pytest.raises(DataError, match=rf"{where} *\): only image classification"):
        load(tmp_path)


def test_any_other_json_is_only_a_file_beside(tmp_path, rng):
    write_classes(tmp_path, rng)
    (tmp_path / "info.json").write_text('{"images": 20}')
    (tmp_path / "half.json").write_text("{")
    assert load(tmp_path).ignored_files == 2

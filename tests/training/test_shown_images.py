"""A few images to look at, from wherever they lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_images import random_image, write_classes
from PIL import Image

from tuun_da.errors import ConfigError, DataError
from tuun_da.training.datasets import load_digits
from tuun_da.training.settings import DataConfig
from tuun_da.training.shown_images import image_paths, in_turn, read_shown_images


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def pixels(path):
    with Image.open(path) as file:
        return torch.from_numpy(np.asarray(file).copy()).permute(2, 0, 1)


def names(paths, root):
    return [path.relative_to(root).as_posix() for path in paths]


@pytest.mark.parametrize("inside", ["", "train", "Train"])
def test_classes_take_turns_and_only_training_images_are_shown(tmp_path, rng, inside):
    write_classes(tmp_path / inside, rng, classes=("cat", "dog", "eel"), per_class=3)
    if inside:
        write_classes(tmp_path / "test", rng, classes=("cat", "dog", "eel"), per_class=3)
    prefix = f"{inside}/" if inside else ""
    wanted = [f"{prefix}{name}" for name in ("cat/000.png", "dog/000.png", "eel/000.png", "cat/001.png")]
    assert names(image_paths(tmp_path, 4), tmp_path) == wanted
    assert len(image_paths(tmp_path, 100)) == 9
    shown = read_shown_images(str(tmp_path), 4)
    assert torch.equal(shown, torch.stack([pixels(tmp_path / name) for name in wanted]))
    assert torch.equal(read_shown_images(f"folder:{tmp_path}", 4), shown)


def test_an_npz_file_needs_no_prefix_and_a_folder_may_be_called_so(tmp_path, rng):
    images = rng.integers(0, 256, (6, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(6) % 2)
    assert torch.equal(read_shown_images(str(tmp_path / "a.npz"), 4), torch.from_numpy(images[:4, None]))
    write_classes(tmp_path / "b.npz", rng, classes=("cat",), per_class=2)
    assert len(read_shown_images(str(tmp_path / "b.npz"), 2)) == 2


def test_a_flat_folder_of_images_will_do(tmp_path, rng):
    for number in (2, 1, 3):
        random_image(rng).save(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").write_text("no image")
    assert names(image_paths(tmp_path, 2), tmp_path) == ["1.png", "2.png"]
    assert read_shown_images(str(tmp_path), 8).shape == (3, 3, 16, 16)


def test_images_beside_folders_take_their_turn(tmp_path, rng):
    write_classes(tmp_path, rng, classes=("cat",), per_class=2)
    random_image(rng).save(tmp_path / "loose.png")
    (tmp_path / "empty").mkdir()
    assert names(image_paths(tmp_path, 9), tmp_path) == ["cat/000.png", "loose.png", "cat/001.png"]


@pytest.mark.parametrize("where", ["file", "folder"])
def test_a_single_image_fills_all_columns(tmp_path, rng, where):
    random_image(rng, "L", (20, 20)).save(tmp_path / "one.png")
    shown = read_shown_images(str(tmp_path / "one.png" if where == "file" else tmp_path), 5)
    assert shown.shape == (5, 1, 20, 20)
    assert (shown == shown[0]).all()


def test_sizes_and_modes_are_brought_together_as_for_a_training(tmp_path, rng):
    random_image(rng, "RGB", (100, 80)).save(tmp_path / "1.png")
    random_image(rng, "L", (16, 16)).save(tmp_path / "2.png")
    assert read_shown_images(str(tmp_path), 2).shape == (2, 3, 64, 64)
    assert read_shown_images(str(tmp_path), 2, image_size=24).shape == (2, 3, 24, 24)


def test_data_sets_show_their_classes_in_turn(tmp_path):
    shown = read_shown_images("digits", 12)
    source = load_digits(DataConfig(data="digits"))
    places = [np.flatnonzero(source.train.labels == i % 10)[i // 10] for i in range(12)]
    assert np.array_equal(shown.numpy(), source.train.images[places])
    assert read_shown_images("digits", 3, image_size=16).shape == (3, 1, 16, 16)
    np.savez(tmp_path / "d.npz", images=source.train.images[:200], labels=source.train.labels[:200])
    assert read_shown_images(f"npz:{tmp_path / 'd.npz'}", 4).shape == (4, 1, 8, 8)


def test_in_turn_ends_with_the_last_group_and_reads_no_further_than_needed():
    assert in_turn([iter("abc"), iter(""), iter("x")], 9) == ["a", "x", "b", "c"]
    assert in_turn([], 3) == []
    endless = iter(int, 1)
    assert in_turn([endless, iter([5])], 4) == [0, 5, 0, 0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "here does not exist; wanted a folder of images, an image file, or digits"),
        (lambda path: path.mkdir(), r"folder .*here holds no image \(\.bmp, "),
        (lambda path: (path / "cat").mkdir(parents=True), "holds no image"),
        (lambda path: path.write_text("no image"), "image .*here cannot be read"),
        (lambda path: (path.mkdir(), (path / "a.png").write_bytes(b"\x89PNG")), "image .*a.png cannot be read"),
    ],
    ids=["nothing", "an empty folder", "an empty class", "a text", "a broken image"],
)
def test_what_cannot_be_shown_is_named(tmp_path, make, message):
    make(tmp_path / "here")
    with pytest.raises(DataError, match=message):
        read_shown_images(str(tmp_path / "here"), 4)


def test_a_pipe_is_not_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match="holds no image"):
        read_shown_images(str(tmp_path), 4)
    with pytest.raises(DataError, match="is neither a folder nor an image file"):
        read_shown_images(str(tmp_path / "pipe.png"), 4)


@pytest.mark.parametrize("count", [0, -1, True])
def test_a_number_of_columns_must_be_one(tmp_path, count):
    with pytest.raises(ConfigError, match="columns must be a whole number of at least 1"):
        read_shown_images("digits", count)

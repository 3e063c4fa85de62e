"""NumPy archives in the usual spellings; anything that is no labelled images gets a clear error."""

from __future__ import annotations

import numpy as np
import pytest

from tuun_da.errors import DataError
from tuun_da.training.datasets import load_splits
from tuun_da.training.settings import DataConfig


@pytest.fixture
def write(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "a.npz", **arrays)
        return DataConfig(data=f"npz:{tmp_path / 'a.npz'}")

    return save


def noise(n, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def content(splits):
    """Image bytes to class name, over all splits."""
    found = {}
    for part in ("train", "validation", "test"):
        images, labels = getattr(splits, f"{part}_images"), getattr(splits, f"{part}_labels")
        for image, label in zip(images, labels.tolist(), strict=True):
            found[image.numpy().tobytes()] = splits.class_names[label]
    return found


@pytest.mark.parametrize(
    ("shape", "channels"), [((8, 8), 1), ((8, 8, 1), 1), ((1, 8, 8), 1), ((8, 8, 3), 3), ((3, 8, 8), 3)]
)
def test_every_order_of_axes(write, shape, channels):
    images, labels = noise(40, *shape), np.arange(40) % 2
    splits = load_splits(write(images=images, labels=labels))
    assert (splits.channels, splits.image_size) == (channels, 8)
    chw = images.transpose(0, 3, 1, 2) if shape[-1] == channels and len(shape) == 3 else images
    assert content(splits) == {np.ascontiguousarray(i).tobytes(): str(k) for i, k in zip(chw, labels, strict=True)}


@pytest.mark.parametrize("train", ["train_images train_labels", "x_train y_train"])
@pytest.mark.parametrize(
    "validation", [None, "val_images val_labels", "x_val y_val", "validation_images validation_labels"]
)
@pytest.mark.parametrize("test", ["test_images test_labels", "x_test y_test"])
def test_every_spelling(write, train, validation, test):
    arrays = {}
    for names, n, seed in ((train, 40, 1), (validation, 12, 2), (test, 10, 3)):
        if names is not None:
            images_name, labels_name = names.split()
            arrays |= {images_name: noise(n, 8, 8, seed=seed), labels_name: np.arange(n) % 2}
    splits = load_splits(write(**arrays))
    sizes = [len(splits.train_labels), len(splits.validation_labels), len(splits.test_labels)]
    assert sizes == ([32, 8, 10] if validation is None else [40, 12, 10])


def test_classes_are_the_labels_that_occur_whatever_they_are(write):
    labels = np.array([-3, 7, 400] * 20, dtype=np.int16)
    splits = load_splits(write(images=noise(60, 8, 8), labels=labels))
    assert splits.class_names == ("-3", "7", "400")
    assert splits.train_labels.unique().tolist() == [0, 1, 2]


def test_labels_in_one_column_as_medmnist_has_them(write):
    labels = (np.arange(40) % 2)[:, None].astype(np.uint8)
    splits = load_splits(write(train_images=noise(40, 8, 8), train_labels=labels))
    assert splits.num_classes == 2


def test_images_are_resized(write):
    config = write(images=noise(40, 30, 20, 3), labels=np.arange(40) % 2)
    assert load_splits(config).image_size == 64
    assert load_splits(DataConfig(data=config.data, image_size=10)).image_size == 10


ONLY = "only image classification with one label for each image is supported"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": np.zeros((40, 4), dtype=int)}, rf"labels of .* must be whole numbers .* \(40, 4\): {ONLY}"),
        ({"labels": np.zeros((40, 8, 8), dtype=int)}, rf"labels of npz file .* \(40, 8, 8\): {ONLY}"),
        ({"labels": np.zeros(40)}, rf"labels of npz file .* got float64 .*: {ONLY}"),
        ({"labels": np.array(["a"] * 40)}, rf"labels of npz file .* got <U1 .*: {ONLY}"),
        ({"labels": None, "boxes": np.zeros((40, 4))}, rf"has images, but no labels \(it has boxes, images\): {ONLY}"),
        ({"labels": np.zeros(39, dtype=int)}, "labels of .* must be as many as the images, 40, got 39"),
        ({"labels": np.zeros(40, dtype=int)}, "must have at least two classes, got 1: 0"),
        ({"images": noise(40, 8, 8) / 255}, "images of .* must be uint8 from 0 to 255, got float64"),
        ({"images": noise(40, 8)}, r"images of .* must have the shape \(n, h, w\), .* got \(40, 8\)"),
        ({"images": noise(40, 8, 8, 4)}, r"images of .* must have 1 or 3 channels, got the shape \(40, 8, 8, 4\)"),
        ({"images": noise(0, 8, 8), "labels": np.zeros(0, dtype=int)}, r"images of .* got \(0, 8, 8\)"),
        ({"images": None, "labels": None, "x": noise(1)}, "must have the arrays train_images and .*; it has x"),
        ({"x_train": noise(4, 8, 8), "y_train": np.arange(4)}, "has arrays for train under two names"),
        ({"x_test": noise(4, 8, 8), "y_test": np.full(4, 9)}, "label 9 of test does not occur in train"),
        ({"x_test": noise(4, 9, 9), "y_test": np.zeros(4, dtype=int)}, r"must have one shape \(c, h, w\), got"),
        ({"labels": np.array([None] * 40)}, "cannot be read: Object arrays cannot be loaded"),
    ],
)
def test_what_is_wrong_is_said(write, arrays, message):
    complete = {"images": noise(40, 8, 8), "labels": np.arange(40) % 2} | arrays
    config = write(**{name: array for name, array in complete.items() if array is not None})
    with pytest.raises(DataError, match=message):
        load_splits(config)


def test_no_file_a_folder_and_a_file_that_is_something_else(tmp_path):
    with pytest.raises(DataError, match=r"absent\.npz does not exist"):
        load_splits(DataConfig(data=f"npz:{tmp_path / 'absent.npz'}"))
    with pytest.raises(DataError, match="is not a file"):
        load_splits(DataConfig(data=f"npz:{tmp_path}"))
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(DataError, match=r"text\.npz cannot be read"):
        load_splits(DataConfig(data=f"npz:{tmp_path / 'text.npz'}"))
    np.save(tmp_path / "one.npy", noise(4, 8, 8))
    with pytest.raises(DataError, match="must be an archive of named arrays"):
        load_splits(DataConfig(data=f"npz:{tmp_path / 'one.npy'}"))


def test_a_truncated_archive_is_named(tmp_path, write):
    write(images=noise(40, 8, 8), labels=np.arange(40) % 2)
    path = tmp_path / "a.npz"
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(DataError, match=r"a\.npz cannot be read"):
        load_splits(DataConfig(data=f"npz:{path}"))

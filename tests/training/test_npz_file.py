"""NumPy archives in the usual spellings; anything that is no labelled images gets a clear error."""

from __future__ import annotations

import io
import logging
import warnings
import zipfile

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
    "validation",
    [
        None,
        "val_images val_labels",
        "x_val y_val",
        "validation_images validation_labels",
        "valid_images valid_labels",
        "x_valid y_valid",
    ],
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
        ({"labels": np.array([None] * 40)}, "array labels cannot be read: it holds Python objects, which could run"),
        ({"images": noise(40, 3, 3)}, r"images of .* must have at least 4x4 pixels, got the shape \(40, 3, 3\)"),
        ({"images": noise(40, 1, 1, 3)}, r"images of .* at least 4x4 pixels, got the shape \(40, 1, 1, 3\)"),
        ({"images": noise(40, 3, 9, 2)}, r"images of .* at least 4x4 pixels, got the shape \(40, 3, 9, 2\)"),
        ({"tests_images": noise(4, 8, 8)}, "has an array tests_images, which belongs to no split; known are train_im"),
        ({"y_dev": np.zeros(4)}, "has an array y_dev, which belongs to no split"),
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


def test_an_array_that_has_nothing_to_do_with_images_is_left_out_with_a_warning(write, caplog):
    with caplog.at_level(logging.WARNING):
        load_splits(write(images=noise(40, 8, 8), labels=np.arange(40) % 2, label_names=np.array(["a", "b"])))
    assert "left out arrays of unknown names: label_names" in caplog.text


def npy(shape, *, header=None):
    """A stored array of which there are 64 bytes, whatever the header says."""
    text = header or f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(64)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (npy((2**62,)), rf"its header promises {2**62} bytes of the shape \({2**62},\), and it has \d+"),
        (npy((2**70, 4)), r"its header promises \d+ bytes"),
        (npy((2**36,)), r"its header promises \d+ bytes"),
        (npy((-4, -4)), r"its header promises 16 bytes of the shape \(-4, -4\)"),
        (npy(None, header="{'descr': '|u1', 'shape': ((("), r"broken \(\w+\)$"),
        (npy(None, header='"' * 3), r"broken \(\w+\)$"),
        (b"\x93NUMPY\x09\x00" + bytes(80), r"its format \(9, 0\) is not known"),
        (b"", r"broken \(ValueError\)$"),
        (b"no array", r"broken \(ValueError\)$"),
    ],
)
def test_a_broken_array_is_named(tmp_path, content, reason):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, about headers of Python 2
        with pytest.raises(DataError, match=rf"a\.npz, array images cannot be read: {reason}"):
            load_splits(DataConfig(data=f"npz:{tmp_path / 'a.npz'}"))


@pytest.mark.parametrize(
    ("offset", "value", "reason"), [(8, 1, "it is encrypted"), (10, 99, "That compression method is not supported")]
)
def test_an_archive_that_python_cannot_unpack_is_named(tmp_path, offset, value, reason):
    buffer = io.BytesIO()
    np.savez(buffer, images=noise(40, 8, 8), labels=np.arange(40) % 2)
    content = bytearray(buffer.getvalue())
    content[content.index(b"PK\x01\x02") + offset] = value  # flags and compression in the list of contents ...
    content[offset - 2] = value  # ... and before the array itself
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.npz, array images cannot be read: {reason}"):
        load_splits(DataConfig(data=f"npz:{tmp_path / 'a.npz'}"))


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x80\x04K\x01.", b"PK\x03\x04 or so"])
def test_what_is_no_archive_gets_no_advice_to_allow_pickle(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz cannot be read: it is broken, or no npz archive") as caught:
        load_splits(DataConfig(data=f"npz:{tmp_path / 'a.npz'}"))
    assert "pickle" not in str(caught.value)


def test_a_class_of_copies_is_no_class(write):
    """All copies are on one side, so the class would be missing on the others."""
    images, labels = noise(60, 8, 8), np.arange(60) % 3
    images[labels == 1] = images[1]
    with pytest.raises(DataError, match=r"needs 3 different images, .* too few has 1 \(1 different of 20\)\. Add"):
        load_splits(write(images=images, labels=labels))


def test_test_images_that_are_the_training_images_are_found_out(write):
    images, labels = noise(40, 8, 8), np.arange(40) % 2
    config = write(x_train=images, y_train=labels, x_test=images, y_test=labels)
    with pytest.raises(DataError, match=r"no image of class 0, 1 is left to train on: 40 .* dropped as duplicates"):
        load_splits(config)

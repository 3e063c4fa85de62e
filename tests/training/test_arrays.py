"""Images and labels in memory: what is no such thing is refused in words, what is comes back from its file."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

from tuun_da.errors import DataError
from tuun_da.training.arrays import checked_arrays, kept_as_npz

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3
PICTURES = [Image.fromarray(pixels) for pixels in IMAGES]
SERIES = pandas.Series(LABELS, index=range(12, 0, -1))


@pytest.mark.parametrize("images", [IMAGES, IMAGES[..., 0], IMAGES[..., :1], torch.from_numpy(IMAGES), PICTURES])
@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None], LABELS.tolist(), LABELS.astype(np.uint8), SERIES])
def test_arrays_that_are_right_stay_as_they_are(images, labels):
    pixels, classes = checked_arrays(images, labels)
    np.testing.assert_array_equal(pixels, IMAGES if images is PICTURES else np.asarray(images))
    np.testing.assert_array_equal(classes, LABELS)
    assert (pixels.dtype, classes.dtype) == (np.uint8, np.int64)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES, LABELS[:11], "labels must be as many as the images, 12, got 11"),
        (IMAGES, LABELS * 0 + 4, "at least two classes, got only 4"),
        (IMAGES / 255, LABELS, r"uint8 from 0 to 255, got float64 from 0 to 1; \(images \* 255\).round\(\)"),
        (IMAGES.astype(np.float32), LABELS, r"got float32 from 0 to 255; images.round\(\).astype\('uint8'\)"),
        (IMAGES.astype(np.int64), LABELS, r"got int64 from 0 to 255; images.astype\('uint8'\)"),
        ((IMAGES - 127.0) / 60, LABELS, "which looks normalized; hand over the images as they were before"),
        (
            IMAGES.astype(np.int64) + 1000,
            LABELS,
            "uint8 from 0 to 255, got int64 from 1000 to 1255; bring them to the range from 0 to 255 first$",
        ),
        (IMAGES > 3, LABELS, r"uint8 from 0 to 255, got bool; images.astype\('uint8'\) \* 255 are"),
        (IMAGES.transpose(0, 3, 1, 2), LABELS, r"channels last, \(n, h, w, 3\), got the shape \(12, 3, 8, 8\)"),
        (IMAGES[..., :2], LABELS, "images must have 1 or 3 channels"),
        (IMAGES[:, :3, :3], LABELS, "images must have at least 4x4 pixels"),
        (IMAGES[:0], LABELS[:0], "images must have the shape"),
        (IMAGES[0, 0], LABELS, "images must have the shape"),
        ("images.npy", LABELS, "images must be an array of numbers, got str|images must be uint8"),
        ([IMAGES[0], IMAGES[1, :5]], [0, 1], r"one shape, got \(5, 8, 3\) and \(8, 8, 3\)"),
        (None, LABELS, "images must be an array of numbers, got NoneType"),
        (IMAGES, np.eye(3)[LABELS], r"labels.argmax\(axis=1\)"),
        (IMAGES, LABELS.astype(float), r"whole numbers, one for each image, got float64; labels.astype\(int\)"),
        (IMAGES, LABELS + 0.5, r"got float64 with 12 that are no whole numbers, the first is"),
        (IMAGES, LABELS > 0, r"got true and false; labels.astype\(int\) are numbers for them"),
        (IMAGES, LABELS.astype(str), r"got texts such as '\d'; np.unique\(labels, return_inv"),
        (IMAGES, pandas.Series(LABELS.astype(str), dtype=object), "got texts such as"),
        (IMAGES, pandas.Series(LABELS.astype(str)).astype("category"), "got texts such as"),
        (IMAGES, None, "labels must be an array of numbers, got NoneType"),
        (LABELS, IMAGES, r"images come first and labels second; got images of the shape \(12,\) and labels of"),
        (torch.from_numpy(IMAGES).permute(0, 3, 1, 2), LABELS, r"images.permute\(0, 2, 3, 1\) has them there"),
        ([Image.fromarray(IMAGES[0]), Image.fromarray(IMAGES[1, :5])], [0, 1], r"one shape, got \(8, 5\) RGB and"),
        ([Image.fromarray(IMAGES[0]), Image.fromarray(IMAGES[1]).convert("L")], [0, 1], r"got \(8, 8\) L and"),
    ],
)
def test_arrays_that_are_none_are_refused_in_words(images, labels, message):
    with pytest.raises(DataError, match=message):
        checked_arrays(images, labels)


def test_the_file_of_arrays_is_named_for_what_is_in_it_and_written_once(tmp_path):
    path = kept_as_npz(IMAGES, LABELS, tmp_path / "new")
    with np.load(path) as found:
        np.testing.assert_array_equal(found["images"], IMAGES)
        np.testing.assert_array_equal(found["labels"], LABELS)
    written = path.stat().st_mtime_ns
    assert kept_as_npz(IMAGES.copy(), LABELS, tmp_path / "new") == path
    assert path.stat().st_mtime_ns == written
    others = {kept_as_npz(255 - IMAGES, LABELS, tmp_path / "new"), kept_as_npz(IMAGES, LABELS[::-1], tmp_path / "new")}
    assert len({path, *others}) == 3
    assert {found.suffix for found in path.parent.iterdir()} == {".npz"}


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"images cannot be kept in .*file"):
        kept_as_npz(IMAGES, LABELS, tmp_path / "file" / "folder")

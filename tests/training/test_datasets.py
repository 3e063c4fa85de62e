"""The named data sets, read from small files in their original formats; without a network it says where to put them."""

from __future__ import annotations

import hashlib
import multiprocessing
import pickle
import urllib.error

import numpy as np
import pytest
import scipy.io
import torch
import torchvision
from sklearn.datasets import load_digits

from tuun_da.errors import DataError
from tuun_da.training.datasets import digits_table, downloaded, load_splits
from tuun_da.training.settings import DataConfig


class TestDigits:
    def test_all_images_are_there_half_of_them_for_test(self):
        splits = load_splits(DataConfig(data="digits"))
        assert [len(splits.train_labels), len(splits.validation_labels), len(splits.test_labels)] == [719, 180, 898]
        assert (splits.num_classes, splits.channels, splits.image_size) == (10, 1, 8)

    def test_the_pixels_are_scikit_learns_scaled_to_255(self):
        splits = load_splits(DataConfig(data="digits"))
        images = torch.cat([splits.train_images, splits.validation_images, splits.test_images]).double()
        expected = load_digits().images.reshape(-1, 64)
        assert sorted((images[:, 0] * 16 / 255).round().flatten(1).tolist()) == sorted(expected.tolist())
        assert images.max() == 255

    @pytest.mark.parametrize("found", [True, False])
    def test_the_file_and_scikit_learn_itself_give_the_same(self, monkeypatch, found):
        """The file may lie elsewhere in another version."""
        if not found:
            monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        pixels, labels = digits_table()
        assert np.array_equal(pixels, load_digits().data)
        assert np.array_equal(labels, load_digits().target)
        assert labels.dtype == np.int64

    def test_the_split_of_the_experiment_can_be_said(self):
        splits = load_splits(DataConfig(data="digits", train_per_class=15, validation_size=600))
        assert torch.bincount(splits.train_labels).tolist() == [15] * 10
        assert len(splits.validation_labels) == 600
        everything = load_splits(DataConfig(data="digits", train_size=150, validation_size=600, test_size=1047))
        assert [len(everything.train_labels), len(everything.test_labels)] == [150, 1047]

    def test_another_size(self):
        splits = load_splits(DataConfig(data="digits", image_size=12))
        assert splits.train_images.shape[1:] == (1, 12, 12)


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture(
    params=[("cifar10", torchvision.datasets.CIFAR10, 10), ("cifar100", torchvision.datasets.CIFAR100, 100)]
)
def small_cifar(request, tmp_path, monkeypatch, rng):
    """CIFAR's batches with 4 images a class, and torchvision told of the checksums of these files."""
    name, kind, classes = request.param
    folder = tmp_path / kind.base_folder
    folder.mkdir()
    key = "labels" if classes == 10 else "fine_labels"
    written = {}
    for list_name in ("train_list", "test_list"):
        entries = []
        for file_name, _ in getattr(kind, list_name):
            labels = list(range(classes)) * 4
            data = rng.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
            (folder / file_name).write_bytes(pickle.dumps({"data": data, key: labels}))
            written.setdefault(list_name, []).append((data, labels))
            entries.append([file_name, md5(folder / file_name)])
        monkeypatch.setattr(kind, list_name, entries)
    meta = folder / kind.meta["filename"]
    meta.write_bytes(pickle.dumps({kind.meta["key"]: [f"class {k}" for k in range(classes)]}))
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": md5(meta)})
    return name, classes, tmp_path, written


def test_cifar_is_read_as_it_is_stored(small_cifar):
    name, classes, folder, written = small_cifar
    splits = load_splits(DataConfig(data=name, data_dir=str(folder)))
    assert splits.num_classes == classes
    assert splits.class_names[3] == "class 3"
    ((data, labels),) = written["test_list"]
    np.testing.assert_array_equal(splits.test_images, data.reshape(-1, 3, 32, 32))
    assert splits.test_labels.tolist() == labels
    expected = {}
    for data, labels in written["train_list"]:
        expected |= {row.tobytes(): label for row, label in zip(data, labels, strict=True)}
    images = torch.cat([splits.train_images, splits.validation_images])
    found = torch.cat([splits.train_labels, splits.validation_labels]).tolist()
    assert {image.numpy().tobytes(): label for image, label in zip(images, found, strict=True)} == expected


@pytest.fixture
def small_svhn(tmp_path, monkeypatch, rng):
    """SVHN's three files with few images, and torchvision told of their checksums: images (n, 3, 32, 32) and digits."""
    split_list, written = {}, {}
    for split, n in (("train", 60), ("test", 30), ("extra", 40)):
        path = tmp_path / f"{split}_32x32.mat"
        images = rng.integers(0, 256, (32, 32, 3, n), dtype=np.uint8)
        labels = np.arange(n) % 10 + 1  # SVHN says 10 for the digit 0
        scipy.io.savemat(path, {"X": images, "y": labels[:, None]})
        split_list[split] = ["http://localhost:9", path.name, md5(path)]
        written[split] = images.transpose(3, 2, 0, 1), labels % 10
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", split_list)
    return tmp_path, written


def test_svhn_is_read_as_it_is_stored(small_svhn):
    folder, written = small_svhn
    (folder / "extra_32x32.mat").unlink()  # not asked for
    splits = load_splits(DataConfig(data="svhn", data_dir=str(folder)))
    assert [len(splits.train_labels), len(splits.validation_labels), len(splits.test_labels)] == [48, 12, 30]
    np.testing.assert_array_equal(splits.test_images, written["test"][0])
    np.testing.assert_array_equal(splits.test_labels, written["test"][1])


def test_the_extra_split_of_svhn_is_added_to_the_training_images(small_svhn):
    folder, written = small_svhn
    splits = load_splits(DataConfig(data="svhn", extra=True, data_dir=str(folder)))
    np.testing.assert_array_equal(splits.test_images, written["test"][0])
    expected = {
        image.tobytes(): label for part in ("train", "extra") for image, label in zip(*written[part], strict=True)
    }
    images = torch.cat([splits.train_images, splits.validation_images])
    labels = torch.cat([splits.train_labels, splits.validation_labels]).tolist()
    assert {image.numpy().tobytes(): label for image, label in zip(images, labels, strict=True)} == expected
    assert len(labels) == 100


def test_a_file_with_another_checksum_is_not_taken(small_svhn, monkeypatch):
    folder, _ = small_svhn
    path = folder / "extra_32x32.mat"
    path.write_bytes(path.read_bytes()[:-1] + b"x")

    def no_network(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torchvision.datasets.svhn, "download_url", no_network)
    message = r"put this into .*: train_32x32\.mat and extra_32x32\.mat and test_32x32\.mat"
    with pytest.raises(DataError, match=message):
        load_splits(DataConfig(data="svhn", extra=True, data_dir=str(folder)))


@pytest.mark.parametrize(
    ("name", "module", "files"),
    [
        ("cifar10", "cifar", r"cifar-10-python\.tar\.gz, or what is in it, the folder cifar-10-batches-py"),
        ("cifar100", "cifar", r"cifar-100-python\.tar\.gz, or what is in it, the folder cifar-100-python"),
        ("svhn", "svhn", r"train_32x32\.mat and test_32x32\.mat"),
    ],
)
def test_without_a_network_it_says_what_to_put_where(name, module, files, tmp_path, monkeypatch):
    def no_network(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    module = getattr(torchvision.datasets, module)
    monkeypatch.setattr(module, "download_and_extract_archive", no_network, raising=False)
    monkeypatch.setattr(module, "download_url", no_network, raising=False)
    monkeypatch.setattr(torchvision.datasets.utils, "download_url", no_network)
    folder = tmp_path / "not yet there"
    message = rf"data set {name} is not in {folder}, and http.* could not be .*not known.* this into {folder}: {files}"
    with pytest.raises(DataError, match=message):
        load_splits(DataConfig(data=name, data_dir=str(folder)))


def test_a_folder_that_may_only_be_read_is_enough(tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.open", lambda *args, **kwargs: pytest.fail("a lock is written"))
    assert downloaded(DataConfig(data_dir=str(tmp_path)), lambda download: f"read {download}", "", "") == "read False"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=f"data set cifar10 is not in {tmp_path}/file/x"):
        load_splits(DataConfig(data="cifar10", data_dir=str(tmp_path / "file" / "x")))


def download_slowly(folder, results):
    def load(*, download):
        target = folder / "set"
        if download:
            with open(target, "x", encoding="utf-8") as file:  # fails if another process began it
                file.write("half")
                file.flush()
                results.wait(1.0)  # a process that does not wait for the lock gets its chance here
                file.write(", whole")
        if not target.exists() or target.read_text() != "half, whole":
            raise RuntimeError("not found or corrupted")
        return target.read_text()

    assert downloaded(DataConfig(data="cifar10", data_dir=str(folder)), load, "url", "files") == "half, whole"


def test_trials_that_start_together_download_once(tmp_path):
    context = multiprocessing.get_context("fork")
    event = context.Event()
    processes = [context.Process(target=download_slowly, args=(tmp_path, event)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]

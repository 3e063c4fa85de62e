"""The data settings check themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuun_da.errors import ConfigError
from tuun_da.training.settings import DataConfig


@pytest.mark.parametrize("data", ["digits", "cifar10", "cifar100", "svhn", "folder:a b", "npz:a.npz", "folder:C:x"])
def test_known_data_sets(data):
    assert DataConfig(data=data).data == data


@pytest.mark.parametrize("data", ["", "mnist", "folder", "folder:", "npz:", "digits:x", "zip:x", None, 3])
def test_an_unknown_data_set_gets_the_list(data):
    with pytest.raises(ConfigError, match=r"data must be one of digits, .*, svhn, folder:PATH or npz:PATH; got"):
        DataConfig(data=data)


def test_a_bare_path_gets_the_spelling_that_works(tmp_path):
    with pytest.raises(ConfigError, match=f"for that folder: folder:{tmp_path}"):
        DataConfig(data=str(tmp_path))
    with pytest.raises(ConfigError, match=r"for that file: npz:a\.npz"):
        DataConfig(data="a.npz")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_size", 100_000),
        ("image_size", 3), ("image_size", 32.0), ("train_size", 0), ("train_per_class", 0), ("train_size", True),
        ("validation_size", 0), ("validation_size", 1.0), ("validation_size", 0.0), ("validation_size", True),
        ("validation_size", "600"), ("test_size", -1), ("test_size", 1.5), ("split_seed", -1), ("skip_broken", 1),
        ("data_dir", ""), ("data_dir", 5), ("extra", "no"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named(name, value):
    with pytest.raises(ConfigError, match=f"^{name} must be") as caught:
        DataConfig(**{name: value})
    assert "got" in str(caught.value)


def test_only_svhn_has_an_extra_split():
    assert DataConfig(data="svhn", extra=True).extra
    with pytest.raises(ConfigError, match=r"extra is for svhn, .*; data is 'cifar10'"):
        DataConfig(data="cifar10", extra=True)


@pytest.mark.parametrize("path", ["~nobody-of-this-name/x", "x" * 5000])
def test_a_path_that_cannot_be_is_named(path):
    with pytest.raises(ConfigError, match="data must be a path, got"):
        _ = DataConfig(data=f"folder:{path}").path
    with pytest.raises(ConfigError, match="data_dir must be a path, got"):
        _ = DataConfig(data_dir=path).cache_folder


def test_two_sizes_for_train_are_one_too_many():
    with pytest.raises(ConfigError, match="train_size or train_per_class may be given, not both; got 100 and 10"):
        DataConfig(train_size=100, train_per_class=10)


def test_the_cache_folder_is_the_option_then_the_variable_then_the_home_folder(monkeypatch):
    monkeypatch.setenv("TUUN_DA_DATA", "/from/variable")
    assert DataConfig(data_dir="/from/option").cache_folder == Path("/from/option")
    assert DataConfig().cache_folder == Path("/from/variable")
    monkeypatch.delenv("TUUN_DA_DATA")
    assert DataConfig().cache_folder == Path.home() / ".cache" / "tuun_da"


def test_home_is_resolved_in_paths():
    assert DataConfig(data="folder:~/pictures").path == Path.home() / "pictures"

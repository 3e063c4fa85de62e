"""What a user hands over in Python becomes the settings that a search has, or is refused in words."""

from __future__ import annotations

import functools

import pytest

from tuun_da.api.search_data import data_spec, model_name, refuse_unknown
from tuun_da.errors import ConfigError
from tuun_da.training.models.child_cnn import ChildCNN
from tuun_da.training.models.names import maker_named


def test_a_folder_or_file_is_found_by_its_path_and_named_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images" / "cats").mkdir(parents=True)
    (tmp_path / "x.npz").touch()
    (tmp_path / "digits").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in ("images", "./images/", tmp_path / "images", "folder:images", "~/images", "folder:~/images"):
        assert data_spec(given) == f"folder:{tmp_path / 'images'}"
    for given in ("x.npz", "npz:x.npz", tmp_path / "x.npz"):
        assert data_spec(given) == f"npz:{tmp_path / 'x.npz'}"
    assert data_spec("digits") == "digits"
    assert data_spec("./digits") == f"folder:{tmp_path / 'digits'}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("digit", "data must be one of digits, .*got 'digit'"),
        ("/no/such/folder", "the path of a folder of images or of an npz file; '/no/such/folder' is not there"),
        ("~/no such folder", "'~/no such folder' is not there"),
        (__file__, "test_search_data.py' is a file, but no npz file"),
        (b"digits", "got bytes"),
        (3, "a pair of arrays .images, labels.; got int"),
    ],
)
def test_data_that_are_none_are_refused(data, message):
    with pytest.raises(ConfigError, match=message):
        data_spec(data)


def test_a_class_is_named_so_that_the_name_finds_it():
    assert model_name("wrn_40_2") == "wrn_40_2"
    assert maker_named(model_name(ChildCNN)) is ChildCNN


class Net(ChildCNN):
    class Inner(ChildCNN):
        pass


@pytest.mark.parametrize("model", [lambda **keywords: None, Net.Inner])
def test_a_model_that_no_other_process_finds_is_refused(model):
    with pytest.raises(ConfigError, match=r"must be found by its name .* file of its own"):
        model_name(model)


def test_a_model_of_the_script_itself_is_refused(monkeypatch):
    monkeypatch.setattr(Net, "__module__", "__main__")
    with pytest.raises(ConfigError, match="stands in __main__"):
        model_name(Net)


@pytest.mark.parametrize("model", [3, functools.partial(ChildCNN), ChildCNN(num_classes=2, channels=1, image_size=8)])
def test_a_network_that_is_made_already_is_refused(model):
    with pytest.raises(ConfigError, match="a function or class that makes a new network for each trial; got"):
        model_name(model)


def test_an_unknown_name_gets_the_nearest_known_one():
    refuse_unknown("keyword", ["epochs"], ["epochs", "seed"])
    with pytest.raises(ConfigError, match=r"no keyword 'epoch'; did you mean 'epochs'\? There are epochs, seed"):
        refuse_unknown("keyword", ["epochs", "epoch"], ["epochs", "seed"])
    with pytest.raises(ConfigError, match=r"no keyword 'q'\. There are epochs, seed"):
        refuse_unknown("keyword", ["q"], ["epochs", "seed"])

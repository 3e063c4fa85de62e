"""What a user hands over in Python becomes the settings that a search has, or is refused in words."""

from __future__ import annotations

import functools

import pytest

from tuun_da.api.search_data import model_name, refuse_unknown
from tuun_da.errors import ConfigError
from tuun_da.training.models.child_cnn import ChildCNN
from tuun_da.training.models.names import maker_named


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

"""Weights from a file: what was saved is what is built; what does not fit is named; code in a pickle is not run."""

from __future__ import annotations

import logging
import os
import zipfile

import pytest
import torch
from torch import nn

from tuun_da.errors import ConfigError
from tuun_da.training.models import build_model

SIZES = {"channels": 3, "image_size": 32}
EVERY_KIND = ("basenet_resnet18", "child_cnn", "wrn_10_2", "resnet18", "squeezenet1_1", "googlenet", "mnasnet0_5")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "weights.pt"


def trained(name, **sizes):
    """A network whose tensors are not those of its start: one step, so that running means have moved."""
    model = build_model(name, **sizes)
    model(torch.randn(4, sizes["channels"], sizes["image_size"], sizes["image_size"]) + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    return model


def same_logits(first, second, channels=3, size=32):
    x = torch.randn(2, channels, size, size)
    with torch.no_grad():
        return torch.equal(first.eval()(x), second.eval()(x))


@pytest.mark.parametrize("name", EVERY_KIND)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_was_saved_is_what_is_built(file, name, channels):
    sizes = {"num_classes": 5, "channels": channels, "image_size": 32}
    model = trained(name, **sizes)
    torch.save(model.state_dict(), file)
    fresh = build_model(name, **sizes)
    assert not same_logits(fresh, model, channels)
    assert same_logits(build_model(name, **sizes, weights=file), model, channels)
    assert same_logits(build_model(name, **sizes, weights=str(file)), model, channels)


@pytest.mark.parametrize("name", EVERY_KIND)
@pytest.mark.parametrize("classes", [2, 9])
def test_the_last_layer_of_other_classes_is_left_fresh_and_all_else_is_loaded(file, caplog, name, classes):
    model = trained(name, num_classes=5, **SIZES)
    torch.save(model.state_dict(), file)
    with caplog.at_level(logging.INFO):
        torch.manual_seed(1)
        result = build_model(name, num_classes=classes, **SIZES, weights=file)
    torch.manual_seed(1)
    fresh = build_model(name, num_classes=classes, **SIZES).state_dict()
    different = [key for key, value in model.state_dict().items() if value.shape != fresh[key].shape]
    assert len(different) == 2  # weight and bias
    for key, value in result.state_dict().items():
        assert torch.equal(value, fresh[key] if key in different else model.state_dict()[key]), key
    [message] = [record.getMessage() for record in caplog.records if "left fresh" in record.getMessage()]
    assert message.endswith(f"({', '.join(different)}) is left fresh, for {classes} classes in place of 5")
    assert result(torch.randn(2, 3, 32, 32)).shape == (2, classes)


def prefixed(state, prefix):
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: dict(state),
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"lr": 0.1}},
        lambda state: prefixed(state, "module."),
        lambda state: prefixed(state, "_orig_mod."),
        lambda state: {"state_dict": prefixed(state, "_orig_mod.module.")},
        lambda state: {"model": prefixed(state, "module._orig_mod.")},
        lambda state: {key: value.half() if value.is_floating_point() else value for key, value in state.items()},
    ],
)
def test_the_usual_wrappings_are_taken_off(file, wrap):
    model = trained("wrn_10_1", num_classes=5, **SIZES)
    model.load_state_dict({k: v.half().to(v.dtype) for k, v in model.state_dict().items()})  # survives half precision
    torch.save(wrap(model.state_dict()), file)
    assert same_logits(build_model("wrn_10_1", num_classes=5, **SIZES, weights=file), model)


def test_wrappings_of_the_real_wrappers(file):
    # with the versions of the layers in it, which MNASNet asks for
    model = trained("mnasnet0_5", num_classes=5, **SIZES)
    torch.save({"state_dict": nn.DataParallel(torch.compile(model, backend="eager")).state_dict()}, file)
    assert next(iter(torch.load(file)["state_dict"])).startswith("module._orig_mod.")
    assert same_logits(build_model("mnasnet0_5", num_classes=5, **SIZES, weights=file), model)


OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, channels, image_size):
        super().__init__()
        self.head = nn.Linear(8, num_classes)  # before what it follows
        self.module = nn.Conv2d(channels, 8, 3)
        self.scale = nn.Linear(8, 8)

    def forward(self, x):
        return self.head(self.scale(self.module(x).mean(dim=(2, 3))))

class Wrapped(nn.Module):
    def __init__(self, **sizes):
        super().__init__()
        self.module = Net(**sizes)

    def forward(self, x):
        return self.module(x)
"""


@pytest.mark.parametrize("kind", ["Net", "Wrapped"])
def test_a_network_of_the_users_own(file, tmp_path, monkeypatch, kind):
    """Also where the user's own names begin like those of a wrapper."""
    (tmp_path / "tuun_own_weights.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"tuun_own_weights:{kind}"
    model = trained(name, num_classes=5, **SIZES)
    torch.save(model.state_dict(), file)
    assert same_logits(build_model(name, num_classes=5, **SIZES, weights=file), model)
    other = build_model(name, num_classes=3, **SIZES, weights=file).state_dict()
    for key, value in model.state_dict().items():
        assert ("head" in key) or torch.equal(other[key], value)
    with pytest.raises(ConfigError, match=f"model {name} has no pretrained weights: .* a FILE with a state dict"):
        build_model(name, num_classes=5, **SIZES, weights="DEFAULT")


def changed(**changes):
    def change(state):
        for key, value in changes.items():
            key = key.replace("__", ".")
            if value is None:
                del state[key]
            else:
                state[key] = value
        return state

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed(stem__weight=None), r"missing: stem\.weight$"),
        (changed(classifier__bias=None), r"missing: classifier\.bias$"),
        (
            changed(norm__weight=None, norm__bias=None, stem__weight=None, classifier__weight=None),
            r"missing: stem\.weight, norm\.weight, norm\.bias and 1 more$",
        ),
        (changed(extra__weight=torch.zeros(2)), r"unexpected: extra\.weight$"),
        (changed(extra=torch.zeros(2), stem__weight=None), r"missing: stem\.weight; unexpected: extra$"),
        (changed(stem__weight=torch.zeros(16, 1, 3, 3)), r"another shape: stem\.weight \(16, 1, 3, 3\), in the model"),
        # of another number of classes, and of another width: no other head, another network
        (changed(classifier__weight=torch.zeros(9, 7), classifier__bias=torch.zeros(9)), r"classifier\.weight \(9,"),
        (changed(classifier__weight=torch.zeros(9, 64)), r"another shape: classifier\.weight \(9, 64\)"),
        (changed(classifier__bias=torch.zeros(())), r"another shape: classifier\.bias \(\)"),
    ],
)  # fmt: skip
def test_any_other_difference_is_an_error_that_names_the_first_tensors(file, change, message):
    torch.save(change(build_model("wrn_10_1", num_classes=5, **SIZES).state_dict()), file)
    with pytest.raises(ConfigError, match=f"model wrn_10_1 does not take weights file .*weights.pt: .*{message}"):
        build_model("wrn_10_1", num_classes=5, **SIZES, weights=file)


def test_weights_that_are_no_numbers_are_refused(file):
    state = trained("child_cnn", num_classes=10, channels=3, image_size=32).state_dict()
    next(iter(state.values())).fill_(float("nan"))
    torch.save(state, file)
    with pytest.raises(ConfigError, match="not finite: features"):
        build_model("child_cnn", num_classes=10, channels=3, image_size=32, weights=str(file))


def test_weights_of_another_network_are_refused(file):
    torch.save(build_model("child_cnn", num_classes=5, **SIZES).state_dict(), file)
    with pytest.raises(ConfigError, match=r"not take weights file .*: missing: .* more; unexpected: .* more"):
        build_model("wrn_10_1", num_classes=5, **SIZES, weights=file)


class Code:
    def __reduce__(self):
        return os.mkdir, ("made_by_the_pickle",)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("content", [Code(), {"state_dict": {"a": torch.zeros(1)}, "callback": Code()}])
def test_code_in_a_pickle_is_refused_and_not_run(file, monkeypatch, tmp_path, content, legacy):
    monkeypatch.chdir(tmp_path)
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(
        ConfigError, match=r"holds more than tensors \(\S*mkdir\), which could be code and is not loaded"
    ):
        build_model("wrn_10_1", num_classes=5, **SIZES, weights=file)
    assert not (tmp_path / "made_by_the_pickle").exists()


def test_a_whole_network_is_refused(file):
    torch.save(build_model("wrn_10_1", num_classes=5, **SIZES), file)
    with pytest.raises(
        ConfigError, match=r"holds more than tensors \(tuun_da\S*WideResNet\).*save the state dict alone"
    ):
        build_model("wrn_10_1", num_classes=5, **SIZES, weights=file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(1)], "must hold a state dict, got list"),
        (torch.zeros(1), "must hold a state dict, got Tensor"),
        ({}, "holds an empty state dict"),
        ({"state_dict": {}}, "holds an empty state dict"),
        ({"stem.weight": torch.zeros(1), "epoch": 3}, "names to tensors; got int for 'epoch'"),
        ({1: torch.zeros(1)}, "names to tensors; got Tensor for 1"),
    ],
)
def test_what_is_no_state_dict_is_refused(file, content, message):
    torch.save(content, file)
    with pytest.raises(ConfigError, match=f"weights file .*weights.pt .*{message}"):
        build_model("wrn_10_1", num_classes=5, **SIZES, weights=file)


@pytest.mark.parametrize("content", [b"", b"no pickle at all", b"PK\x03\x04 cut", b"\x80\x02"])
def test_a_broken_file_is_named(file, content):
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"weights file .*weights\.pt cannot be read as a state dict of torch\.save"):
        build_model("wrn_10_1", num_classes=5, **SIZES, weights=file)


def test_another_archive_is_named(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("some.txt", "text")
    with pytest.raises(ConfigError, match=r"weights file .*weights\.pt cannot be read as a state dict of torch\.save"):
        build_model("wrn_10_1", num_classes=5, **SIZES, weights=file)


@pytest.mark.parametrize("name", ["nowhere.pt", "default", ""])
def test_a_file_that_is_not_there(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"weights must be DEFAULT or a file, and there is no file {name}$"):
        build_model("wrn_10_1", num_classes=5, **SIZES, weights=name)


def test_a_file_of_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    model = trained("wrn_10_1", num_classes=5, **SIZES)
    torch.save(model.state_dict(), tmp_path / "own.pt")
    assert same_logits(build_model("wrn_10_1", num_classes=5, **SIZES, weights="~/own.pt"), model)

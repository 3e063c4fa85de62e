"""torchvision's pretrained weights, from a made file where torchvision looks for them: no network is needed."""

from __future__ import annotations

import pickle
import urllib.error

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models import vision_transformer

from tuun_da.errors import ConfigError, TrainingError
from tuun_da.training.models import build_model
from tuun_da.training.models.pretrained import DENSE_LAYER


@pytest.fixture(autouse=True)
def checkpoints(tmp_path, monkeypatch):
    """torch's folder of checkpoints, in which nothing is; and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("torch.hub.urlopen", refuse)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def published(folder, name, *, rename=lambda key: key, **settings):
    """torchvision's own network with 1000 classes and random tensors, whose file lies where the download would."""
    torch.manual_seed(7)
    if name in ("googlenet", "inception_v3"):
        settings = {"init_weights": False, "transform_input": True} | settings
    model = models.get_model(name, **settings)
    for key, tensor in model.state_dict().items():
        if "running_mean" in key:
            tensor.copy_(torch.randn_like(tensor) * 0.1)
    state = model.state_dict()
    for key in list(state):  # in place: the versions of the layers are kept
        state[rename(key)] = state.pop(key)
    url = models.get_model_weights(name).DEFAULT.url
    torch.save(state, folder / url.rpartition("/")[2])
    return model


def features(model, x):
    """What the last layer of ``model`` gets, in evaluation."""
    taken = []
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    handle = layers[-1].register_forward_hook(lambda module, inputs, output: taken.append(inputs[0]))
    with torch.no_grad():
        model.eval()(x)
    handle.remove()
    return taken[0]


@pytest.mark.parametrize(
    ("name", "size"), [("resnet18", 32), ("googlenet", 32), ("inception_v3", 75), ("mnasnet0_5", 32), ("swin_t", 32)]
)
def test_everything_but_the_last_layer_is_torchvisions(checkpoints, name, size):
    original = published(checkpoints, name)
    model = build_model(name, num_classes=7, channels=3, image_size=size, weights="DEFAULT")
    x = torch.randn(2, 3, size, size)
    torch.testing.assert_close(features(model, x), features(original, x))
    assert model(x).shape == (2, 7)


@pytest.mark.parametrize("classes", [7, 1000])
def test_the_last_layer_is_always_fresh(checkpoints, classes):
    original = published(checkpoints, "resnet18")
    torch.manual_seed(5)
    fresh = build_model("resnet18", num_classes=classes, channels=3, image_size=32)
    torch.manual_seed(5)
    model = build_model("resnet18", num_classes=classes, channels=3, image_size=32, weights="DEFAULT")
    assert torch.equal(model.fc.weight, fresh.fc.weight)
    assert torch.equal(model.fc.bias, fresh.fc.bias)
    assert torch.equal(model.conv1.weight, original.conv1.weight)
    assert not torch.equal(model.conv1.weight, fresh.conv1.weight)


@pytest.mark.parametrize(("name", "size"), [("resnet18", 32), ("inception_v3", 75)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_published_file_by_its_name_is_as_default(checkpoints, name, size, channels):
    published(checkpoints, name)
    [file] = checkpoints.iterdir()
    torch.manual_seed(5)
    default = build_model(name, num_classes=7, channels=channels, image_size=size, weights="DEFAULT")
    torch.manual_seed(5)
    by_name = build_model(name, num_classes=7, channels=channels, image_size=size, weights=str(file))
    for key, tensor in default.state_dict().items():
        assert torch.equal(by_name.state_dict()[key], tensor), key


def test_the_published_names_of_densenet_are_understood(checkpoints):
    def old_name(key):
        for part in ("norm", "conv"):
            for number in "12":
                if "denselayer" in key:
                    key = key.replace(f".{part}{number}.", f".{part}.{number}.")
        return key

    original = published(checkpoints, "densenet121", rename=old_name)
    [file] = checkpoints.iterdir()
    assert any(DENSE_LAYER.fullmatch(key) for key in torch.load(file))
    model = build_model("densenet121", num_classes=7, channels=3, image_size=32, weights="DEFAULT")
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(features(model, x), features(original, x))


@pytest.mark.parametrize(("name", "size"), [("resnet18", 32), ("mobilenet_v3_small", 32), ("inception_v3", 75)])
def test_grey_gives_what_three_equal_colours_gave(checkpoints, name, size):
    original = published(checkpoints, name)
    model = build_model(name, num_classes=7, channels=1, image_size=size, weights="DEFAULT")
    grey = torch.randn(2, 1, size, size)
    torch.testing.assert_close(
        features(model, grey), features(original, grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5
    )


def test_grey_googlenet_differs_at_the_border_only(checkpoints):
    """Its first convolution pads with zeros after the normalization of its own."""
    original = published(checkpoints, "googlenet").eval()
    model = build_model("googlenet", num_classes=7, channels=1, image_size=32, weights="DEFAULT").eval()
    grey = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        result = model.conv1(grey)
        expected = original.conv1(original._transform_input(grey.expand(-1, 3, -1, -1)))
    assert result.shape == (2, 64, 16, 16)
    torch.testing.assert_close(result[:, :, 2:-2, 2:-2], expected[:, :, 2:-2, 2:-2], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(result, expected, rtol=1e-4, atol=1e-5)


def small_transformer(monkeypatch):
    """vit_b_32 with two layers of 64 numbers in place of twelve of 768."""
    full = vision_transformer._vision_transformer

    def small(**settings):
        return full(**{**settings, "num_layers": 2, "num_heads": 4, "hidden_dim": 64, "mlp_dim": 128})

    monkeypatch.setattr(vision_transformer, "_vision_transformer", small)


@pytest.mark.parametrize("size", [32, 64, 224, 256])
def test_the_positions_of_a_vision_transformer_are_interpolated(checkpoints, monkeypatch, size):
    small_transformer(monkeypatch)
    original = published(checkpoints, "vit_b_32")
    model = build_model("vit_b_32", num_classes=7, channels=3, image_size=size, weights="DEFAULT")
    old, new = original.encoder.pos_embedding.detach()[0], model.encoder.pos_embedding.detach()[0]
    assert torch.equal(new[0], old[0])  # of the class token, which has no place
    old_grid, new_grid = old[1:].reshape(7, 7, 64), new[1:].reshape(size // 32, size // 32, 64)
    if size == 224:
        assert torch.equal(new_grid, old_grid)
    corners = [(0, 0)] if size == 32 else [(0, 0), (0, -1), (-1, 0), (-1, -1)]  # of the grid, which stay in place
    for y, x in corners:
        torch.testing.assert_close(new_grid[y, x], old_grid[y, x])
    assert model(torch.randn(2, 3, size, size)).shape == (2, 7)
    assert torch.equal(model.conv_proj.weight, original.conv_proj.weight)


def test_without_a_network_address_and_folder_are_named(checkpoints):
    expected = (
        r"pretrained weights of resnet18 cannot be downloaded from https://download\.pytorch\.org/models/resnet18-\S+ "
        rf"\(URLError: .*no network.*\); where there is no network, put that file into {checkpoints}$"
    )
    with pytest.raises(TrainingError, match=expected):
        build_model("resnet18", num_classes=7, channels=3, image_size=32, weights="DEFAULT")
    assert not list(checkpoints.iterdir())


def test_a_download_with_another_hash_is_refused(checkpoints, monkeypatch):
    def download(url, destination, hash_prefix, progress):
        assert hash_prefix == "f37072fd"
        raise RuntimeError('invalid hash value (expected "f37072fd", got "0123")')

    monkeypatch.setattr("torch.hub.download_url_to_file", download)
    with pytest.raises(TrainingError, match=r"cannot be downloaded from .*\(RuntimeError: invalid hash value"):
        build_model("resnet18", num_classes=7, channels=3, image_size=32, weights="DEFAULT")


@pytest.mark.parametrize("content", [b"", b"<html>", pickle.dumps({"conv1.weight": nn.ReLU()})])
def test_a_file_there_that_cannot_be_read_is_named(checkpoints, content):
    file = checkpoints / models.ResNet18_Weights.DEFAULT.url.rpartition("/")[2]
    file.write_bytes(content)
    expected = rf"pretrained weights of resnet18: {file} cannot be read \(.*\); delete it to download it again"
    with pytest.raises(TrainingError, match=expected):
        build_model("resnet18", num_classes=7, channels=3, image_size=32, weights="DEFAULT")


def test_a_file_there_of_another_network_does_not_fit(checkpoints):
    torch.save(models.mobilenet_v2().state_dict(), checkpoints / models.ResNet18_Weights.DEFAULT.url.rpartition("/")[2])
    with pytest.raises(ConfigError, match="model resnet18 does not take pretrained weights of resnet18: missing"):
        build_model("resnet18", num_classes=7, channels=3, image_size=32, weights="DEFAULT")


@pytest.mark.parametrize("name", ["basenet_resnet18", "child_cnn", "wide_resnet_40_2", "wrn_10_1"])
def test_our_own_networks_have_no_pretrained_weights(name):
    with pytest.raises(ConfigError, match=f"model {name} has no pretrained weights: .*models of torchvision"):
        build_model(name, num_classes=7, channels=3, image_size=32, weights="DEFAULT")


def test_pretrained_weights_are_for_grey_and_colour(checkpoints):
    published(checkpoints, "resnet18")
    with pytest.raises(ConfigError, match="pretrained weights of resnet18 are for images of 1 or 3 channels, got 4"):
        build_model("resnet18", num_classes=7, channels=4, image_size=32, weights="DEFAULT")


def test_every_model_of_torchvision_has_weights_with_a_hash_in_their_name():
    """Else neither the download nor its check would be torchvision's."""
    for name in models.list_models(module=models):
        url = models.get_model_weights(name).DEFAULT.url
        assert torch.hub.HASH_REGEX.search(url.rpartition("/")[2]), name

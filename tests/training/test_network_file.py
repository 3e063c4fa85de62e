"""A trained network as a file: what is read gives what was trained, and a file is data."""

from __future__ import annotations

import pytest
import torch
from made_images import striped_splits

from tuun_da.errors import ConfigError
from tuun_da.training.loop import train
from tuun_da.training.models import build_model
from tuun_da.training.network_file import is_network_file, load_network, save_network, state_to_keep
from tuun_da.training.schedule import TrainConfig

CPU = torch.device("cpu")
CONFIG = TrainConfig(model="child_cnn", epochs=2, batch_size=10, learning_rate=0.02)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The splits, the classifier as training had it, the path of the network's file."""
    splits, kept = striped_splits(noise=60, train=40), {}
    train(
        CONFIG,
        splits,
        None,
        CPU,
        on_trained=lambda classifier: kept.update(logits=classifier(splits.validation_images)),
        on_network=lambda network: kept.update(state=state_to_keep(network), training=network.training),
    )
    assert kept["training"] is False
    path = tmp_path_factory.mktemp("network") / "model.pt"
    save_network(path, kept["state"], CONFIG.model, splits, {"scores": {"validation": 0.5}})
    return splits, kept["logits"], path


def test_the_file_gives_the_logits_of_the_training(trained):
    splits, logits, path = trained
    network = load_network(path)
    assert network.training is False
    assert (network.class_names, network.channels) == (splits.class_names, splits.channels)
    assert network.about == {"scores": {"validation": 0.5}}
    with torch.inference_mode():
        assert torch.allclose(network(splits.validation_images), logits, atol=1e-5)


def test_the_file_is_plain_data_that_torch_reads(trained):
    splits, _, path = trained
    content = torch.load(path, weights_only=True)
    model = build_model(
        content["model"],
        num_classes=len(content["class_names"]),
        channels=content["channels"],
        image_size=content["image_size"],
    )
    assert model.load_state_dict(content["state_dict"], strict=True)
    assert content["mean"] == list(splits.mean)
    assert all(tensor.is_contiguous() for tensor in content["state_dict"].values())


def test_a_training_can_start_from_the_file(trained):
    splits, _, path = trained
    sizes = {"num_classes": splits.num_classes, "channels": splits.channels, "image_size": splits.image_size}
    started = build_model(CONFIG.model, **sizes, weights=path).state_dict()
    for name, tensor in torch.load(path, weights_only=True)["state_dict"].items():
        assert torch.equal(started[name], tensor)


def test_images_of_another_kind_are_refused(trained):
    splits, _, path = trained
    network = load_network(path)
    images = splits.validation_images
    for wrong in (images.float(), images[:, :, 1:], images[0]):
        with pytest.raises(ConfigError, match="images must be uint8 of the shape"):
            network(wrong)


def changed(path, target, **parts):
    torch.save(torch.load(path, weights_only=True) | parts, target)
    return target


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"format": "other"}, "was not written by tuun-da train"),
        ({"version": 2}, "has version 2; this release reads version 1"),
        ({"class_names": "ab"}, "class_names must be of type list, got str"),
        ({"image_size": None}, "image_size must be of type int, got NoneType"),
        ({"mean": [0.1, 0.2]}, "mean must be a number for each channel"),
        ({"std": ["a"]}, "std must be a number for each channel"),
        ({"model": "wide_resnet_16_2"}, "does not take network file"),
        ({"state_dict": {}}, "missing"),
    ],
)
def test_a_file_that_was_changed_is_named(trained, tmp_path, parts, words):
    path = changed(trained[2], tmp_path / "x.pt", **parts)
    with pytest.raises(ConfigError, match=words) as caught:
        load_network(path)
    assert str(path) in str(caught.value)


def test_a_model_that_is_code_runs_only_if_it_is_named(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_net.py").write_text(
        "from tuun_da.training.models.child_cnn import ChildCNN\n"
        "def make(**sizes):\n"
        "    open('ran', 'w').close()\n"
        "    return ChildCNN(**sizes)\n"
    )
    path = changed(trained[2], tmp_path / "x.pt", model="own_net:make")
    for named in (None, "other:make"):
        with pytest.raises(ConfigError, match=r"names the model 'own_net:make', which is code"):
            load_network(path, model=named)
    assert not (tmp_path / "ran").exists()
    assert load_network(path, model="own_net:make").class_names == trained[0].class_names


def test_what_is_no_network_file_is_told(trained, tmp_path):
    (tmp_path / "text.pt").write_text("text")
    torch.save({"a": 1}, tmp_path / "other.pt")
    cut = tmp_path / "cut.pt"
    cut.write_bytes(trained[2].read_bytes()[:-1000])
    for name, words in (
        ("missing.pt", "does not exist"), (".", "is not a file"), ("text.pt", "cannot be read"),
        ("cut.pt", "cannot be read"), ("other.pt", "was not written by"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=words):
            load_network(tmp_path / name)
        assert not is_network_file(tmp_path / name)
    assert is_network_file(trained[2])
    assert is_network_file(changed(trained[2], tmp_path / "later.pt", version=9))

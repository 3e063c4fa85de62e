"""Every network keeps one contract; the published sizes are met; a user's own network is found or explained."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch
from torch import nn

from tuun_da.errors import ConfigError
from tuun_da.training.models import MODELS, build_model
from tuun_da.training.models.basenet import PreActivationBlock


def parameter_count(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", MODELS)
class TestEveryModel:
    @pytest.mark.parametrize(
        ("size", "channels", "classes"),
        [(4, 1, 2), (5, 3, 7), (8, 1, 7), (11, 1, 3), (12, 3, 10), (13, 3, 7), (32, 3, 100), (64, 1, 7)],
    )
    def test_gives_one_logit_for_each_class_at_any_size(self, name, size, channels, classes):
        model = build_model(name, num_classes=classes, channels=channels, image_size=size)
        assert model(torch.randn(2, channels, size, size)).shape == (2, classes)

    def test_every_parameter_gets_a_gradient(self, name):
        model = build_model(name, num_classes=5, channels=3, image_size=16)
        model(torch.randn(8, 3, 16, 16)).square().sum().backward()
        for parameter_name, parameter in model.named_parameters():
            assert parameter.grad is not None, parameter_name
            assert parameter.grad.abs().sum() > 0, parameter_name

    def test_weights_come_from_the_seed(self, name):
        def weights(seed):
            torch.manual_seed(seed)
            model = build_model(name, num_classes=5, channels=1, image_size=8)
            return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])

        assert torch.equal(weights(3), weights(3))
        assert not torch.equal(weights(3), weights(4))

    def test_the_memory_format_changes_no_result(self, name):
        model = build_model(name, num_classes=5, channels=3, image_size=16).eval()
        x = torch.randn(4, 3, 16, 16)
        expected = model(x)
        result = model.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


def test_child_cnn_has_the_size_of_the_keras_example():
    # the Keras documentation gives this number for cifar10_cnn.py
    assert parameter_count(build_model("child_cnn", num_classes=10, channels=3, image_size=32)) == 1_250_858


def test_basenet_has_the_size_that_its_layers_add_up_to():
    def block(i, o, shortcut):
        return 2 * i + 9 * i * o + 2 * o + 9 * o * o + (i * o if shortcut else 0)

    stages = (
        2 * block(64, 64, False) + block(64, 128, True) + block(128, 128, False)
        + block(128, 256, True) + block(256, 256, False) + block(256, 256, True) + block(256, 256, False)
    )  # fmt: skip
    expected = 27 * 64 + stages + 2 * 256 + 512 * 10 + 10
    assert parameter_count(build_model("basenet_resnet18", num_classes=10, channels=3, image_size=32)) == expected


def test_basenet_pools_average_and_maximum():
    model = build_model("basenet_resnet18", num_classes=4, channels=3, image_size=16).eval()
    taken = []
    model.norm.register_forward_hook(lambda module, inputs, output: taken.append(output.relu()))
    model.classifier.register_forward_hook(lambda module, inputs, output: taken.append(inputs[0]))
    model(torch.randn(2, 3, 16, 16))
    features, pooled = taken
    torch.testing.assert_close(pooled[:, :256], nn.functional.adaptive_avg_pool2d(features, 1).flatten(1))
    torch.testing.assert_close(pooled[:, 256:], nn.functional.adaptive_max_pool2d(features, 1).flatten(1))


@pytest.mark.parametrize(("width", "stride"), [(6, 1), (4, 2), (6, 2), (4, 1)])
@pytest.mark.parametrize("training", [True, False])
def test_a_block_of_basenet_is_that_of_the_paper(width, stride, training):
    """He et al. 2016, figure 1 (b); where the shape changes, the shortcut is a projection of what is activated."""
    generator = torch.Generator().manual_seed(0)
    block = PreActivationBlock(4, width, stride).train(training)
    for tensor in (*block.parameters(), *block.buffers()):
        if tensor.is_floating_point():
            tensor.data = torch.rand(tensor.shape, generator=generator) + 0.5
    tensors = {name: tensor.detach().clone() for name, tensor in block.state_dict().items()}
    x = torch.randn(3, 4, 8, 8, generator=generator)

    def activated(values, norm):
        if training:
            mean, variance = values.mean(dim=(0, 2, 3)), values.var(dim=(0, 2, 3), correction=0)
        else:
            mean, variance = tensors[f"{norm}.running_mean"], tensors[f"{norm}.running_var"]
        scale = tensors[f"{norm}.weight"] / (variance + 1e-5).sqrt()
        shifted = (values - mean[:, None, None]) * scale[:, None, None] + tensors[f"{norm}.bias"][:, None, None]
        return shifted.clamp(min=0)

    first = activated(x, "norm1")
    between = activated(nn.functional.conv2d(first, tensors["conv1.weight"], stride=stride, padding=1), "norm2")
    expected = nn.functional.conv2d(between, tensors["conv2.weight"], padding=1)
    if (width, stride) == (4, 1):
        expected = expected + x
    else:
        expected = expected + nn.functional.conv2d(first, tensors["shortcut.weight"], stride=stride)
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-4)


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """Writes a module into the working folder, which is not on the path."""

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.path", ["/nowhere", *sys.path])
        return name

    return write


def test_a_network_of_the_users_own(own_module):
    module = own_module(
        "tuun_own_a",
        "from torch import nn\n"
        "def make(*, num_classes, channels, image_size):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * image_size**2, num_classes))\n",
    )
    model = build_model(f"{module}:make", num_classes=3, channels=1, image_size=8)
    assert model(torch.randn(2, 1, 8, 8)).shape == (2, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_module_anywhere", "cannot be imported: ModuleNotFoundError: No module named 'no_such"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("", "has no make"),
        ("make = 3", "must be a function or a class, got int"),
        ("def make(num_classes): return None", "must take the keywords num_classes, channels and image_size"),
        ("def make(num_classes, channels, image_size): return 'x'", "must return a torch.nn.Module, got str"),
    ],
)
def test_what_is_wrong_with_the_users_own_network_is_said(own_module, text, message, request):
    module = own_module(f"tuun_own_{abs(hash(request.node.name))}", text)
    with pytest.raises(ConfigError, match=message):
        build_model(f"{module}:make", num_classes=3, channels=1, image_size=8)


def test_a_mistake_inside_the_users_function_keeps_its_traceback(own_module):
    module = own_module("tuun_own_b", "def make(num_classes, channels, image_size):\n    return len(3)\n")
    with pytest.raises(TypeError, match="has no len"):
        build_model(f"{module}:make", num_classes=3, channels=1, image_size=8)


@pytest.mark.parametrize("name", ["resnet81", "module:", ":function", "", "wide_resnet_28", "quantized_resnet18"])
def test_an_unknown_name_gets_the_list(name):
    expected = (
        "model must be one of basenet_resnet18, child_cnn, wide_resnet_28_10, wide_resnet_40_2, "
        "another wide_resnet_DEPTH_FACTOR, any torchvision classification model, or module:function; got "
    )
    with pytest.raises(ConfigError, match=re.escape(expected + repr(name))):
        build_model(name, num_classes=3, channels=1, image_size=8)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("resnet81", "resnet18"),
        ("ResNet18", "resnet18"),
        ("child-cnn", "child_cnn"),
        ("wide_resnet_28", "wide_resnet_28_10"),
        ("efficientnet-b0", "efficientnet_b0"),
    ],
)
def test_a_misspelt_name_gets_the_nearest_that_is_known(name, nearest):
    with pytest.raises(ConfigError, match=rf"got '{name}'; did you mean {nearest}\?$"):
        build_model(name, num_classes=3, channels=1, image_size=8)


def test_a_name_like_no_other_gets_no_guess():
    with pytest.raises(ConfigError, match=r"got 'zzzzzz'$"):
        build_model("zzzzzz", num_classes=3, channels=1, image_size=8)


def test_our_own_networks_do_without_torchvision():
    script = (
        "import sys\n"
        "from tuun_da.training.models import build_model\n"
        "build_model('wrn_10_1', num_classes=2, channels=1, image_size=8)\n"
        "print('torchvision' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["False"]

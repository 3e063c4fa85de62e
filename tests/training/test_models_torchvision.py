"""torchvision's models fit the data: classes, channels and size; what they cannot take is said when they are built."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models

from tuun_da.errors import ConfigError
from tuun_da.training.models import build_model
from tuun_da.training.models.torchvision_models import (
    check_it_takes,
    problem_with_side,
    replace_first_convolution,
    torchvision_names,
)


@pytest.mark.parametrize(
    ("name", "channels", "size", "classes"),
    [
        ("resnet18", 3, 32, 10),
        ("resnet18", 1, 28, 2),
        ("mobilenet_v3_small", 1, 32, 7),
        ("squeezenet1_1", 3, 32, 7),
        ("googlenet", 3, 32, 5),
        ("googlenet", 1, 32, 5),
        ("inception_v3", 1, 75, 3),
        ("efficientnet_b0", 3, 40, 7),
        ("densenet121", 1, 32, 6),
        ("convnext_tiny", 3, 32, 7),
        ("swin_t", 3, 32, 7),
        ("shufflenet_v2_x0_5", 2, 32, 7),
        ("regnet_y_400mf", 4, 32, 7),
        ("mnasnet0_5", 3, 32, 1001),
        ("vit_b_32", 1, 64, 7),
    ],
)
def test_it_gives_one_logit_for_each_class_and_learns(name, channels, size, classes):
    model = build_model(name, num_classes=classes, channels=channels, image_size=size)
    assert model.training
    logits = model(torch.randn(2, channels, size, size))
    assert logits.shape == (2, classes)
    nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    assert [*model.parameters()][-1].grad.abs().sum() > 0


def test_the_names_are_those_of_classification():
    names = torchvision_names()
    assert {"resnet18", "vit_b_16", "wide_resnet50_2", "maxvit_t"} <= set(names)
    assert not [name for name in names if "quantized" in name or "fcn" in name or "rcnn" in name or "r3d" in name]


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "squeezenet1_0"])
def test_for_colour_images_it_is_torchvisions_own(name):
    torch.manual_seed(3)
    expected = models.get_model(name, num_classes=7).state_dict()
    torch.manual_seed(3)
    result = build_model(name, num_classes=7, channels=3, image_size=64).state_dict()
    assert list(result) == list(expected)
    assert all(torch.equal(result[key], expected[key]) for key in expected)


def test_the_trial_with_shapes_draws_no_number_and_counts_no_batch():
    model = models.efficientnet_b0(num_classes=3)  # with dropout and stochastic depth
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    assert problem_with_side(model, 3, 32) is None
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["alexnet", "squeezenet1_0", "squeezenet1_1", "inception_v3", "convnext_tiny"])
def test_the_smallest_size_is_the_one_that_torchvision_documents(name):
    [smallest] = set(models.get_model_weights(name).DEFAULT.meta["min_size"])
    with pytest.raises(ConfigError, match=rf"model {name} takes images of at least {smallest}x{smallest} pixels, got "):
        build_model(name, num_classes=3, channels=3, image_size=smallest - 1)
    model = build_model(name, num_classes=3, channels=3, image_size=smallest).eval()
    assert model(torch.randn(1, 3, smallest, smallest)).shape == (1, 3)
    with pytest.raises(RuntimeError):
        model(torch.randn(1, 3, smallest - 1, smallest - 1))


@pytest.mark.parametrize(
    ("name", "size", "step", "nearest"),
    [
        ("vit_b_16", 30, 16, 32),
        ("vit_b_16", 5, 16, 16),
        ("vit_h_14", 224 + 8, 14, 238),
        ("maxvit_t", 32, 224, 224),
        ("maxvit_t", 400, 224, 448),
    ],
)
def test_a_model_of_fixed_sizes_names_the_size_that_it_wants(name, size, step, nearest):
    expected = f"{name} takes images whose side is a multiple of {step} pixels, got image_size {size}; .* {nearest}$"
    with pytest.raises(ConfigError, match=expected):
        build_model(name, num_classes=3, channels=3, image_size=size)


def test_a_model_that_takes_no_size_that_was_tried_says_what_went_wrong():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 6, 2))
    check_it_takes("own", model, 3, 8)
    with pytest.raises(ConfigError, match=r"model own does not take images of 9x9 pixels: \S+"):
        check_it_takes("own", model, 3, 9)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_another_first_convolution_keeps_settings_bias_and_spread(channels):
    torch.manual_seed(0)
    old = nn.Conv2d(3, 64, 7, stride=2, padding=3)
    rest = nn.BatchNorm2d(64)
    model = nn.Sequential(nn.Sequential(old, rest), nn.Conv2d(64, 2, 1))
    replace_first_convolution(model, channels)
    new = model[0][0]
    assert (new.in_channels, new.out_channels) == (channels, 64)
    assert (new.kernel_size, new.stride, new.padding) == ((7, 7), (2, 2), (3, 3))
    assert torch.equal(new.bias, old.bias)
    assert model[0][1] is rest
    x = torch.randn(64, max(channels, 3), 16, 16)
    assert new(x[:, :channels]).std().item() == pytest.approx(old(x[:, :3]).std().item(), rel=0.1)


def test_no_bias_stays_no_bias():
    model = build_model("resnet18", num_classes=3, channels=1, image_size=32)
    assert model.conv1.bias is None
    assert model.conv1.in_channels == 1

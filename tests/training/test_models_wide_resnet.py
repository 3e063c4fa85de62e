"""Wide ResNets have the published sizes, and the widths, strides and depth of the paper."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tuun_da.errors import ConfigError
from tuun_da.training.models import MODELS, build_model


def parameter_count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def expected_count(depth, factor, *, channels, classes):
    """Zagoruyko & Komodakis 2016, table 1, added up by layers."""
    total = 9 * channels * 16
    width = 16
    for group_width in (16 * factor, 32 * factor, 64 * factor):
        for _ in range((depth - 4) // 6):
            total += 2 * width + 9 * width * group_width + 2 * group_width + 9 * group_width * group_width
            if width != group_width:
                total += width * group_width
            width = group_width
    return total + 2 * width + width * classes + classes


@pytest.mark.parametrize(
    ("name", "published_millions"), [("wide_resnet_28_10", 36.5), ("wide_resnet_40_2", 2.2), ("wide_resnet_16_8", 11.0)]
)
def test_it_has_the_published_size(name, published_millions):
    count = parameter_count(build_model(name, num_classes=10, channels=3, image_size=32))
    assert round(count / 1e6, 1) == published_millions  # tables 4 and 5 of the paper


@pytest.mark.parametrize(
    ("depth", "factor", "channels", "classes"),
    [(28, 10, 3, 10), (40, 2, 3, 10), (40, 2, 3, 100), (10, 1, 1, 2), (16, 4, 1, 7), (22, 3, 3, 5)],
)
def test_it_has_the_size_that_its_layers_add_up_to(depth, factor, channels, classes):
    model = build_model(f"wide_resnet_{depth}_{factor}", num_classes=classes, channels=channels, image_size=32)
    assert parameter_count(model) == expected_count(depth, factor, channels=channels, classes=classes)


def test_the_two_of_the_paper_are_in_the_table_by_their_own_sizes():
    for depth, factor in ((28, 10), (40, 2)):
        model = MODELS[f"wide_resnet_{depth}_{factor}"](num_classes=10, channels=3, image_size=32)
        assert parameter_count(model) == expected_count(depth, factor, channels=3, classes=10)


@pytest.mark.parametrize("name", ["wide_resnet_16_2", "wrn_16_2"])
def test_the_groups_halve_the_side_and_double_the_width(name):
    model = build_model(name, num_classes=10, channels=3, image_size=32)
    shapes = []
    for block in model.groups:
        block.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    model(torch.randn(2, 3, 32, 32))
    assert shapes == [(32, 32, 32)] * 2 + [(64, 16, 16)] * 2 + [(128, 8, 8)] * 2


def test_the_depth_counts_the_convolutions_along_the_way_and_the_last_layer():
    model = build_model("wide_resnet_22_1", num_classes=10, channels=3, image_size=32)
    along = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    shortcuts = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]
    # the paper's 6 k + 4 counts the shortcuts of the three groups in place of stem and last layer; with a factor
    # of 1 the first group's is not needed
    assert len(along) == 22 - 4 + 1
    assert len(shortcuts) == 2


def test_the_short_name_is_the_same_network():
    def weights(name):
        torch.manual_seed(1)
        return build_model(name, num_classes=4, channels=1, image_size=8).state_dict()

    long, short = weights("wide_resnet_16_2"), weights("wrn_16_2")
    assert list(long) == list(short)
    assert all(torch.equal(long[key], short[key]) for key in long)


def test_the_logits_are_of_the_global_mean():
    model = build_model("wrn_10_1", num_classes=4, channels=3, image_size=12).eval()
    taken = []
    model.norm.register_forward_hook(lambda module, inputs, output: taken.append(output.relu()))
    logits = model(torch.randn(2, 3, 12, 12))
    expected = model.classifier(nn.functional.adaptive_avg_pool2d(taken[0], 1).flatten(1))
    torch.testing.assert_close(logits, expected)


def test_signals_neither_fade_nor_explode_with_depth_at_the_start():
    """Kaiming initialization: the spread of the convolutions' weights is that of the paper's code, sqrt(2 / (9 o))."""
    torch.manual_seed(0)
    model = build_model("wrn_40_2", num_classes=10, channels=3, image_size=32)
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
            expected = (2 / (module.out_channels * module.kernel_size[0] ** 2)) ** 0.5
            assert module.weight.std().item() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("depth", [0, 4, 9, 11, 27, 29, 100 + 1])
def test_a_depth_that_no_wide_resnet_has(depth):
    with pytest.raises(ConfigError, match=rf"depth of a wide_resnet must be 10, 16, 22, 28, .* got {depth}"):
        build_model(f"wide_resnet_{depth}_2", num_classes=3, channels=3, image_size=32)


def test_a_factor_of_nothing():
    with pytest.raises(ConfigError, match="factor of a wide_resnet must be at least 1, got 0"):
        build_model("wrn_16_0", num_classes=3, channels=3, image_size=32)

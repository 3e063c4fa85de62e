"""The floor of a training: operations counted by hand, rates that are rates."""

from __future__ import annotations

import sys
import time

import pytest
import torch
from torch import nn

from benchmarks import trial_floor
from benchmarks.trial_floor import (
    ImageFlops,
    MatrixRate,
    epoch_flops,
    epoch_size,
    floor_seconds,
    image_flops,
    matrix_rate,
    utilisation,
)
from tuun_da.training.models import build_model


def multiply_adds_by_hand(model, image_size, channels):
    """(all, those of the first layer): of each convolution and linear layer, from the shape of its output."""
    found = []

    def note(layer, inputs, output):
        places = output.numel() // len(output)
        inputs_of_one = layer.in_features if isinstance(layer, nn.Linear) else layer.weight[0].numel()
        found.append(places * inputs_of_one)

    network = build_model(model, num_classes=10, channels=channels, image_size=image_size)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(note)
    network(torch.zeros(2, channels, image_size, image_size))
    return sum(found), found[0]


@pytest.mark.parametrize("model", ["basenet_resnet18", "child_cnn"])
@pytest.mark.parametrize(("image_size", "channels"), [(32, 3), (16, 1)])
def test_counted_operations_are_two_for_each_multiply_add_counted_by_hand(model, image_size, channels):
    flops = image_flops(model, num_classes=10, channels=channels, image_size=image_size)
    by_hand, first = multiply_adds_by_hand(model, image_size, channels)
    assert flops.forward == 2 * by_hand
    assert flops.training == 2 * (3 * by_hand - first)  # no gradient of the images


def test_basenet_resnet18_has_0_46_billion_multiply_adds_an_image_of_cifar10():
    flops = image_flops("basenet_resnet18", num_classes=10, channels=3, image_size=32)
    assert flops.forward / 2 == pytest.approx(0.46e9, rel=0.02)


def test_counting_leaves_the_global_chance_as_it_was():
    before = torch.get_rng_state()
    image_flops("child_cnn", num_classes=3, channels=1, image_size=16)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_epoch_trains_on_full_mini_batches_and_validates_on_all():
    size = epoch_size(train_images=100, validation_images=7, batch_size=32)
    assert (size.trained, size.validated) == (96, 7)
    assert epoch_size(train_images=10, validation_images=7, batch_size=32).trained == 10
    assert epoch_flops(ImageFlops(forward=10.0, training=29.0), size) == 96 * 29 + 7 * 10


def test_the_floor_is_operations_over_rate_and_its_share_of_the_time_is_the_utilisation():
    rate = MatrixRate(1e12, 1024, "float32")
    assert floor_seconds(5e12, rate) == 5.0
    assert utilisation(5e12, 20.0, rate) == 0.25


def test_the_rate_is_that_of_a_matrix_product():
    rate = matrix_rate(torch.device("cpu"), sides=(64, 256), repeats=3)
    assert rate.side in (64, 256)
    matrix = torch.randn(256, 256)
    matrix @ matrix
    begin = time.perf_counter()
    for _ in range(20):
        matrix @ matrix
    theirs = 20 * 2 * 256**3 / (time.perf_counter() - begin)
    assert theirs / 20 < rate.flops_per_second < theirs * 20


def test_the_largest_of_the_rates_is_taken(monkeypatch):
    # the clock says that one product of either size takes 1 s: the larger matrices have the larger rate
    ticks = iter(range(100))
    monkeypatch.setattr(trial_floor.time, "perf_counter", lambda: float(next(ticks)))
    rate = matrix_rate(torch.device("cpu"), sides=(8, 4), repeats=1)
    assert rate == MatrixRate(2 * 8**3, 8, "float32")


@pytest.mark.cuda
def test_a_gpu_multiplies_faster_than_any_cpu():
    assert matrix_rate(torch.device("cuda")).flops_per_second > 1e13


def test_the_command_says_what_a_training_costs_at_least(monkeypatch, capsys):
    monkeypatch.setitem(trial_floor.SIDES, "cpu", (64,))
    monkeypatch.setattr(sys, "argv", ["trial_floor", "--model", "child_cnn", "--epochs", "2", "--train-images", "256"])
    trial_floor.main()
    text = capsys.readouterr().out
    assert '"floor_seconds"' in text
    assert '"side": 64' in text

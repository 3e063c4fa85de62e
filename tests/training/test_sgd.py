"""The steps are those of torch.optim.SGD, without what loading its class costs."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from tuun_da.training.sgd import NesterovSGD


def networks():
    torch.manual_seed(0)
    first = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3), nn.Linear(2, 2))
    first[0].bias.requires_grad_(False)  # frozen; and the last layer is never used
    second = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3), nn.Linear(2, 2))
    second.load_state_dict(first.state_dict())
    second[0].bias.requires_grad_(False)
    return first, second


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.03])
def test_the_steps_are_torchs(momentum, weight_decay):
    ours, theirs = networks()
    own = NesterovSGD(ours.parameters(), momentum=momentum, weight_decay=weight_decay)
    oracle = torch.optim.SGD(
        theirs.parameters(), lr=0.1, momentum=momentum, nesterov=momentum > 0, weight_decay=weight_decay, fused=True
    )
    for step in range(6):
        images, rate = torch.randn(8, 5), 0.1 / (step + 1)
        for network in (ours, theirs):
            network[:3](images).square().mean().backward()
        own.step(rate)
        oracle.param_groups[0]["lr"] = rate
        oracle.step()
        own.zero_grad()
        oracle.zero_grad()
    for name, weight in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], weight), name
    assert ours[0].weight.grad is None


def test_a_parameter_may_get_its_first_gradient_later():
    """As in a network with random branches."""
    ours, theirs = networks()
    own = NesterovSGD(ours.parameters(), momentum=0.9, weight_decay=0.01)
    oracle = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    for step in range(4):
        images = torch.randn(8, 5)
        for network in (ours, theirs):
            output = network[:3](images).square().mean()
            if step in (1, 3):
                output = output + network[3](images[:, :2]).square().mean()
            output.backward()
        own.step(0.1)
        oracle.step()
        own.zero_grad()
        oracle.zero_grad()
    for name, weight in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], weight)


def test_a_state_that_is_put_back_goes_on():
    first, second = networks()
    one = NesterovSGD(first.parameters(), momentum=0.9, weight_decay=0.0)
    images = torch.randn(8, 5)
    first[:3](images).square().mean().backward()
    one.step(0.1)
    second.load_state_dict(first.state_dict())
    two = NesterovSGD(second.parameters(), momentum=0.9, weight_decay=0.0)
    two.load_state_dict(one.state_dict())
    for network, optimizer in ((first, one), (second, two)):
        optimizer.zero_grad()
        network[:3](images).square().mean().backward()
        optimizer.step(0.1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first[0].weight, networks()[0][0].weight)


def test_a_training_of_the_digits_loads_neither_the_compiler_nor_scikit_learn(tmp_path):
    script = """
import sys, torch
from tuun_da.training.loop import train
from tuun_da.training.datasets import load_splits
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig
from tuun_da.augment.named import build_transform
splits = load_splits(DataConfig(train_per_class=2, validation_size=20))
config = TrainConfig(model="child_cnn", epochs=1, batch_size=10)
train(config, splits, build_transform("trivialaugment", None), torch.device("cpu"))
slow = ("torch._dynamo", "torch._inductor", "sympy", "torchvision", "sklearn", "scipy")
print([name for name in slow if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split("\n")[-2] == "[]", done.stdout

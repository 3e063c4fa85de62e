"""On a GPU: the same pictures as on the CPU from the same draw, and nobody waits for the device."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from augment_samples import make_images, make_policy, seeded
from torch import Tensor

from tuun_da import Operation, Policy, SubPolicy
from tuun_da.augment import BatchTransform, Chain, CropAndFlip, Cutout
from tuun_da.operations import OPERATION_TYPES

pytestmark = pytest.mark.cuda

RESIZED = 2  # levels by which a crop may differ, which the CPU rounds twice
INVERT = Policy.from_sub_policies([SubPolicy((Operation("invert", 0.5, 0.0),))])
BASELINES = {
    "CropAndFlip": CropAndFlip(),
    "Cutout": Cutout(),
    "etp, then a policy": Chain(
        [CropAndFlip(), Policy.from_sub_policies([SubPolicy((Operation("invert", 0.5, 0.0),))])]
    ),
}


def on_gpu(transform: BatchTransform[Any], images: Tensor, draw: Any) -> Tensor:
    """The result, made while a wait for the device is an error."""
    there, moved = images.cuda(), draw.to(torch.device("cuda"))
    transform.transform(there, moved)  # loads what CUDA loads on first use, and the tables
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = transform.transform(there, moved)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert result.is_cuda
    return result.cpu()


@pytest.mark.parametrize("magnitude", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("name", list(OPERATION_TYPES))
def test_every_type(name: str, magnitude: float) -> None:
    policy = Policy.from_sub_policies([SubPolicy((Operation(name, 0.8, magnitude),))], per="image")
    images = make_images(32, 3, (32, 32))
    draw = policy.draw(32, seeded())
    apart = (on_gpu(policy, images, draw).int() - policy.transform(images, draw).int()).abs()
    assert apart.max() <= (RESIZED if name in ("randomCrop", "hueSaturation") else 1)
    assert (apart > 0).double().mean() < (0.3 if name == "randomCrop" else 0.02)


@pytest.mark.parametrize("per", ["batch", "image"])
def test_a_policy_of_all_types(per: str) -> None:
    policy, images = make_policy(per), make_images(96, 3, (32, 32))
    for seed in range(4):
        draw = policy.draw(96, seeded(seed))
        apart = (on_gpu(policy, images, draw).int() - policy.transform(images, draw).int()).abs()
        # the level that a crop is off becomes many under equalize, solarize or sharpness
        assert (apart > 2).double().mean() < 0.05


@pytest.mark.parametrize("transform", BASELINES.values(), ids=BASELINES.keys())
def test_baselines(transform: BatchTransform[Any]) -> None:
    images = make_images(64, 3, (32, 32))
    draw = transform.draw(64, seeded())
    assert torch.equal(on_gpu(transform, images, draw), transform.transform(images, draw))


@pytest.mark.parametrize("per", ["batch", "image"])
def test_a_call_with_a_generator_on_the_device_does_not_wait(per: str) -> None:
    policy, images = make_policy(per), make_images(32, 3, (32, 32)).cuda()
    generator = torch.Generator("cuda").manual_seed(0)
    policy(images, generator=generator)
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = policy(images, generator=generator)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert not torch.equal(result, images)


def test_images_on_the_host_take_a_draw_from_the_device() -> None:
    """Its copy must have arrived before it is read."""
    policy, images = make_policy(), make_images(64)
    for seed in range(20):
        draw = policy.draw(64, torch.Generator("cuda").manual_seed(seed))
        wanted = policy.transform(images, draw.to(torch.device("cpu")))
        assert torch.equal(policy.transform(images, draw), wanted)


def test_a_compiled_policy_runs_as_a_cuda_graph() -> None:
    policy, images = make_policy(), make_images(32, 3, (32, 32)).cuda()
    policy(images)  # its tables are on the device from now on
    compiled = torch.compile(policy.transform, fullgraph=True, mode="reduce-overhead")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*[Ss]kipping cudagraphs.*")
        for seed in range(4):
            draw = policy.draw(32, torch.Generator("cuda").manual_seed(seed))
            result = compiled(images, draw)
            apart = (result.int() - policy.transform(images, draw).int()).abs()
            assert (apart > 2).double().mean() < 0.02

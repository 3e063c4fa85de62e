"""What bounds an augmentation: how fast the memory copies, and how long the training step takes that it runs beside."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tuun_da.training.evaluation import Autocast, Normalize
from tuun_da.training.loop import seeded
from tuun_da.training.models import build_model

CHANNELS = 3
CLASSES = 10
COPIED_BYTES = 2**28  # larger than any cache


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def copy_bandwidth(device: torch.device, *, size: int = COPIED_BYTES, repeats: int = 9) -> float:
    """Bytes read and written in a second while a large tensor is copied; the median of some."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    seconds = []
    for _ in range(repeats + 2):  # the first touch the pages
        synchronize(device)
        begin = time.perf_counter()
        target.copy_(source)
        synchronize(device)
        seconds.append(time.perf_counter() - begin)
    return 2 * size / median(seconds[2:])


def one_pass_limit(bandwidth: float, side: int) -> float:
    """Images uint8 (3, side, side) in a second, if each is read and written once."""
    return bandwidth / (2 * CHANNELS * side * side)


def training_steps(
    device: torch.device,
    images: Tensor,
    transforms: Mapping[str, Callable[[Any], Tensor] | None],
    *,
    repeats: int = 9,
    steps: int = 20,
) -> dict[str, list[float]]:
    """Seconds of one step of BaseNet ResNet-18 as ``training.loop`` does it, on ``images`` uint8 on ``device``.

    Some with each transform in front (None: without), taking turns; for each the means of ``steps`` steps between two
    waits, ``repeats`` times.
    """
    with seeded(0, device):
        layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
        model = build_model("basenet_resnet18", num_classes=CLASSES, channels=CHANNELS, image_size=images.shape[2])
        model = model.to(device, memory_format=layout).train()  # type: ignore[call-overload]
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
        autocast = Autocast("auto", device)
        moments: Any = SimpleNamespace(mean=(0.5,) * CHANNELS, std=(0.25,) * CHANNELS)
        normalize = Normalize(moments, device, layout)
        labels = torch.arange(len(images), device=device) % CLASSES

        def step(transform: Callable[[Any], Tensor] | None) -> None:
            batch = images if transform is None else transform(images)
            with autocast():
                logits = model(normalize(batch))
            loss = functional.cross_entropy(logits.float(), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

        seconds: dict[str, list[float]] = {name: [] for name in transforms}
        for repeat in range(repeats + 1):  # the first warms up
            for name, transform in transforms.items():
                synchronize(device)
                begin = time.perf_counter()
                for _ in range(steps):
                    step(transform)
                synchronize(device)
                if repeat > 0:
                    seconds[name].append((time.perf_counter() - begin) / steps)
        return seconds

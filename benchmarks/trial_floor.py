"""What a training costs at least: its floating-point operations, over the rate of matrix products on the same device.

    python -m benchmarks.trial_floor [--device cuda] [--model basenet_resnet18] [--train-images 45000]

Two operations for a multiply-add; convolutions and matrix products only, which is nearly all. The backward pass has
twice the operations of the forward pass, less the gradient of the images, which nobody asks for. The floor is what is
left of a training if everything but matrix products were free, and those ran as fast as large square ones do.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.augment_limits import synchronize
from tuun_da.training.loop import seeded
from tuun_da.training.models import build_model

COUNTED_IMAGES = 2  # one has no variance to normalize by
SIDES = {"cuda": (4096, 8192, 16384), "cpu": (512, 1024, 2048)}  # of the square matrices
TYPES = {"cuda": torch.bfloat16, "cpu": torch.float32}


@dataclass(frozen=True)
class ImageFlops:
    """Floating-point operations of one image: through the network (``forward``), and also back (``training``)."""

    forward: float
    training: float


@dataclass(frozen=True)
class MatrixRate:
    """Floating-point operations in a second, of products of square matrices of ``side`` and ``type``."""

    flops_per_second: float
    side: int
    type: str


@dataclass(frozen=True, kw_only=True)
class EpochSize:
    """The images of an epoch: ``trained`` forward and back, ``validated`` forward."""

    trained: int
    validated: int


def image_flops(model: str, *, num_classes: int, channels: int, image_size: int) -> ImageFlops:
    """Counted while a mini-batch of the network ``model`` runs on the CPU."""
    cpu = torch.device("cpu")
    with seeded(0, cpu):
        network = build_model(model, num_classes=num_classes, channels=channels, image_size=image_size).train()
        images = torch.randn(COUNTED_IMAGES, channels, image_size, image_size)
        labels = torch.arange(COUNTED_IMAGES) % num_classes
        forward, training = FlopCounterMode(display=False), FlopCounterMode(display=False)
        with training:
            with forward:
                logits = network(images)
            functional.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
    return ImageFlops(forward.get_total_flops() / COUNTED_IMAGES, training.get_total_flops() / COUNTED_IMAGES)


def epoch_size(*, train_images: int, validation_images: int, batch_size: int) -> EpochSize:
    """Of the training images those in full mini-batches, as ``training.batches`` has it."""
    trained = train_images // batch_size * batch_size or train_images
    return EpochSize(trained=trained, validated=validation_images)


def epoch_flops(flops: ImageFlops, size: EpochSize) -> float:
    """Floating-point operations of an epoch, its validation included."""
    return flops.training * size.trained + flops.forward * size.validated


def matrix_rate(device: torch.device, *, sides: tuple[int, ...] | None = None, repeats: int = 5) -> MatrixRate:
    """The largest rate of several sizes; of each the median of ``repeats``, between two waits.

    bfloat16 on CUDA and float32 on the CPU, as ``training.loop`` computes there, with torch's number of threads.
    """
    kind = TYPES[device.type]
    found = []
    for side in sides or SIDES[device.type]:
        left = torch.randn(side, side, device=device, dtype=kind)
        right = torch.randn(side, side, device=device, dtype=kind)
        product = left @ right  # warms up
        seconds = []
        for _ in range(repeats):
            synchronize(device)
            begin = time.perf_counter()
            torch.matmul(left, right, out=product)
            synchronize(device)
            seconds.append(time.perf_counter() - begin)
        found.append(MatrixRate(2 * side**3 / median(seconds), side, str(kind).removeprefix("torch.")))
    return max(found, key=lambda rate: rate.flops_per_second)


def floor_seconds(flops: float, rate: MatrixRate) -> float:
    """How long ``flops`` floating-point operations take at least."""
    return flops / rate.flops_per_second


def utilisation(flops: float, seconds: float, rate: MatrixRate) -> float:
    """Model-FLOP utilisation: the floor's share of the ``seconds`` that ``flops`` operations took."""
    return floor_seconds(flops, rate) / seconds


def counted(options: argparse.Namespace) -> dict[str, Any]:
    """What is counted and measured for a training, as a JSON object."""
    flops = image_flops(
        options.model, num_classes=options.num_classes, channels=options.channels, image_size=options.image_size
    )
    size = epoch_size(
        train_images=options.train_images,
        validation_images=options.validation_images,
        batch_size=options.batch_size,
    )
    rate = matrix_rate(torch.device(options.device))
    in_all = options.epochs * epoch_flops(flops, size)
    return {
        "model": options.model,
        "multiply_adds_of_an_image": flops.forward / 2,
        "flops": asdict(flops),
        "flops_of_the_training": in_all,
        "rate": asdict(rate),
        "floor_seconds": floor_seconds(in_all, rate),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--model", default="basenet_resnet18")
    parser.add_argument("--num-classes", type=int, default=10)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--train-images", type=int, default=45_000)
    parser.add_argument("--validation-images", type=int, default=5_000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=50)
    print(json.dumps(counted(parser.parse_args()), indent=1))


if __name__ == "__main__":
    main()

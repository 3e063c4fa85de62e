"""Small networks with batch normalization, for trainings of seconds on one core; TrainConfig.model names them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

POOL = 0


def plain_net(*, num_classes: int, channels: int, layers: Sequence[int], first_stride: int = 1) -> nn.Sequential:
    """3x3 convolutions of the widths in ``layers``, where POOL halves the size; then the mean over the area."""
    return nn.Sequential(*_plain_layers(num_classes, channels, layers, first_stride))


def _plain_layers(num_classes: int, channels: int, layers: Sequence[int], first_stride: int) -> Iterator[nn.Module]:
    stride = first_stride
    for width in layers:
        if width == POOL:
            yield nn.MaxPool2d(2)
            continue
        yield nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
        yield nn.BatchNorm2d(width)
        yield nn.ReLU(inplace=True)
        channels, stride = width, 1
    yield nn.AdaptiveAvgPool2d(1)
    yield nn.Flatten()
    yield nn.Linear(channels, num_classes)


def digits_net(*, num_classes: int, channels: int, image_size: int) -> nn.Sequential:
    return plain_net(num_classes=num_classes, channels=channels, layers=(32, POOL, 64))


def digits_reference_net(*, num_classes: int, channels: int, image_size: int) -> nn.Sequential:
    return plain_net(num_classes=num_classes, channels=channels, layers=(64, POOL, 128))


def steel_net(*, num_classes: int, channels: int, image_size: int) -> nn.Sequential:
    return plain_net(num_classes=num_classes, channels=channels, layers=(16, POOL, 32, POOL, 64), first_stride=2)


def steel_reference_net(*, num_classes: int, channels: int, image_size: int) -> nn.Sequential:
    return plain_net(num_classes=num_classes, channels=channels, layers=(32, POOL, 64, POOL, 128), first_stride=2)


def cifar10_net(*, num_classes: int, channels: int, image_size: int) -> nn.Sequential:
    return plain_net(num_classes=num_classes, channels=channels, layers=(16, POOL, 32, POOL, 64))


def cifar10_reference_net(*, num_classes: int, channels: int, image_size: int) -> nn.Sequential:
    return plain_net(num_classes=num_classes, channels=channels, layers=(32, POOL, 64, POOL, 128))

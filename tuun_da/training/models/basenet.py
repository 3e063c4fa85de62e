"""The pre-activation ResNet-18 that reached 94 % on CIFAR-10 fast in DAWNBench (2018).

Blocks after He et al. 2016 (arXiv:1603.05027), widths and pooling after the "basenet" entry of B. Johnson.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class PreActivationBlock(nn.Module):
    """Two 3x3 convolutions, each after normalization and ReLU: (n, i, h, w) -> (n, o, ceil(h / s), ceil(w / s))."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.shortcut: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        activated = functional.relu(self.norm1(x))
        shortcut = x if self.shortcut is None else self.shortcut(activated)
        residual: Tensor = self.conv2(functional.relu(self.norm2(self.conv1(activated))))
        return residual + shortcut


class BasenetResNet18(nn.Module):
    """3x3 stem, stages of two blocks with 64, 128, 256 and 256 channels, average and maximum concatenated."""

    def __init__(self, *, num_classes: int, channels: int, image_size: int) -> None:
        super().__init__()
        del image_size  # convolutions and global pooling take every size
        self.stem = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        blocks: list[nn.Module] = []
        width = 64
        for stage_width, stride in ((64, 1), (128, 2), (256, 2), (256, 2)):
            blocks += [PreActivationBlock(width, stage_width, stride), PreActivationBlock(stage_width, stage_width, 1)]
            width = stage_width
        self.stages = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(width)
        self.classifier = nn.Linear(2 * width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.stages(self.stem(x))))
        # mean and amax, because the backward pass of adaptive pooling on CUDA adds up in no fixed order
        pooled = torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)
        logits: Tensor = self.classifier(pooled)
        return logits

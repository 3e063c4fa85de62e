"""Wide residual networks of Zagoruyko & Komodakis 2016 (arXiv:1605.07146), for small images."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from tuun_da.errors import ConfigError
from tuun_da.training.models.basenet import PreActivationBlock


class WideResNet(nn.Module):
    """WRN-``depth``-``factor``: 3x3 stem of 16, three groups of (depth - 4) / 6 blocks, normalization, global mean.

    The groups have 16, 32 and 64 times ``factor`` channels, at full, half and quarter size. Without the dropout that
    the paper tries in some runs. At 10 classes WRN-28-10 has 36.5 million parameters, WRN-40-2 2.2 million. Raises
    ConfigError if no network has that depth.
    """

    def __init__(self, depth: int, factor: int, *, num_classes: int, channels: int, image_size: int) -> None:
        super().__init__()
        del image_size  # convolutions and global pooling take every size
        if depth < 10 or depth % 6 != 4:
            raise ConfigError(f"the depth of a wide_resnet must be 10, 16, 22, 28, ... (6 k + 4), got {depth}")
        if factor < 1:
            raise ConfigError(f"the factor of a wide_resnet must be at least 1, got {factor}")
        self.stem = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        blocks: list[nn.Module] = []
        width = 16
        for group_width, group_stride in ((16 * factor, 1), (32 * factor, 2), (64 * factor, 2)):
            for number in range((depth - 4) // 6):
                blocks.append(PreActivationBlock(width, group_width, group_stride if number == 0 else 1))
                width = group_width
        self.groups = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(width)
        self.classifier = nn.Linear(width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.groups(self.stem(x))))
        # mean, because the backward pass of adaptive pooling on CUDA adds up in no fixed order
        logits: Tensor = self.classifier(x.mean(dim=(2, 3)))
        return logits

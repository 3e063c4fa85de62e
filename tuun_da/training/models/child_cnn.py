"""The small network of the Keras CIFAR-10 example, which DeepAugment took as its child model."""

from __future__ import annotations

from torch import Tensor, nn

PADDED_BELOW = 12


class ChildCNN(nn.Module):
    """Two 3x3 convolutions of 32, pool, two of 64, pool, dense 512, dropout: 1,250,858 parameters at 32x32x3.

    The second convolution of each pair has no padding, as in the original. Images below 12 pixels keep it, for
    otherwise nothing would be left of them. The dense layer grows with the area: 6.8 million parameters at 64x64.
    """

    def __init__(self, *, num_classes: int, channels: int, image_size: int) -> None:
        super().__init__()
        padding = 1 if image_size < PADDED_BELOW else 0
        self.features = nn.Sequential(
            *_convolution_pair(channels, 32, padding),
            *_convolution_pair(32, 64, padding),
        )
        side = image_size
        for _ in range(2):
            side = (side - 2 + 2 * padding) // 2
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64 * side * side, 512),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(512, num_classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x))
        return logits


def _convolution_pair(in_channels: int, out_channels: int, padding: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, 3, padding=padding),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
    )

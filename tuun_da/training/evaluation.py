"""What a network makes of images as they are: logits, and how good they are."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from tuun_da.errors import ConfigError
from tuun_da.training.batches import Batches
from tuun_da.training.metrics import METRICS, Integers, confusion_matrix
from tuun_da.training.splits import Splits

MOST_AT_ONCE = 256
PIXELS_AT_ONCE = 2**18


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Counts (classes, classes) of true and predicted classes; ``finite`` says whether all logits were numbers."""

    confusion: Integers
    finite: bool

    @property
    def accuracy(self) -> float:
        """The share of images that are recognized."""
        return self.score("accuracy")

    def score(self, metric: str) -> float:
        """By the metric of that name, in [0, 1], larger is better.

        nan if a logit was not finite: of logits that are nan the first is the largest, so a ruined network would
        otherwise get the score of guessing.
        """
        return METRICS[metric](self.confusion) if self.finite else math.nan


def evaluation_batch_size(batch_size: int, splits: Splits) -> int:
    """Twice the ``batch_size`` of the training, which without gradients takes no more memory; of small images more."""
    return max(2 * batch_size, min(MOST_AT_ONCE, PIXELS_AT_ONCE // (splits.channels * splits.image_size**2)))


def evaluated(
    model: nn.Module,
    batches: Batches,
    normalize: Normalize,
    autocast: Autocast,
    num_classes: int,
    *,
    name: str = "",
    compiled: bool = False,
) -> Evaluation:
    """Each image of ``batches`` once and as it is; the class with the largest logit is the prediction.

    ``compiled`` says that calling ``model`` runs graphs of a fixed batch size. Raises ConfigError, which calls the
    model ``name``, for logits of another shape.
    """
    model.eval()
    finite = torch.ones((), device=batches.device, dtype=torch.bool)
    predictions = []
    for images, _ in batches.in_order():
        # for the short batch at the end a graph of its own would have to be made
        short = compiled and len(images) < batches.batch_size
        with torch.compiler.set_stance("force_eager") if short else contextlib.nullcontext():
            logits = predicted_logits(model, normalize, autocast, images)
        checked_logits(logits, len(images), num_classes, name)
        predictions.append(logits.argmax(dim=1))
        finite &= logits.isfinite().all()
    predicted = torch.cat(predictions).cpu().numpy()  # waits for the GPU, once
    confusion = confusion_matrix(batches.labels.cpu().numpy(), predicted, num_classes)
    return Evaluation(confusion, bool(finite.item()))


def predicted_logits(model: nn.Module, normalize: Normalize, autocast: Autocast, images: Tensor) -> Tensor:
    """Logits float32 (n, classes) of ``images`` as they are; ``model`` is in evaluation mode."""
    with torch.inference_mode(), autocast():
        logits = model(normalize(images))
    return logits.float() if isinstance(logits, Tensor) else cast("Tensor", logits)


def checked_logits(logits: object, count: int, num_classes: int, name: str) -> Tensor:
    """``logits`` if they have the shape (count, num_classes). Raises ConfigError: the model ``name`` is not right.

    Too few would be an IndexError of cross_entropy, and too many would go unseen.
    """
    if not isinstance(logits, Tensor) or logits.shape != (count, num_classes):
        got = f"the shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise ConfigError(
            f"model {name} must give logits (n, num_classes), here of the shape {(count, num_classes)}, got {got}"
        )
    return logits


class Normalize:
    """uint8 (n, c, h, w) to float32 of mean 0 and standard deviation 1 over the training images, by channel."""

    def __init__(self, splits: Splits, device: torch.device, memory_format: torch.memory_format) -> None:
        mean = torch.tensor(splits.mean, dtype=torch.float64).view(1, -1, 1, 1)
        std = torch.tensor(splits.std, dtype=torch.float64).view(1, -1, 1, 1)
        # (x / 255 - mean) / std as one multiplication and one addition
        self.factor = (1 / (255 * std)).float().to(device)
        self.offset = (-mean / std).float().to(device)
        self.memory_format = memory_format

    def __call__(self, images: Tensor) -> Tensor:
        # in place, because that keeps the memory format; the copy to float32 is ours
        return images.to(torch.float32, memory_format=self.memory_format).mul_(self.factor).add_(self.offset)


class Autocast:
    """A context in which convolutions and matrix products run in bfloat16, or in which nothing changes."""

    def __init__(self, precision: str, device: torch.device) -> None:
        self.device_type = device.type
        self.enabled = precision == "bfloat16" or (precision == "auto" and device.type == "cuda")

    def __call__(self) -> torch.autocast:
        return torch.autocast(self.device_type, dtype=torch.bfloat16, enabled=self.enabled)

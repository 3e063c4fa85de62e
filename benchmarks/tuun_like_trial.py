"""A training as Tuun's trial did it, written plainly: Pillow in the workers of a DataLoader, half precision.

What Tuun's trial did: the policy in Pillow, one image after the other, in the workers of a DataLoader; half precision;
mini-batches of 128. Here one sub-policy is drawn for each mini-batch, and each image takes each of its operations with
that operation's probability, as ours has it; drawn for each image, it would cost the same. Then torchvision's ToTensor
and Normalize. On equal terms: the network, the images (in memory), the schedule and the mini-batches are ours; the
workers live on between epochs, memory is pinned, cuDNN may choose its algorithms, and the host reads nothing back
within an epoch. On CUDA it computes in float16 with a scaled loss, on the CPU in float32. Ours has channels_last and
bfloat16 besides, which need no scaling.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, get_worker_info
from torchvision import transforms

from benchmarks.augment_pillow import operations
from benchmarks.augment_works import BILINEAR_GREY, SubPolicyDistribution
from benchmarks.timed_training import OnEpoch
from tuun_da.errors import ConfigError
from tuun_da.operations import SubPolicy
from tuun_da.training.models import build_model
from tuun_da.training.schedule import TrainConfig, one_cycle
from tuun_da.training.splits import Splits

WORKERS = 4

Sample = tuple[Tensor, int]


class PillowImages(Dataset[Sample]):
    """Images and their classes; fetched a mini-batch at a time, with one sub-policy for all of it."""

    def __init__(
        self, images: Tensor, labels: Tensor, splits: Splits, sub_policies: Sequence[SubPolicy] | None, seed: int
    ) -> None:
        if images.shape[1] != 3:
            raise ConfigError(f"images must have 3 channels for Tuun's rendering in Pillow, got {images.shape[1]}")
        self._arrays = np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())
        self._labels: list[int] = labels.tolist()
        self._to_tensor = transforms.Compose([transforms.ToTensor(), transforms.Normalize(splits.mean, splits.std)])
        self._operations = operations(BILINEAR_GREY)
        self._distributions = [SubPolicyDistribution([sub_policy]) for sub_policy in sub_policies or ()]
        self._seed = seed
        self._random: Random | None = None

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, number: int) -> Sample:
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: list[int]) -> list[Sample]:
        """A mini-batch."""
        if self._random is None:  # now in the worker, where the seed is the worker's own
            worker = get_worker_info()
            self._random = Random(self._seed if worker is None else worker.seed)
        distribution = self._random.choice(self._distributions) if self._distributions else None
        return [(self._to_tensor(self._augmented(number, distribution)), self._labels[number]) for number in numbers]

    def _augmented(self, number: int, distribution: SubPolicyDistribution | None) -> Image.Image:
        image = Image.fromarray(self._arrays[number])
        if distribution is not None:
            assert self._random is not None
            for step in distribution.draw(self._random, image.width):
                image = self._operations[step.type](image, step.value, step.chance)
        return image


def train_like_tuun(
    config: TrainConfig,
    splits: Splits,
    sub_policies: Sequence[SubPolicy] | None,
    device: torch.device,
    on_epoch: OnEpoch,
    *,
    workers: int = WORKERS,
) -> None:
    """Train ``config.model``, and report the validation accuracy of each epoch; ``sub_policies`` None: as they are.

    Of ``config`` it takes model, epochs, batch size, seed and what belongs to steps of SGD. Raises ConfigError for
    images of one channel.
    """
    on_cuda = device.type == "cuda"
    with seeded_for_speed(config.seed, device):
        model = build_model(
            config.model, num_classes=splits.num_classes, channels=splits.channels, image_size=splits.image_size
        ).to(device)
        optimizer = torch.optim.SGD(
            model.parameters(),
            lr=config.learning_rate,
            momentum=config.momentum,
            nesterov=config.momentum > 0,
            weight_decay=config.weight_decay,
            fused=on_cuda,  # else the scaler reads back, at each step, whether a gradient was infinite
        )
        scaler = torch.amp.GradScaler(device.type, enabled=on_cuda)  # type: ignore[attr-defined]
        options: dict[str, Any] = {
            "num_workers": workers,
            "persistent_workers": workers > 0,
            "pin_memory": on_cuda,
            "generator": torch.Generator().manual_seed(config.seed),
        }
        train_images = PillowImages(splits.train_images, splits.train_labels, splits, sub_policies, config.seed)
        training = DataLoader(
            train_images,
            batch_size=min(config.batch_size, len(train_images)),
            shuffle=True,
            drop_last=True,
            **options,
        )
        validation_images = PillowImages(splits.validation_images, splits.validation_labels, splits, None, 0)
        validation = DataLoader(validation_images, batch_size=2 * config.batch_size, **options)
        total_steps = config.epochs * len(training)
        step = 0
        for _ in range(config.epochs):
            model.train()
            for images, labels in training:
                for group in optimizer.param_groups:
                    group["lr"] = one_cycle(
                        step + 0.5,
                        total_steps=total_steps,
                        peak=config.learning_rate,
                        warmup_share=config.warmup_share,
                    )
                images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
                with torch.autocast(device.type, dtype=torch.float16, enabled=on_cuda):
                    logits = model(images)
                    loss = functional.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
                optimizer.zero_grad(set_to_none=True)
                scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
                scaler.step(optimizer)
                scaler.update()
                step += 1
            on_epoch(accuracy(model, validation, device))


def accuracy(model: nn.Module, batches: DataLoader[Sample], device: torch.device) -> float:
    """The share of images whose class has the largest logit."""
    model.eval()
    hits = torch.zeros((), device=device, dtype=torch.int64)
    seen = 0
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.float16, enabled=device.type == "cuda"):
        for images, labels in batches:
            logits = model(images.to(device, non_blocking=True))
            hits += (logits.argmax(dim=1) == labels.to(device, non_blocking=True)).sum()
            seen += len(labels)
    return hits.item() / seen


@contextlib.contextmanager
def seeded_for_speed(seed: int, device: torch.device) -> Iterator[None]:
    """Weights and dropout from ``seed``, and cuDNN free to time its algorithms; afterwards all is as before."""
    before = torch.backends.cudnn.benchmark
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        torch.backends.cudnn.benchmark = True
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = before

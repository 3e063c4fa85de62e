"""Several trainings of one architecture at once, each with its own seed, transform and data: a GPU's worth of work."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuun_da.errors import ConfigError, DataError, TrainingError
from tuun_da.training.augmented import Transform
from tuun_da.training.batches import Batches, placed
from tuun_da.training.captured_step import captured
from tuun_da.training.epoch_blocks import augmented_blocks
from tuun_da.training.evaluation import Autocast, Evaluation, Normalize, evaluation_batch_size
from tuun_da.training.loop import (
    EpochReport,
    TrialResult,
    derived_seed,
    error_of_epoch,
    plain_errors,
    result_of,
    seeded,
)
from tuun_da.training.metrics import confusion_matrix
from tuun_da.training.models import build_model
from tuun_da.training.schedule import TrainConfig, one_cycle
from tuun_da.training.splits import Splits
from tuun_da.training.stacked_networks import StackedNetworks, default_formulation
from tuun_da.training.stored_images import StoredImages


def train_side_by_side(
    configs: Sequence[TrainConfig],
    splits: Splits | Sequence[Splits],
    transforms: Sequence[Transform | None],
    device: torch.device,
    on_epoch: Callable[[int, EpochReport], None] | None = None,
    *,
    evaluate_test: bool = False,
    formulation: str | None = None,
    use_cuda_graph: bool = True,
) -> list[TrialResult | TrainingError]:
    """Run p trainings at once, each as ``loop.train`` would run it; the results in the same order.

    ``configs`` are equal but for their seeds; ``splits`` are one for all, or one for each, with as many images. A
    training whose loss or validation is no longer a number has a TrainingError in place of its result; the others go
    on. Weights, order of the images and augmentation are those of ``train``; on the CPU dropout too, elsewhere it is
    drawn for all trainings together. ``on_epoch`` gets the number of a training, from 0, and its report; what it raises
    ends all. The seconds of a result or a report are those of all p trainings together.

    ``formulation`` is one of ``stacked_networks.FORMULATIONS``, None the device's best. On CUDA a step is a CUDA graph,
    unless ``use_cuda_graph`` is false; ``compile`` must be false. Raises ConfigError or DataError for settings or data
    that do not go together, and what the model raises if vmap cannot batch it.
    """
    config = _shared_config(configs)
    data = [splits] * len(configs) if isinstance(splits, Splits) else list(splits)
    _check_data(data, configs, transforms)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    # the weights' seeds are each training's own; this one is for the dropout of all
    with seeded(derived_seed(config.seed, 3), device), plain_errors(config):
        # ---- set-up ----
        begin = time.monotonic()
        group = _Group(configs, data, device, formulation or default_formulation(device))
        training = group.placed_training()
        validation = group.stacked("validation")
        full, batch_size = training[0].full, min(config.batch_size, len(training[0].labels))
        # zeros, because the warm-up of a graph computes with them
        images = torch.zeros((len(data), batch_size, *data[0].train_images.shape[1:]), dtype=torch.uint8, device=device)
        labels = torch.zeros((len(data), batch_size), dtype=torch.int64, device=device)

        def step() -> None:
            """One step of all trainings on what is in ``images`` (p, B, c, h, w) and ``labels`` (p, B)."""
            group.step(images, labels)

        group.networks.train()
        start = captured(step, group.state, device) if device.type == "cuda" and use_cuda_graph else step
        reports: list[list[EpochReport]] = [[] for _ in configs]
        errors: dict[int, TrainingError] = {}
        step_number = 0
        startup_seconds = 0.0

        # ---- the loop ----
        for epoch in range(1, config.epochs + 1):
            epoch_begin = time.monotonic()
            group.networks.train()
            group.clear_sums()
            blocks = [
                augmented_blocks(batches, transform, *generators, sampling=config.sampling)
                for batches, transform, generators in zip(training, transforms, group.generators, strict=True)
            ]
            for parts in zip(*blocks, strict=True):
                block_images = torch.stack([part for part, _ in parts], dim=1)  # (m, p, B, c, h, w)
                block_labels = torch.stack([part for _, part in parts], dim=1)
                for step_images, step_labels in zip(block_images, block_labels, strict=True):
                    learning_rate = one_cycle(
                        step_number + 0.5,
                        total_steps=config.epochs * full,
                        peak=config.learning_rate,
                        warmup_share=config.warmup_share,
                    )
                    group.learning_rate.fill_(learning_rate)
                    images.copy_(step_images)
                    labels.copy_(step_labels)
                    start()
                    step_number += 1
                    if not startup_seconds:
                        if device.type == "cuda":
                            torch.cuda.synchronize(device)
                        startup_seconds = time.monotonic() - begin
            losses, accuracies = group.training_curves(full * batch_size)  # waits for the GPU, once an epoch
            judged = group.evaluated(*validation)
            for number in range(len(configs)):
                if number in errors:
                    continue
                error = error_of_epoch(config, epoch, learning_rate, losses[number], judged[number].accuracy)
                if error is not None:
                    errors[number] = error
                    continue
                report = EpochReport(
                    epoch=epoch,
                    validation_score=judged[number].score(config.metric),
                    validation_accuracy=judged[number].accuracy,
                    train_loss=losses[number],
                    train_accuracy=accuracies[number],
                    learning_rate=learning_rate,
                    seconds=time.monotonic() - epoch_begin,
                )
                reports[number].append(report)
                if on_epoch is not None:
                    on_epoch(number, report)
            if len(errors) == len(configs):
                break

        # ---- the results ----
        tests: Sequence[float | None] = [None] * len(configs)
        if evaluate_test and len(errors) < len(configs):
            tests = [test.score(config.metric) for test in group.evaluated(*group.stacked("test"))]
        times = {"seconds": time.monotonic() - begin, "startup_seconds": startup_seconds}
        return [
            errors[number] if number in errors else result_of(config, reports[number], tests[number], **times)
            for number in range(len(configs))
        ]


class _Group:
    """The networks, their optimizer, and what stays on the device for as long as they train; p trainings."""

    def __init__(
        self, configs: Sequence[TrainConfig], data: Sequence[Splits], device: torch.device, formulation: str
    ) -> None:
        self.config, self.data, self.device = configs[0], data, device
        built = [_built(config, splits, device) for config, splits in zip(configs, data, strict=True)]
        self.networks = StackedNetworks(
            [model for model, _ in built],
            formulation,
            device,
            name=self.config.model,
            num_classes=data[0].num_classes,
            generator_states=[state for _, state in built] if device.type == "cpu" and formulation == "loop" else None,
        )
        # A tensor, because a graph reads it anew. Only the fused form takes it without asking the device for its value.
        self.learning_rate = torch.tensor(self.config.learning_rate, device=device)
        self.optimizer = torch.optim.SGD(
            self.networks.parameters,
            lr=self.learning_rate,
            momentum=self.config.momentum,
            nesterov=self.config.momentum > 0,
            weight_decay=self.config.weight_decay,
            fused=device.type == "cuda",
        )
        self.autocast = Autocast(self.config.precision, device)
        normalizations = [Normalize(splits, device, torch.contiguous_format) for splits in data]
        self.factor = torch.stack([one.factor for one in normalizations])  # (p, 1, c, 1, 1)
        self.offset = torch.stack([one.offset for one in normalizations])
        self.losses = torch.zeros(len(data), device=device)  # summed up over the images of an epoch
        self.hits = torch.zeros(len(data), device=device, dtype=torch.int64)
        # those of loop.train: for the order of the images, and for the transform
        self.generators = [(_generator(config, purpose=1), _generator(config, purpose=2)) for config in configs]

    def step(self, images: Tensor, labels: Tensor) -> None:
        """Update all networks with images uint8 (p, B, c, h, w) and labels (p, B)."""
        logits = self.networks.learn(self._normalized(images), labels, self._loss, self.autocast)
        self.optimizer.step()
        self.losses += self._loss(logits, labels) * labels.shape[1]
        self.hits += (logits.argmax(dim=2) == labels).sum(dim=1)

    def state(self) -> list[Tensor]:
        """All tensors that ``step`` changes."""
        momentum = [value for state in self.optimizer.state.values() for value in state.values() if value is not None]
        return [*self.networks.state, *momentum, self.losses, self.hits]

    def clear_sums(self) -> None:
        self.losses.zero_()
        self.hits.zero_()

    def training_curves(self, seen: int) -> tuple[list[float], list[float]]:
        """The mean loss of each training over the ``seen`` images of an epoch, and the share of images that it hit."""
        return (self.losses.double() / seen).tolist(), (self.hits.double() / seen).tolist()

    def evaluated(self, images: Tensor, labels: Tensor) -> list[Evaluation]:
        """For each training what ``evaluation.evaluated`` gives, of images uint8 (p, n, c, h, w) and labels (p, n)."""
        self.networks.train(False)
        finite = torch.ones(len(images), device=self.device, dtype=torch.bool)
        predictions = []
        size = evaluation_batch_size(self.config.batch_size, self.data[0])
        for begin in range(0, labels.shape[1], size):
            with self.autocast():
                logits = self.networks.logits(self._normalized(images[:, begin : begin + size]))
            predictions.append(logits.argmax(dim=2))
            finite &= logits.isfinite().flatten(1).all(dim=1)
        predicted, known, sound = torch.cat(predictions, dim=1).cpu().numpy(), labels.cpu().numpy(), finite.tolist()
        classes = self.data[0].num_classes
        return [
            Evaluation(confusion_matrix(known[number], predicted[number], classes), sound[number])
            for number in range(len(predicted))
        ]

    def placed_training(self) -> list[Batches]:
        """The training images of each, those that several share being there once."""
        places: dict[tuple[int, int], Batches] = {}
        keys = [(id(splits.train_images), id(splits.train_labels)) for splits in self.data]
        for key, splits in zip(keys, self.data, strict=True):
            if key not in places:
                places[key] = placed(splits.train_images, splits.train_labels, self.device, self.config.batch_size)
        return [places[key] for key in keys]

    def stacked(self, split: str) -> tuple[Tensor, Tensor]:
        """Images (p, n, c, h, w) and labels (p, n) of ``split``, on the device."""
        images, labels = ([getattr(splits, f"{split}_{kind}") for splits in self.data] for kind in ("images", "labels"))
        return self._together(images), self._together(labels)

    def _together(self, tensors: Sequence[Tensor]) -> Tensor:
        if all(tensor is tensors[0] for tensor in tensors):
            return tensors[0].to(self.device).expand(len(tensors), *tensors[0].shape)
        return torch.stack([tensor.to(self.device) for tensor in tensors])

    def _normalized(self, images: Tensor) -> Tensor:
        return images.to(torch.float32, memory_format=torch.contiguous_format).mul_(self.factor).add_(self.offset)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        each = functional.cross_entropy(
            logits.flatten(0, -2), labels.flatten(), reduction="none", label_smoothing=self.config.label_smoothing
        )
        return each.view_as(labels).mean(dim=-1)


def _built(config: TrainConfig, splits: Splits, device: torch.device) -> tuple[nn.Module, Tensor]:
    """The network of ``loop.train``, on the CPU, and the state in which it leaves torch's global generator."""
    with seeded(config.seed, device):
        model = build_model(
            config.model,
            num_classes=splits.num_classes,
            channels=splits.channels,
            image_size=splits.image_size,
            weights=config.weights,
        )
        return model, torch.default_generator.get_state()


def _generator(config: TrainConfig, *, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed(derived_seed(config.seed, purpose))


def _shared_config(configs: Sequence[TrainConfig]) -> TrainConfig:
    """The first of ``configs``, from which the others differ in their seed only. Raises ConfigError."""
    if not configs:
        raise ConfigError("trainings side by side need at least one configuration, got none")
    for number, config in enumerate(configs):
        for name, value in config.to_dict().items():
            wanted = getattr(configs[0], name)
            if name != "seed" and value != wanted:
                raise ConfigError(
                    f"trainings side by side must have one {name}, here {wanted!r}; number {number} has {value!r}"
                )
    if configs[0].compile:
        raise ConfigError("trainings side by side are not compiled: compile must be false, got True")
    return configs[0]


def _check_data(data: Sequence[Splits], configs: Sequence[TrainConfig], transforms: Sequence[Transform | None]) -> None:
    """Raise ConfigError or DataError unless there is one of each for each training, and all images stack."""
    for what, count in (("splits", len(data)), ("transforms", len(transforms))):
        if count != len(configs):
            raise ConfigError(f"trainings side by side need {what} for each of {len(configs)} of them, got {count}")
    for number, splits in enumerate(data):
        if isinstance(splits.train_images, StoredImages):
            raise DataError(
                f"trainings side by side need their images in memory, and those of {splits.name} do not fit into it; "
                "take a smaller image_size or train_size"
            )
        for name in ("train_images", "validation_images", "test_images"):
            wanted, shape = tuple(getattr(data[0], name).shape), tuple(getattr(splits, name).shape)
            if shape != wanted:
                raise DataError(
                    f"trainings side by side must have {name} of one shape, here {wanted}; number {number} has {shape}"
                )
        if splits.num_classes != data[0].num_classes:
            raise DataError(
                f"trainings side by side must have {data[0].num_classes} classes, as the first has; "
                f"number {number} has {splits.num_classes}"
            )

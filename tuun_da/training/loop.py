"""The training of one network on one data set, with one transform, from settings to score. Read it top to bottom."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuun_da.errors import ConfigError, TrainingError
from tuun_da.training.augmented import Transform, augmented
from tuun_da.training.batches import placed
from tuun_da.training.checkpoint import Checkpoint
from tuun_da.training.evaluation import (
    Autocast,
    Normalize,
    checked_logits,
    evaluated,
    evaluation_batch_size,
    predicted_logits,
)
from tuun_da.training.models import build_model
from tuun_da.training.reward import reward
from tuun_da.training.schedule import TrainConfig, one_cycle
from tuun_da.training.sgd import NesterovSGD
from tuun_da.training.splits import Splits

Classifier = Callable[[Tensor], Tensor]
"""A trained network: uint8 (n, c, h, w) on the device to logits float32 (n, classes), without gradients or dropout."""


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """One epoch, counted from 1. ``learning_rate`` is that of its last step; ``seconds`` include the validation.

    ``validation_score`` is by the metric of the settings, in [0, 1], larger is better.
    """

    epoch: int
    validation_score: float
    validation_accuracy: float
    train_loss: float
    train_accuracy: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """A finished training. Accuracies are shares in [0, 1]; the train curves are of augmented images, while learning.

    ``score`` is the reward of the settings, ``curve`` the validation score of each epoch. ``test_score``, by the same
    metric, is None unless it was asked for. ``startup_seconds``, a part of ``seconds``, passed before the second step:
    network, images on the device, compilation.
    """

    score: float
    curve: tuple[float, ...]
    train_losses: tuple[float, ...]
    train_accuracies: tuple[float, ...]
    seconds: float
    epochs_done: int
    planned_epochs: int
    startup_seconds: float
    test_score: float | None = None


def train(
    config: TrainConfig,
    splits: Splits,
    transform: Transform | None,
    device: torch.device,
    on_epoch: Callable[[EpochReport], None] | None = None,
    *,
    evaluate_test: bool = False,
    on_trained: Callable[[Classifier], None] | None = None,
    on_network: Callable[[nn.Module], None] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_seconds: float = 0.0,
) -> TrialResult:
    """Train ``config.model`` on the training split of ``splits``, and validate it after every epoch.

    ``transform`` augments each mini-batch of training images. ``on_epoch`` hears of each epoch as soon as it is done;
    what it raises ends the training. ``on_trained`` gets the network at the end, and may call it as long as it runs;
    ``on_network`` gets the module itself, in evaluation mode, which may be kept.
    The test split is read only with ``evaluate_test``. The same seed gives the same result on the same machine, and
    torch's global generators are afterwards as before. The state after each epoch is kept in the file ``checkpoint``,
    but before the last epoch not more often than every ``checkpoint_seconds``: the same call again goes on from there,
    with the result of a training that was never interrupted (but ``seconds`` are those of the last part). Raises
    TrainingError if the loss is no longer a number, memory runs out or X
    """
    if device.type == "cuda" and device.index is None:  # else it would differ from the device of its own tensors
        device = torch.device("cuda", torch.cuda.current_device())
    with seeded(config.seed, device), plain_errors(config):
        # ---- set-up ----
        begin = time.monotonic()
        on_cuda = device.type == "cuda"
        # tensor cores want it; on the CPU a step of child_cnn or basenet_resnet18 takes 6 to 16 % less time
        memory_format = torch.channels_last
        model = build_model(
            config.model,
            num_classes=splits.num_classes,
            channels=splits.channels,
            image_size=splits.image_size,
            weights=config.weights,
        ).to(device, memory_format=memory_format)  # type: ignore[call-overload]
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise ConfigError(
                f"model {config.model} must have a parameter to train, and all are frozen or there is none"
            )
        if config.compile:
            # in place, so that the names of weights stay; torch keeps the graphs on disk for the next trial
            model.compile(dynamic=False)
        optimizer = NesterovSGD(model.parameters(), momentum=config.momentum, weight_decay=config.weight_decay)
        autocast = Autocast(config.precision, device)
        normalize = Normalize(splits, device, memory_format)
        training = placed(splits.train_images, splits.train_labels, device, config.batch_size)
        judged_at_once = evaluation_batch_size(config.batch_size, splits)
        validation = placed(splits.validation_images, splits.validation_labels, device, judged_at_once)
        # one generator for each purpose, so that a transform does not change the order of the images
        order_generator = torch.Generator().manual_seed(derived_seed(config.seed, 1))
        transform_generator = torch.Generator().manual_seed(derived_seed(config.seed, 2))
        judge = functools.partial(
            evaluated,
            model,
            normalize=normalize,
            autocast=autocast,
            num_classes=splits.num_classes,
            name=config.model,
            compiled=config.compile,
        )
        total_steps = config.epochs * training.full
        step = 0
        reports: list[EpochReport] = []
        startup_seconds = 0.0
        kept, saved = None, begin
        if checkpoint is not None:
            kept = Checkpoint(
                checkpoint, config, splits, transform, model, optimizer, (order_generator, transform_generator), device
            )
            reports = [EpochReport(**report) for report in kept.restored()]
            step = len(reports) * training.full
            if on_epoch is not None:
                for report in reports:
                    on_epoch(report)

        # ---- the loop ----
        for epoch in range(len(reports) + 1, config.epochs + 1):
            epoch_begin = time.monotonic()
            model.train()
            losses = torch.zeros((), device=device)  # summed up there: reading them at each step would halt the GPU
            hits = torch.zeros((), device=device, dtype=torch.int64)
            seen = 0
            batches = training.shuffled(order_generator, config.sampling)
            for images, labels in augmented(batches, transform, transform_generator, config.batch_size):
                learning_rate = one_cycle(
                    step + 0.5, total_steps=total_steps, peak=config.learning_rate, warmup_share=config.warmup_share
                )
                with autocast():
                    logits = checked_logits(model(normalize(images)), len(labels), splits.num_classes, config.model)
                # in float32, because bfloat16 has 8 bits of precision and the loss is a difference
                loss = functional.cross_entropy(logits.float(), labels, label_smoothing=config.label_smoothing)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step(learning_rate)
                losses += loss.detach() * len(labels)
                hits += (logits.detach().argmax(dim=1) == labels).sum()
                seen += len(labels)
                step += 1
                if not startup_seconds:
                    if on_cuda:
                        torch.cuda.synchronize(device)
                    startup_seconds = time.monotonic() - begin

            train_loss = losses.item() / seen  # waits for the GPU, once an epoch
            judged = judge(validation)
            error = error_of_epoch(config, epoch, learning_rate, train_loss, judged.accuracy)
            if error is not None:
                raise error
            report = EpochReport(
                epoch=epoch,
                validation_score=judged.score(config.metric),
                validation_accuracy=judged.accuracy,
                train_loss=train_loss,
                train_accuracy=hits.item() / seen,
                learning_rate=learning_rate,
                seconds=time.monotonic() - epoch_begin,
            )
            reports.append(report)
            if kept is not None and (epoch == config.epochs or time.monotonic() - saved >= checkpoint_seconds):
                saved = time.monotonic()
                kept.save([asdict(report) for report in reports])
            if on_epoch is not None:
                on_epoch(report)

        # ---- the result ----
        test_score = None
        if evaluate_test:
            test = placed(splits.test_images, splits.test_labels, device, judged_at_once)
            test_score = judge(test).score(config.metric)
        if on_trained is not None:
            on_trained(functools.partial(predicted_logits, model.eval(), normalize, autocast))
        if on_network is not None:
            on_network(model.eval())
        times = {"seconds": time.monotonic() - begin, "startup_seconds": startup_seconds}
        return result_of(config, reports, test_score, **times)


def error_of_epoch(
    config: TrainConfig, epoch: int, learning_rate: float, train_loss: float, accuracy: float
) -> TrainingError | None:
    """What is wrong with an epoch whose loss or validation accuracy is no longer a number."""
    for quantity, value in (("loss", train_loss), ("validation accuracy", accuracy)):
        if not math.isfinite(value):
            return TrainingError(
                f"{quantity} became {value} in epoch {epoch} (learning rate {learning_rate:.3g}); "
                f"a smaller learning_rate than {config.learning_rate:g} may help"
            )
    return None


def result_of(
    config: TrainConfig,
    reports: Sequence[EpochReport],
    test_score: float | None,
    *,
    seconds: float,
    startup_seconds: float,
) -> TrialResult:
    """The result of a training whose epochs were these."""
    return TrialResult(
        score=reward(reports, config.reward, gap=config.reward_gap, count=config.reward_epochs),
        curve=tuple(report.validation_score for report in reports),
        train_losses=tuple(report.train_loss for report in reports),
        train_accuracies=tuple(report.train_accuracy for report in reports),
        seconds=seconds,
        epochs_done=len(reports),
        planned_epochs=config.epochs,
        startup_seconds=startup_seconds,
        test_score=test_score,
    )


def derived_seed(seed: int, purpose: int) -> int:
    """A seed for one purpose out of the trial's; the weights' is the trial's own (purpose 0)."""
    return (seed + purpose * 0x9E3779B97F4A7C15) % 2**63  # odd multiples of 2^64 / golden ratio lie far apart


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """torch's global generators start from ``seed`` inside, for weights and dropout, and go on as before afterwards."""
    with contextlib.ExitStack() as stack:
        if device.type == "cuda":
            stack.enter_context(torch.cuda.device(device))
            stack.enter_context(torch.random.fork_rng(devices=[torch.cuda.current_device()]))
            torch.cuda.manual_seed(seed)  # of this GPU only; torch.manual_seed would seed all GPUs and restore none
            stack.enter_context(reproducible_convolutions())
        else:
            stack.enter_context(torch.random.fork_rng(devices=[]))
        torch.default_generator.manual_seed(seed)
        yield


@contextlib.contextmanager
def reproducible_convolutions() -> Iterator[None]:
    """cuDNN neither times algorithms, which may choose another one the next time, nor takes one that adds up at random.

    Not ``cudnn.flags``, which would set the TF32 switches as well.
    """
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = before


@contextlib.contextmanager
def plain_errors(config: TrainConfig) -> Iterator[None]:
    """TrainingError where memory runs out, or the network cannot be compiled."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"GPU memory ran out with model {config.model} and batch_size {config.batch_size}; "
            "a smaller batch_size, or fewer trials on one GPU, may help"
        ) from error
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
            raise TrainingError(
                f"memory ran out with model {config.model} and batch_size {config.batch_size}: {first_line(error)}"
            ) from error
        if config.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise TrainingError(
                f"model {config.model} cannot be compiled ({first_line(error)}); train it without compile"
            ) from error
        raise


def first_line(error: BaseException) -> str:
    """What an error says first; its type if it says nothing."""
    return str(error).partition("\n")[0] or type(error).__name__

"""Trainings of a confirmation, in worker processes: train and validate; later, and on its own, predict test images."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tuun_da import __version__
from tuun_da.errors import DataError, TrainingError
from tuun_da.policy_format import PolicyRecord
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tuun_da.augment.batch_transform import BatchTransform
    from tuun_da.training.loop import Classifier
    from tuun_da.training.splits import Splits

SAVE_SECONDS = 60.0  # between two states of a training on disk


@dataclass(frozen=True)
class Training:
    """One training. ``choice`` is as in ``train.py --policy``; ``record`` is the policy if that is a searched one."""

    train: TrainConfig
    data: DataConfig
    choice: str
    record: PolicyRecord | None = None

    def transform(self) -> BatchTransform[Any] | None:
        """What augments its images. Raises PolicyError."""
        from tuun_da.augment.named import build_transform

        return build_transform(self.choice, self.record)

    def key(self, images: str, device: str) -> str:
        """A name for everything that decides its outcome: settings, ``images``, policy, seed, kind of device, versions.

        ``images`` is the digest of the data set. Where that lies, and how many cores compute, is no part of it.
        """
        policy = None
        if self.record is not None:
            operations = [
                [[o.type, o.probability, o.magnitude] for o in s.operations] for s in self.record.sub_policies
            ]
            policy = [operations, self.record.per, self.record.unchanged_share]
        data = {name: value for name, value in self.data.to_dict().items() if name != "data_dir"}
        content = [self.train.to_dict(), data, images, self.choice, policy, device, versions()]
        return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class DataFacts:
    """What is to be known of a data set before it is trained on.

    ``fresh_is_other`` says whether another ``split_seed`` gives other validation images; None if that was not asked.
    """

    digest: str
    n_validation: int
    num_classes: int
    n_test: int
    fresh_is_other: bool | None = None


def versions() -> dict[str, str]:
    """Of what computes a training."""
    return {"tuun_da": __version__, "torch": importlib.metadata.version("torch")}


def look_at(data: DataConfig, fresh: DataConfig | None) -> DataFacts:
    """The facts of ``data``; with ``fresh``, whether its validation images are others. No test image is looked at.

    Raises DataError, also for data without test images.
    """
    import torch

    splits = splits_of(data)
    if len(splits.test_labels) == 0:
        raise DataError(f"data {data.data} has no test images")
    other = None
    if fresh is not None:
        fresh_splits = splits_of(fresh)
        both = (splits.validation_images[:], fresh_splits.validation_images[:])
        other = both[0].shape != both[1].shape or not torch.equal(*both)
    return DataFacts(splits.digest, len(splits.validation_labels), splits.num_classes, len(splits.test_labels), other)


def train_one(training: Training, device: str, threads: int, keep: str | None) -> float:
    """Train, and return the validation score of the last epoch, whose network it is that may predict later.

    The network is kept in the file ``keep``; from a state that an interrupted call left there, this one goes on. The
    test images are not looked at. Raises what a training raises.
    """
    import torch

    from tuun_da.training.device import pick_device
    from tuun_da.training.loop import train

    torch.set_num_threads(threads)
    transform = training.transform()
    splits = splits_of(training.data)
    with pick_device(device) as chosen, _named_disk_errors(keep):
        result = train(training.train, splits, transform, chosen, checkpoint=keep, checkpoint_seconds=SAVE_SECONDS)
    return result.curve[-1]


def predict_one(training: Training, device: str, threads: int, keep: str) -> tuple[list[int], list[int]]:
    """What the network in the file ``keep``, of a finished ``training``, takes the test images for; what they are."""
    import torch

    from tuun_da.training.device import pick_device
    from tuun_da.training.loop import train

    torch.set_num_threads(threads)
    splits = splits_of(training.data)
    found: list[int] = []
    with pick_device(device) as chosen:

        def predict(classify: Classifier) -> None:
            found.extend(_predictions(training.train, splits, chosen, classify))

        # no epoch is left of it, so this only puts the network back
        train(training.train, splits, training.transform(), chosen, checkpoint=keep, on_trained=predict)
    return found, splits.test_labels.tolist()


def _predictions(config: TrainConfig, splits: Splits, device: torch.device, classify: Classifier) -> list[int]:
    """The class with the largest logit, of each test image."""
    import torch

    from tuun_da.training.batches import placed
    from tuun_da.training.evaluation import evaluation_batch_size

    size = evaluation_batch_size(config.batch_size, splits)
    parts: list[Tensor] = []
    for images, _ in placed(splits.test_images, splits.test_labels, device, size).in_order():
        # for the short batch at the end a compiled network would have to be compiled again
        short = config.compile and len(images) < size
        with torch.compiler.set_stance("force_eager") if short else contextlib.nullcontext():
            parts.append(classify(images).argmax(dim=1))
    predicted: list[int] = torch.cat(parts).tolist()  # waits for the GPU, once
    return predicted


@functools.lru_cache(maxsize=1)
def splits_of(data: DataConfig) -> Splits:
    """The images, kept for the next training with the same ones."""
    from tuun_da.training.datasets import load_splits

    return load_splits(data)


def with_seeds(training: Training, *, seed: int, split_seed: int | None = None) -> Training:
    """The same training with another seed, and with other training and validation images unless that is None."""
    data = training.data if split_seed is None else replace(training.data, split_seed=split_seed)
    return replace(training, train=replace(training.train, seed=seed), data=data)


def device_kind(device: str) -> str:
    """ "cuda" or "cpu", which round differently."""
    import torch

    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def default_workers(device: str) -> int:
    """Trainings side by side: one a GPU, or without one, one a core that this process may use."""
    from tuun_da.engines.local import available_cores

    if device_kind(device) == "cuda":
        import torch

        return torch.cuda.device_count()
    return available_cores()


class Workers:
    """``count`` worker processes, which end with the context and when this process dies."""

    def __init__(self, count: int) -> None:
        from tuun_da.engines.local import available_cores

        self.threads = max(1, available_cores() // count)
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin_worker)

    def run(
        self,
        function: Callable[..., Any],
        jobs: Sequence[tuple[Any, ...]],
        on_done: Callable[[int, Any], None],
    ) -> None:
        """Call ``function`` with each of ``jobs``; ``on_done`` hears of each result, here and as soon as it is there.

        Raises what a job raises, and ends the others then.
        """
        futures = {self._pool.submit(function, *job): number for number, job in enumerate(jobs)}
        for future in as_completed(futures):
            on_done(futures[future], future.result())

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._pool.shutdown()
            return
        mine = list((getattr(self._pool, "_processes", None) or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for worker in mine:
            worker.terminate()  # else the way out waits for the trainings that run


def _begin_worker() -> None:
    """A terminal sends Ctrl-C to all processes, and the parent ends the workers; if it is killed, they end alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


@contextlib.contextmanager
def _named_disk_errors(keep: str | None) -> Any:
    """TrainingError where the state of a training cannot be written, or a full disk ends it."""
    try:
        yield
    except OSError as error:
        where = f" (its state goes to {keep})" if keep is not None else ""
        raise TrainingError(f"a training could not use a file{where}: {error}") from error

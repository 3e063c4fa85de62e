"""The found policy against what costs no search, on the test images: fresh seeds, the same training for everyone.

The trainings run in worker processes, one a core or a GPU. The test split is read here and nowhere else.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
import os
import signal
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tuun_da.errors import ConfigError, TuunDaError
from tuun_da.policy_format import PolicyRecord
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig

if TYPE_CHECKING:
    from tuun_da.training.splits import Splits

FIRST_SEED = 1_000_000
"""Seeds of a confirmation start here, far from those of trials: the luck of the search must not be counted again."""

LABELS = {
    "none": "no augmentation",
    "etp": "crop + flip",
    "etp+cutout": "crop + flip, then Cutout",
    "autoaugment-cifar10": "AutoAugment (CIFAR-10)",
    "autoaugment-svhn": "AutoAugment (SVHN)",
    "autoaugment-imagenet": "AutoAugment (ImageNet)",
    "randaugment": "RandAugment (2, 9)",
    "trivialaugment": "TrivialAugment",
    "trivialaugment-narrow": "TrivialAugment, narrow",
}
"""The baselines by their names in ``augment.named``, for people."""

METRIC_LABELS = {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "macro_f1": "Macro F1"}


@dataclass(frozen=True)
class Candidate:
    """One row of the comparison: ``choice`` as in ``train.py --policy``, or a policy, on top of crop + flip or not."""

    label: str
    choice: str
    record: PolicyRecord | None = None


@dataclass(frozen=True)
class Row:
    """Test accuracies of a candidate (or what the metric is), shares in [0, 1], in the order of the seeds."""

    label: str
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Their mean."""
        return statistics.fmean(self.accuracies)

    @property
    def deviation(self) -> float:
        """Their sample standard deviation; 0 of a single one."""
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0


@dataclass(frozen=True)
class Comparison:
    """A candidate less another, paired by seed: mean difference and its 95 % interval (Student's t)."""

    label: str
    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """In words, about the first candidate."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "not distinguishable"


@dataclass(frozen=True)
class Confirmation:
    """The found policy's row is the last one."""

    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    n_test: int
    metric: str = "accuracy"

    def comparisons(self) -> tuple[Comparison, ...]:
        """The found policy against every other row."""
        found = self.rows[-1]
        return tuple(compare(found.accuracies, row.accuracies, row.label) for row in self.rows[:-1])

    def to_dict(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return {
            "seeds": list(self.seeds),
            "n_test": self.n_test,
            "metric": self.metric,
            "rows": [
                {"label": r.label, "mean": r.mean, "deviation": r.deviation, "accuracies": list(r.accuracies)}
                for r in self.rows
            ],
            "comparisons": [
                {
                    "against": c.label,
                    "difference": c.difference,
                    "low": c.low if math.isfinite(c.low) else None,  # of a single seed
                    "high": c.high if math.isfinite(c.high) else None,
                    "verdict": c.verdict,
                }
                for c in self.comparisons()
            ],
        }

    def to_text(self) -> str:
        """The result as a table for people, in percent."""
        against = [
            f"  {c.label:<28}{100 * c.difference:+6.2f}    {100 * c.low:+.2f} to {100 * c.high:+.2f}    {c.verdict}"
            for c in self.comparisons()
        ]
        title = f"{self.rows[-1].label} against (difference in points, 95 % interval over the seeds):"
        metric = METRIC_LABELS[self.metric]
        lines = [
            f"{metric} on {self.n_test} test images, {len(self.seeds)} trainings each (mean, standard deviation):",
            *(f"  {r.label:<28}{100 * r.mean:6.2f} %  +- {100 * r.deviation:.2f}" for r in self.rows),
            *(["", title, *against] if against else []),
        ]
        return "\n".join(lines)


def compare(accuracies: Sequence[float], others: Sequence[float], label: str = "") -> Comparison:
    """``accuracies`` less ``others``, paired. One pair alone tells nothing: its interval is without bounds."""
    from scipy.stats import t

    differences = [a - b for a, b in zip(accuracies, others, strict=True)]
    mean, n = statistics.fmean(differences), len(differences)
    if n < 2:
        return Comparison(label, mean, -math.inf, math.inf)
    half = float(t.ppf(0.975, n - 1)) * statistics.stdev(differences) / math.sqrt(n)
    return Comparison(label, mean, mean - half, mean + half)


def confirm(
    record: PolicyRecord,
    *,
    baselines: Sequence[str] = ("none", "trivialaugment"),
    n_seeds: int = 5,
    workers: int | None = None,
    device: str = "auto",
    overrides: Mapping[str, Any] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Confirmation:
    """Train each baseline and the policy ``n_seeds`` times as the search's trials did, and read the test split.

    The settings are those that the policy file keeps under ``searched``; ``overrides`` replaces some of them, by their
    names in TrainConfig and DataConfig. ``workers`` trainings run side by side (None: one a core, or one a GPU).
    Raises ConfigError where the file keeps none, and what a training raises.
    """
    check_request(baselines, n_seeds, workers)
    train_config, data_config, choice = settings_of(record, overrides or {})
    candidates = [Candidate(LABELS[name], name) for name in baselines]
    on_top = choice == "etp+search"
    candidates.append(Candidate("crop + flip, then best policy" if on_top else "best policy", choice, record))
    seeds = tuple(range(FIRST_SEED, FIRST_SEED + n_seeds))
    n_workers = min(workers or default_workers(device), len(candidates) * n_seeds)
    threads = max(1, (os.cpu_count() or 1) // n_workers)
    accuracies: dict[tuple[int, int], float] = {}
    n_test = 0
    on_progress(0, len(candidates) * n_seeds)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, mp_context=context, initializer=_leave_ctrl_c_to_parent) as pool:
        jobs = {
            pool.submit(_train_one, replace(train_config, seed=seed), data_config, candidate, device, threads): (i, k)
            for k, seed in enumerate(seeds)
            for i, candidate in enumerate(candidates)
        }
        try:
            for job in as_completed(jobs):
                accuracies[jobs[job]], n_test = job.result()
                on_progress(len(accuracies), len(jobs))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                worker.terminate()  # else the way out waits for the trainings that run
            raise
    rows = [
        Row(candidate.label, tuple(accuracies[i, k] for k in range(n_seeds))) for i, candidate in enumerate(candidates)
    ]
    return Confirmation(tuple(rows), seeds, n_test, train_config.metric)


def check_request(baselines: Sequence[str], n_seeds: int, workers: int | None) -> None:
    """Raise ConfigError for what ``confirm`` cannot do, before a search of hours that ends with it."""
    if isinstance(n_seeds, bool) or not isinstance(n_seeds, int) or n_seeds < 1:
        raise ConfigError(f"n_seeds must be a whole number from 1 on, got {n_seeds!r}")
    if workers is not None and workers < 1:
        raise ConfigError(f"workers must be a whole number from 1 on, got {workers!r}")
    if len(set(baselines)) < len(baselines):
        raise ConfigError(f"baselines must be different ones of {', '.join(LABELS)}; got {','.join(baselines)!r}")
    for name in baselines:
        if name not in LABELS:
            raise ConfigError(f"baseline must be one of {', '.join(LABELS)}; got {name!r}")


def settings_of(record: PolicyRecord, overrides: Mapping[str, Any]) -> tuple[TrainConfig, DataConfig, str]:
    """How the trials trained that found the policy: training, data, and how the policy was applied."""
    settings = record.searched.get("settings")
    if (
        not isinstance(settings, Mapping)
        or not {"train", "data", "policy"} <= set(settings)
        or not all(isinstance(settings[part], Mapping) for part in ("train", "data"))
    ):
        raise ConfigError(
            "the policy file does not say how its trials trained (searched.settings with train, data and policy); "
            "it is written by tuun-da search and tuun-da best when the trials report it, as trials/train.py does"
        )
    train, data = dict(settings["train"]), dict(settings["data"])
    for name, value in overrides.items():
        if name in train:
            train[name] = value
        elif name in data:
            data[name] = value
        else:
            raise ConfigError(f"there is no setting {name!r}; there are {', '.join([*train, *data])}")
    if "model" not in overrides and ":" in str(train.get("model")):
        raise ConfigError(
            f"the policy file names the model {train['model']!r}, which is code, and a policy file is only data; "
            f"if you trust it, say so: --model {train['model']}"
        )
    choice = settings["policy"]
    return (
        TrainConfig.from_mapping(train),
        DataConfig.from_mapping(data),
        "etp+search" if choice == "etp+search" else "search",
    )


def default_workers(device: str) -> int:
    """Trainings side by side: one a GPU, or without one, one a core."""
    if device != "cpu":
        import torch

        if torch.cuda.is_available():
            return torch.cuda.device_count()
    return os.cpu_count() or 1


def _leave_ctrl_c_to_parent() -> None:
    """A terminal sends Ctrl-C to all processes; the parent ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@functools.lru_cache(maxsize=1)
def _splits_of(data_config: DataConfig) -> Splits:
    """The images, read once in each worker process."""
    from tuun_da.training.datasets import load_splits

    return load_splits(data_config)


def _train_one(
    train_config: TrainConfig, data_config: DataConfig, candidate: Candidate, device: str, threads: int
) -> tuple[float, int]:
    """In a worker process: the test accuracy of one training, and the number of test images."""
    import torch

    from tuun_da.augment.named import build_transform
    from tuun_da.training.device import pick_device
    from tuun_da.training.loop import train

    torch.set_num_threads(threads)
    transform = build_transform(candidate.choice, candidate.record)
    splits = _splits_of(data_config)
    with pick_device(device) as chosen:
        result = train(train_config, splits, transform, chosen, evaluate_test=True)
    if result.test_score is None:
        raise TuunDaError(f"data {data_config.data} has no test images")
    return result.test_score, len(splits.test_labels)

"""The probe: a network trained once without augmentation, then asked what each operation does to its predictions.

After Gontijo-Lopes et al. 2020 (Affinity and Diversity, arXiv:2002.08973), for single operations instead of policies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

import tuun_da
from tuun_da.augment.policy import Policy
from tuun_da.operations import OPERATION_TYPES, PUBLISHED_TYPES, Operation, SubPolicy
from tuun_da.probe_format import ProbeRecord
from tuun_da.training.batches import Batches, placed
from tuun_da.training.loop import Classifier, EpochReport, derived_seed, train
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.splits import Splits

MAGNITUDES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Both ends, so that nothing has to be extrapolated: the corners are where a model is wrong most easily."""
MAX_IMAGES = 2_000

OnProgress = Callable[[str, int, int], None]
"""Called as ``on_progress(stage, done, total)``; the stages are "training" (epochs) and "measuring" (settings)."""


@dataclass(frozen=True)
class Setting:
    """An operation type at one of the probe's magnitudes."""

    type: str
    magnitude: float

    @property
    def policy(self) -> Policy:
        """The policy that always applies it."""
        return Policy.from_sub_policies([SubPolicy((Operation(self.type, 1.0, self.magnitude),))])


def probe_settings(types: Sequence[str] = PUBLISHED_TYPES) -> list[Setting]:
    """All that is measured, type by type; a type without magnitude only once."""
    return [
        Setting(name, magnitude)
        for name in types
        for magnitude in (MAGNITUDES if OPERATION_TYPES[name].has_magnitude else MAGNITUDES[:1])
    ]


def measure_probe(
    config: TrainConfig,
    splits: Splits,
    device: torch.device,
    on_progress: OnProgress | None = None,
    *,
    max_images: int = MAX_IMAGES,
    types: Sequence[str] = PUBLISHED_TYPES,
) -> ProbeRecord:
    """Train as ``config`` says, and measure the ``types`` on at most ``max_images`` of the validation images.

    All settings see the same images with the same draws (signs, places of crops), and the measures are means over the
    images. ``config.seed`` decides everything: the same one gives the same record, ``about["seconds"]`` apart. What
    ``on_progress`` raises ends it. The test split is not read. Raises TrainingError, ConfigError.
    """
    begin = time.monotonic()
    tell = on_progress if on_progress is not None else lambda stage, done, total: None
    settings = probe_settings(types)
    measured: list[tuple[float, ...]] = []
    images = chosen_images(splits, device, max_images, config)

    def on_epoch(report: EpochReport) -> None:
        tell("training", report.epoch, config.epochs)

    def on_trained(classify: Classifier) -> None:
        draw_seed = derived_seed(config.seed, 4)
        tell("measuring", 0, len(settings))
        measured.append(measures(classify, images, None, draw_seed))
        for done, setting in enumerate(settings, 1):
            measured.append(measures(classify, images, setting.policy, draw_seed))
            tell("measuring", done, len(settings))

    tell("training", 0, config.epochs)
    by_accuracy = replace(config, metric="accuracy", reward="last")
    result = train(by_accuracy, splits, None, device, on_epoch, on_trained=on_trained)
    baseline = measured[0]
    effects: dict[str, tuple[tuple[float, ...], ...]] = dict.fromkeys(types, ())
    for setting, values in zip(settings, measured[1:], strict=True):
        row = tuple(value - plain for value, plain in zip(values, baseline, strict=True))
        effects[setting.type] += (row,)
    about = {
        "data": splits.name,
        "image_size": splits.image_size,
        "num_classes": splits.num_classes,
        "train_images": len(splits.train_labels),
        "probed_images": len(images.labels),
        "validation_accuracy": result.score,
        "settings": {"train": config.to_dict()},
        "device": device.type,
        "seconds": round(time.monotonic() - begin, 2),
        "versions": {"tuun_da": tuun_da.__version__, "torch": torch.__version__},
    }
    return ProbeRecord(MAGNITUDES, baseline, effects, about)


def chosen_images(splits: Splits, device: torch.device, max_images: int, config: TrainConfig) -> Batches:
    """At most ``max_images`` of the validation images, drawn at random, as batches."""
    generator = torch.Generator().manual_seed(derived_seed(config.seed, 3))
    chosen = torch.randperm(len(splits.validation_labels), generator=generator)[:max_images]
    chosen = chosen.to(splits.validation_labels.device)
    images, labels = splits.validation_images[chosen], splits.validation_labels[chosen]
    return placed(images, labels, device, 2 * config.batch_size)


def measures(
    classify: Classifier, batches: Batches, transform: Policy | None, draw_seed: int
) -> tuple[float, float, float, float]:
    """Accuracy, cross-entropy, entropy of the prediction and pixel distance under ``transform``: ``MEASURES``."""
    generator = torch.Generator().manual_seed(draw_seed)
    sums = torch.zeros(4, dtype=torch.float64, device=batches.device)
    for images, labels in batches.in_order():
        changed = images if transform is None else transform(images, generator=generator)
        log_shares = functional.log_softmax(classify(changed).double(), dim=1)
        hits = log_shares.argmax(dim=1) == labels
        cross_entropies = functional.nll_loss(log_shares, labels, reduction="none")
        entropies = -(log_shares.exp() * log_shares).sum(dim=1)
        # the absolute, not the squared, difference: a policy that changes half of the images has half of it
        distances = (changed.int() - images.int()).abs().double().mean(dim=(1, 2, 3)) / 255
        sums += torch.stack([hits.double(), cross_entropies, entropies, distances]).sum(dim=1)
    accuracy, cross_entropy, entropy, distance = (sums / len(batches.labels)).tolist()
    return accuracy, cross_entropy, entropy, distance

"""Other validation images for every trial, drawn from those that were held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tuun_da.errors import ConfigError
from tuun_da.training.splits import Splits, proportional

STREAM = 3  # of the split seed; 0 to 2 draw test, validation and training images


def fresh_validation(splits: Splits, size: int, number: int, seed: int = 0) -> Splits:
    """``splits`` with ``size`` of its validation images, the classes in proportion: the ``number``-th such sample.

    The same ``number`` and ``seed`` give the same images. Training and test images stay. Raises ConfigError if there
    are fewer validation images. (DeepAugment draws 1,000 for each trial, so that no policy is chosen for what it does
    to one small set of images.)
    """
    labels = splits.validation_labels.numpy(force=True)
    if size > len(labels):
        raise ConfigError(
            f"validation_sample must be at most {len(labels)}, the validation images of {splits.name}; got {size}"
        )
    rng = np.random.default_rng([seed, STREAM, number])
    counts = np.bincount(labels, minlength=splits.num_classes)
    wanted = proportional(counts, counts, size)
    chosen = [
        rng.choice(np.flatnonzero(labels == label), int(share), replace=False) for label, share in enumerate(wanted)
    ]
    index = torch.from_numpy(np.sort(np.concatenate(chosen))).to(splits.validation_labels.device)
    return replace(
        splits, validation_images=splits.validation_images[index], validation_labels=splits.validation_labels[index]
    )

"""Small data sets for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tuun_da.training.splits import Splits


def random_image(rng, mode="RGB", size=(16, 16)):
    """A Pillow image of noise; ``size`` is (width, height)."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = rng.integers(0, 256, (size[1], size[0], bands), dtype=np.uint8)
    return Image.fromarray(pixels[:, :, 0] if bands == 1 else pixels, mode)


def write_classes(folder: Path, rng, *, classes=("cat", "dog"), per_class=10, mode="RGB", size=(16, 16), suffix=".png"):
    """A folder for each class, with ``per_class`` images of noise in it."""
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            random_image(rng, mode, size).save(folder / name / f"{number:03}{suffix}")
    return folder


def striped_splits(*, train=40, validation=20, test=20, size=8, channels=1, noise=40, seed=0):
    """Two classes that anyone can tell apart: horizontal and vertical stripes in noise."""
    rng = np.random.default_rng(seed)

    def part(n):
        labels = np.arange(n) % 2
        stripes = np.where(np.arange(size) % 4 < 2, 60, 190)
        images = np.where(labels[:, None, None] == 0, stripes[None, :, None], stripes[None, None, :])
        images = images[:, None] + rng.normal(0, noise, (n, channels, size, size))
        return torch.from_numpy(images.clip(0, 255).astype(np.uint8)), torch.from_numpy(labels.astype(np.int64))

    return Splits(*part(train), *part(validation), *part(test), ("lying", "standing"), "stripes",
                  (0.5,) * channels, (0.25,) * channels)  # fmt: skip

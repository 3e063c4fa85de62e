"""A few images to look at: of a data set, of a folder in any layout, or one file."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from tuun_da.errors import DataError
from tuun_da.training.checks import checked_integer, checked_path
from tuun_da.training.datasets import SOURCES
from tuun_da.training.folder import Walker
from tuun_da.training.image_files import IMAGE_SUFFIXES, read_image
from tuun_da.training.resizing import stacked
from tuun_da.training.settings import MIN_IMAGE_SIZE, NAMED_DATA_SETS, DataConfig

T = TypeVar("T")


def read_shown_images(where: str, count: int, *, image_size: int | None = None, data_dir: str | None = None) -> Tensor:
    """Up to ``count`` training images, uint8 (n, c, h, w), of all classes in turn. Raises DataError, ConfigError.

    ``where`` is a data set as for a training (digits, ..., npz:PATH, folder:PATH), a folder, an npz file, or an image
    file. A folder may hold a folder for each class, train/ with those in it, or images. A single image comes ``count``
    times, so that as many draws can be seen. ``image_size``, ``data_dir`` and None mean what they mean in DataConfig.
    """
    checked_integer("columns", count, low=1)
    if image_size is not None:
        checked_integer("image_size", image_size, low=MIN_IMAGE_SIZE)
    if where.endswith(".npz") and ":" not in where and not checked_path("images", where).is_dir():
        where = f"npz:{where}"
    if where in NAMED_DATA_SETS or where.startswith("npz:"):
        images = torch.from_numpy(_of_data_set(DataConfig(data=where, image_size=image_size, data_dir=data_dir), count))
    else:
        paths = image_paths(checked_path("images", where.removeprefix("folder:")), count)
        images = torch.from_numpy(stacked([read_image(path, image_size) for path in paths]))
    return images.expand(count, -1, -1, -1) if len(images) == 1 else images


def image_paths(path: Path, count: int) -> list[Path]:
    """Up to ``count`` image files: ``path`` itself, or those in it, of its folders in turn. Raises DataError."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        wrong = "is neither a folder nor an image file" if path.exists() else "does not exist"
        raise DataError(f"{path} {wrong}; wanted a folder of images, an image file, or {', '.join(NAMED_DATA_SETS)}")
    walker = Walker(path)
    training = [folder for folder in walker.folders(path) if folder.name.lower() == "train"]
    start = training[0] if training else path
    loose = (
        entry for entry in walker.entries(start) if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()
    )  # a pipe would wait for ever
    paths = in_turn([*(walker.images(folder) for folder in walker.folders(start)), loose], count)
    if not paths:
        raise DataError(f"folder {start} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return paths


def in_turn(groups: Iterable[Iterator[T]], count: int) -> list[T]:
    """Up to ``count`` items: the first of each group, then the second of each, and so on."""
    waiting = deque(groups)
    found: list[T] = []
    while waiting and len(found) < count:
        group = waiting.popleft()
        for item in group:
            found.append(item)
            waiting.append(group)
            break
    return found


def _of_data_set(config: DataConfig, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    source = SOURCES[config.kind](config)
    labels = source.train.labels
    places = in_turn([iter(np.flatnonzero(labels == number)) for number in range(len(source.class_names))], count)
    return np.ascontiguousarray(source.train.images[np.array(places)])

"""A look at all images of a data set, whatever is wrong with it: what is read once, and everything else computed of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from tuun_da.errors import DataError
from tuun_da.training.data_facts import Finding, LeftOut, Severity
from tuun_da.training.datasets import SOURCES
from tuun_da.training.decoded_cache import decoded_images
from tuun_da.training.folder import ListedFolder, folder_source, listed_folder
from tuun_da.training.image_facts import Fingerprints, Integers
from tuun_da.training.image_files import read_in_parallel
from tuun_da.training.image_headers import ImageHeader, read_header
from tuun_da.training.npz_file import labelled_arrays, npz_source
from tuun_da.training.resizing import Pixels
from tuun_da.training.settings import DataConfig
from tuun_da.training.sources import LabelledImages, Source
from tuun_da.training.stored_images import StoredImages

OnProgress = Callable[[str, int, int], None]
"""Hears of a stage of the work how much is done, and of how much."""

PROGRESS_STEPS = 200
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Look:
    """n readable images and what is known of them.

    ``splits`` are those that the data set brings, ``split_of`` (n,) the number in it of each image's. ``labels`` (n,)
    count in ``class_names``, ``sizes`` (n, 2) are widths and heights as they lie there. By the number of an image,
    ``name_of`` gives its name, and ``pixels_of`` what the network sees of it, uint8 ``image_shape`` (c, h, w).
    ``source`` is what a training would divide; None where the ``problems`` say why there is none.
    """

    class_names: tuple[str, ...]
    splits: tuple[str, ...]
    split_of: Integers
    labels: Integers
    sizes: Integers
    image_shape: tuple[int, int, int]
    fingerprints: Fingerprints
    kinds: Mapping[str, int]
    name_of: Callable[[int], str]
    pixels_of: Callable[[int], Pixels]
    source: Source | None
    broken: tuple[LeftOut, ...] = ()
    ignored: tuple[str, ...] = ()
    problems: tuple[Finding, ...] = ()

    def counts(self, split: str) -> Integers:
        """Images of each class (classes,) in the split of this name."""
        labels = self.labels[self.split_of == self.splits.index(split)]
        return np.bincount(labels, minlength=len(self.class_names)).astype(np.int64)


def look_at(config: DataConfig, on_progress: OnProgress) -> Look:
    """Read what ``config`` names. Raises DataError where there is nothing to count: no folder, no image, no array."""
    return LOOKS.get(config.kind, look_at_named)(config, on_progress)


def look_at_folder(config: DataConfig, on_progress: OnProgress) -> Look:
    """Broken files, empty classes, and classes that a split lacks are no error here: they are told."""
    found = listed_folder(config.path)
    problems = tuple(
        Finding(Severity.ERROR, "classes", problem, "every class has a folder with images of it in every split")
        for problem in found.problems()
    )
    paths = found.paths
    if not found.listings["train"].paths:
        raise DataError(next(found.problems()))
    decoded = decoded_images(
        found.root, paths, image_size=config.image_size, cache_folder=config.cache_folder, skip_broken=True
    )
    broken = tuple(
        LeftOut(relative(found, paths[one.number]), reason(one.message, paths[one.number])) for one in decoded.broken
    )
    numbers = np.delete(np.arange(len(paths)), [one.number for one in decoded.broken])
    headers = read_headers([paths[number] for number in numbers], on_progress)

    source = None
    if not problems:
        try:
            source = folder_source(config, found, decoded)
        except DataError as error:
            problems = (Finding(Severity.ERROR, "classes", str(error), "add images that can be read"),)
    class_names = tuple(found.class_names)
    number_of = {name: number for number, name in enumerate(class_names)}
    labels = np.array([number_of[name] for part in found.listings.values() for name in part.class_of], dtype=np.int64)
    lengths = [len(part.paths) for part in found.listings.values()]
    fingerprints = LabelledImages(decoded.images, labels[numbers], decoded.facts).fingerprints
    return Look(
        class_names=class_names,
        splits=tuple(found.listings),
        split_of=np.repeat(np.arange(len(lengths)), lengths)[numbers],
        labels=labels[numbers],
        sizes=np.array([(header.width, header.height) for header in headers], dtype=np.int64),
        image_shape=shape_of(decoded.images),
        fingerprints=fingerprints,
        kinds=dict(Counter(header.kind for header in headers).most_common()),
        name_of=lambda number: relative(found, paths[numbers[number]]),
        pixels_of=lambda number: np.asarray(decoded.images[number]),
        source=source,
        broken=broken,
        ignored=tuple(relative(found, path) for path in found.ignored),
        problems=problems,
    )


def look_at_npz(config: DataConfig, on_progress: OnProgress) -> Look:
    """The arrays of a file, with the size that they have in it."""
    arrays = labelled_arrays(config.path)
    look = look_at_source(npz_source(config, arrays))
    height, width = arrays["train"][0].shape[2:]
    return replace(look, sizes=np.tile((width, height), (len(look.labels), 1)))


def look_at_named(config: DataConfig, on_progress: OnProgress) -> Look:
    """A data set of which only the images are known as a training gets them."""
    return look_at_source(SOURCES[config.kind](config))


def look_at_source(source: Source) -> Look:
    parts = {"train": source.train, "validation": source.validation, "test": source.test}
    found = {split: part for split, part in parts.items() if part is not None}
    lengths = [len(part) for part in found.values()]
    starts = np.cumsum([0, *lengths])
    splits = tuple(found)
    split_of = np.repeat(np.arange(len(lengths)), lengths)
    channels, height, width = shape_of(source.train.images)

    def place_of(number: int) -> tuple[str, int]:
        split = split_of[number]
        return splits[split], int(number - starts[split])

    def pixels_of(number: int) -> Pixels:
        split, place = place_of(number)
        return np.asarray(found[split].images[place])

    return Look(
        class_names=source.class_names,
        splits=splits,
        split_of=split_of,
        labels=np.concatenate([part.labels for part in found.values()]),
        sizes=np.tile((width, height), (len(split_of), 1)),
        image_shape=(channels, height, width),
        fingerprints=np.concatenate([part.fingerprints for part in found.values()]),
        kinds={"grey" if channels == 1 else "colour": len(split_of)},
        name_of=lambda number: "{}[{}]".format(*place_of(number)),
        pixels_of=pixels_of,
        source=source,
    )


def read_headers(paths: list[Path], on_progress: OnProgress) -> list[ImageHeader]:
    """The headers of files that could be decoded. Raises DataError for one that is gone since."""
    headers: list[ImageHeader] = []
    step = max(len(paths) // PROGRESS_STEPS, 1)
    for path, header in zip(paths, read_in_parallel(read_header, paths), strict=True):
        if header is None:
            raise DataError(f"image {path} could be read a moment ago, and cannot be read now")
        headers.append(header)
        if len(headers) % step == 0 or len(headers) == len(paths):
            on_progress("looking at files", len(headers), len(paths))
    return headers


def shape_of(images: Pixels | StoredImages) -> tuple[int, int, int]:
    channels, height, width = images.shape[1:]
    return channels, height, width


def relative(found: ListedFolder, path: Path) -> str:
    return str(path.relative_to(found.root))


def reason(message: str, path: Path) -> str:
    """``message`` without what it says of where the file is."""
    return message.removeprefix(f"image {path} cannot be read: ").replace(f" {str(path)!r}", "")


LOOKS: Mapping[str, Callable[[DataConfig, OnProgress], Look]] = MappingProxyType(
    {"folder": look_at_folder, "npz": look_at_npz}
)

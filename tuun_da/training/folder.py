"""A folder of image files as a data set: a folder for each class, or train/, test/ and val/ with those in them."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tuun_da.data_files import MAX_FILE_BYTES
from tuun_da.errors import DataError
from tuun_da.training.decoded_cache import Decoded, decoded_images
from tuun_da.training.image_files import IMAGE_SUFFIXES
from tuun_da.training.settings import DataConfig
from tuun_da.training.sources import LabelledImages, Source

logger = logging.getLogger(__name__)

SPLIT_FOLDERS = {
    "train": "train",
    "test": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}
ONLY_CLASSIFICATION = "only image classification with one label for each image is supported"
COCO_LIST = re.compile(rb'"(images|annotations)"\s{0,8}:\s{0,8}\[')
MAX_SEARCHED_BYTES = 2**30
DETECTION_FOLDERS = frozenset({"annotations", "jpegimages", "segmentationclass", "segmentationobject"})
DETECTION_PAIRS = (frozenset({"images", "labels"}), frozenset({"images", "masks"}))


@dataclass(frozen=True)
class Listing:
    """The image files of one split: paths, and the class of each as a name; and of each class folder without an image
    what there is to say."""

    paths: list[Path]
    class_of: list[str]
    empty: dict[str, str]


@dataclass(frozen=True)
class ListedFolder:
    """The image files of a data folder by split (train, validation, test), and what was left out of it."""

    root: Path
    listings: dict[str, Listing]
    ignored: list[Path]

    @property
    def paths(self) -> list[Path]:
        """Of all splits, one after the other."""
        return [path for listing in self.listings.values() for path in listing.paths]

    @property
    def class_names(self) -> list[str]:
        """Of all splits, in order."""
        return sorted({name for listing in self.listings.values() for name in (*listing.class_of, *listing.empty)})

    def problems(self) -> Iterator[str]:
        """What keeps it from being a data set, in words: a class without an image, a class that a split lacks, and one
        folder that holds the folders of the classes."""
        for listing in self.listings.values():
            yield from listing.empty.values()
        if len(self.class_names) == 1 and (inner := folder_of_classes(self.listings["train"].paths)) is not None:
            inside = sorted({path.relative_to(inner).parts[0] for path in self.listings["train"].paths})
            yield (
                f"data folder {self.root} holds one folder for all images, so that they are of one class, "
                f"{self.class_names[0]}; did you mean folder:{inner}, which holds {', '.join(inside[:3])}?"
            )
        class_names = set(self.listings["train"].class_of)
        for split, listing in self.listings.items():
            differing = class_names ^ set(listing.class_of)
            for empty in (self.listings["train"].empty, listing.empty):  # which have been named
                differing -= set(empty)
            if differing:
                yield (
                    f"data folder {self.root}: train and {split} must have the same classes; they differ in "
                    f"{', '.join(sorted(differing))}"
                )


def load_folder(config: DataConfig) -> Source:
    """The data set in the folder ``config.path``. Raises DataError.

    Hidden files, files that are no images, links that lead nowhere, and links that lead out of the folder are left
    out; all but the hidden ones are counted in ``ignored_files``. Where a class or split folder is a link that leads
    out it is a DataError, for a class would be missing.
    """
    root = config.path
    found = listed_folder(root)
    for problem in found.problems():
        raise DataError(problem)
    if found.ignored:
        logger.warning("%s: left out %d files, the first is %s", root, len(found.ignored), found.ignored[0])
    # all splits at once: they must agree in size and in the number of channels
    decoded = decoded_images(
        root, found.paths, image_size=config.image_size, cache_folder=config.cache_folder,
        skip_broken=config.skip_broken,
    )  # fmt: skip
    if decoded.broken:
        logger.warning("%s: left out %d broken images; %s", root, len(decoded.broken), decoded.broken[0].message)
    return folder_source(config, found, decoded)


def folder_of_classes(paths: list[Path]) -> Path | None:
    """The folder that holds at least two folders with all of the ``paths`` in them; None where there is none."""
    folders = {path.parent for path in paths}
    common = Path(os.path.commonpath(folders)) if folders else None
    return common if len(folders) > 1 and common not in folders else None


def listed_folder(root: Path) -> ListedFolder:
    """The image files in the folder ``root``. Raises DataError where it is not laid out as a data set."""
    if not root.is_dir():
        raise DataError(f"data folder {root} {'is not a folder' if root.exists() else 'does not exist'}")
    walker = Walker(root)
    top = walker.folders(root)
    refuse_detection(root, top)
    split_folders = find_split_folders(root, top, walker)
    if split_folders:
        listings = {split: walker.listing(folder) for split, folder in split_folders.items()}
    else:
        listings = {"train": walker.listing(root)}
    return ListedFolder(root, listings, walker.ignored)


def folder_source(config: DataConfig, found: ListedFolder, decoded: Decoded) -> Source:
    """The data set of the files ``found``, whose images are ``decoded``. Raises DataError for a class without any."""
    root, paths, listings, class_names = found.root, found.paths, found.listings, found.class_names
    good = np.ones(len(paths), dtype=bool)
    good[[one.number for one in decoded.broken]] = False
    numbers = {name: number for number, name in enumerate(class_names)}
    labels = np.array([numbers[name] for listing in listings.values() for name in listing.class_of], dtype=np.int64)
    split_of = np.array([split for split, listing in listings.items() for _ in listing.paths])
    everything = LabelledImages(decoded.images, labels[good], decoded.facts)
    parts = {split: everything.chosen(split_of[good] == split) for split in listings}
    for split, part in parts.items():
        counts = np.bincount(part.labels, minlength=len(class_names))
        if not counts.all():
            empty = class_names[int(np.argmin(counts))]
            raise DataError(f"data folder {root}: class {empty} has no readable image in {split}")
    return Source(
        name=config.data,
        class_names=tuple(class_names),
        train=parts["train"],
        validation=parts.get("validation"),
        test=parts.get("test"),
        skipped=tuple(str(paths[one.number]) for one in decoded.broken),
        ignored_files=len(found.ignored),
    )


def find_split_folders(root: Path, top: list[Path], walker: Walker) -> dict[str, Path]:
    """The folders train, test and validation in ``root`` by what they are for; empty if it holds class folders.

    A folder named train with images, not folders, in it is taken for a class (of vehicles).
    """
    found: dict[str, Path] = {}
    walker.refuse_outward([path for path in walker.outward_folders(root) if path.name.lower() in SPLIT_FOLDERS])
    for folder in top:
        split = SPLIT_FOLDERS.get(folder.name.lower())
        if split is not None:
            if split in found:
                raise DataError(
                    f"data folder {root} has two folders for {split}: {found[split].name} and {folder.name}"
                )
            found[split] = folder
    if "train" not in found:
        if found and len(found) == len(top):
            names = " and ".join(f"{folder.name}/" for folder in found.values())
            raise DataError(f"data folder {root} has {names}, but no train/")
        return {}
    if not walker.folders(found["train"]):
        if len(found) < len(top):
            return {}
        raise DataError(f"data folder {found['train']} must hold a folder for each class, found none")
    for folder in top:
        if folder not in found.values():
            walker.ignore(folder)
    return found


class Walker:
    """Lists folders in a fixed order, never leaves ``root``, and notes in ``ignored`` what it leaves out, and in
    ``outward`` which of that are links that lead out."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._ignored: dict[Path, None] = {}  # an ordered set: a folder is listed more than once
        self.outward: set[Path] = set()

    def entries(self, folder: Path) -> Iterator[Path]:
        """What lies in ``folder``, sorted; without hidden files and links that lead out of the root."""
        try:
            with os.scandir(folder) as found:  # unlike listdir it knows which are links, without a look at each
                links = {entry.name: entry.is_symlink() for entry in found}
        except OSError as error:
            raise DataError(f"data folder {folder} cannot be read: {error.strerror}") from None
        for name in sorted(links):
            path = folder / name
            if name.startswith("."):
                continue
            if links[name]:
                try:
                    inside = path.resolve().is_relative_to(self.root)
                except (OSError, RuntimeError):  # it leads in a circle, which is a RuntimeError before Python 3.13
                    self.ignore(path)
                    continue
                if not inside:
                    self.ignore(path)
                    self.outward.add(path)
                    continue
            yield path

    def folders(self, folder: Path) -> list[Path]:
        return [path for path in self.entries(folder) if path.is_dir()]

    def outward_folders(self, folder: Path) -> list[Path]:
        """The links in ``folder`` that lead out of the root, to folders or to what is not there (a disk, perhaps)."""
        list(self.entries(folder))
        return sorted(path for path in self.outward if path.parent == folder and not os.path.isfile(path))

    def refuse_outward(self, links: list[Path]) -> None:
        """Raise DataError for the first of ``links``."""
        if links:
            raise DataError(
                f"folder {links[0]} is a link that leads out of the data folder {self.root}, to {links[0].resolve()}; "
                "put the folder itself or a copy of it there, or take the link away"
            )

    def listing(self, folder: Path) -> Listing:
        """The images in the class folders of ``folder``, which must lie in the root."""
        listing = Listing([], [], {})
        self.refuse_outward(self.outward_folders(folder))
        classes = self.folders(folder)
        if not classes:
            loose = sum(path.suffix.lower() in IMAGE_SUFFIXES for path in self.entries(folder))
            outside = f" ({len(self.ignored)} entries that lead out of it or are no images)" if self.ignored else ""
            found = f"{loose} images beside each other" if loose else f"none{outside}"
            raise DataError(f"data folder {folder} must hold a folder of images for each class, found {found}")
        for path in self.entries(folder):
            if not path.is_dir():
                self.ignore(path)
        for class_folder in classes:
            before = len(listing.paths)
            listing.paths.extend(self.images(class_folder))
            if len(listing.paths) == before:
                links = sum(path.is_relative_to(class_folder) for path in self.outward)
                but = f", but {links} links that lead out of the data folder and are left out" if links else ""
                wanted = ", ".join(sorted(IMAGE_SUFFIXES))
                listing.empty[class_folder.name] = f"data folder {class_folder} holds no image ({wanted}){but}"
            listing.class_of.extend([class_folder.name] * (len(listing.paths) - before))
        return listing

    def images(self, folder: Path) -> Iterator[Path]:
        """The image files in ``folder`` and the folders in it; folders behind links are left out, they may loop."""
        for path in self.entries(folder):
            if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():  # a pipe would wait for ever
                yield path
            elif path.is_dir() and not path.is_symlink():
                yield from self.images(path)
            else:
                self.ignore(path)

    @property
    def ignored(self) -> list[Path]:
        return list(self._ignored)

    def ignore(self, path: Path) -> None:
        self._ignored[path] = None


def refuse_detection(root: Path, top: list[Path]) -> None:
    """Raise DataError if ``root`` is laid out as COCO, Pascal VOC, YOLO or image-and-mask data sets are."""
    names = {folder.name.lower() for folder in top}
    suspects = [f"{folder.name}/" for folder in top if folder.name.lower() in DETECTION_FOLDERS]
    for pair in DETECTION_PAIRS:
        if pair <= names and names - pair <= set(SPLIT_FOLDERS):
            suspects.append(" and ".join(f"{name}/" for name in sorted(pair)))
    for folder in (root, *(folder for folder in top if folder.name.lower() in SPLIT_FOLDERS)):
        suspects += [str(path.relative_to(root)) for path in sorted(folder.glob("*.json")) if is_coco(path)]
        inside = {path.name.lower() for path in folder.iterdir() if path.is_dir()}
        if folder != root and any(pair == inside for pair in DETECTION_PAIRS):
            suspects.append(f"{folder.name}/{'/ and '.join(sorted(inside))}/")
    if suspects:
        raise DataError(
            f"data folder {root} looks like detection or segmentation ({suspects[0]}): {ONLY_CLASSIFICATION}"
        )


def is_coco(path: Path) -> bool:
    """Whether the JSON file at ``path`` has the lists of a COCO annotation file; of a large one, whether its text has
    their names.

    A pipe, a link, and what is not JSON are none. No more than ``MAX_SEARCHED_BYTES`` are read, and few kept.
    """
    if path.is_symlink() or not path.is_file():
        return False
    try:
        if path.stat().st_size <= MAX_FILE_BYTES:
            content = json.loads(path.read_bytes())
            return isinstance(content, dict) and {"images", "annotations"} <= set(content)
        wanted = {b"images", b"annotations"}
        with open(path, "rb") as file:
            tail = b""
            while wanted and file.tell() < MAX_SEARCHED_BYTES and (chunk := file.read(2**20)):
                wanted -= {match[1] for match in COCO_LIST.finditer(tail + chunk)}
                tail = chunk[-64:]
        return not wanted
    except (OSError, ValueError, RecursionError):
        return False

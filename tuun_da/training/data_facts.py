"""What there is to know of a data set before a search: counts, sizes, copies, broken files, and what follows."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

FORMAT = "tuun_da data check"
SUMMARY_LINES = 10


class Severity(StrEnum):
    """How bad a finding is: an error lets a search fail, a warning makes its result doubtful, a note is to be known."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One thing that was found: its ``name`` in a word or two, what it is, and what to do about it (or nothing)."""

    severity: Severity
    name: str
    message: str
    advice: str = ""


@dataclass(frozen=True)
class LeftOut:
    """A file of the data set that gives no image, by its path in it, and why."""

    path: str
    why: str


@dataclass(frozen=True)
class SizeFacts:
    """The sizes, in pixels, of n images as they lie there.

    ``widths`` and ``heights`` are smallest, median and largest. ``distinct`` counts the pairs of both, ``commonest`` is
    the most frequent of these and ``commonest_share`` its share. ``not_square`` is a share of the images, ``cut_off``
    the mean share of an image's area that is outside of its middle square, ``smaller`` the number of images whose
    shorter side has to be enlarged, ``shorter_side`` the median of the shorter sides.
    """

    widths: tuple[int, int, int]
    heights: tuple[int, int, int]
    distinct: int
    commonest: tuple[int, int]
    commonest_share: float
    not_square: float
    cut_off: float
    smaller: int
    shorter_side: int


@dataclass(frozen=True)
class Copies:
    """Images with equal pixels: their names, and the classes and the splits (without repetition) that they are in."""

    images: tuple[str, ...]
    classes: tuple[str, ...]
    splits: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """A data set, looked at.

    ``data``         as DataConfig names it.
    ``counts``       readable images of each class, (classes,), for each split that the data set brings: train, and
                     validation and test where it has them.
    ``planned``      the same for each split of a search with the settings asked for; None where it would fail.
    ``image_shape``  (channels, side, side) of the images that the network sees.
    ``kinds``        how many images are grey, in colour, ...
    ``broken``       files that are images by their name, and cannot be read.
    ``ignored``      files that are no images, and links that lead out of the data folder.
    ``copies``       images with equal pixels, at the size that the network sees.
    """

    data: str
    class_names: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    planned: Mapping[str, tuple[int, ...]] | None
    image_shape: tuple[int, int, int]
    sizes: SizeFacts
    kinds: Mapping[str, int]
    broken: tuple[LeftOut, ...] = ()
    ignored: tuple[str, ...] = ()
    copies: tuple[Copies, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def n_images(self) -> int:
        return sum(sum(counts) for counts in self.counts.values())

    @property
    def can_search(self) -> bool:
        """Whether a search with these settings gets past its data."""
        return not self.of(Severity.ERROR)

    def of(self, severity: Severity) -> list[Finding]:
        """The findings of that severity."""
        return [finding for finding in self.findings if finding.severity is severity]

    @property
    def conflicts(self) -> list[Copies]:
        """Copies that have different labels."""
        return [copies for copies in self.copies if len(copies.classes) > 1]

    @property
    def leaks(self) -> list[Copies]:
        """Copies that lie in different splits of the data set."""
        return [copies for copies in self.copies if len(copies.splits) > 1]

    def verdict(self) -> str:
        """One line: whether a search can run."""
        errors, warnings = len(self.of(Severity.ERROR)), len(self.of(Severity.WARNING))
        doubts = f", with {counted(warnings, 'warning')}" if warnings else ""
        return f"A search would fail: {counted(errors, 'error')}{doubts}." if errors else f"A search can run{doubts}."

    def summary(self) -> str:
        """What a search should say before it begins, in at most ten lines."""
        lines = [self.overview(), self.kinds_line(), self.sizes_line()]
        if self.planned is not None:
            lines.append(self.planned_line())
        grave = [*self.of(Severity.ERROR), *self.of(Severity.WARNING)]
        room = SUMMARY_LINES - len(lines) - 1
        shown = grave if len(grave) <= room else grave[: room - 1]
        lines += [f"{finding.severity}: {finding.message}" for finding in shown]
        if len(shown) < len(grave):
            lines.append(
                f"and {len(grave) - len(shown)} more, which tuun-da check --data {shlex.quote(self.data)} tells"
            )
        return "\n".join(printable(line) for line in (*lines, self.verdict()))

    def overview(self) -> str:
        """One line: how many images of how many classes, and where they lie."""
        splits = [f"{sum(counts):,} {split}" for split, counts in self.counts.items()]
        where = f" ({', '.join(splits)})" if len(splits) > 1 else ""
        return f"{self.data}: {self.n_images:,} images of {counted(len(self.class_names), 'class', 'classes')}{where}"

    def kinds_line(self) -> str:
        """One line: grey, colour, ..."""
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in self.kinds.items())
        return f"images: {next(iter(self.kinds)) if len(self.kinds) == 1 else kinds}"

    def sizes_line(self) -> str:
        """One line: how large the images are, and what the network sees of them."""
        sizes = self.sizes
        size = "x".join(str(side) for side in sizes.commonest)
        if sizes.distinct > 1:
            size = (
                f"{sizes.distinct:,} sizes, widths {of_three(sizes.widths)}, heights {of_three(sizes.heights)} "
                "(smallest, median, largest)"
            )
        channels, side, _ = self.image_shape
        return f"pixels: {size}; the network sees {side}x{side}, {counted(channels, 'channel')}"

    def planned_line(self) -> str:
        """One line: the sizes of a search's splits. Only where ``planned`` is there."""
        assert self.planned is not None
        train, validation, test = (sum(self.planned[split]) for split in ("train", "validation", "test"))
        return f"a search trains on {train:,} images, scores on {validation:,}, and keeps {test:,} for the test"

    def to_dict(self) -> dict[str, Any]:
        """All of it as a JSON object."""
        return {"format": FORMAT, "version": 1, **asdict(self), "can_search": self.can_search}


def counted(number: int, one: str, many: str = "") -> str:
    """1 image, 2 images."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def of_three(numbers: Sequence[int]) -> str:
    return "/".join(str(number) for number in numbers)


def printable(text: str) -> str:
    """``text`` with an escape for what is no letter or sign: a file's name may hold a new line, or what a terminal
    obeys."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )

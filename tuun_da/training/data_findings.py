"""What follows from the facts of a data set for a search: errors, warnings, notes, each with what to do about it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tuun_da.training.data_facts import Copies, DataFacts, Finding, Severity, counted
from tuun_da.training.image_headers import GREY_KINDS
from tuun_da.training.settings import MAX_IMAGE_SIZE, MIN_IMAGE_SIZE, DataConfig

IMBALANCED = 3.0
"""From so many times the smallest class in the largest on, accuracy says more about this one than about the rest."""
UNEVEN = 1.5
"""From here on that is worth a word."""
FEW_IMAGES = 20
"""Of a class to train on: fewer tell a network little of it."""
FEW_TO_SCORE = 5
"""Of a class to validate on: each of fewer moves the class's recall by more than 20 points."""
ASSUMED_SCORE = 0.8
TINY_VALIDATION = 0.025
"""A standard error from which on a score at ``ASSUMED_SCORE`` tells few policies apart."""
MUCH_CUT_OFF = 0.25
SHRUNK = 2.0
NAMES_SHOWN = 5


def findings_of(facts: DataFacts, config: DataConfig) -> tuple[Finding, ...]:
    """All findings, the worst first."""
    found = [
        *facts.findings,
        *about_files(facts, config),
        *about_copies(facts),
        *about_classes(facts),
        *about_planned(facts, config),
        *about_sizes(facts),
        *about_kinds(facts),
    ]
    return tuple(sorted(found, key=lambda finding: list(Severity).index(finding.severity)))


def about_files(facts: DataFacts, config: DataConfig) -> Iterator[Finding]:
    if facts.broken:
        first = f"{counted(len(facts.broken), 'image file')} cannot be read; the first is {facts.broken[0].path}"
        if config.skip_broken:
            yield Finding(Severity.WARNING, "broken files", f"{first}; left out, as asked for")
        else:
            yield Finding(
                Severity.ERROR, "broken files", first, "mend or remove them, or leave them out: --skip-broken"
            )
    if facts.ignored:
        number = counted(len(facts.ignored), "file that is no image is", "files that are no images are")
        yield Finding(Severity.NOTE, "other files", f"{number} left out; the first is {facts.ignored[0]}")


def about_copies(facts: DataFacts) -> Iterator[Finding]:
    if facts.conflicts:
        yield Finding(
            Severity.WARNING,
            "label conflict",
            f"{counted(len(facts.conflicts), 'set')} of identical images with different labels, of which one at least "
            f"is wrong: {example(facts.conflicts)}",
            "keep each under its right class only",
        )
    if facts.leaks:
        yield Finding(
            Severity.WARNING,
            "leak",
            f"{counted(len(facts.leaks), 'set')} of identical images in different splits, so that a network is tested "
            f"on what it trained on: {example(facts.leaks)}",
            "a search leaves them out of train (and of validation, if they are in test); remove them there, so that "
            "your final training does, too",
        )
    others = [copies for copies in facts.copies if len(copies.classes) == 1 and len(copies.splits) == 1]
    if others:
        surplus = sum(len(copies.images) - 1 for copies in others)
        yield Finding(
            Severity.NOTE,
            "copies",
            f"{counted(surplus, 'image repeats', 'images repeat')} another one of the same class: {example(others)}",
            "a search keeps copies on one side of every split; without them the counts would be the true ones",
        )


def about_classes(facts: DataFacts) -> Iterator[Finding]:
    """Of the training images, as they lie there."""
    counts = dict(zip(facts.class_names, facts.counts["train"], strict=True))
    there = {name: count for name, count in counts.items() if count}
    if len(there) < 2:
        return
    largest, smallest = max(there, key=there.__getitem__), min(there, key=there.__getitem__)
    ratio, share = there[largest] / there[smallest], there[largest] / sum(there.values())
    if ratio >= UNEVEN:
        much = ratio >= IMBALANCED
        yield Finding(
            Severity.WARNING if much else Severity.NOTE,
            "imbalance",
            f"the largest class, {largest}, has {figures(ratio, 3)} times as many images as the smallest, {smallest} "
            f"({there[largest]:,} and {there[smallest]:,}); to say {largest} always would be {share:.1%} accuracy",
            "--metric balanced_accuracy counts every class alike, and --sampling balanced shows them equally often"
            if much
            else "",
        )
    planned = there if facts.planned is None else dict(zip(facts.class_names, facts.planned["train"], strict=True))
    few = {name: count for name, count in planned.items() if 0 < count < FEW_IMAGES}
    if few:
        number = counted(len(few), "class has", "classes have")
        yield Finding(
            Severity.WARNING,
            "few images",
            f"{number} fewer than {FEW_IMAGES} images to train on: {listed(few)}",
            "add images of them, or leave them out",
        )


def about_planned(facts: DataFacts, config: DataConfig) -> Iterator[Finding]:
    """Of the validation images, which decide between policies."""
    if facts.planned is None:
        return
    number = sum(facts.planned["validation"])
    more = "add images to the validation split"  # whole, it is always the same: nothing can be drawn anew
    if "validation" not in facts.counts or config.validation_size is not None:
        more = "--repeats 3 --resplit scores on other images each time; or a larger --validation-size"
    error = math.sqrt(ASSUMED_SCORE * (1.0 - ASSUMED_SCORE) / number)
    one, spread = figures(100 / number, 2), figures(100 * error, 2)
    tiny = error > TINY_VALIDATION
    yield Finding(
        Severity.WARNING if tiny else Severity.NOTE,
        "validation",
        f"a score is measured on {counted(number, 'image')}, each of which is {one} points; at {ASSUMED_SCORE:.0%} its "
        f"standard error is {spread} points, and policies that differ by less are hard to tell apart",
        more if tiny else "",
    )
    counts = dict(zip(facts.class_names, facts.planned["validation"], strict=True))
    few = {name: count for name, count in counts.items() if count < FEW_TO_SCORE}
    if few:
        yield Finding(
            Severity.WARNING,
            "few to score on",
            f"{counted(len(few), 'class has', 'classes have')} fewer than {FEW_TO_SCORE} validation images: "
            f"{listed(few)}",
            more,
        )


def about_sizes(facts: DataFacts) -> Iterator[Finding]:
    sizes, side = facts.sizes, facts.image_shape[1]
    if sizes.not_square:
        much = sizes.cut_off > MUCH_CUT_OFF
        yield Finding(
            Severity.WARNING if much else Severity.NOTE,
            "not square",
            f"{sizes.not_square:.0%} of the images are not square, and of these only the middle square is used: "
            f"of all images together {sizes.cut_off:.0%} of the area is cut off",
            "pad them to squares, if something at their ends tells the class" if much else "",
        )
    if sizes.smaller:
        yield Finding(
            Severity.NOTE,
            "small images",
            f"{counted(sizes.smaller, 'image is', 'images are')} smaller than {side}x{side} and enlarged to that",
            f"--image-size {sizes.shorter_side} is the median of their shorter sides"
            if MIN_IMAGE_SIZE <= sizes.shorter_side < side
            else "",
        )
    if sizes.shorter_side >= SHRUNK * side:
        yield Finding(
            Severity.NOTE,
            "large images",
            f"images are reduced to {side}x{side} pixels; the median of their shorter sides is {sizes.shorter_side}",
            f"if small things tell the classes, --image-size {2 * side} shows more, at four times the cost"
            if 2 * side <= MAX_IMAGE_SIZE
            else "",
        )


def about_kinds(facts: DataFacts) -> Iterator[Finding]:
    grey = sum(number for kind, number in facts.kinds.items() if kind in GREY_KINDS)
    if 0 < grey < facts.n_images and facts.image_shape[0] == 3:
        yield Finding(
            Severity.NOTE,
            "grey and colour",
            f"{grey:,} of {facts.n_images:,} images are grey among coloured ones; all are used with 3 channels",
        )
    alpha = sum(number for kind, number in facts.kinds.items() if "alpha" in kind)
    if alpha:
        number = counted(alpha, "image has an alpha channel, which is", "images have an alpha channel, which is")
        yield Finding(Severity.NOTE, "alpha", f"{number} laid over white")


def example(many: list[Copies]) -> str:
    """The first and the last image of the first set: they lie in different splits or classes, if any of it do."""
    return f"{many[0].images[0]} is {many[0].images[-1]}" + (", and so on" if len(many) > 1 else "")


def figures(number: float, n: int) -> str:
    """``number`` with ``n`` figures that count, and never as a power of ten: 0.56, 13, 2,000."""
    return f"{float(f'{number:.{n}g}'):,.6f}".rstrip("0").rstrip(".")


def listed(counts: dict[str, int]) -> str:
    """The first of ``counts``, the smallest first."""
    names = sorted(counts, key=lambda name: (counts[name], name))
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(f"{name} ({counts[name]})" for name in names[:NAMES_SHOWN]) + more

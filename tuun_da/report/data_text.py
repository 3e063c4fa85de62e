"""A data set that was looked at, as text for a terminal and as JSON."""

from __future__ import annotations

import json
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence

from tuun_da.training.data_facts import FORMAT, Copies, DataFacts, counted, printable

TITLE = "tuun-da check of "  # so begins a text of ours, and no other's
PAGE_WIDTH = 110
BAR_WIDTH = 24
NAME_WIDTH = 30
CLASSES_SHOWN = 50
LARGEST_SHOWN, SMALLEST_SHOWN = 20, 20  # of more classes
COPIES_SHOWN = 10
NAMES_SHOWN = 8  # of the images of one set: a blank one may be there a thousand times


def data_json(facts: DataFacts) -> str:
    """All facts as a JSON text."""
    return json.dumps(facts.to_dict(), indent=2) + "\n"


def data_text(facts: DataFacts) -> str:
    """All facts to read: counts, images, files that gave none, copies, findings; the last line is the verdict."""
    sections = [
        [TITLE + facts.overview()],
        counts_table(facts),
        [facts.kinds_line(), facts.sizes_line(), *([facts.planned_line()] if facts.planned is not None else [])],
        broken_lines(facts),
        copies_lines("identical images with different labels", facts.conflicts),
        copies_lines("identical images in different splits", facts.leaks),
        finding_lines(facts),
        [facts.verdict()],
    ]
    return "\n\n".join("\n".join(map(printable, lines)) for lines in sections if lines) + "\n"


def is_data_check(beginning: str) -> bool:
    """Whether a file that begins so was written here, or is empty."""
    return not beginning or beginning.startswith(TITLE) or f'"format": "{FORMAT}"' in beginning


def counts_table(facts: DataFacts) -> list[str]:
    """A row for each class: images in each split as they lie there and as a search has them, and a bar."""
    places = shown_classes(facts)
    planned = facts.planned or {}
    split_names = list(facts.counts) if len(facts.counts) > 1 else ["images"]
    head = ["class", *split_names, "share", *([""] if planned else []), *planned]
    train = facts.counts["train"]
    total, largest = max(sum(train), 1), max(*train, 1)
    rows = []
    for place in places:
        numbers = [f"{counts[place]:,}" for counts in facts.counts.values()]
        division = [f"{counts[place]:,}" for counts in planned.values()]
        rows.append([
            shortened(printable(facts.class_names[place])), *numbers, f"{train[place] / total:.1%}",
            *([""] if planned else []), *division,
        ])  # fmt: skip
    everything = [f"{sum(counts):,}" for counts in facts.counts.values()]
    everything = ["all", *everything, "", *([""] if planned else []), *(f"{sum(n):,}" for n in planned.values())]
    widths = [max(width_of(row[column]) for row in (head, *rows, everything)) for column in range(len(head))]
    bars = ["#" * -(-BAR_WIDTH * train[place] // largest) for place in places]
    lines = [aligned(head, widths)]
    if planned:
        before = sum(widths[: 2 + len(split_names)]) + 2 * (3 + len(split_names))
        lines.insert(0, " " * before + "in a search")
    lines += [f"{aligned(row, widths)}  {bar}".rstrip() for row, bar in zip(rows, bars, strict=True)]
    hidden = len(facts.class_names) - len(places)
    if hidden:
        lines.insert(-SMALLEST_SHOWN, f"... {hidden:,} classes between these; --format json has all")
    return [*lines, aligned(everything, widths).rstrip()]


def shown_classes(facts: DataFacts) -> Sequence[int]:
    """The numbers of the classes in the table: all in their order; of very many the largest and the smallest."""
    n = len(facts.class_names)
    if n <= CLASSES_SHOWN:
        return range(n)
    order = sorted(range(n), key=lambda place: -facts.counts["train"][place])
    return [*order[:LARGEST_SHOWN], *order[-SMALLEST_SHOWN:]]


def broken_lines(facts: DataFacts) -> list[str]:
    """Every file that cannot be read, and why."""
    if not facts.broken:
        return []
    head = f"{counted(len(facts.broken), 'image file')} that cannot be read:"
    return [head, *(f"  {one.path}: {one.why}" for one in facts.broken)]


def copies_lines(what: str, many: Sequence[Copies]) -> list[str]:
    if not many:
        return []
    lines = [f"{counted(len(many), 'set')} of {what}:"]
    for copies in many[:COPIES_SHOWN]:
        names = list(copies.images)
        if len(names) > NAMES_SHOWN:  # the last one may be of another class or split than the first ones
            names[NAMES_SHOWN - 1 : -1] = [f"{len(names) - NAMES_SHOWN:,} more (--format json has all)"]
        lines.append(f"  {' = '.join(names)}")
    if len(many) > COPIES_SHOWN:
        lines.append(f"  ... and {len(many) - COPIES_SHOWN:,} more; --format json has all")
    return lines


def finding_lines(facts: DataFacts) -> list[str]:
    return [line for finding in facts.findings for line in _finding(finding.severity, finding.message, finding.advice)]


def _finding(severity: str, message: str, advice: str) -> Iterator[str]:
    begin = f"{severity + ':':<9}"
    indent = " " * len(begin)
    for text, first, others in ((printable(message), begin, indent), (advice, f"{indent}-> ", f"{indent}   ")):
        yield from textwrap.wrap(
            text,
            PAGE_WIDTH,
            initial_indent=first,
            subsequent_indent=others,
            break_long_words=False,  # a path or an option is copied from one line
            break_on_hyphens=False,
        )


def aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """The first cell to the left, the others to the right, two spaces between them."""
    first, *others = zip(cells, widths, strict=True)
    padded = [first[0] + " " * (first[1] - width_of(first[0]))]
    padded += [" " * (width - width_of(cell)) + cell for cell, width in others]
    return "  ".join(padded)


def width_of(text: str) -> int:
    """Columns that ``text`` takes on a terminal, where East Asian letters take two and accents none."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def shortened(name: str) -> str:
    return name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 3] + "..."

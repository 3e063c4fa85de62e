"""A data set as a picture: a row for each class with a few of its images as the network sees them, and its bar."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

from tuun_da.errors import ConfigError
from tuun_da.training.data_facts import DataFacts, printable

if TYPE_CHECKING:
    from tuun_da.training.data_samples import Samples

SOFTWARE = "tuun_da's data check"  # in the file, so that it may be overwritten
FONT = "DejaVu Sans"  # comes with matplotlib
CLASSES_DRAWN = 40
NAME_LETTERS = 26
DOTS_PER_INCH = 100
# All in inches.
CELL = 0.96
GAP = 0.06
NAMES_WIDTH = 2.1
BARS_WIDTH = 3.2
HEAD = 0.85
FOOT = 0.35
PAPER, INK, FAINT, BAR = "#ffffff", "#1a1a1a", "#666666", "#3b6ea5"


def check_data_picture_path(path: str | os.PathLike[str]) -> None:
    """Raise ConfigError unless ``path`` ends in .png."""
    if Path(path).suffix.lower() != ".png":
        raise ConfigError(f"a picture of a data set must end in .png, got {str(path)!r}")


def is_data_picture(path: str | os.PathLike[str]) -> bool:
    """Whether the PNG file at ``path`` was written here. Raises OSError."""
    with open(path, "rb") as file:
        return b"Software\0" + SOFTWARE.encode() in file.read(4096)  # the text comes before the pixels


def save_data_picture(facts: DataFacts, samples: Samples, path: str | os.PathLike[str]) -> None:
    """Write the sheet as a PNG file. ``samples`` are some images of each class. Raises ConfigError, OSError."""
    check_data_picture_path(path)
    data_figure(facts, samples).savefig(
        path, dpi=DOTS_PER_INCH, facecolor=PAPER, metadata={"Software": SOFTWARE, "Title": printable(facts.overview())}
    )


def data_figure(facts: DataFacts, samples: Samples) -> Figure:
    """The sheet: on the left names and images, on the right how many images the class has to train on."""
    places = drawn_classes(facts)
    columns = max((len(samples[place]) for place in places), default=0) or 1
    left = NAMES_WIDTH + columns * (CELL + GAP)
    width = left + BARS_WIDTH
    height = HEAD + len(places) * (CELL + GAP) + FOOT
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH)
    FigureCanvasAgg(figure)  # draws without a screen, and without pyplot's global state

    def write(
        x: float, y: float, text: str, size: float, colour: str = INK, *, ha: str = "left", va: str = "center"
    ) -> None:
        figure.text(
            x / width, 1.0 - y / height, drawable(text), fontsize=size, color=colour, family=FONT, ha=ha, va=va,
            parse_math=False,  # else what is between two $ would be a formula
        )  # fmt: skip

    title = facts.overview()
    write(0.12, 0.14, title if len(title) < 12 * width else f"...{title[-round(12 * width) :]}", 11, va="top")
    write(0.12, 0.40, picture_note(facts, len(places)), 8, FAINT, va="top")

    train = facts.counts["train"]
    largest = max(train)
    room = BARS_WIDTH - 0.95  # beside the longest bar its number has to stand
    for row, place in enumerate(places):
        top = HEAD + row * (CELL + GAP)
        middle = top + CELL / 2
        write(NAMES_WIDTH - 0.12, middle, class_label(facts.class_names[place]), 9, ha="right")
        for column, pixels in enumerate(samples[place]):
            x = NAMES_WIDTH + column * (CELL + GAP)
            axes = figure.add_axes((x / width, 1.0 - (top + CELL) / height, CELL / width, CELL / height))
            axes.set_axis_off()
            shown = pixels.transpose(1, 2, 0) if len(pixels) == 3 else pixels[0]
            axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
        bar = room * train[place] / largest
        if bar:
            axes = figure.add_axes(
                ((left + 0.1) / width, 1.0 - (middle + 0.17) / height, bar / width, 0.34 / height), facecolor=BAR
            )
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set_visible(False)
        write(left + 0.18 + bar, middle, f"{train[place]:,}", 9)
    write(left + 0.1, HEAD - 0.1, "images" if len(facts.counts) == 1 else "images in train", 8, FAINT, va="bottom")
    write(0.12, height - 0.12, facts.verdict(), 9, va="bottom")
    return figure


def drawn_classes(facts: DataFacts) -> Sequence[int]:
    """The numbers of the classes that get a row: all, or of very many the largest and the smallest."""
    n = len(facts.class_names)
    if n <= CLASSES_DRAWN:
        return range(n)
    order = sorted(range(n), key=lambda place: -facts.counts["train"][place])
    return [*order[: CLASSES_DRAWN // 2], *order[-CLASSES_DRAWN // 2 :]]


def picture_note(facts: DataFacts, drawn: int) -> str:
    side = facts.image_shape[1]
    n = len(facts.class_names)
    some = f"; of {n} classes the {drawn // 2} largest and the {drawn // 2} smallest" if drawn < n else ""
    return f"some images of each class, as a network sees them: {side}x{side} pixels{some}"


def class_label(name: str) -> str:
    """The name, shortened where it is long."""
    name = printable(name)
    return name if len(name) <= NAME_LETTERS else name[: NAME_LETTERS - 3] + "..."


def drawable(text: str) -> str:
    """``text`` with a question mark for each letter that the font does not have."""
    font = get_font(findfont(FONT))
    return "".join(
        letter if letter.isspace() or font.get_char_index(ord(letter)) else "?" for letter in printable(text)
    )

"""A probe as a picture: operation types by magnitudes, in each cell the accuracy that is left."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tuun_da.errors import ProbeError
from tuun_da.operations import OPERATION_TYPES
from tuun_da.probe_format import MEASURES, ProbeRecord

SUFFIXES = (".png", ".svg", ".pdf")
MARK = "tuun_da probe picture"  # in the file, so that it may be overwritten
MOST_BYTES = 10_000_000
COLOUR_MAP = "cividis"  # even steps of lightness, and the same for the colour-blind (Nuñez et al. 2018)


def check_picture_path(path: str | os.PathLike[str]) -> None:
    """Raise ProbeError if the ending of ``path`` is no format of pictures."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise ProbeError(f"a picture's file must end in {', '.join(SUFFIXES)}, got {str(path)!r}")


def save_probe_picture(record: ProbeRecord, path: str | os.PathLike[str]) -> None:
    """Draw ``record`` into the file at ``path``, in the format of its ending. Raises ProbeError, OSError."""
    check_picture_path(path)
    field = "Software" if Path(path).suffix.lower() == ".png" else "Creator"
    probe_figure(record).savefig(path, dpi=150, metadata={field: MARK})


def is_probe_picture(path: str | os.PathLike[str]) -> bool:
    """Whether the file at ``path`` was drawn here. Raises OSError."""
    with open(path, "rb") as file:
        return MARK.encode() in file.read(MOST_BYTES)  # of a PDF at the end


def sorted_types(record: ProbeRecord) -> list[str]:
    """The types, the most harmless first: by their mean accuracy over the magnitudes."""
    left = record.measured("accuracy")
    return sorted(left, key=lambda name: -sum(left[name]) / len(left[name]))


def probe_figure(record: ProbeRecord) -> Figure:
    """The heat map, the most harmless type on top."""
    names = sorted_types(record)
    left = record.measured("accuracy")
    baseline = record.baseline[MEASURES.index("accuracy")]
    columns = len(record.magnitudes)
    colours = matplotlib.colormaps[COLOUR_MAP]
    scale = Normalize(0.0, max(baseline, *(max(values) for values in left.values()), 1e-9))

    figure = Figure(figsize=(4.6 + 0.8 * columns, 1.8 + 0.36 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a screen, and without pyplot's global state
    axes = figure.add_subplot()
    for line, name in enumerate(names):
        values = left[name]
        width = columns / len(values)  # a type without magnitude has one cell, as wide as the others' five
        for place, value in enumerate(values):
            draw_cell(axes, place * width, line, width, value, scale, colours)
    axes.set(xlim=(0, columns), ylim=(len(names), 0), xlabel="magnitude")
    axes.set_xticks([place + 0.5 for place in range(columns)], [f"{magnitude:g}" for magnitude in record.magnitudes])
    axes.set_yticks([line + 0.5 for line in range(len(names))], [label(name) for name in names])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.suptitle(
        f"Accuracy left after one operation, in percent\n{about_line(record)}as they are: {100 * baseline:.1f} %",
        fontsize="medium",
    )
    return figure


def draw_cell(axes: Axes, x: float, y: float, width: float, value: float, scale: Normalize, colours: Colormap) -> None:
    """A rectangle with the accuracy ``value`` as its colour, and in it as a number of percent."""
    colour = colours(scale(value))
    axes.add_patch(Rectangle((x, y), width, 1, facecolor=colour, edgecolor="white", linewidth=1))
    red, green, blue, _ = colour
    ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
    axes.text(x + width / 2, y + 0.5, f"{100 * value:.0f}", ha="center", va="center", color=ink, fontsize="small")


def label(name: str) -> str:
    """The type, and its range in its own unit."""
    row = OPERATION_TYPES[name]
    if not row.has_magnitude:
        return name
    sign = "±" if row.signed else ""
    return f"{name}   {row.low:.3g} … {sign}{row.high:.3g} {row.unit}"


def about_line(record: ProbeRecord) -> str:
    """What was measured, as far as the record says."""
    about = record.about
    parts = []
    if isinstance(about.get("data"), str):
        parts.append(about["data"][-60:].replace("$", r"\$"))  # else what is between two $ would be a formula
    if isinstance(about.get("probed_images"), int):
        parts.append(f"{about['probed_images']} validation images")
    return ", ".join(parts) + ("; " if parts else "")

"""A policy as a picture: some images as they are, and below, a row for each sub-policy, the same images under it."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from torch import Tensor

from tuun_da.augment.policy import Policy
from tuun_da.errors import ConfigError, DataError
from tuun_da.operations import OPERATION_TYPES, Operation, SubPolicy
from tuun_da.policy_format import PolicyRecord

# All in pixels.
SMALLEST_PICTURE = 96  # smaller images are enlarged to that or just above
LARGEST_SIZE = 512
MARGIN = 12
GAP = 4  # between pictures
LETTER_HEIGHT = 12
LETTER_WIDTH = 7.25  # of the monospaced font
LINE_HEIGHT = 16
CAPTION_LETTERS = 44  # the longest type with its setting
CAPTION_WIDTH = round(CAPTION_LETTERS * LETTER_WIDTH)
MOST_PIXELS = 100_000_000
FONT = "DejaVu Sans Mono"  # comes with matplotlib
SOFTWARE = "tuun_da's contact sheet"  # in the file, so that it may be overwritten
PAPER = 240  # of 255, a light grey, on which pictures with white rims have an end

DOTS_PER_INCH = 64  # a power of 2, so that inches times this are whole pixels again


def save_contact_sheet(
    record: PolicyRecord,
    images: Tensor,
    path: str | os.PathLike[str],
    *,
    rows: int | None = None,
    seed: int = 0,
    title: str = "",
) -> None:
    """Write the sheet as a PNG file. Raises ConfigError, DataError, OSError.

    ``images`` uint8 (n, 1 or 3, h, w) are the columns. ``rows`` is the largest number of sub-policies, None for all.
    """
    check_sheet_path(path)
    pictures = sheet_pictures(record, images, rows=rows, seed=seed)
    captions = [["as they are"]]
    captions += [caption(i, one) for i, one in enumerate(record.sub_policies[: len(pictures) - 1], 1)]
    head = drawable(about(record, shown=len(pictures) - 1, seed=seed, title=title))
    sheet_figure(pictures, captions, head).savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": SOFTWARE})


def is_contact_sheet(path: str | os.PathLike[str]) -> bool:
    """Whether the PNG file at ``path`` was written here. Raises OSError."""
    with open(path, "rb") as file:
        return b"Software\0" + SOFTWARE.encode() in file.read(4096)  # the text comes before the pixels


def drawable(text: str) -> str:
    """``text`` with a question mark for each letter that the font does not have."""
    font = get_font(findfont(FONT))
    return "".join(letter if letter.isspace() or font.get_char_index(ord(letter)) else "?" for letter in text)


def check_sheet_path(path: str | os.PathLike[str]) -> None:
    """Raise ConfigError unless ``path`` ends in .png."""
    if Path(path).suffix.lower() != ".png":
        raise ConfigError(f"a contact sheet's file must end in .png, got {str(path)!r}")


def searched_size(record: PolicyRecord) -> int | None:
    """The side of the images that the policy was searched on, if its file says so and a sheet can hold such ones."""
    size = record.searched.get("image_size")
    return size if isinstance(size, int) and not isinstance(size, bool) and 4 <= size <= LARGEST_SIZE else None


def sheet_pictures(record: PolicyRecord, images: Tensor, *, rows: int | None, seed: int) -> list[Tensor]:
    """The rows of the sheet, uint8 (n, 3, h, w): ``images``, and then what each sub-policy makes of them.

    Operations are applied with their probabilities; ``unchanged_share`` is left out. Fewer ``rows`` are the first rows
    of more.
    """
    if rows is not None and (isinstance(rows, bool) or not isinstance(rows, int) or rows < 1):
        raise ConfigError(f"rows must be a whole number from 1 on, got {rows!r}")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ConfigError(f"seed must be a whole number from 0 to 2 ** 63 - 1, got {seed!r}")
    if images.ndim != 4 or images.dtype != torch.uint8 or len(images) == 0:
        raise DataError(f"a sheet needs images (n, c, h, w) of uint8, got {tuple(images.shape)} of {images.dtype}")
    generator = torch.Generator().manual_seed(seed)
    pictures = [images]
    for sub_policy in record.sub_policies[:rows]:
        pictures.append(Policy.from_sub_policies([sub_policy], per="image")(images, generator=generator))
    return [row.expand(-1, 3, -1, -1) for row in pictures]


def sheet_figure(pictures: Sequence[Tensor], captions: Sequence[Sequence[str]], title: str) -> Figure:
    """The rows of ``pictures``, uint8 (n, 3, h, w), enlarged by whole numbers, each with its caption on the left."""
    n, _, height, width = pictures[0].shape
    factor = max(1, -(-SMALLEST_PICTURE // max(height, width)))
    height, width = height * factor, width * factor
    sheet_width = MARGIN + CAPTION_WIDTH + n * (GAP + width) + MARGIN
    head = textwrap.wrap(title, int((sheet_width - 2 * MARGIN) / LETTER_WIDTH))
    tops = [MARGIN + (len(head) * LINE_HEIGHT + MARGIN if head else 0)]
    for lines in captions:
        tops.append(tops[-1] + max(height, len(lines) * LINE_HEIGHT) + MARGIN)
    sheet_height = tops.pop()
    if sheet_height * sheet_width > MOST_PIXELS:
        raise ConfigError(
            f"the sheet would have {sheet_width} x {sheet_height} pixels, more than {MOST_PIXELS}: "
            "ask for fewer rows or columns"
        )

    canvas = torch.full((sheet_height, sheet_width, 3), PAPER, dtype=torch.uint8)
    for top, row in zip(tops, pictures, strict=True):
        for column, picture in enumerate(row):
            left = MARGIN + CAPTION_WIDTH + GAP + column * (GAP + width)
            enlarged = picture.permute(1, 2, 0).repeat_interleave(factor, 0).repeat_interleave(factor, 1)
            canvas[top : top + height, left : left + width] = enlarged

    figure = Figure(figsize=(sheet_width / DOTS_PER_INCH, sheet_height / DOTS_PER_INCH), dpi=DOTS_PER_INCH)
    FigureCanvasAgg(figure)  # draws without a screen, and without pyplot's global state
    figure.figimage(canvas.numpy(), origin="upper")  # pixel by pixel
    for top, lines in zip((MARGIN, *tops), (head, *captions), strict=True):
        for number, line in enumerate(lines):
            figure.text(
                MARGIN / sheet_width,
                1.0 - (top + number * LINE_HEIGHT) / sheet_height,
                line,
                va="top",
                family=FONT,
                fontsize=LETTER_HEIGHT * 72 / DOTS_PER_INCH,
                parse_math=False,  # else what is between two $ would be a formula
            )
    return figure


def caption(number: int, sub_policy: SubPolicy) -> list[str]:
    """The lines beside a row: the sub-policy's number, and its operations with probability and setting."""
    lines = [f"sub-policy {number}"]
    for operation in sub_policy.operations:
        lines += textwrap.wrap(described(operation), CAPTION_LETTERS, subsequent_indent=" " * 7)
    return lines


def described(operation: Operation) -> str:
    """Probability, type, and setting in its own unit."""
    row = OPERATION_TYPES[operation.type]
    setting = f" {'±' if row.signed else ''}{operation.value:.3g} {row.unit}" if row.has_magnitude else ""
    return f"p {operation.probability:.2f} {operation.type}{setting}"


def about(record: PolicyRecord, *, shown: int, seed: int, title: str) -> str:
    """What the sheet is of."""
    n = len(record.sub_policies)
    which = f"{n} sub-policies" if n > 1 else "1 sub-policy"
    if shown < n:
        which = f"the first {shown} of {which}"
    each = "mini-batch" if record.per == "batch" else "image"
    sentences = [
        f"{title}: {which}." if title else f"{which[0].upper()}{which[1:]}.",
        f"Each {each} draws one; each image takes each of its operations with probability p.",
        f"Drawn with seed {seed}.",
    ]
    if record.unchanged_share > 0.0:
        sentences.insert(2, f"(A share of {record.unchanged_share:.3g} of the images stays as it is; not shown.)")
    return " ".join(sentences)

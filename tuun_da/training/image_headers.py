"""What image files say of themselves before their pixels: width, height, kind. Quick, because nothing is decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from PIL import Image
from PIL.ExifTags import Base

from tuun_da.training.image_files import FORMATS, is_grey_with_alpha

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "1": "black and white", "L": "grey", "LA": "grey with alpha", "La": "grey with alpha", "P": "palette",
        "PA": "palette with alpha", "RGB": "colour", "RGBA": "colour with alpha", "RGBa": "colour with alpha",
    }
)  # fmt: skip
"""What Pillow's modes are; other ones keep Pillow's name."""
DEEP_GREY = "grey of more than 8 bits"
GREY_KINDS = frozenset({"black and white", "grey", "grey with alpha", DEEP_GREY})
TURNED = frozenset({5, 6, 7, 8})  # EXIF orientations that lie on their side


@dataclass(frozen=True)
class ImageHeader:
    """``width`` and ``height`` in pixels of the upright image, and what ``kind`` its pixels are of."""

    width: int
    height: int
    kind: str


def read_header(path: Path) -> ImageHeader | None:
    """The header of the image file at ``path``; None where there is none to be read."""
    try:
        with Image.open(path, formats=FORMATS) as file:
            width, height = file.size
            if file.getexif().get(Base.Orientation) in TURNED:
                width, height = height, width
            kind = "grey with alpha" if is_grey_with_alpha(file) else kind_of_mode(file.mode)
            return ImageHeader(width, height, kind)
    except Exception:  # Pillow's readers raise anything from OSError to SyntaxError and struct.error
        return None


def kind_of_mode(mode: str) -> str:
    """Pillow's ``mode`` in words."""
    return DEEP_GREY if mode.startswith("I") else KINDS.get(mode, mode)

"""The policy on images, as PNG or JPEG inside of data URIs: an image each, so that a narrow page can wrap them."""

from __future__ import annotations

import base64
import io

from matplotlib.image import imsave
from torch import Tensor

from tuun_da.policy_format import PolicyRecord
from tuun_da.report.contact_sheet import sheet_pictures
from tuun_da.report.report_data import Pictures

MOST_ROWS = 10  # sub-policies that are shown
COLUMNS = 8
LARGEST_SIDE = 160  # images are read at that size at most
LARGEST_PNG_SIDE = 64  # larger images are photographs, which JPEG makes small enough
JPEG_QUALITY = 85


def policy_pictures(record: PolicyRecord, images: Tensor, *, source: str, seed: int = 0) -> Pictures:
    """``images`` uint8 (n, 1 or 3, h, w) as they are, and under each of the first sub-policies of ``record``."""
    rows = sheet_pictures(record, images, rows=MOST_ROWS, seed=seed)
    side = max(images.shape[-2:])
    return Pictures(
        tuple(tuple(_data_uri(picture, as_png=side <= LARGEST_PNG_SIDE) for picture in row) for row in rows),
        seed=seed,
        source=source,
        pixelated=side <= LARGEST_PNG_SIDE,
    )


def _data_uri(picture: Tensor, *, as_png: bool) -> str:
    """``picture`` uint8 (3, h, w)."""
    file = io.BytesIO()
    pixels = picture.permute(1, 2, 0).contiguous().numpy()
    if as_png:
        imsave(file, pixels, format="png")
    else:
        imsave(file, pixels, format="jpg", pil_kwargs={"quality": JPEG_QUALITY})
    return f"data:image/{'png' if as_png else 'jpeg'};base64,{base64.b64encode(file.getvalue()).decode()}"

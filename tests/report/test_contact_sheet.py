"""The contact sheet of a policy: every picture is where it belongs, pixel by pixel, and every operation is named."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from PIL import Image

from tuun_da import Operation, SubPolicy
from tuun_da.augment.policy import Policy
from tuun_da.errors import ConfigError, DataError
from tuun_da.operations import OPERATION_TYPES
from tuun_da.policy_format import PolicyRecord
from tuun_da.report import contact_sheet
from tuun_da.report.contact_sheet import (
    CAPTION_LETTERS,
    CAPTION_WIDTH,
    GAP,
    LINE_HEIGHT,
    MARGIN,
    PAPER,
    caption,
    described,
    save_contact_sheet,
    searched_size,
    sheet_pictures,
)

RECORD = PolicyRecord(
    (
        SubPolicy((Operation("invert", 1.0, 0.0),)),
        SubPolicy((Operation("rotate", 0.5, 0.7), Operation("translateX", 0.25, 1.0))),
        SubPolicy((Operation("posterize", 0.0, 1.0),)),
    )
)


def make_images(n=5, channels=3, side=16):
    shape = (n, channels, side, side)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def written(tmp_path, record, images, **options):
    """The sheet as it is read back, (h, w, 3)."""
    save_contact_sheet(record, images, tmp_path / "sheet.png", **options)
    with Image.open(tmp_path / "sheet.png") as file:
        return np.asarray(file.convert("RGB"))


def found_rows(sheet, side, columns):
    """The pictures of each row, cut out where as many lines as a picture has show something in the first column."""
    left = MARGIN + CAPTION_WIDTH + GAP
    covered = (sheet[:, left : left + side] != PAPER).any(axis=(1, 2))
    changes = np.flatnonzero(np.diff(covered, prepend=False, append=False))
    tops = [top for top, end in zip(changes[::2], changes[1::2], strict=True) if end - top == side]
    return [[sheet[top : top + side, left + i * (GAP + side) :][:, :side] for i in range(columns)] for top in tops]


def enlarged(image, factor):
    """(c, h, w) to (h, w, 3), each pixel a square; by Pillow's nearest neighbour."""
    pixels = image.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(pixels)
    return np.asarray(picture.resize([side * factor for side in picture.size], Image.Resampling.NEAREST))


@pytest.mark.parametrize(("channels", "side", "factor"), [(3, 16, 6), (1, 8, 12), (3, 96, 1), (3, 130, 1), (1, 33, 3)])
def test_originals_come_first_and_then_a_row_for_each_sub_policy(tmp_path, channels, side, factor):
    images = make_images(4, channels, side)
    rows = found_rows(written(tmp_path, RECORD, images), side * factor, 4)
    assert len(rows) == 1 + 3
    for image, picture in zip(images, rows[0], strict=True):
        assert np.array_equal(picture, enlarged(image, factor))
    for image, picture in zip(images, rows[1], strict=True):
        assert np.array_equal(picture, 255 - enlarged(image, factor))
    for image, picture in zip(images, rows[3], strict=True):  # of probability 0
        assert np.array_equal(picture, enlarged(image, factor))


def test_pictures_are_the_policys_own_and_the_seed_draws_them(tmp_path):
    images = make_images(6)
    rows = sheet_pictures(RECORD, images, rows=None, seed=3)
    generator = torch.Generator().manual_seed(3)
    for sub_policy, row in zip(RECORD.sub_policies, rows[1:], strict=True):
        wanted = Policy.from_sub_policies([sub_policy], per="image")(images, generator=generator)
        assert torch.equal(row, wanted)
    same = [
        (one == other).flatten(1).all(1)
        for one, other in zip(rows, sheet_pictures(RECORD, images, rows=None, seed=4), strict=True)
    ]
    assert [bool(row.all()) for row in same] == [True, True, False, True]  # only rotate and translateX have chance
    changed = (rows[2] != images).flatten(1).any(1)
    assert changed.any()
    assert not changed.all()  # operations are taken with their probability
    drawn = found_rows(written(tmp_path, RECORD, images, seed=3), 96, 6)
    assert all(
        np.array_equal(picture, enlarged(image, 6))
        for row, pictures in zip(rows, drawn, strict=True)
        for image, picture in zip(row, pictures, strict=True)
    )


@pytest.mark.parametrize("rows", [1, 2, 3, 9])
def test_fewer_rows_are_the_first_ones(tmp_path, rows):
    images = make_images(2)
    few = found_rows(written(tmp_path, RECORD, images, rows=rows), 96, 2)
    every = found_rows(written(tmp_path, RECORD, images), 96, 2)
    assert len(few) == 1 + min(rows, 3)
    assert np.array_equal(few, every[: len(few)])


def test_the_sheet_is_as_large_as_its_rows_and_columns(tmp_path):
    heights = {rows: written(tmp_path, RECORD, make_images(2), rows=rows).shape[0] for rows in (1, 2)}
    assert heights[2] - heights[1] == 96 + MARGIN
    widths = {n: written(tmp_path, RECORD, make_images(n)).shape[1] for n in (4, 5)}
    assert widths[5] - widths[4] == 96 + GAP
    assert widths[4] == 2 * MARGIN + CAPTION_WIDTH + 4 * (GAP + 96)


def texts(monkeypatch, record, images, tmp_path, **options):
    """All that is written on the sheet."""
    from matplotlib.figure import Figure

    seen = []
    plain = Figure.text
    monkeypatch.setattr(Figure, "text", lambda self, x, y, s, **rest: seen.append(s) or plain(self, x, y, s, **rest))
    save_contact_sheet(record, images, tmp_path / "sheet.png", **options)
    return "\n".join(seen)


def test_captions_name_operations_probabilities_and_values(monkeypatch, tmp_path):
    said = texts(monkeypatch, RECORD, make_images(), tmp_path, seed=5, title="found.json")
    words = " ".join(said.split())
    assert "as they are sub-policy 1 p 1.00 invert sub-policy 2 p 0.50 rotate ±21 degrees" in words
    assert "p 0.25 translateX ±0.453 share of the width" in words
    assert "sub-policy 3 p 0.00 posterize 4 bits" in words
    assert words.startswith("found.json: 3 sub-policies. Each mini-batch draws one;")
    assert "Drawn with seed 5." in words
    assert "stays as it is" not in words


def test_the_head_says_what_is_not_shown(monkeypatch, tmp_path):
    record = PolicyRecord(RECORD.sub_policies, "image", 0.3)
    words = " ".join(texts(monkeypatch, record, make_images(), tmp_path, rows=2, title="$a_b$ \n<c>").split())
    assert words.startswith("$a_b$ <c>: the first 2 of 3 sub-policies. Each image draws one;")
    assert "(A share of 0.3 of the images stays as it is; not shown.)" in words


@pytest.mark.parametrize("name", OPERATION_TYPES)
def test_captions_fit_beside_the_pictures(name):
    lines = caption(1000, SubPolicy((Operation(name, 0.123456, 0.123456),) * 3))
    assert all(len(line) <= CAPTION_LETTERS for line in lines)
    assert len(lines) >= 4
    words = " ".join(" ".join(lines).split())
    assert words.count(described(Operation(name, 0.123456, 0.123456))) == 3


def test_a_long_sub_policy_has_room_and_hides_nothing(tmp_path):
    long = SubPolicy((Operation("posterize", 0.0, 0.5),) * 40)
    record = PolicyRecord((long, SubPolicy((Operation("invert", 1.0, 0.0),))))
    images = make_images(3)
    sheet = written(tmp_path, record, images)
    rows = found_rows(sheet, 96, 3)
    assert len(rows) == 3
    assert np.array_equal(rows[2][0], 255 - enlarged(images[0], 6))
    assert sheet.shape[0] > 41 * LINE_HEIGHT + 2 * 96
    # ink beside the second row of pictures, over all 41 lines, and none in the margins
    ink = (sheet[:, : MARGIN + CAPTION_WIDTH] < 100).any(axis=(1, 2))
    assert ink.sum() > 41 * 6
    assert (sheet[:, :MARGIN] == PAPER).all()
    below_the_head = sheet[100:]
    assert (below_the_head[:, MARGIN + CAPTION_WIDTH : MARGIN + CAPTION_WIDTH + GAP] == PAPER).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rows": 0}, ConfigError, "rows must be a whole number from 1 on, got 0"),
        ({"rows": True}, ConfigError, "got True"),
        ({"seed": -1}, ConfigError, r"seed must be a whole number from 0 to 2 \*\* 63 - 1, got -1"),
        ({"images": make_images()[0]}, DataError, re.escape("needs images (n, c, h, w) of uint8, got (3, 16, 16)")),
        ({"images": make_images() / 255}, DataError, "of torch.float32"),
        ({"images": make_images()[:0]}, DataError, re.escape("got (0, 3, 16, 16)")),
        ({"path": "sheet.jpg"}, ConfigError, "must end in .png, got '.*sheet.jpg'"),
        ({"path": "sheet"}, ConfigError, "must end in .png"),
        (
            {"images": make_images(1, 1, 96).expand(1100, 1, 96, 96), "rows": None},
            ConfigError,
            "pixels, more than 1000",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_drawn_is_refused(tmp_path, options, error, message):
    options = {"images": make_images(), "path": "sheet.png", **options}
    record = PolicyRecord((SubPolicy((Operation("invert", 0.0, 0.0),)),) * 9)
    with pytest.raises(error, match=message):
        save_contact_sheet(record, options.pop("images"), tmp_path / options.pop("path"), **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("said", "wanted"),
    [(32, 32), (4, 4), (3, None), (513, None), ("32", None), (None, None), (True, None), (32.0, None)],
)
def test_the_size_is_the_searchs_where_that_is_one(said, wanted):
    assert searched_size(PolicyRecord(RECORD.sub_policies, searched={"image_size": said})) == wanted
    assert searched_size(RECORD) is None


def test_letters_that_the_font_lacks_are_question_marks_and_no_warnings(recwarn, tmp_path):
    strange = "\N{CJK UNIFIED IDEOGRAPH-7B56}\N{CJK UNIFIED IDEOGRAPH-7565}"
    assert contact_sheet.drawable(f"ok {strange}.json ±") == "ok ??.json ±"
    record = PolicyRecord((SubPolicy((Operation("invert", 1.0, 0.0),)),), "image")
    images = torch.zeros((2, 1, 8, 8), dtype=torch.uint8)
    contact_sheet.save_contact_sheet(record, images, tmp_path / "s.png", title=strange)
    assert not recwarn.list
    assert contact_sheet.is_contact_sheet(tmp_path / "s.png")

"""The picture of a probe holds the numbers of the probe, where and in the colour that they belong."""

from __future__ import annotations

import numpy as np
import pytest
from made_probes import made_probe
from matplotlib.image import imread

from tuun_da.errors import ProbeError
from tuun_da.operations import OPERATION_TYPES
from tuun_da.probe_format import ProbeRecord
from tuun_da.report.probe_picture import probe_figure, save_probe_picture, sorted_types

PROBE = made_probe(data="digits", probed_images=400)


def cells(figure):
    """The number in each cell, by its line and column."""
    [axes] = figure.axes
    return {(int(text.get_position()[1]), text.get_position()[0]): text.get_text() for text in axes.texts}


def test_every_number_stands_in_its_cell():
    figure = probe_figure(PROBE)
    found = cells(figure)
    expected = {}
    for line, name in enumerate(sorted_types(PROBE)):
        rows = PROBE.effects[name]
        places = [2.5] if len(rows) == 1 else [0.5, 1.5, 2.5, 3.5, 4.5]
        for place, row in zip(places, rows, strict=True):
            expected[line, place] = f"{100 * (0.5 + row[0]):.0f}"
    assert found == expected
    assert len(found) == 13 * 5 + 3
    [axes] = figure.axes
    labels = [label.get_text().split()[0] for label in axes.get_yticklabels()]
    assert labels == sorted_types(PROBE)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.25", "0.5", "0.75", "1"]


def test_the_most_harmless_type_is_on_top():
    left = PROBE.measured("accuracy")
    means = [np.mean(left[name]) for name in sorted_types(PROBE)]
    assert means == sorted(means, reverse=True)
    assert set(sorted_types(PROBE)) == set(OPERATION_TYPES)


def test_the_lighter_the_more_accuracy_is_left_and_the_numbers_can_be_read():
    [axes] = probe_figure(PROBE).axes
    shares, lights = [], []
    for patch, text in zip(axes.patches, axes.texts, strict=True):
        light = float(np.dot(patch.get_facecolor()[:3], (0.299, 0.587, 0.114)))
        ink = {"black": 0.0, "white": 1.0}[text.get_color()]
        assert abs(light - ink) >= 0.49
        shares.append(float(text.get_text()))
        lights.append(light)
    order = np.argsort(shares, kind="stable")
    assert np.all(np.diff(np.array(lights)[order]) > -0.02)  # numbers are rounded to percent


def test_the_title_has_the_baseline_and_what_was_measured():
    title = probe_figure(PROBE).get_suptitle()
    assert "50.0 %" in title
    assert "digits, 400 validation images" in title
    assert "50.0 %" in probe_figure(made_probe()).get_suptitle()


@pytest.mark.parametrize(
    "probe",
    [
        made_probe((0.5,)),
        made_probe(data="folder:/a$b$c^{" + 500 * "x"),
        made_probe(data={"not": "a name"}, probed_images="many"),
        ProbeRecord((0.0,), (0.0,) * 4, dict.fromkeys(OPERATION_TYPES, ((0.0,) * 4,))),
    ],
    ids=["one magnitude", "a strange name", "other types", "nothing right"],
)
def test_any_probe_can_be_drawn(probe, tmp_path):
    save_probe_picture(probe, tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 1000


@pytest.mark.parametrize(("suffix", "head"), [(".png", b"\x89PNG"), (".SVG", b"<?xml"), (".pdf", b"%PDF")])
def test_the_ending_says_the_format(suffix, head, tmp_path):
    path = tmp_path / f"probe{suffix}"
    save_probe_picture(PROBE, path)
    assert path.read_bytes().startswith(head)
    if suffix == ".png":
        height, width, _ = imread(path).shape
        assert height > 800
        assert width > 1000


def test_another_ending_is_a_mistake(tmp_path):
    with pytest.raises(ProbeError, match=r"a picture's file must end in .png, .svg, .pdf, got '.*probe.txt'"):
        save_probe_picture(PROBE, tmp_path / "probe.txt")
    assert list(tmp_path.iterdir()) == []

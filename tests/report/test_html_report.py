"""The page, parsed: whole, self-contained, in order, and nothing from outside is markup."""

from __future__ import annotations

import base64
import dataclasses
import io
import itertools
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from made_journals import HOSTILE, confirmation_file, made_journal
from made_probes import made_probe
from PIL import Image

from tuun_da.api.experiment_report import experiment_report, report_text
from tuun_da.policy_format import PolicyRecord
from tuun_da.report.html_tables import effects_table
from tuun_da.report.policy_pictures import policy_pictures
from tuun_da.report.svg_chart import ticks
from tuun_da.search.effects import Estimate

VOID = {"meta", "link", "img", "br", "wbr"}
SVG_ALONE = {"line", "path", "circle"}


class Page(HTMLParser):
    """Elements in order, and the text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        assert tag in SVG_ALONE

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(plain_report):
    return Page(report_text(plain_report, "html"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A report of an experiment all of whose words are attacks, with a probe and a confirmation that are, too."""
    folder = tmp_path_factory.mktemp("hostile")
    made_probe(types=("rotate", "invert", "randomHorizontalFlip", "autocontrast", "translateX"), data=HOSTILE).save(
        folder / "probe.json"
    )
    path = made_journal(
        folder / "j",
        words=HOSTILE,
        probe=str(folder / "probe.json"),
        details={"hardware": {HOSTILE: HOSTILE}},
        others={HOSTILE: {"_type": "choice", "_value": [HOSTILE, "`|</code></pre>"]}},
    )
    header, _, rest = path.read_bytes().partition(b"\n")  # versions, too
    header = re.sub(rb', "crc": "\w+"', b"", header).replace(b'"versions": {', b'"versions": {"<b>": "<i>", ', 1)
    path.write_bytes(header + b"\n" + rest)
    confirmation = confirmation_file(folder / "c.json", HOSTILE)
    return experiment_report(path, named=HOSTILE, confirmation=str(confirmation))


def test_the_page_says_what_it_is(page):
    assert page.named("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.named("meta")
    assert page.elements.count(("head", {})) == 1
    assert len(page.named("main")) == 1


def test_headings_go_down_by_one_level_at_a_time(page, hostile):
    for one in (page, Page(report_text(hostile, "html"))):
        levels = [int(tag[1]) for tag, _ in one.elements if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_nothing_is_fetched_and_nothing_runs(page, hostile):
    for one in (page, Page(report_text(hostile, "html"))):
        for tag, attributes in one.elements:
            assert tag not in ("script", "iframe", "object", "embed", "form", "base")
            for name, value in attributes.items():
                assert not name.startswith("on")
                if name in ("src", "href"):
                    assert value.startswith(("data:", "#"))
        [policy] = [m["content"] for m in one.named("meta") if m.get("http-equiv") == "Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy


def test_contents_lead_to_sections_and_names_are_used_once(page):
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(names)) == len(names)
    links = [a["href"][1:] for a in page.named("a")]
    assert links == [s["id"] for s in page.named("section")]
    assert all(s["aria-labelledby"] in names for s in page.named("section"))


def test_charts_and_pictures_have_words_for_those_who_do_not_see_them(page):
    charts = [attributes for attributes in page.named("svg") if "aria-hidden" not in attributes]
    assert len(charts) == 8  # two of the confirmation, search, curves; each for wide and narrow pages
    assert all(chart["role"] == "img" and len(chart["aria-label"]) > 20 for chart in charts)


def test_every_trial_has_its_point(page, plain_report):
    titles = re.findall(r"trial (\d+): \d", report_text(plain_report, "html"))
    known = {point.trial.id for point in plain_report.baselines}
    for trial in plain_report.succeeded:
        assert titles.count(str(trial.id)) == 2  # in the wide chart and in the narrow one
    diamonds = [a for a in page.named("path") if a.get("class") == "baseline"]
    assert len(diamonds) == 2 * len(known) + 1  # and one in the legend
    crosses = [a for a in page.named("path") if a.get("class") == "ended"]
    assert len(crosses) == 2 * 2 + 1  # the failed one and the stopped one


def test_it_says_how_much_to_believe(page, plain_report):
    assert "+4.00 points against no augmentation, the baseline that was best on validation images" in page.text
    assert "order statistics of the 10 trials" in page.text
    assert "rank correlation" in page.text
    assert "1 trial has no result yet" in page.text
    assert "cost 0.80" in page.text
    assert f"{100 * plain_report.recommended.value:.2f} %" in page.text


def test_attacks_are_words(hostile):
    text = report_text(hostile, "html")
    one = Page(text)
    assert "<script" not in text
    assert "onerror=alert" in text
    assert "<img src=x" not in text
    assert one.text.count(HOSTILE) > 8  # data set, error, parameter, hardware, confirmation, ...
    assert "<b>" in one.text
    assert one.named("b") == one.named("i")[: len(one.named("b"))] == []


def test_attacks_are_words_in_markdown(hostile):
    text = report_text(hostile, "md")
    fences = re.split(r"^(`{3,})\w*\n.*?\n\1$", text, flags=re.DOTALL | re.MULTILINE)
    outside = "".join(fences[::2])
    assert not re.search(r"(?<!\\)<(?!!-- tuun_da report)", outside)
    assert "\\<script\\>" in outside
    rows = [line for line in outside.splitlines() if line.startswith("|")]
    assert rows
    assert not any("onerror" in line and not line.endswith(" |") for line in rows)


def test_no_home_folder_is_shown_unless_asked_for(tmp_path, monkeypatch):
    home = tmp_path / "zebedee & co"
    monkeypatch.setenv("HOME", str(home))
    words = f"folder:{home}/pictures of <me>"
    path = made_journal(home / "exp" / "checkpoint" / "journal.jsonl", words=words, details={"weights": f"{home}/w"})
    confirmation = confirmation_file(home / "c.json", f"{home}/policy.json")
    for form in ("html", "md", "json"):
        given = {"named": str(home / "exp"), "confirmation": str(confirmation)}
        assert "zebedee" not in report_text(experiment_report(path, **given), form)
        assert "zebedee" in report_text(experiment_report(path, **given, paths=True), form)


@pytest.mark.parametrize(("side", "kind"), [(8, "png"), (100, "jpeg")])
def test_pictures_are_of_the_policy_and_few_bytes(plain_report, side, kind):
    images = torch.randint(0, 256, (8, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pictures = policy_pictures(plain_report.record, images, source="<here>")
    one = Page(text := report_text(dataclasses.replace(plain_report, pictures=pictures), "html"))
    shown = one.named("img")
    assert len(shown) == 8 * 3  # as they are, and two sub-policies
    assert all(image["src"].startswith(f"data:image/{kind};base64,") for image in shown)
    assert len({image["alt"] for image in shown}) == len(shown)
    assert len(text) < 3_000_000
    if kind == "png":
        first = Image.open(io.BytesIO(base64.b64decode(shown[2]["src"].partition(",")[2]))).convert("RGB")
        assert np.array_equal(np.asarray(first), images[2].permute(1, 2, 0).numpy())


def test_ten_thousand_trials_are_still_a_small_page(plain_report):
    points = tuple(dataclasses.replace(plain_report.points[1], place=i) for i in range(1, 10_001))
    many = dataclasses.replace(plain_report, points=points, expectation=None, recommended=points[0].trial)
    text = report_text(many, "html")
    assert len(text) < 3_000_000
    drawn = re.findall(r'class="random many" d="([^"]+)"', text)
    assert [path.count("M") for path in drawn] == [10_000, 10_000]


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [
        (0.0, 1.0, 5, [0, 0.5, 1.0]),
        (0.93, 0.98, 5, [0.94, 0.96, 0.98]),
        (0.0, 24.5, 8, [0, 5, 10, 15, 20]),
        (3.0, 3.0, 5, [3.0]),
    ],
)
def test_ticks_are_round(low, high, count, expected):
    assert ticks(low, high, count) == pytest.approx(expected)


def test_the_policy_file_in_the_page_is_the_policy(plain_report):
    one = Page(report_text(plain_report, "html"))
    start = one.text.index('{\n  "version": 1,')
    content, _ = json.JSONDecoder().raw_decode(one.text[start:])
    assert PolicyRecord.from_json(json.dumps(content)).sub_policies == plain_report.record.sub_policies


def test_no_word_turns_the_direction_of_others_and_no_control_character_is_left(plain_report):
    turned = "a\u202eb\u2066c\x9bd\x1be"
    points = tuple(dataclasses.replace(point, label=turned) for point in plain_report.points)
    said = {"data": {"data": turned}}
    report = dataclasses.replace(plain_report, points=points, experiment=turned, trial_settings=said)
    for form in ("html", "md"):
        text = report_text(report, form)
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x80-\x9f\x1b]", text)
    assert "a?b?c?d?e" in report_text(report, "html")


@pytest.mark.parametrize("size", [1e-6, 0.0137, 1.0, 480.0, 2e9])
def test_changes_of_any_size_fit_into_narrow_cells(plain_report, size):
    effects = plain_report.effects
    largest = max(abs(end) for e in effects.types for end in (e.overall.low, e.overall.high))

    def scaled(estimate):
        return Estimate(*(size * number / largest for number in dataclasses.astuple(estimate)))

    types = tuple(
        dataclasses.replace(e, overall=scaled(e.overall), by_magnitude=tuple(map(scaled, e.by_magnitude)))
        for e in effects.types
    )
    report = dataclasses.replace(plain_report, percent=False, effects=dataclasses.replace(effects, types=types))
    table = effects_table(report, report.effects)
    cells = re.findall(r'<td class="(?:help|hurt)[^>]*>([^<]*)</td>', table)
    assert cells
    assert max(map(len, cells)) <= 5
    unit = float(found[1]) if (found := re.search(r"1 stands for ([^:]+):", table)) else 1.0
    means = sorted(round(estimate.mean / unit, 2) for e in types for estimate in e.by_magnitude)
    assert sorted(float(cell.replace("−", "-")) for cell in cells) == pytest.approx(means)

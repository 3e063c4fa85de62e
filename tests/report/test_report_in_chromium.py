"""The page in a real browser: no message on its console, nothing wider than the window, attacks are words."""

from __future__ import annotations

import dataclasses
import html
import json
import re
import shutil
import subprocess

import pytest
import torch
from made_journals import HOSTILE, confirmation_file, made_journal

from tuun_da.api.experiment_report import experiment_report, report_text
from tuun_da.report.policy_pictures import policy_pictures

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
DARK = "--blink-settings=preferredColorScheme=0"
LOOK = """<!DOCTYPE html><body><iframe id="page" src="{page}" width="{width}" height="2000" style="border:0"></iframe>
<script>
document.getElementById("page").onload = event => {{
  const page = event.target.contentDocument, root = page.documentElement;
  const wide = [...page.querySelectorAll("body *")].filter(e => !e.closest("pre, .scroll"))
    .filter(e => e.getBoundingClientRect().right > root.clientWidth + 1).map(e => e.tagName + "." + e.className);
  const scrolling = [...page.querySelectorAll(".scroll")].filter(e => e.scrollWidth > e.clientWidth + 1)
    .map(e => e.querySelector("caption").textContent);
  document.body.dataset.seen = JSON.stringify({{
    width: root.scrollWidth, window: root.clientWidth, wide, scrolling,
    shown: [...page.querySelectorAll("svg.chart[role]")].filter(e => e.getClientRects().length).length,
    pictures: [...page.querySelectorAll("img")].filter(e => e.complete && e.naturalWidth > 0).length,
    scripts: page.querySelectorAll("script, [onerror], [onload]").length, text: page.body.textContent,
    paper: getComputedStyle(page.body).backgroundColor, ink: getComputedStyle(page.body).color,
  }});
}};
</script></body>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report with everything in it, all words hostile."""
    folder = tmp_path_factory.mktemp("browser")
    path = made_journal(folder / "j", words=HOSTILE + "W" * 300, initial=["none"])
    confirmation = confirmation_file(folder / "c.json", HOSTILE)
    report = experiment_report(path, confirmation=str(confirmation), images="none")
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pictures = policy_pictures(report.record, images, source=HOSTILE)
    (folder / "report.html").write_text(report_text(dataclasses.replace(report, pictures=pictures), "html"))
    return folder / "report.html"


def browse(folder, url, *options):
    """The page after its scripts, and what came on the console."""
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--dump-dom",
         "--allow-file-access-from-files",
         "--virtual-time-budget=3000", "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}",
         "--window-size=1400,2200", *options, url],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, re.findall(r":CONSOLE[:(].*", done.stderr)


def look(page, tmp_path, width, *options):
    (tmp_path / "look.html").write_text(LOOK.format(page=page.as_uri(), width=width))
    dom, console = browse(tmp_path, (tmp_path / "look.html").as_uri(), *options)
    found = re.search(r'data-seen="([^"]*)"', dom)
    assert found, dom[:500]
    return json.loads(html.unescape(found[1])), console


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_too_wide_and_the_console_is_empty(page, tmp_path, width, scheme):
    seen, console = look(page, tmp_path, width, *([DARK] if scheme == "dark" else []))
    assert console == []
    assert seen["window"] == width
    assert seen["width"] == width
    assert seen["wide"] == []
    assert seen["scrolling"] == []
    assert seen["shown"] == 4  # of each chart the drawing for this width
    assert seen["pictures"] == 8 * 3
    assert seen["scripts"] == 0
    assert seen["text"].count(HOSTILE) > 5
    light = seen["paper"] == "rgb(255, 255, 255)"
    assert light == (scheme == "light")
    assert page.stat().st_size < 3_000_000


def test_a_message_would_be_noticed(tmp_path):
    (tmp_path / "bad.html").write_text("<script>console.error('broken')</script><p>words</p>")
    _, console = browse(tmp_path, (tmp_path / "bad.html").as_uri())
    assert any("broken" in line for line in console)


def test_a_page_that_is_too_wide_would_be_noticed(tmp_path):
    (tmp_path / "wide.html").write_text('<!DOCTYPE html><div style="width:500px;margin:-8px">words</div>')
    seen, _ = look(tmp_path / "wide.html", tmp_path, 390)
    assert seen["width"] >= 490


def test_it_prints(page, tmp_path):
    printed = tmp_path / "page.pdf"
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--print-to-pdf={printed}"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    content = printed.read_bytes()
    assert content.startswith(b"%PDF")
    assert 2 <= content.count(b"/Type /Page\n") <= 40

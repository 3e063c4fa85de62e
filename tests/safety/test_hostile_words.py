"""Words from outside are words: in a page, in Markdown, in a spreadsheet, on a terminal. One of each attack in every
place where a report shows what it was given; a real browser judges."""

from __future__ import annotations

import csv
import html
import io
import json
import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tuun_da import cli
from tuun_da.api.experiment_report import experiment_report, report_text
from tuun_da.plain_text import COMMANDS, PrintableFormatter, printable
from tuun_da.report.markdown_report import fenced, plain
from tuun_da.report.trials_table import trials_csv, trials_table
from tuun_da.search.history import Trial, TrialState, read_journal

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from made_journals import confirmation_file, made_journal  # where the tests of the report have it

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

RAN = "document.title='RAN'"
ATTACKS = (
    f"<script>{RAN}</script>",
    f'"><img src=x onerror="{RAN}">',
    f"' onmouseover='{RAN}' autofocus onfocus='{RAN}",
    f'<a href="javascript:{RAN}">x</a> javascript:{RAN}',
    f"</title></style></svg></text></pre></code></td><script>{RAN}</script>",
    f"]]><svg onload={RAN}><animate onbegin={RAN} attributeName=x dur=1s>",
    "</style><style>*{display:none!important}",
    "}*{background:url(https://evil.example/x)}",
    '<iframe src="https://evil.example"></iframe><base href="https://evil.example/">',
    '<meta http-equiv="refresh" content="0;url=https://evil.example/">',
    "<!-- --><form action=https://evil.example><button>x",
    "&lt;script&gt; &#x3c;b&#x3e; &amp;",
    "\u202egpj.exe\u2066x\u2069",
    "\x00\x1b[31m\x07\x9b2J",
    "{{7*7}} ${7*7} <%= 7 %>",
)
EVERYTHING = " ".join(ATTACKS)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Of a journal in which every text is an attack."""
    folder = tmp_path_factory.mktemp("attacked")
    path = made_journal(
        folder / "j", n_trials=13, words=EVERYTHING, details={"hardware": {EVERYTHING: EVERYTHING}}, initial=["none"],
        others={"lr": {"_type": "choice", "_value": [EVERYTHING]}},
    )  # fmt: skip
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["versions"] = {EVERYTHING: EVERYTHING}
    lines[0]["settings"] |= {EVERYTHING: EVERYTHING, "a\ntrialCommand": "evil"}
    lines[0]["settings"]["known"]["initial"][0][0] = EVERYTHING
    path.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "crc"}) + "\n" for line in lines))
    confirmation = confirmation_file(folder / "c.json", EVERYTHING)
    content = json.loads(confirmation.read_text())
    content["metric"] = EVERYTHING
    content["comparisons"][0]["verdict"] = EVERYTHING
    confirmation.write_text(json.dumps(content))
    return experiment_report(path, named=EVERYTHING, confirmation=str(confirmation), images="none")


LOOK = """<!DOCTYPE html><body><iframe id="page" src="page.html" width="1200" height="2000"></iframe><script>
document.getElementById("page").onload = event => {
  const page = event.target.contentDocument, all = [...page.querySelectorAll("*")];
  document.body.dataset.seen = JSON.stringify({
    title: page.title, styles: page.querySelectorAll("style").length,
    tags: [...new Set(all.map(e => e.localName))],
    handlers: all.flatMap(e => [...e.attributes]).filter(a => a.name.startsWith("on")).map(a => a.name),
    links: all.flatMap(e => [e.getAttribute("href"), e.getAttribute("src"), e.getAttribute("action"),
                             e.getAttribute("xlink:href")]).filter(Boolean).map(v => v.slice(0, 11)),
    hidden: getComputedStyle(page.querySelector("h1")).display, text: page.body.textContent,
  });
};
</script></body>"""


@pytest.mark.e2e
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_sees_words_only(report, tmp_path):
    (tmp_path / "page.html").write_text(report_text(report, "html"))
    (tmp_path / "look.html").write_text(LOOK)
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--allow-file-access-from-files",
         "--virtual-time-budget=3000", "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}",
         (tmp_path / "look.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    found = re.search(r'data-seen="([^"]*)"', done.stdout)
    assert found, done.stderr[-500:]
    seen = json.loads(html.unescape(found[1]))
    assert "RAN" not in seen["title"][:3]
    assert seen["styles"] == 1
    assert not {"script", "iframe", "base", "form", "button", "object", "embed", "animate", "foreignobject"} & {
        *seen["tags"]
    }
    assert seen["handlers"] == []
    assert {link[:1] for link in seen["links"] if not link.startswith("data:")} <= {"#"}
    assert seen["hidden"] == "block"
    for attack in ATTACKS:
        assert seen["text"].count(" ".join(COMMANDS.sub("?", attack).split())[:30]) > 3
    assert "CONSOLE" not in done.stderr  # nothing was tried that the page's policy had to forbid


def test_a_page_holds_no_character_that_turns_the_writing(report):
    for form in ("html", "md"):
        assert not COMMANDS.search(report_text(report, form))


def test_markdown_holds_no_markup_of_others(report):
    text = report_text(report, "md")
    outside = re.sub(r"^(`{3,})\w*\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert not re.search(r"(?<!\\)<(?!!-- tuun_da report -->)", outside)
    assert not re.search(r"(?<!\\)\]\(", outside)
    assert not re.search(r"(?<!\\)://|(?<!\\)\bwww\.(?=\w)", outside)
    assert not re.search(r"(?<!\\)\|(?! |\n|---)", outside.replace("|\n", "\n"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://a.b/c", r"see https\://a.b/c"),
        ("www.a.b", r"www\.a.b"),
        ("mailto:x@y.z", r"mailto\:x\@y.z"),
        ("- a", r"\- a"),
        ("12. a", r"12\. a"),
        ("--- x", r"\--- x"),
        ("a\n\n# b", r"a \# b"),
        ("![x](y)", r"\!\[x\](y)"),
        ("+0.05", "+0.05"),
        ("a|b", r"a\|b"),
        ("1.5", r"1\.5"),
    ],
)
def test_plain_words_of_markdown(text, shown):
    assert plain(text) == shown


def test_a_fence_holds_what_is_in_it():
    assert fenced("a\n````\n<script>\x1b[0m", "sh") == "`````sh\na\n````\n<script>\\x1b[0m\n`````"


def test_the_configuration_to_search_again_says_nothing_that_the_journal_smuggled_in(report):
    from tuun_da.report.usage import rerun_config

    content = yaml.safe_load(rerun_config(report))
    assert content["trialCommand"].startswith("python3 train.py")
    assert set(content["tuner"]["classArgs"]) <= {"surrogate", "n_initial", "seed", "initial"}
    import shlex

    words = shlex.split(content["trialCommand"])
    assert words[:3] == ["python3", "train.py", "--data"]
    assert words[4].startswith("--")  # the data set's name is one word, whatever is in it


FORMULAS = ("=1+1", "+1", "-1+1|cmd", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n@x")


def journal_of(tmp_path, words):
    path = made_journal(tmp_path / "j", n_trials=4, failed=(2,), stopped=(), left_running=0, words="w")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line.get("state") == "failed":
            line["error"] = words
        if line["kind"] != "header":
            line["parameters"]["extra" if words is None else words] = words
    path.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "crc"}) + "\n" for line in lines))
    return read_journal(path)


@pytest.mark.parametrize("words", FORMULAS)
def test_a_spreadsheet_computes_nothing(tmp_path, words):
    text = trials_csv(journal_of(tmp_path, words))
    for row in csv.reader(io.StringIO(text)):
        for cell in row:
            assert not cell.lstrip().startswith(("=", "+", "@"))
            assert not cell.startswith("-") or float(cell) < 0  # a number is one
    assert f"'{words}".replace("\r", "\n") in text


def test_numbers_of_a_spreadsheet_stay_numbers(tmp_path):
    content = read_journal(made_journal(tmp_path / "j", n_trials=2, failed=(), optimize_mode="minimize"))
    values = [float(row["value"]) for row in csv.DictReader(io.StringIO(trials_csv(content))) if row["value"]]
    assert values == [trial.value for trial in content.trials]
    assert min(values) < 0


@pytest.mark.parametrize("words", ["\x1b[2J\x1b]0;x\x07", "\u202eabc", "a\nb\rc", "\x9b31m", "\ud800", "\u2028"])
def test_a_table_on_a_terminal_holds_no_command(tmp_path, words):
    table = trials_table(journal_of(tmp_path, words))
    assert not COMMANDS.search(table)
    assert len(table.splitlines()) == 5


def test_printable_keeps_letters_of_every_script_and_cuts_what_is_long():
    text = "Größe\t日本 עברית العربية 🤯\n‎é"
    assert printable(text) == text
    assert printable("a\x1b[31m\u202eb\x00\r") == "a\\x1b[31m\\u202eb\\x00\\x0d"
    assert len(printable("x" * 10**6)) < 30_000


def test_errors_of_commands_hold_no_command_of_a_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = "\x1b[31mred\u202e.json"
    (tmp_path / name).write_text('{"\x1b[32m": 1}')
    assert cli.main(["show", name, "--images", "digits", "-o", "x.png"]) == 2
    assert cli.main(["export", name, "--to", "torchvision", "-o", "x.py"]) == 2
    assert cli.main(["trials", name + "no"]) == 2
    said = capsys.readouterr().err
    assert "\\x1b[31mred\\u202e.json" in said
    assert not COMMANDS.search(said)


def test_warnings_hold_no_command_of_a_terminal():
    record = logging.LogRecord("tuun_da", logging.WARNING, "", 0, "left out %s", ("\x1b[31m",), None)
    assert PrintableFormatter().format(record) == "left out \\x1b[31m"


def test_a_path_in_a_journal_names_no_file(tmp_path, monkeypatch):
    """Names in data are words: nothing is written or read under them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    trial = Trial(id=1, parameters={"../../x": "../y", "/etc/z": 1}, state=TrialState.FAILED, error="../../e")
    assert Trial.from_record(trial.to_record()) == trial
    made = made_journal(tmp_path / "in" / "j", n_trials=13, words="../../../up", details={"experiment": "../x"})
    before = set(tmp_path.parent.rglob("*"))
    for form in ("html", "md", "json"):
        report_text(experiment_report(made, images="none"), form)
    assert set(tmp_path.parent.rglob("*")) == before

"""The documentation as a site: built as `make docs` does, a warning an error, and looked at as a browser would."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
import yaml

import tuun_da
from tuun_da.cli import COMMANDS

REPOSITORY = Path(__file__).parents[1]
BUILD = """
import json, logging, sys
from mkdocs.commands.build import build
from mkdocs.config import load_config
config = load_config("mkdocs.yml", site_dir=sys.argv[1], strict=True)
config.plugins.on_startup(command="build", dirty=False)
build(config)
print(json.dumps(sorted({"torch", "nni", "stan", "matplotlib"} & set(sys.modules))))
"""


class Page(HTMLParser):
    """What a page names: where its links lead, what it loads, its anchors, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.pictures: list[dict[str, str | None]] = []
        self.text = ""
        self._silent = 0
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("id"):
            self.anchors.add(str(found["id"]))
        if tag == "a":
            self.links += [str(found["href"])] if found.get("href") else []
        else:
            self.loads += [str(found[key]) for key in ("href", "src", "srcset", "poster") if found.get(key)]
        if tag == "img":
            self.pictures.append(found)
        self._silent += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.text += data


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The site's folder, and which heavy packages its build imported."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(folder)], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def pages(built: tuple[Path, list[str]]) -> dict[str, Page]:
    """The pages by their paths on the site."""
    folder, _ = built
    return {path.relative_to(folder).as_posix(): Page(path) for path in folder.rglob("*.html")}


def test_build_imports_no_torch_and_no_nni(built: tuple[Path, list[str]]) -> None:
    assert built[1] == []


def test_every_page_of_the_navigation_is_there(pages: dict[str, Page]) -> None:
    entries = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text())["nav"]
    names = re.findall(r"'([\w.]+)\.md'", str(entries))
    assert len(names) > 12
    assert {f"{name}.html" for name in names} <= set(pages)
    on_disk = {path.stem for path in (REPOSITORY / "docs").glob("*.md")}
    assert on_disk <= set(names)


def test_public_names_are_in_the_reference(pages: dict[str, Page]) -> None:
    wanted = {f"tuun_da.{name}" for name in tuun_da.__all__}
    wanted |= {f"tuun_da.SearchResult.{name}" for name in vars(tuun_da.SearchResult) if not name.startswith("_")}
    assert wanted <= pages["api.html"].anchors
    assert "tuun_da.Policy.collate" in pages["api.html"].anchors


def test_members_that_the_reference_names_exist(pages: dict[str, Page]) -> None:
    """MkDocs passes over a member that is not there."""
    source = (REPOSITORY / "docs" / "api.md").read_text()
    for name, members in re.findall(r"^::: (\S+)\n    options:\n      members: \[(.*?)\]", source, re.MULTILINE):
        for member in members.split(", "):
            assert f"{name}.{member}" in pages["api.html"].anchors


def test_internal_links_lead_somewhere(pages: dict[str, Page], built: tuple[Path, list[str]]) -> None:
    folder, _ = built
    n_links = 0
    for name, page in pages.items():
        if name == "404.html":  # its links are those of a site at the root of a server
            continue
        for link in (*page.links, *page.loads):
            path, anchor = urldefrag(link)
            if urlsplit(link).scheme:
                continue
            target = (page.path.parent / unquote(path)).resolve() if path else page.path
            assert target.is_relative_to(folder.resolve()), f"{name}: {link} leads out of the site"
            if target.is_dir():
                target /= "index.html"
            assert target.is_file(), f"{name}: {link} leads nowhere"
            if anchor and target.suffix == ".html":
                there = pages[target.relative_to(folder.resolve()).as_posix()]
                assert unquote(anchor) in there.anchors | {"__tabbed"}, f"{name}: {link} has no such place"
            n_links += 1
    assert n_links > 500


def test_nothing_comes_from_the_network(pages: dict[str, Page], built: tuple[Path, list[str]]) -> None:
    for name, page in pages.items():
        outside = [link for link in page.loads if urlsplit(link).scheme not in ("", "data") or link.startswith("//")]
        assert not outside, f"{name} loads {outside}"
    for sheet in built[0].rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text()), sheet


def test_pictures_have_alternative_texts(pages: dict[str, Page]) -> None:
    pictures = [(name, picture) for name, page in pages.items() for picture in page.pictures]
    assert len(pictures) > 8
    for name, picture in pictures:
        assert picture.get("alt"), f"{name}: {picture.get('src')}"


def test_commands_are_those_of_the_command_line(pages: dict[str, Page], capsys: pytest.CaptureFixture[str]) -> None:
    text = re.sub(r"\s+", " ", pages["command_line.html"].text)
    names = [module.__name__.rpartition(".")[2].replace("_", "-") for module in COMMANDS]
    for name in names:
        with pytest.raises(SystemExit):
            tuun_da_main([name, "--help"])
        shown = capsys.readouterr().out
        assert f"tuun-da {name}" in text
        section = text.split(f"tuun-da {name}")[1:]
        for option in set(re.findall(r"^  (?:-\w, |-\w [A-Z]+, )?(--[a-z-]+)", shown, re.MULTILINE)) - {
            "--help",
            "--debug",
        }:
            assert any(option in part for part in section), f"{name} {option}"
        example = re.sub(r"\s+", " ", shown.partition("example:")[2]).strip()
        assert example
        assert example in text


def tuun_da_main(arguments: list[str]) -> int:
    from tuun_da.cli import main

    return main(arguments)


def test_markdown_is_no_text(pages: dict[str, Page]) -> None:
    """What a reader must not see: fences, rows of tables and references that were not understood."""
    for name, page in pages.items():
        for sign in ("```", "|---", "\n::: ", "!!! "):
            assert sign not in page.text or name == "CONTRIBUTING.html", f"{name} shows {sign}"


def test_docstrings_become_lists_of_definitions() -> None:
    sys.path.insert(0, str(REPOSITORY / "website"))
    try:
        from docstrings import as_definitions
    finally:
        sys.path.pop(0)
    text = "Words.\n\n``a``    first\n         goes on\n``b`` and ``c``  second\n\nRaises."
    assert as_definitions(text) == "Words.\n\n``a``\n:   first\n    goes on\n\n``b`` and ``c``\n:   second\n\nRaises."
    plain = "Words of ``a``.\n\n    a = 1\n"
    assert as_definitions(plain) == plain
    for path in (REPOSITORY / "tuun_da").rglob("*.py"):  # no word of a docstring is lost
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (found := ast.get_docstring(node)):
                assert [w for w in as_definitions(found).split() if w != ":"] == [w for w in found.split() if w != ":"]

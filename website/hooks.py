"""What the documentation site takes from elsewhere in the repository, and the pages that are made of code.

MkDocs calls these functions by their names (``hooks`` in ``mkdocs.yml``). They load neither torch nor nni.
"""

from __future__ import annotations

from pathlib import Path

from command_pages import commands_as_markdown
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from notebook_page import notebook_as_markdown

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = "benchmarks/results/"
COMMANDS_MARK = "<!-- commands: the site has them here, made of the parsers -->"
LINKS = {
    f"](../{RESULTS}": "](results/",
    "](../CHANGELOG.md": "](CHANGELOG.md",
    "](../CONTRIBUTING.md": "](CONTRIBUTING.md",
}
"""Links as they lead in the repository, and as they lead on the site."""


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what lies outside ``docs/``, and each notebook as a page."""
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        files.append(File.generated(config, name, abs_src_path=str(REPOSITORY / name)))
    for path in sorted((REPOSITORY / RESULTS).iterdir()):
        if path.suffix in (".md", ".png"):
            files.append(File.generated(config, f"results/{path.name}", abs_src_path=str(path)))
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        name = file.src_uri.removesuffix(".ipynb")
        text, pictures = notebook_as_markdown(file.content_string, name)
        files.append(File.generated(config, f"{name}.md", content=text))
        for picture, content in pictures.items():
            files.append(File.generated(config, picture, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page's links as the site has them, and the commands where they belong."""
    for there, here in LINKS.items():
        markdown = markdown.replace(there, here)
    if page.file.src_uri != "first_search.md":  # which offers the notebook itself
        markdown = markdown.replace("](first_search.ipynb", "](first_search.md")
    return markdown.replace(COMMANDS_MARK, commands_as_markdown()) if COMMANDS_MARK in markdown else markdown

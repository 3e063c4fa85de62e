"""A notebook with its outputs as a page."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import nbformat
from nbconvert import MarkdownExporter


def notebook_as_markdown(text: str, name: str) -> tuple[str, dict[str, bytes]]:
    """The notebook as Markdown, and its pictures by their names.

    ``text`` is the file's, ``name`` its path on the site without the ending.
    """
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    folder = PurePosixPath(name).name + "_files"
    body, resources = MarkdownExporter().from_notebook_node(
        notebook, {"unique_key": PurePosixPath(name).name, "output_files_dir": folder}
    )
    body = re.sub(r"!\[(?:png|svg)\]\(([^)]*)\)", r"![what the cell above draws](\1)", body)
    body = re.sub(r"<style scoped>.*?</style>\s*", "", body, flags=re.DOTALL)  # of tables of pandas, as is the next
    body = body.replace('<table border="1" class="dataframe">', "<table>").replace(' style="text-align: right;"', "")
    body = re.sub(r"\n(?:[ \t]*\n){3,}", "\n\n", body)  # between the outputs of a cell
    note = f"\n\nThis page is a notebook, [{PurePosixPath(name).name}.ipynb]({PurePosixPath(name).name}.ipynb).\n"
    parent = PurePosixPath(name).parent
    return body + note, {str(parent / path): content for path, content in resources["outputs"].items()}

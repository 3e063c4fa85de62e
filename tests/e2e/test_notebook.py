"""The notebook of the documentation runs in a kernel, from its first cell to its last."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.e2e

NOTEBOOK = Path(__file__).parents[2] / "docs" / "first_search.ipynb"


def texts(notebook: Any) -> str:
    """What the cells print and show, as text."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


def kinds(notebook: Any) -> list[list[str]]:
    """For each cell the kinds of what it gives, without how often it printed."""
    return [sorted({output.output_type for output in cell.get("outputs", ())}) for cell in notebook.cells]


def test_notebook_runs_as_it_is_shown(tmp_path, monkeypatch):
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    folder = tmp_path / "work"
    folder.mkdir()
    shown = nbformat.read(NOTEBOOK, as_version=4)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()

    assert kinds(notebook) == kinds(shown)
    text = texts(notebook)
    assert "goes on after 6 trials" in text
    assert re.search(r"<SearchResult: 12 trials, best score 0\.\d+, journal ", text)
    assert "Accuracy on 898 test images, 3 trainings each" in text
    assert "best policy against" in text
    assert sorted(path.name for path in folder.glob("*.*")) == ["best_policy.json", "policy.png"]
    [journal] = (folder / "tuun_da_search").glob("digits-*.jsonl")
    assert journal.read_text().count('"kind": "finished"') == 12


def test_notebook_as_committed_is_small_and_names_no_machine():
    source = NOTEBOOK.read_text()
    assert len(source) < 150_000
    assert set(re.findall(r"/(?:home|root|tmp)/\w+", source)) <= {"/home/you"}
    notebook = nbformat.reads(source, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]

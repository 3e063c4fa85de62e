"""What a release needs: workflows that can be read, versions that agree, files that are in the distributions."""

from __future__ import annotations

import configparser
import re
import runpy
import shutil
from pathlib import Path

import pytest
import yaml

import tuun_da

REPOSITORY = Path(__file__).parents[1]
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
release_notes = runpy.run_path(str(REPOSITORY / ".ci" / "release_notes.py"))["release_notes"]


@pytest.fixture
def repository(tmp_path):
    """The files that a release looks at, as they are just before one."""
    (tmp_path / "tuun_da").mkdir()
    for name in ("CHANGELOG.md", "CITATION.cff", "tuun_da/__init__.py"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("not released yet", "2027-01-31"))
    return tmp_path


def test_notes_are_the_changelogs_entry(repository):
    changelog = repository / "CHANGELOG.md"
    changelog.write_text(changelog.read_text() + "\n## 0.0.1, 2026-01-01\n\n- Older.\n")
    notes = release_notes(f"v{tuun_da.__version__}", repository)
    assert notes.startswith("First version.\n")
    assert notes.count("\n- ") > 10
    assert "Older" not in notes


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("tuun_da/__init__.py", '__version__ = "0.1.0"', '__version__ = "0.2.0"', "tag must be v0.2.0"),
        ("CITATION.cff", "version: 0.1.0", "version: 0.0.9", "CITATION.cff must have version: 0.1.0, got 0.0.9"),
        ("CHANGELOG.md", "## 0.1.0, 2027-01-31", "## 0.2.0, 2027-01-31", "has no entry ## 0.1.0"),
        ("CHANGELOG.md", "2027-01-31", "not released yet", "YEAR-MONTH-DAY"),
    ],
)
def test_what_is_not_ready_is_said(repository, file, old, new, message):
    path = repository / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=re.escape(message)):
        release_notes("v0.1.0", repository)


def test_citation_has_what_its_format_wants():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert {"cff-version", "title", "message", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == tuun_da.__version__
    assert citation["authors"] == [{"name": "The tuun_da authors"}]
    metadata = configparser.ConfigParser()
    metadata.read(REPOSITORY / "setup.cfg")
    assert citation["license"] == metadata["metadata"]["license"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_whole(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}  # of each job that does not say otherwise
    triggers = workflow[True]  # YAML 1.1 takes "on" for true
    assert triggers
    for job in workflow["jobs"].values():
        assert set(job.get("needs", [])) <= set(workflow["jobs"]) or job["needs"] in workflow["jobs"]
        if "uses" in job:
            assert (REPOSITORY / job["uses"]).is_file()
            continue
        assert job["timeout-minutes"] <= 120
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            for script in re.findall(r"(?:^|\s)(\.ci/\S+)", step.get("run", "")):
                assert (REPOSITORY / script).is_file()
            for target in re.findall(r"make (\w+)", step.get("run", "")):
                assert f"\n{target}:" in (REPOSITORY / "Makefile").read_text()


def test_only_what_publishes_may_write():
    jobs = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    assert {name: job["permissions"] for name, job in jobs.items() if "permissions" in job} == {
        "publish": {"id-token": "write"},
        "github": {"contents": "write"},
    }
    assert set(jobs["publish"]["needs"]) == {"test", "build"}
    assert jobs["github"]["needs"] == "publish"

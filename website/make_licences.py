"""Writes docs/licences.md: the licence that each package of requirements.lock declares, from what is installed.

.venv/bin/python website/make_licences.py
"""

from __future__ import annotations

import configparser
import importlib.metadata
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[1]
LOCK, PAGE = REPOSITORY / "requirements.lock", REPOSITORY / "docs" / "licences.md"
PERMISSIVE = re.compile(
    r"\b(MIT|BSD|Apache|ISC|PSF|Python Software Foundation|Python-2\.0|CNRI|HPND|Zlib|0BSD|PSFL|Unlicense|CC0|PIL|"
    r"matplotlib|public domain)\b",
    re.IGNORECASE,
)
SPECIAL = re.compile(r"\b(A?GPL|LGPL|GNU|MPL|Mozilla|EPL|CDDL|proprietary|NVIDIA|EULA|LicenseRef)", re.IGNORECASE)
NOTES = {
    "nvidia": "NVIDIA's own terms, which are not those of free software. They come with torch for GPUs; whoever "
    "installs fetches them, and this project passes none of them on.",
    "LGPL": "Used as it is, by import, and not part of this project's files.",
    "MPL": "Weak copyleft for changes to its own files, of which there are none here.",
    "GPL": "Strong copyleft: to be read by a person before anything is passed on together with it.",
}
READ = {
    "appnope": "only on macOS, so never installed here (BSD-2-Clause, by its project)",
    "cffi": "only for PyPy, so never installed here (MIT, by its project)",
    "pycparser": "only for PyPy, so never installed here (BSD-3-Clause, by its project)",
    "cuda-toolkit": "an empty package that asks for NVIDIA's others",
    "httpx2-jsfetch": "only for Python in a browser, so never installed here",
}
"""What a person found of those that declare nothing."""


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked() -> list[tuple[str, str, str]]:
    """Name, version and marker of each line of the lock."""
    lines = [line.partition("#")[0].strip() for line in LOCK.read_text().splitlines()]
    found = []
    for line in filter(None, lines):
        pinned, _, marker = line.partition(";")
        name, version = pinned.strip().split("==")
        found.append((normalised(name), version.strip(), marker.strip()))
    return found


def direct() -> dict[str, str]:
    """The packages that setup.cfg asks for: "runs" or "tests"."""
    config = configparser.ConfigParser()
    config.read(REPOSITORY / "setup.cfg")
    wanted = {}
    parts = [("tests", text) for text in config["options.extras_require"].values()]
    for use, text in [*parts, ("runs", config["options"]["install_requires"])]:
        for line in text.splitlines():
            name = re.match(r"[A-Za-z0-9._-]+", line.strip())
            if name:
                wanted[normalised(name[0])] = use
    return wanted


def declared(name: str) -> str | None:
    """The licence in the metadata of an installed package; None where it is not installed."""
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    expression = metadata.get("License-Expression")
    if expression:
        return str(expression)
    classified = [
        entry.rpartition(" :: ")[2] for entry in metadata.get_all("Classifier", []) if entry.startswith("License ::")
    ]
    said = str(metadata.get("License") or "").strip()
    if said == "UNKNOWN":
        said = ""
    if said and len(said) <= 60 and "\n" not in said:
        return said
    if classified and classified != ["OSI Approved"]:
        return ", ".join(classified)
    first = next((line.strip() for line in said.splitlines() if line.strip()), "")
    return f"{first[:60]} (text)" if first else "not declared"


def needs(name: str, extras: set[str]) -> Iterator[tuple[str, str]]:
    """The packages that an installed one with these extras requires on this system: name, and each extra or ""."""
    try:
        requirements = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return
    for line in requirements:
        found = Requirement(line)
        if found.marker is None or any(found.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            for extra in found.extras | {""}:
                yield normalised(found.name), extra


def closure(names: Iterable[str]) -> set[str]:
    """``names`` and all that they need."""
    found: dict[str, set[str]] = {}
    waiting = [(name, "") for name in names]
    while waiting:
        name, extra = waiting.pop()
        if extra not in found.setdefault(name, set()):
            found[name].add(extra)
            waiting += needs(name, found[name])
    return set(found)


def kind(licence: str, name: str) -> str:
    """What is to be said of a licence: "" for a permissive one, a key of ``NOTES``, or "?"."""
    if name.startswith(("nvidia", "cuda-")) and not re.search(r"\b(BSD|MIT|Apache)\b", licence, re.IGNORECASE):
        return "nvidia"
    special = SPECIAL.search(licence)
    if special is None:
        return "" if PERMISSIVE.search(licence) else "?"
    word = special[1].upper()
    either = re.search(r"\bOR\b", licence) and PERMISSIVE.search(licence)
    if either:
        return ""
    if word in ("LGPL", "MPL", "MOZILLA"):
        return "MPL" if word == "MOZILLA" else word
    if word == "GNU" and re.search("lesser", licence, re.IGNORECASE):
        return "LGPL"
    return "GPL" if word in ("GPL", "AGPL", "GNU") else "?"


def page() -> str:
    """The whole text."""
    wanted = direct()
    runs = closure({name for name, use in wanted.items() if use == "runs"})
    rows, flagged = [], []
    licences = {name: licence for name, _, _ in locked() if (licence := declared(name)) is not None}
    for name, version, marker in locked():
        licence = READ.get(name) or licences.get(name, "not installed where this list was made")
        use = "runs" if name in runs else "tests"
        place = "direct" if wanted.get(name) == use else "indirect"
        what = "" if name in READ else kind(licence, name)
        only = f" (where {marker})" if marker else ""
        rows.append(f"| {name} | {version}{only} | {licence.replace('|', '/')} | {use} | {place} |")
        if what:
            flagged.append((name, version, licence, use, what))
    lines = [
        "# Licences of the dependencies",
        "",
        "What each package of `requirements.lock` declares in its metadata; made by `website/make_licences.py`,",
        "and no legal advice. `runs`: installed with tuun_da; `tests`: only with its tests. tuun_da itself is under",
        "Apache 2.0 and contains the files of none of them. Packages also carry compiled libraries of others, which",
        "their metadata need not name; their own licence files do.",
        "",
        "## Not simply permissive",
        "",
    ]
    for what, note in [*NOTES.items(), ("?", "Not recognised by the script: to be read by a person.")]:
        names = [f"{name} ({licence}; {use})" for name, _, licence, use, key in flagged if key == what]
        if what == "nvidia":
            names = [name for name, _, _, _, key in flagged if key == what]
        if names:
            lines += [f"- {', '.join(dict.fromkeys(names))}: {note}"]
    lines += ["", "## All", "", "| package | version | licence | needed to | how |", "|---|---|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())

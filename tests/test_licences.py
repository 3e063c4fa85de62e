"""The list of licences has what the lock has, and what is not permissive is said."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY / "website"))
from make_licences import PAGE, READ, direct, kind, locked  # noqa: E402  # the script that makes it

ROW = re.compile(r"^\| ([a-z0-9-]+) \| (\S+)[^|]* \| ([^|]+) \| (runs|tests) \| (direct|indirect) \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text())


def test_every_package_of_the_lock_is_in_the_list():
    """Else: python website/make_licences.py"""
    assert sorted((name, version) for name, version, *_ in ROWS) == sorted(
        (name, version) for name, version, _ in locked()
    )


def test_what_setup_cfg_asks_for_is_called_direct():
    named = {name for name, _, _, _, how in ROWS if how == "direct"}
    assert {"nni", "torch", "pyyaml", "hypothesis"} <= named
    assert named == set(direct()) & {name for name, *_ in ROWS}


def test_no_strong_copyleft_and_nothing_unread():
    text = PAGE.read_text()
    for name, _, licence, _, _ in ROWS:
        assert kind(licence, name) in ("", "nvidia", "LGPL", "MPL") or name in READ, name
        if kind(licence, name) not in ("", "?") and name not in READ:
            assert name in text.partition("## All")[0]


@pytest.mark.parametrize(
    ("licence", "what"),
    [
        ("MIT", ""),
        ("BSD-3-Clause AND MIT", ""),
        ("GPL-3.0-or-later", "GPL"),
        ("AGPL-3.0", "GPL"),
        ("GNU General Public License v3 (GPLv3)", "GPL"),
        ("GNU Lesser General Public License v3", "LGPL"),
        ("LGPL-2.1", "LGPL"),
        ("MIT OR GPL-2.0", ""),
        ("MIT AND GPL-2.0", "GPL"),
        ("MPL-2.0", "MPL"),
        ("not declared", "?"),
        ("Somebody's own", "?"),
    ],
)
def test_kinds_of_licences(licence, what):
    assert kind(licence, "x") == what

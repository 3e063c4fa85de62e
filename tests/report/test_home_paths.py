"""No home folder stays in any text, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuun_da.report.home_paths import home_hider


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("folder:/data/people/ann/images", "folder:~/images"),
        ("/data/people/ann", "~"),
        ("/data/people/anna/x", "/data/people/anna/x"),
        ("in /home/bob/a and /Users/carol/b: /root/c", "in ~/a and ~/b: ~/c"),
        (r"C:\Users\dave\x", r"~\x"),
        ("/home", "/home"),
        ("/rooted/x /mnt/root2", "/rooted/x /mnt/root2"),
        ('{"path": "/home/eve"}', '{"path": "~"}'),
    ],
)
def test_texts(said, left):
    assert home_hider(Path("/data/people/ann"))(said) == left


def test_it_goes_into_everything_and_keeps_numbers():
    hide = home_hider(Path("/data/people/ann"))
    value = {"/home/x/key": [1, None, True, ("/home/y/z", 2.5)], "n": {"m": "/data/people/ann/q"}}
    assert hide(value) == {"~/key": [1, None, True, ["~/z", 2.5]], "n": {"m": "~/q"}}


def test_a_home_that_is_the_root_hides_no_path():
    assert home_hider(Path("/"))("/srv/images") == "/srv/images"


def test_the_users_own_home_is_known(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "me & <you>"))
    assert home_hider()(f"{tmp_path}/me & <you>/images") == "~/images"

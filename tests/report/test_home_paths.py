"""No path of the user's and no secret stays in any text, and nothing else changes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tuun_da.report.hidden_secrets import in_texts, without_secrets
from tuun_da.report.home_paths import home_hider


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("folder:/data/people/ann/images", "folder:~/images"),
        ("/data/people/ann", "~"),
        ("/data/people/anna/x", "…/x"),
        ("in /home/bob/a and /Users/carol/b: /root/c", "in ~/a and ~/b: ~/c"),
        (r"C:\Users\dave\x", r"~\x"),
        ("/home", "/home"),
        ("/rooted /root2", "/rooted /root2"),
        (r"C:\\Users\\dave\\x", r"~\\x"),
        (r"C:\Users\Jane Doe\x", r"~\x"),
        ("file:///home/bob/x", "file:~/x"),
        ("//home//bob/x", "~/x"),
        ("%2Fhome%2Fbob%2Fx", "~%2Fx"),
        ("No such file: '/srv/acme/secret/x.png'", "No such file: '…/x.png'"),
        ("npz:/mnt/nas/a/b.npz,/mnt/c/d", "npz:…/b.npz,…/d"),
        ("/srv/models/net.py:make", "…/net.py:make"),
        (r"D:\work\acme\x.png", "…/x.png"),
        ("--data-dir=/scratch/ann/cache --model a/b", "--data-dir=…/cache --model a/b"),
        ("https://a.b/c/d/e ./x/y ../q/z n/a 1/2 text/plain", "https://a.b/c/d/e ./x/y ../q/z n/a 1/2 text/plain"),
        ("~/x/y", "~/x/y"),
        ("/tmp", "/tmp"),
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
    assert home_hider(Path("/"))("images in / and /srv") == "images in / and /srv"


def test_the_users_own_home_is_known(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "me & <you>"))
    assert home_hider()(f"{tmp_path}/me & <you>/images") == "~/images"


SECRET = "Xy12abCD34efGH56ijKL"


@pytest.mark.parametrize(
    "said",
    [
        f"WANDB_API_KEY={SECRET} python3 train.py",
        f"python3 train.py --token {SECRET} --epochs 3",
        f"python3 train.py --api-key={SECRET}",
        f"--password '{SECRET} {SECRET}'",
        f"env: {{'AWS_SECRET_ACCESS_KEY': '{SECRET}/x+y'}}",
        f'"password": "{SECRET}"',
        f"Authorization: Bearer {SECRET}.x",
        f"https://ann:{SECRET}@host/x",
        f"postgres://{SECRET}@host/x",
        f"hf_{SECRET} ghp_{SECRET} sk-{SECRET} glpat-{SECRET}",
        f"eyJ{SECRET}.{SECRET}.{SECRET}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}",
        f"credentials: {SECRET}",
    ],
)
@pytest.mark.parametrize("hide", [home_hider(Path("/data/ann")), in_texts(without_secrets)], ids=["paths too", "only"])
def test_secrets(said, hide):
    assert SECRET not in hide(said)
    assert "***" in hide(said)
    assert SECRET not in str(hide({said: [said, {"deep": said}]}))


def test_the_value_of_a_key_that_names_a_secret():
    hide = in_texts(without_secrets)
    value = {"apiKey": "x", "wandb_token": "y", "password": "", "tokenizer": "bert", "n_tokens": 5, "author": "Jane"}
    assert hide(value) == {**value, "apiKey": "***", "wandb_token": "***"}


@pytest.mark.parametrize(
    "said", ["tokenizer=bert", "author: Jane", "a secretary: Joe", "lr=0.1, keys: 3", "12:30 a@b.c"]
)
def test_what_only_looks_like_a_secret_stays(said):
    assert without_secrets(said) == said


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "/a",
        "token",
        "/",
        "C:\\Users\\",
        "secret ",
        "-----BEGIN PRIVATE KEY-----",
        "://",
        "/home/",
        "a://b",
        "password='",
    ],
)
def test_a_long_text_takes_no_long_time(piece):
    began = time.monotonic()
    home_hider(Path("/data/ann"))(piece * (300_000 // len(piece)))
    assert time.monotonic() - began < 10  # a search of all pairs of places would take hours

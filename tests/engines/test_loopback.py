"""With our NODE_OPTIONS a server of NNI's node that names no host listens on loopback only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import nni_node
import pytest

from tuun_da.engines import loopback
from tuun_da.engines.loopback import loopback_node_options

NODE = Path(nni_node.__file__).parent / "node"
SCRIPT = """
const server = SERVER;
server.on('listening', () => { console.log(JSON.stringify(server.address())); server.close(); });
const done = () => {};
CALL;
"""


def address(call: str, node_options: str, server: str = "require('net').createServer()") -> dict[str, object] | str:
    """Where node says that a server listens after ``call``."""
    script = SCRIPT.replace("CALL", call).replace("SERVER", server)
    environment = {"PATH": os.environ["PATH"], "NODE_OPTIONS": node_options}
    command = [NODE, "-e", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "call",
    [
        "server.listen(0)",
        "server.listen(0, done)",
        "server.listen(0, 511)",
        "server.listen(0, 511, done)",
        "server.listen(0, undefined, done)",
        "server.listen(0, null, 511, done)",
        "server.listen('0')",
        "server.listen({port: 0})",
        "server.listen({port: 0}, done)",
        "server.listen({port: 0, host: ''})",
        "server.listen({port: '0', backlog: 5})",
        "server.listen()",
        "server.listen(done)",
        "server.listen(undefined, done)",
    ],
)
def test_without_a_host_it_is_loopback(call):
    assert address(call, loopback_node_options())["address"] == "127.0.0.1"
    assert address(call, "")["address"] in ("::", "0.0.0.0")  # without us it would be open


def test_a_web_server_too():
    made = address("server.listen(0, done)", loopback_node_options(), "require('http').createServer()")
    assert made["address"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("server.listen(0, '0.0.0.0')", "0.0.0.0"),
        ("server.listen(0, '127.0.0.1', done)", "127.0.0.1"),
        ("server.listen({port: 0, host: '0.0.0.0'})", "0.0.0.0"),
    ],
)
def test_a_host_that_is_named_stays(call, expected):
    assert address(call, loopback_node_options())["address"] == expected


@pytest.mark.parametrize("call", ["server.listen(PATH)", "server.listen({path: PATH})", "server.listen(PATH, done)"])
def test_unix_sockets_stay(call, tmp_path):
    path = str(tmp_path / "socket")
    assert address(call.replace("PATH", json.dumps(path)), loopback_node_options()) == path


@pytest.mark.parametrize("folder", ["plain", "with space", 'with "quote"', "back\\slash", "it's"])
def test_any_folder_name(folder, tmp_path, monkeypatch):
    home = tmp_path / folder
    home.mkdir()
    shutil.copy(Path(loopback.__file__).with_name("loopback.cjs"), home)
    monkeypatch.setattr(loopback, "__file__", str(home / "loopback.py"))
    assert address("server.listen(0)", loopback_node_options())["address"] == "127.0.0.1"


def test_what_is_set_already_stays(tmp_path):
    (tmp_path / "other.cjs").write_text("globalThis.other = '127.0.0.2';")
    options = loopback_node_options(f"--require {tmp_path / 'other.cjs'}")
    assert address("server.listen(0, globalThis.other)", options)["address"] == "127.0.0.2"
    assert address("server.listen(0)", options)["address"] == "127.0.0.1"

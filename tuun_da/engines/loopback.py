"""Keeping NNI's web server, which has no login, on this machine."""

from __future__ import annotations

from pathlib import Path


def loopback_node_options(existing: str = "") -> str:
    """The value of NODE_OPTIONS with which NNI's manager listens on loopback only, after what is set already."""
    script = str(Path(__file__).with_name("loopback.cjs"))
    quoted = script.replace("\\", "\\\\").replace('"', '\\"')
    return f'{existing} --require "{quoted}"'.strip()

"""NNI's web page, which has no login, answers nobody outside of this machine under ``tuun-da search``.

Needs no root: ``unshare -rn`` gives a network namespace in which this test is root, and a second one inside of it plays
the other machine.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nni_harness import write_config

pytestmark = pytest.mark.e2e

SCRIPT = Path(__file__).with_name("two_machines.py")


def can_make_namespaces() -> bool:
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    probe = subprocess.run(["unshare", "-rn", "ip", "link", "set", "lo", "up"], capture_output=True, check=False)
    return probe.returncode == 0


@pytest.mark.skipif(not can_make_namespaces(), reason="needs unshare and ip (util-linux, iproute2), user namespaces")
@pytest.mark.parametrize(
    ("option", "answers"), [([], False), (["--listen-all"], True)], ids=["default", "--listen-all"]
)
def test_web_page_from_a_second_network_namespace(place, option, answers):
    config = write_config(place.folder, maxTrialNumber=100)
    code, output = place.run("unshare", "-rn", sys.executable, SCRIPT, config, *option, timeout=120)
    assert code == 0, output
    seen = json.loads(output.splitlines()[-1])
    assert seen["from this machine"] is True, output
    assert seen["from the other machine"] is answers, output
    # The other machine does reach this one: a plain server answers it.
    assert seen["control from the other machine"] is True, output
    assert ("without any login" in output) is answers

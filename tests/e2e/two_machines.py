"""Run in a network namespace of its own: starts ``tuun-da search`` and looks at its page from a second namespace.

The last line of output is JSON: from where the page answered.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE, THERE = "10.99.0.1", "10.99.0.2"
PORT, CONTROL_PORT = 8080, 8990
FETCH = "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://%s:%d/', timeout=5).read()"


def answers(host, port, inside=()):
    command = [*inside, sys.executable, "-c", FETCH % (host, port)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def sh(*command):
    subprocess.run(command, check=True)


other = subprocess.Popen(["unshare", "-n", "sleep", "300"])
there = ["nsenter", "-n", "-t", str(other.pid), "--"]
search = control = None
try:
    deadline = time.monotonic() + 10
    own = os.readlink("/proc/self/ns/net")
    while os.readlink(f"/proc/{other.pid}/ns/net") == own and time.monotonic() < deadline:
        time.sleep(0.05)
    sh("ip", "link", "set", "lo", "up")
    sh("ip", "link", "add", "here", "type", "veth", "peer", "name", "there", "netns", str(other.pid))
    sh("ip", "addr", "add", f"{HERE}/24", "dev", "here")
    sh("ip", "link", "set", "here", "up")
    sh(*there, "ip", "addr", "add", f"{THERE}/24", "dev", "there")
    sh(*there, "ip", "link", "set", "there", "up")

    control = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(CONTROL_PORT), "--bind", "0.0.0.0"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    command = [Path(sys.executable).parent / "tuun-da", "search", "--config", *sys.argv[1:], "--port", str(PORT)]
    search = subprocess.Popen(list(map(str, command)))
    deadline = time.monotonic() + 60
    while not answers("127.0.0.1", PORT) and time.monotonic() < deadline:
        time.sleep(0.5)
    seen = {
        "from this machine": answers("127.0.0.1", PORT),
        "from the other machine": answers(HERE, PORT, there),
        "control from the other machine": answers(HERE, CONTROL_PORT, there),
    }
finally:
    for process in (search, control, other):
        if process is not None:
            process.send_signal(signal.SIGINT if process is search else signal.SIGKILL)
    for process in (search, control, other):
        if process is not None:
            process.wait(60)
print()
print(json.dumps(seen))

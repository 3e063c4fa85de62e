"""Of the manager's log, its last errors are shown, in words."""

from __future__ import annotations

from tuun_da.engines.manager_log import last_errors

LOG = """[2026-11-23 07:28:46] INFO (NNIManager) Setup training service...
[2026-11-23 07:28:46] ERROR (RemoteV3.Ssh.1) Command failed: python3 -m pip install nni --upgrade {
  stdout: '',
  stderr: 'error: externally-managed-environment\\n' +
  code: 1
}
[2026-11-23 07:28:47] ERROR (TrainingServiceCompat) Training srevice initialize failed: Error: no way in
    at doNextAuth (/site-packages/nni_node/client.js:865:21)
    at Socket.emit (node:events:513:28) {
  level: 'client-authentication'
}
[2026-11-23 07:28:51] INFO (ShutdownManager) Shutdown complete.
"""


def test_errors_are_shown_without_the_places_in_nnis_code(tmp_path):
    path = tmp_path / "nnimanager.log"
    path.write_text(LOG)
    assert last_errors(path).splitlines() == [
        "[2026-11-23 07:28:46] ERROR (RemoteV3.Ssh.1) Command failed: python3 -m pip install nni --upgrade {",
        "  stdout: '',",
        "  stderr: 'error: externally-managed-environment\\n' +",
        "[2026-11-23 07:28:47] ERROR (TrainingServiceCompat) Training srevice initialize failed: Error: no way in",
    ]


def test_of_many_errors_the_last_are_shown_and_of_a_long_one_its_beginning(tmp_path):
    path = tmp_path / "nnimanager.log"
    long = "".join(f"  line {number}\n" for number in range(100))
    path.write_text("".join(f"[2026-11-23 07:28:46] ERROR (x) number {number}\n{long}" for number in range(9)))
    shown = last_errors(path)
    assert [line[-1] for line in shown.splitlines() if "number" in line] == ["6", "7", "8"]
    assert len(shown.splitlines()) == 36


def test_without_an_error_or_a_log_nothing_is_shown(tmp_path):
    (tmp_path / "quiet.log").write_text(LOG.splitlines()[0])
    assert last_errors(tmp_path / "quiet.log") == last_errors(tmp_path / "missing.log") == ""

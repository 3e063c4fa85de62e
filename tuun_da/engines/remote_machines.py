"""What becomes of the machines of NNI's remote platform while an experiment runs.

When the connection to a machine breaks, NNI 3.0 cancels its trials as if a user had done so, counts them as run, and
tries once to reach the machine again. Only the manager's log tells that from a user's own cancelling:

    ERROR (RemoteV3.remote) Worker channel error: ...
    ERROR (RemoteV3.remote) Failed to recover worker 10.0.0.2: ...     or:  Worker 10.0.0.2 has been recovered
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REMOTE = "remote"
CANCELED = "USER_CANCELED"
_BROKEN = re.compile(r"\(RemoteV3\.\S*\) Worker channel error")
_GONE = re.compile(r"\(RemoteV3\.\S*\) Failed to recover worker (\S+?):?(?:\s|$)")


@dataclass(frozen=True)
class Loss:
    """What was lost since the last look: hosts that NNI gave up, and how many trials broke off with a connection."""

    hosts: tuple[str, ...]
    n_trials: int


class RemoteMachines:
    """The machines of one experiment. ``log`` is the manager's; ``n_left`` counts those that NNI has not given up."""

    def __init__(self, log: Path, n_machines: int) -> None:
        self._log = log
        self._offset = 0
        self._stump = ""
        self.n_machines = n_machines
        self.n_left = n_machines
        self._broken = 0  # connections whose trials have not been seen to be cancelled yet
        self._canceled: set[str] = set()

    @classmethod
    def of_config(cls, content: Mapping[str, Any], folder: Path) -> RemoteMachines | None:
        """Those of the configuration, for the experiment in ``folder``; None on another platform."""
        service = content.get("trainingService")
        if not isinstance(service, Mapping) or service.get("platform") != REMOTE:
            return None
        machines = service.get("machineList")
        n_machines = len(machines) if isinstance(machines, list) else 0
        return cls(folder / "log" / "nnimanager.log", n_machines) if n_machines else None

    def look(self, statuses: Mapping[str, str]) -> Loss:
        """What was lost, given the status of every trial job by its id."""
        hosts = []
        for line in self._new_lines():
            self._broken += bool(_BROKEN.search(line))
            gone = _GONE.search(line)
            if gone:
                hosts.append(gone[1])
        self.n_left = max(self.n_left - len(hosts), 0)
        canceled = {job for job, status in statuses.items() if status == CANCELED} - self._canceled
        self._canceled |= canceled
        if not canceled or not self._broken:  # what a user cancels is meant so
            return Loss(tuple(hosts), 0)
        self._broken = 0
        return Loss(tuple(hosts), len(canceled))

    def _new_lines(self) -> list[str]:
        """Whole lines that were added since the last time."""
        try:
            with open(self._log, "rb") as file:
                file.seek(self._offset)
                new = file.read()
        except OSError:
            return []
        self._offset += len(new)
        *lines, self._stump = (self._stump + new.decode("utf-8", "replace")).split("\n")
        return lines

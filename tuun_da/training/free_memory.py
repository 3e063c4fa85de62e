"""How much memory this process may still take, and whether images fit into a share of it."""

from __future__ import annotations

import contextlib
from pathlib import Path

SHARE_OF_FREE_MEMORY = 0.5
"""What the images of a trial may take: batches, network and other trials need the rest."""
LARGEST = 2**32
"""Bytes; larger images stay in their file, which all trials share, because trials that start together see the same
free memory."""

MEMORY_INFORMATION = Path("/proc/meminfo")
GROUP_OF_PROCESS = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")


def fits_into_memory(nbytes: int) -> bool:
    """Whether ``nbytes`` of images may lie in memory."""
    free = free_bytes()
    return nbytes <= LARGEST and (free is None or nbytes <= SHARE_OF_FREE_MEMORY * free)


def free_bytes() -> int | None:
    """Memory that can be had without swapping, within the limits of the process's control groups (version 2: a
    container, a batch job). None where the system does not say."""
    free: list[int] = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in MEMORY_INFORMATION.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                free.append(int(line.split()[1]) * 1024)
    with contextlib.suppress(OSError):
        for line in GROUP_OF_PROCESS.read_text(encoding="utf-8").splitlines():
            if line.startswith("0::/"):
                group = GROUPS / line.removeprefix("0::/")
                free += [left for folder in (group, *group.parents) if (left := _left_in_group(folder)) is not None]
    return min(free, default=None)


def _left_in_group(folder: Path) -> int | None:
    """What the control group in ``folder`` may still take; None if it has no limit, or there is no such group."""
    with contextlib.suppress(OSError, ValueError):
        limit = int((folder / "memory.max").read_text(encoding="ascii"))  # "max" is a ValueError: no limit
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        cached = int(statistics.get("inactive_file", 0))  # counted as used, but given up when memory is short
        return max(limit - used + cached, 0)
    return None

"""What a trial ran on, in words that name no user, host or path."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CPU_FILE = Path("/proc/cpuinfo")


def described_hardware(device: torch.device) -> dict[str, str | int]:
    """The device by its product name, the CPU, the cores that this process may use, torch's threads, the system."""
    import torch  # takes seconds, and a report wants the CPU's name only

    named = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
    return {
        "device": named,
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def cpu_name() -> str:
    """The CPU's product name, or its architecture where the system does not tell."""
    try:
        lines = CPU_FILE.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    found = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next((name for name in found if name), platform.machine() or "unknown")

"""Probes for the tests, of numbers that tell where they come from."""

from __future__ import annotations

from typing import Any

import numpy as np

from tuun_da.operations import OPERATION_TYPES
from tuun_da.probe_format import ProbeRecord


def made_probe(
    magnitudes: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0), *, seed: int = 0, **about: Any
) -> ProbeRecord:
    """Noise as effects: every number is another one."""
    rng = np.random.default_rng(seed)
    effects = {
        name: tuple(tuple(rng.normal(0, 0.1, 4).tolist()) for _ in (magnitudes if row.has_magnitude else (0.0,)))
        for name, row in OPERATION_TYPES.items()
    }
    return ProbeRecord(magnitudes, (0.5, 0.3, 0.2, 0.0), effects, about)

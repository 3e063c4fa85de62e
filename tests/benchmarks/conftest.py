"""The rivals are installed by benchmarks/requirements.lock only: tests of one that is not there are deselected."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))


def pytest_collection_modifyitems(config, items):
    """As for tests of a GPU where there is none; the closing line of pytest counts them."""
    from benchmarks import augment_rivals, rivals

    missing_packages = {"rival_name": rivals.missing_packages, "augmentation_rival": augment_rivals.missing_packages}
    absent = []
    for item in items:
        callspec = getattr(item, "callspec", None)
        params = callspec.params if callspec else {}
        if any(parameter in params and missing(params[parameter]) for parameter, missing in missing_packages.items()):
            absent.append(item)
    if absent:
        config.hook.pytest_deselected(items=absent)
        items[:] = [item for item in items if item not in absent]

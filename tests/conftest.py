"""What holds for all tests: those for a GPU run where there is one, and in CI no other test may skip."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True, scope="session")
def _cache_folder(tmp_path_factory):
    """What tests download or decode is not kept in the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUUN_DA_DATA", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_collection_modifyitems(config, items):
    """Without a GPU, its tests are deselected, and the closing line counts them."""
    import torch

    if torch.cuda.is_available():
        return
    on_gpu = [item for item in items if item.get_closest_marker("cuda")]
    if on_gpu:
        config.hook.pytest_deselected(items=on_gpu)
        items[:] = [item for item in items if item not in on_gpu]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """With TUUN_DA_NO_SKIPS set, a skip is a failure: CI installs the system tools that tests look for."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("TUUN_DA_NO_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"skipped where no test may skip: {report.longrepr[-1]}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """The same for a whole file, whose tests need an extra that is not installed."""
    report = yield
    if report.skipped and os.environ.get("TUUN_DA_NO_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"skipped where no test may skip: {report.longrepr[-1]}"
    return report

"""Free memory is the least of what the system and its control groups leave."""

from __future__ import annotations

import psutil
import pytest

from tuun_da.training import free_memory
from tuun_da.training.free_memory import LARGEST, fits_into_memory, free_bytes


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A system with 1000 kB, in a group a/b."""
    (tmp_path / "meminfo").write_text("MemTotal:     9000 kB\nMemFree:   10 kB\nMemAvailable:   1000 kB\n")
    (tmp_path / "cgroup").write_text("0::/a/b\n")
    (tmp_path / "groups" / "a" / "b").mkdir(parents=True)
    monkeypatch.setattr(free_memory, "MEMORY_INFORMATION", tmp_path / "meminfo")
    monkeypatch.setattr(free_memory, "GROUP_OF_PROCESS", tmp_path / "cgroup")
    monkeypatch.setattr(free_memory, "GROUPS", tmp_path / "groups")
    return tmp_path


def limit(group, most, used, cached):
    (group / "memory.max").write_text(f"{most}\n")
    (group / "memory.current").write_text(f"{used}\n")
    (group / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\n")


def test_it_is_about_what_psutil_says():
    available = psutil.virtual_memory().available
    assert 0 < free_bytes() <= 1.2 * available


def test_without_limits_it_is_what_the_system_has(system):
    assert free_bytes() == 1_024_000
    limit(system / "groups" / "a", "max", 100, 0)
    assert free_bytes() == 1_024_000


@pytest.mark.parametrize("group", ["a/b", "a", "."])
def test_a_group_may_leave_less_and_what_it_only_caches_is_free(system, group):
    limit(system / "groups" / group, 50_000, 40_000, 5_000)
    assert free_bytes() == 15_000
    limit(system / "groups" / group, 50_000, 60_000, 0)
    assert free_bytes() == 0


def test_where_the_system_does_not_say_all_fits_up_to_what_trials_had_better_share(system):
    for path in ("meminfo", "cgroup"):
        (system / path).unlink()
    assert free_bytes() is None
    assert fits_into_memory(LARGEST)
    assert not fits_into_memory(LARGEST + 1)


def test_half_of_the_free_memory_may_be_taken(system):
    assert fits_into_memory(512_000)
    assert not fits_into_memory(512_001)

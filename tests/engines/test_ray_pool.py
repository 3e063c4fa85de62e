"""What a Ray cluster is asked and told before any task; needs no cluster."""

from __future__ import annotations

import shutil
import socket
import time
from types import SimpleNamespace

import pytest

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install tuun_da[ray]")

from tuun_da.engines import ray_search  # noqa: E402
from tuun_da.engines.measuring import Machine  # noqa: E402
from tuun_da.engines.ray_pool import RayPool, _remove  # noqa: E402
from tuun_da.errors import ConfigError  # noqa: E402


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:{}", "Connection refused"),  # Ray itself would try for many minutes
        ("ray://127.0.0.1:{}", "Connection refused"),
        ("127.0.0.1:99999", "the port must be one of 1 to 65535, got 99999"),
        ("two words", "Invalid address"),
        ("", "Invalid address"),
    ],
)
def test_an_address_at_which_there_is_no_cluster_is_refused_at_once(address, said):
    began = time.monotonic()
    address = address.format(closed_port())
    with pytest.raises(ConfigError, match=f"the Ray cluster at {address or repr('')} cannot be reached: .*{said}"):
        RayPool(address)
    assert time.monotonic() - began < 5
    assert not ray.is_initialized()


def test_the_folder_goes_although_something_still_writes_into_it(tmp_path, monkeypatch):
    folder, remove, calls = tmp_path / "session", shutil.rmtree, []
    folder.mkdir()

    def rmtree(path, ignore_errors):
        remove(path, ignore_errors=ignore_errors)
        calls.append(path)
        if len(calls) < 3:  # one of Ray's processes has not ended yet
            (folder / "logs").mkdir(parents=True)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    _remove(str(folder))
    assert not folder.exists()
    assert len(calls) == 3


class Pretended:
    """A cluster with so many places."""

    def __init__(self, room, *, on_gpu=False, n_workers=0):
        self.room, self.on_gpu, self.cores, self.n_workers, self.closed = room, on_gpu, 1, n_workers or room, False

    def close(self):
        self.closed = True


def test_a_plan_counts_on_no_more_workers_than_there_is_room_for(monkeypatch):
    made = []

    def pool_for(plan, *, address, n_workers):
        made.append(Pretended(2, n_workers=n_workers))
        return made[-1]

    monkeypatch.setattr(ray_search, "pool_for", pool_for)
    with pytest.raises(ConfigError, match="workers must be at most the 2 that the Ray cluster has room for; got 3"):
        ray_search.machine_and_pool("auto", 3)
    assert made[0].closed
    assert ray_search.machine_and_pool("auto", None)[0] == Machine("cpu", 0, 2, 1, 1)
    assert ray_search.machine_and_pool("cpu", 3, goes_on=True)[0].n_workers == 3  # as planned; a machine is missing


def test_a_confirmation_on_gpus_that_only_the_cluster_has_is_refused_before_the_search(monkeypatch):
    monkeypatch.setattr("torch.cuda", SimpleNamespace(is_available=lambda: False))
    ray_search.check_can_confirm("cpu")
    with pytest.raises(ConfigError, match=r"trains on this machine, .* torch sees no GPU.*; say --no-confirm"):
        ray_search.check_can_confirm("cuda")

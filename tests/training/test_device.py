"""Every trial gets a place of its own on a GPU, across processes, and a killed one gives it back."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading

import pytest
import torch

from tuun_da.errors import ConfigError, TrainingError
from tuun_da.training import device as device_module
from tuun_da.training.device import acquire_slot, gpu_name, lock_folder, pick_device, requested_gpus, set_threads

HOLD = """
import sys
from tuun_da.training.device import acquire_slot
slot = acquire_slot(sys.argv[3:], int(sys.argv[2]), sys.argv[1], poll_seconds=0.05, remind_seconds=0.2)
print(slot.name, slot.number, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def hold(tmp_path):
    """Starts processes that take a place and keep it until they end."""
    started = []

    def start(*names, slots=1):
        command = [sys.executable, "-c", HOLD, str(tmp_path), str(slots), *names]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def line_of(stream):
    """The next line that a process writes; fails, rather than waits for ever, if none comes."""
    ready, _, _ = select.select([stream], [], [], 60)
    assert ready, "no line within a minute"
    return stream.readline()


def place_of(process):
    name, number = line_of(process.stdout).split()
    return name, int(number)


def test_processes_get_different_places_gpus_first(hold):
    places = [place_of(hold("A", "B", slots=2)) for _ in range(4)]
    assert places == [("A", 0), ("B", 0), ("A", 1), ("B", 1)]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_killed_gives_its_place_to_one_that_waits(hold, how):
    first = hold("A")
    assert place_of(first) == ("A", 0)
    second = hold("A")
    assert "waiting for a GPU: the only GPU is taken by other trials" in line_of(second.stderr)
    assert "waiting for a GPU" in line_of(second.stderr)  # again after a while
    first.send_signal(how)
    assert place_of(second) == ("A", 0)


def test_a_place_that_was_released_is_free(tmp_path):
    first = acquire_slot(["A"], 1, tmp_path)
    first.release()
    second = acquire_slot(["A"], 1, tmp_path)
    assert (second.name, second.number) == ("A", 0)
    second.release()


def test_a_child_process_does_not_keep_the_place(tmp_path):
    slot = acquire_slot(["A"], 1, tmp_path)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    try:
        slot.release()
        again = acquire_slot(["A"], 1, tmp_path)
        again.release()
    finally:
        child.kill()
        child.communicate()


def test_the_folder_for_locks_is_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = lock_folder()
    assert folder == tmp_path / f"tuun_da-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert lock_folder() == folder


def test_a_link_in_place_of_the_folder_for_locks_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"tuun_da-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TrainingError, match="must belong to user"):
        lock_folder()


def test_names_of_gpus_cannot_lead_out_of_the_folder(tmp_path):
    acquire_slot(["../../x"], 1, tmp_path / "locks").release()
    assert [path.name for path in (tmp_path / "locks").iterdir()] == ["______x.0.lock"]


@pytest.mark.parametrize(
    ("requested", "gpus", "allowed"),
    [
        ("auto", 0, []), ("auto", 2, [0, 1]), ("cpu", 2, []), ("cuda", 3, [0, 1, 2]), ("cuda:1", 2, [1]),
        ("cuda:0", 1, [0]),
    ],
)  # fmt: skip
def test_which_gpus_are_allowed(requested, gpus, allowed):
    assert requested_gpus(requested, gpus) == allowed


@pytest.mark.parametrize(
    ("requested", "gpus", "message"),
    [
        ("gpu", 1, "device must be auto, cpu, cuda or cuda:N; got 'gpu'"),
        ("cuda:x", 1, "device must be auto, cpu, cuda or cuda:N; got 'cuda:x'"),
        (None, 1, "device must be auto, cpu, cuda or cuda:N; got None"),
        ("cuda", 0, "torch sees no GPU, got 'cuda'"),
        ("cuda:1", 1, "torch sees only cuda:0, got 'cuda:1'"),
        ("cuda:4", 4, "torch sees only cuda:0 to cuda:3, got 'cuda:4'"),
    ],
)
def test_a_device_that_is_not_there(requested, gpus, message):
    with pytest.raises(ConfigError, match=message):
        requested_gpus(requested, gpus)


@pytest.fixture
def two_gpus(monkeypatch):
    """torch as it is on a machine with two GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(device_module, "gpu_name", lambda index: f"GPU-{index}")


def test_trials_spread_over_the_gpus_and_the_third_waits(two_gpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(device_module.acquire_slot, "__kwdefaults__", {"poll_seconds": 0.01, "remind_seconds": 60.0})
    third = []

    def wait():
        with pick_device("auto", lock_dir=tmp_path) as device:
            third.append(device)

    with pick_device("auto", lock_dir=tmp_path) as first:
        assert first == torch.device("cuda:0")
        with pick_device("auto", lock_dir=tmp_path) as second:
            assert second == torch.device("cuda:1")
            waiting = threading.Thread(target=wait)
            waiting.start()
            waiting.join(0.3)
            assert not third
        waiting.join(60)
    assert third == [torch.device("cuda:1")]
    assert "2 places on 2 GPUs are taken by other trials" in capsys.readouterr().err


def test_more_trials_on_a_gpu_and_a_certain_gpu(two_gpus, tmp_path):
    with (
        pick_device("cuda:1", trials_per_gpu=2, lock_dir=tmp_path) as first,
        pick_device("cuda:1", trials_per_gpu=2, lock_dir=tmp_path) as second,
        pick_device("auto", trials_per_gpu=2, lock_dir=tmp_path) as third,
    ):
        assert [first, second, third] == [torch.device("cuda:1"), torch.device("cuda:1"), torch.device("cuda:0")]


def test_the_place_is_given_back_when_the_trial_fails(two_gpus, tmp_path):
    for _ in range(2):
        with pytest.raises(KeyError), pick_device("cuda:0", lock_dir=tmp_path):
            raise KeyError


def test_the_cpu_needs_no_lock(tmp_path):
    with pick_device("cpu", lock_dir=tmp_path / "locks") as device:
        assert device == torch.device("cpu")
    assert not (tmp_path / "locks").exists()


@pytest.mark.parametrize("trials_per_gpu", [0, 1.5, True])
def test_trials_per_gpu_checks_itself(trials_per_gpu):
    with (
        pytest.raises(ConfigError, match="trials_per_gpu must be a whole number of at least 1"),
        pick_device("cpu", trials_per_gpu=trials_per_gpu),
    ):
        pass


def test_a_gpu_is_named_by_its_uuid_and_a_part_of_one_by_its_own(monkeypatch):
    class Properties:
        uuid = "1234-abcd"

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Properties)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert gpu_name(0) == "GPU-1234-abcd"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-77")
    assert gpu_name(0) == "MIG-77"


def test_threads_are_set_and_checked():
    before = torch.get_num_threads()
    try:
        set_threads(2)
        assert torch.get_num_threads() == 2
        set_threads(None)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    with pytest.raises(ConfigError, match="threads must be a whole number from 1 to 4096, got 0"):
        set_threads(0)


@pytest.mark.cuda
def test_a_real_gpu_is_picked(tmp_path):
    with pick_device("auto", lock_dir=tmp_path) as device:
        assert device.type == "cuda"
        assert len(list(tmp_path.iterdir())) == 1

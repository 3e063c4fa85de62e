"""Images in a file are indexed as a tensor is, and read only when they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tuun_da.training.stored_images import StoredImages


@pytest.fixture
def both(tmp_path, rng):
    """The images in a file, and the tensor of the same."""
    images = rng.integers(0, 256, (30, 3, 5, 5), dtype=np.uint8)
    (tmp_path / "file").write_bytes(images.tobytes() + b"something behind it")
    return StoredImages.in_file(tmp_path / "file", images.shape), torch.from_numpy(images)


INDICES = [
    torch.tensor([3, 29, 0, 3]), torch.tensor([], dtype=torch.int64), torch.arange(30) % 3 == 0, slice(None),
    slice(4, 11), slice(25, 99), slice(None, None, 7), 4, -1, np.array([2, 2, 1]),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES)
def test_every_index_gives_what_a_tensor_gives(both, index):
    stored, tensor = both
    assert torch.equal(stored[index], tensor[index])
    mask = np.arange(30) % 4 != 1
    if not (isinstance(index, torch.Tensor) and (index.dtype == torch.bool or 29 in index)):
        assert torch.equal(stored.chosen(mask)[index], tensor[torch.from_numpy(mask)][index])


def test_it_says_of_itself_what_a_tensor_says(both):
    for stored, tensor in (both, (both[0].chosen(np.arange(30) < 7), both[1][:7])):
        assert (stored.shape, stored.dtype, stored.nbytes) == (tensor.shape, tensor.dtype, tensor.nbytes)
        assert (stored.device, len(stored)) == (tensor.device, len(tensor))
        assert all(torch.equal(a, b) for a, b in zip(stored, tensor, strict=True))


def test_what_is_read_is_a_copy(both):
    stored, tensor = both
    stored[:].zero_()
    stored.in_memory()[:] = 0
    np.testing.assert_array_equal(stored.in_memory(), tensor)


def test_an_index_beyond_the_end_is_an_error(both):
    with pytest.raises(IndexError):
        both[0][torch.tensor([30])]
    with pytest.raises(IndexError):
        both[0].chosen(np.arange(30) < 3)[3]


def test_repeated_images_are_those_of_a_tensor(both):
    stored, tensor = both
    assert torch.equal(stored.repeat(3, 1, 1, 1)[:], tensor.repeat(3, 1, 1, 1))
    with pytest.raises(ValueError, match=r"as \(times, 1, 1, 1\) only, got \(1, 2, 1, 1\)"):
        stored.repeat(1, 2, 1, 1)


def test_for_the_cpu_they_stay_where_they_are_and_for_another_device_they_become_a_tensor(both):
    stored, tensor = both
    assert stored.to("cpu") is stored
    moved = stored.to("meta")
    assert isinstance(moved, torch.Tensor)
    assert (moved.shape, moved.dtype, moved.device.type) == (tensor.shape, torch.uint8, "meta")


def test_a_file_that_is_too_short_is_an_error(tmp_path):
    (tmp_path / "file").write_bytes(bytes(99))
    with pytest.raises(ValueError, match="mmap"):
        StoredImages.in_file(tmp_path / "file", (4, 1, 5, 5))


@pytest.mark.cuda
def test_on_a_gpu_it_is_the_same_tensor(both):
    stored, tensor = both
    assert torch.equal(stored.to("cuda").cpu(), tensor)

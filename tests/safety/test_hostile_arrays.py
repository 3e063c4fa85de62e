"""Images, arrays and weights that were made to do harm: no code runs, no memory is filled, the file is named."""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from damage import flipped
from PIL import EpsImagePlugin, Image

from tuun_da.errors import ConfigError, DataError
from tuun_da.training import npz_file
from tuun_da.training.folder import is_coco
from tuun_da.training.image_files import FORMATS, IMAGE_SUFFIXES, MAX_PIXELS, read_image
from tuun_da.training.models import build_model
from tuun_da.training.models.weights import state_from_file
from tuun_da.training.npz_file import load_npz
from tuun_da.training.settings import DataConfig

DEEP = int(os.environ.get("TUUN_DA_DEEP", "1"))


class Marker:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "it ran")


# Images


def png(width: int, height: int, rows: bytes, *chunks: bytes) -> bytes:
    """A grey PNG whose header says ``width`` x ``height``."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    )


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def refusal(path: Path, size: int) -> str:
    """Why an image is not read; empty where it is."""
    try:
        assert read_image(path, size).shape[:2] == (size, size)
    except DataError as error:
        return str(error)
    return ""


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [2**31 - 1, 100_000, 9_460])
def test_an_image_that_unpacks_to_more_than_the_limit_is_refused_before_it_is(tmp_path, side):
    assert (side - 1) ** 2 > MAX_PIXELS or (side - 1) ** 2 <= MAX_PIXELS < side**2  # the last is the first too large
    (tmp_path / "bomb.png").write_bytes(png(side, side, bytes(10_000)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"bomb\.png cannot be read: .*(pixels|too large)"):
            read_image(tmp_path / "bomb.png", 32)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rows", [b"", bytes(10)])
def test_an_image_whose_header_promises_more_than_there_is(tmp_path, rows):
    (tmp_path / "short.png").write_bytes(png(100, 100, rows))
    with pytest.raises(DataError, match=r"short\.png cannot be read"):
        read_image(tmp_path / "short.png", 32)


def test_a_compressed_text_beside_the_pixels_is_not_unpacked_without_end(tmp_path):
    packed = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(200_000_000), 9))
    (tmp_path / "text.png").write_bytes(png(8, 8, bytes(9 * 8), packed))
    tracemalloc.start()
    try:
        said = refusal(tmp_path / "text.png", 8)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert said == "" or "text.png" in said
    assert peak < 80_000_000  # Pillow unpacks up to 64 MB of texts


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"


def test_a_file_of_another_format_is_given_to_no_program(tmp_path, monkeypatch):
    """Pillow hands EPS to Ghostscript, whatever the file is called."""
    marker = tmp_path / "ran"
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "gs"
    program.write_text(f"#!/bin/sh\ntouch {marker}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    (tmp_path / "a.png").write_bytes(EPS)
    with pytest.raises(DataError, match=r"a\.png cannot be read: cannot identify"):
        read_image(tmp_path / "a.png", 8)
    assert not marker.exists()
    with Image.open(tmp_path / "a.png") as file, pytest.raises(OSError):  # noqa: PT011  # else it would prove nothing
        file.load()
    assert marker.exists()


def test_every_format_has_a_suffix_and_every_suffix_a_format():
    known = Image.registered_extensions()
    assert {known[suffix] for suffix in IMAGE_SUFFIXES} == set(FORMATS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMATS)
def test_changed_bytes_of_an_image_are_pixels_or_a_data_error(tmp_path, form):
    buffer = io.BytesIO()
    Image.fromarray(np.arange(20 * 20 * 3, dtype=np.uint8).reshape(20, 20, 3)).save(buffer, form)
    rng = random.Random(0)
    path = tmp_path / "x.png"
    for number in range(40 * DEEP):
        raw = buffer.getvalue()
        path.write_bytes(flipped(raw, rng) if number % 4 else raw[: rng.randrange(len(raw))])
        said = refusal(path, 8)
        assert said == "" or "x.png" in said


# Arrays


def test_an_archive_that_unpacks_to_more_than_the_memory_is_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((5000, 100, 100), np.uint8), labels=np.arange(5000))
    assert (tmp_path / "a.npz").stat().st_size < 200_000
    monkeypatch.setattr(npz_file, "free_bytes", lambda: 40_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"a\.npz cannot be read: it unpacks to 0\.1 GB, and 0\.0 GB of memory"):
            load_npz(DataConfig(data=f"npz:{tmp_path / 'a.npz'}"))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_arrays_of_other_names_are_not_read(tmp_path, caplog):
    """They may be anything, and of any size."""
    marker = tmp_path / "ran"
    images, labels = np.zeros((4, 8, 8), np.uint8), np.arange(4) % 2
    np.savez(tmp_path / "a.npz", images=images, labels=labels, more=np.array([Marker(marker)], dtype=object))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("broken.npy", b"no array")
    assert load_npz(DataConfig(data=f"npz:{tmp_path / 'a.npz'}")).class_names == ("0", "1")
    assert "left out arrays of unknown names: broken, more" in caplog.text
    assert not marker.exists()


def test_an_array_of_objects_is_not_unpickled(tmp_path):
    marker = tmp_path / "ran"
    labels = np.array([Marker(marker)] * 4, dtype=object)
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 8, 8), np.uint8), labels=labels)
    with pytest.raises(DataError, match="array labels cannot be read: it holds Python objects"):
        load_npz(DataConfig(data=f"npz:{tmp_path / 'a.npz'}"))
    assert not marker.exists()
    np.load(tmp_path / "a.npz", allow_pickle=True)["labels"]
    assert marker.exists()  # else the file would prove nothing


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 8, 8), np.uint8), labels=np.arange(4) % 2)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("labels.npy", b"another")
    with pytest.raises(DataError, match=r"a\.npz has two arrays labels"):
        load_npz(DataConfig(data=f"npz:{tmp_path / 'a.npz'}"))


def test_too_many_arrays_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for number in range(npz_file.MAX_ARRAYS + 1):
            archive.writestr(f"{number}.npy", b"")
    with pytest.raises(DataError, match="must have at most 1000 arrays, got 1001"):
        load_npz(DataConfig(data=f"npz:{tmp_path / 'a.npz'}"))


# Weights


@pytest.mark.parametrize("protocol", ["torch", "torch of old", "pickle"])
def test_code_in_a_file_of_weights_does_not_run(tmp_path, protocol):
    marker, path = tmp_path / "ran", tmp_path / "w.pt"
    content = {"fc.weight": torch.zeros(2), "x": Marker(marker)}
    if protocol == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=protocol == "torch")
    with pytest.raises(ConfigError, match=r"w\.pt"):
        state_from_file(path)
    assert not marker.exists()
    if protocol == "pickle":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert marker.exists()  # else the file would prove nothing


@pytest.mark.parametrize(
    ("tensor", "problem"),
    [
        (torch.zeros(1).expand(10**12), "claims 4000000000000 bytes and has fewer"),
        (torch.zeros(1).expand(10**6, 10**6), "claims 4000000000000 bytes and has fewer"),
        (torch.zeros(10**12, device="meta"), "must be a dense tensor of plain numbers"),
        (torch.zeros(4, 4).to_sparse(), "must be a dense tensor of plain numbers"),
        (torch.quantize_per_tensor(torch.zeros(4), 0.1, 0, torch.quint8), "must be a dense tensor of plain numbers"),
    ],
    ids=["view", "view of two", "meta", "sparse", "quantized"],
)
@pytest.mark.filterwarnings("ignore")
def test_a_tensor_that_is_less_than_it_says_is_refused(tmp_path, tensor, problem):
    own = build_model("child_cnn", num_classes=2, channels=1, image_size=8).state_dict()
    name = next(iter(own))
    torch.save({**own, name: tensor}, tmp_path / "w.pt")
    with pytest.raises(ConfigError, match=problem):
        build_model("child_cnn", num_classes=2, channels=1, image_size=8, weights=str(tmp_path / "w.pt"))


# Beside the images of a folder


@pytest.mark.parametrize(("begin", "is_one"), [('{"images": [], "annotations" : [', True), ('{"images": [', False)])
def test_a_large_file_of_annotations_is_recognised_without_being_parsed(tmp_path, begin, is_one):
    path = tmp_path / "x.json"
    path.write_text(begin + " " * 11_000_000)  # no JSON
    tracemalloc.start()
    try:
        assert is_coco(path) is is_one
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_names_of_lists_across_two_pieces_are_found(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(" " * (2**20 - 5) + '"images": [1], ' + " " * (2**20 - 20) + '"annotations": [' + " " * 11_000_000)
    assert is_coco(path)


def test_a_link_beside_the_images_is_not_opened(tmp_path):
    (tmp_path / "real.json").write_text('{"images": [], "annotations": []}')
    (tmp_path / "x.json").symlink_to(tmp_path / "real.json")
    assert is_coco(tmp_path / "real.json")
    assert not is_coco(tmp_path / "x.json")

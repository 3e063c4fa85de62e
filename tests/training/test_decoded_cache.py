"""A folder's images are decoded once for each of its states, by one process, and never differ from the files."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_images import random_image, write_classes
from PIL import Image

from tuun_da.errors import DataError
from tuun_da.training import decoded_cache, image_files
from tuun_da.training.datasets import load_splits
from tuun_da.training.decoded_cache import decoded_images
from tuun_da.training.image_facts import facts_of
from tuun_da.training.image_files import read_image
from tuun_da.training.resizing import stacked
from tuun_da.training.settings import DataConfig
from tuun_da.training.stored_images import StoredImages


@pytest.fixture
def folder(tmp_path, rng):
    return write_classes(tmp_path / "data", rng)


@pytest.fixture
def reads(monkeypatch):
    """The files that were decoded."""
    paths = []
    monkeypatch.setattr(image_files, "read_image", lambda path, size: paths.append(path) or read_image(path, size))
    return paths


def decoded(folder, cache=None, size=None, *, skip_broken=False):
    paths = sorted(path for path in folder.rglob("*") if path.suffix == ".png")
    return decoded_images(
        folder, paths, image_size=size, cache_folder=cache or folder.parent / "cache", skip_broken=skip_broken
    )


def pixels(found):
    assert isinstance(found.images, StoredImages)
    return found.images[:].numpy()


def expected(folder, size=None):
    return stacked([read_image(path, size) for path in sorted(folder.rglob("*.png"))])


def entries(folder):
    return sorted((folder.parent / "cache" / "decoded").glob("*.pixels"))


def test_the_second_time_no_file_is_decoded_and_the_pixels_are_the_same(folder, reads):
    first, again = decoded(folder), decoded(folder)
    assert len(reads) == 20
    np.testing.assert_array_equal(pixels(first), expected(folder))
    np.testing.assert_array_equal(pixels(again), expected(folder))
    np.testing.assert_array_equal(again.facts.fingerprints, facts_of(expected(folder)).fingerprints)
    np.testing.assert_array_equal(again.facts.sums, facts_of(expected(folder)).sums)


@pytest.mark.parametrize("kinds", [["L"], ["RGB"], ["L", "RGB"], ["RGB", "L"]])
@pytest.mark.parametrize("sides", [[16], [16, 24], [24, 64], [64, 80, 16]])
@pytest.mark.parametrize("size", [None, 12])
def test_whatever_the_files_are_the_pixels_are_those_of_decoding_in_memory(
    tmp_path, rng, monkeypatch, kinds, sides, size
):
    monkeypatch.setattr(decoded_cache, "WRITTEN_AT_ONCE", 700)  # of one to three images
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(12):
        kind, side = kinds[number * len(kinds) // 12], sides[number * len(sides) // 12]
        random_image(rng, kind, (side, side)).save(folder / f"{number:02}.png")
    for _ in range(2):
        found = decoded(folder, size=size)
        np.testing.assert_array_equal(pixels(found), expected(folder, size))
        np.testing.assert_array_equal(found.facts.fingerprints, facts_of(expected(folder, size)).fingerprints)
        np.testing.assert_array_equal(found.facts.sums, facts_of(expected(folder, size)).sums)


def change(folder, rng):
    random_image(rng).save(folder / "cat" / "000.png")


def change_to_the_same_size(folder, rng):
    path = folder / "cat" / "000.png"
    content = (folder / "cat" / "001.png").read_bytes()
    path.write_bytes(content)
    os.utime(path, ns=(0, 1))


def change_size_and_time_being_set_back(folder, rng):
    """As uncompressed images of one size, and as archives unpack them."""
    path = folder / "cat" / "000.png"
    content, before = path.read_bytes(), path.stat()
    other = bytearray((folder / "cat" / "001.png").read_bytes())
    path.write_bytes(bytes(other[: len(content)]).ljust(len(content), b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def add(folder, rng):
    random_image(rng).save(folder / "cat" / "new.png")


def remove(folder, rng):
    (folder / "cat" / "000.png").unlink()


def rename(folder, rng):
    (folder / "cat" / "000.png").rename(folder / "dog" / "zzz.png")


@pytest.mark.parametrize(
    "event", [change, change_to_the_same_size, change_size_and_time_being_set_back, add, remove, rename]
)
def test_a_folder_that_is_no_longer_the_same_is_decoded_anew_and_the_old_entry_goes(folder, rng, reads, event):
    decoded(folder)
    before = entries(folder)
    event(folder, rng)
    reads.clear()
    np.testing.assert_array_equal(pixels(decoded(folder)), expected(folder))
    assert len(reads) == len(list(folder.rglob("*.png")))
    assert len(entries(folder)) == 1
    assert entries(folder) != before


def test_each_size_has_an_entry_of_its_own_and_other_folders_are_left_alone(folder, rng, reads):
    other = write_classes(folder.parent / "other", rng)
    for _ in range(2):
        for where, size in ((folder, None), (folder, 12), (other, None)):
            np.testing.assert_array_equal(pixels(decoded(where, size=size)), expected(where, size))
    assert len(reads) == 60
    assert len(entries(folder)) == 3


def test_the_way_that_leads_to_the_folder_does_not_matter(folder, reads, monkeypatch):
    decoded(folder)
    (folder.parent / "link").symlink_to(folder)
    decoded(folder.parent / "link")
    monkeypatch.chdir(folder.parent)
    decoded(Path("data"), folder.parent / "cache")
    assert len(reads) == 20


def torn(path):
    path.write_bytes(path.read_bytes()[:-100])


def torn_in_the_middle(path):
    content = path.read_bytes()
    path.write_bytes(content[:1000] + content[1001:])


def foreign(path):
    path.write_bytes(b"something else entirely")


def empty(path):
    path.write_bytes(b"")


def too_long_a_length(path):
    content = path.read_bytes()
    path.write_bytes(content[:-16] + bytes([255] * 8) + content[-8:])


def without_json(path):
    content = path.read_bytes()
    length = int.from_bytes(content[-16:-8], "little")
    path.write_bytes(content[: -16 - length] + b"x" * length + content[-16:])


def without_the_broken(path):
    path.write_bytes(path.read_bytes().replace(b'"broken"', b'"BROKEN"'))


def with_json(path, text):
    content = path.read_bytes()
    length = int.from_bytes(content[-16:-8], "little")
    path.write_bytes(content[: -16 - length] + text + len(text).to_bytes(8, "little") + content[-8:])


def description(path):
    content = path.read_bytes()
    return content[-16 - int.from_bytes(content[-16:-8], "little") : -16]


def endless_numbers(path):
    with_json(path, b'{"shape": [Infinity, 3, 16, 16], "about": {"broken": []}}')


def deep_nesting(path):
    with_json(path, b"[" * 100_000)


def one_file_less(path):
    with_json(
        path, description(path).replace(b'"broken": []', b'"broken": [{"number": 3, "message": "", "passing": 0}]')
    )


def strange_numbers(path):
    with_json(path, description(path).replace(b'"broken": []', b'"broken": [{"number": "x"}]'))


@pytest.mark.parametrize(
    "damage",
    [
        torn, torn_in_the_middle, foreign, empty, too_long_a_length, without_json, without_the_broken, endless_numbers,
        deep_nesting, one_file_less, strange_numbers,
    ],
)  # fmt: skip
def test_an_entry_that_is_not_whole_is_made_anew(folder, reads, damage):
    decoded(folder)
    (entry,) = entries(folder)
    damage(entry)
    np.testing.assert_array_equal(pixels(decoded(folder)), expected(folder))
    decoded(folder)
    assert len(reads) == 40


def test_a_decoding_that_was_interrupted_leaves_nothing_that_is_taken_for_an_entry(folder, monkeypatch):
    def interrupted(items, total):
        yield from list(items)[:5]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(decoded_cache, "with_progress", interrupted)
        patch.setattr(decoded_cache, "WRITTEN_AT_ONCE", 1)
        with pytest.raises(KeyboardInterrupt):
            decoded(folder)
    assert [path.suffix for path in (folder.parent / "cache" / "decoded").iterdir()] == [".lock"]
    killed = folder.parent / "cache" / "decoded" / f"{decoded_cache.digest([os.fsencode(folder)])}-x-own.partial"
    killed.write_bytes(b"half")
    np.testing.assert_array_equal(pixels(decoded(folder)), expected(folder))
    assert not killed.exists()


def test_no_file_is_written_through_a_link(folder, tmp_path):
    cache, victim = folder.parent / "cache" / "decoded", tmp_path / "victim"
    victim.write_text("precious")
    cache.mkdir(parents=True)
    digest = decoded_cache.digest([os.fsencode(folder.resolve())])
    (cache / f"{digest}.lock").symlink_to(victim)
    decoded(folder, skip_broken=True)  # into memory, with a warning
    assert victim.read_text() == "precious"
    (cache / f"{digest}.lock").unlink()
    decoded(folder)
    (entry,) = entries(folder)
    entry.unlink()
    entry.with_suffix(".partial").symlink_to(victim)
    np.testing.assert_array_equal(pixels(decoded(folder)), expected(folder))
    assert victim.read_text() == "precious"


def test_images_that_are_in_use_outlive_their_entry(folder):
    found = decoded(folder)
    before = expected(folder)
    shutil.rmtree(folder.parent / "cache")
    np.testing.assert_array_equal(pixels(found), before)


def refuse(*_):
    raise PermissionError(13, "denied")


@pytest.mark.parametrize("place", ["a file", "no permission"])
def test_a_cache_that_cannot_be_written_is_done_without(folder, caplog, monkeypatch, place):
    cache = folder.parent / "cache"
    if place == "a file":
        cache.write_text("")
    else:  # not by permissions, which the superuser does not have to heed
        cache.mkdir()
        monkeypatch.setattr(decoded_cache, "locked", refuse)
    with caplog.at_level(logging.WARNING):
        found = decoded(folder)
    np.testing.assert_array_equal(found.images, expected(folder))
    assert f"decoded images cannot be kept in {cache}/decoded" in caplog.text
    assert load_splits(DataConfig(data=f"folder:{folder}", data_dir=str(cache))).num_classes == 2


def test_where_it_lies_and_how_large_it_is_is_said(folder, caplog, monkeypatch):
    with caplog.at_level(logging.INFO):
        decoded(folder)
    (entry,) = entries(folder)
    assert f"{folder}: decoded images are kept in {entry} (0 MB)" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    entry.unlink()
    monkeypatch.setattr(decoded_cache, "WORTH_A_WORD", 1)
    decoded(folder)
    assert [record for record in caplog.records if record.levelno == logging.WARNING]


class TestBroken:
    @pytest.fixture
    def folder(self, folder):
        (folder / "dog" / "003.png").write_bytes(b"broken")
        return folder

    def test_they_are_remembered_with_their_messages(self, folder, reads):
        first, again = decoded(folder, skip_broken=True), decoded(folder, skip_broken=True)
        assert len(reads) == 20
        assert first.broken == again.broken
        (broken,) = again.broken
        assert broken.number == 13
        assert f"image {folder}/dog/003.png cannot be read" in broken.message
        assert len(again.images) == 19

    def test_without_skip_broken_a_remembered_one_stops_too(self, folder, reads):
        with pytest.raises(DataError, match=r"dog/003\.png cannot be read"):
            decoded(folder)
        assert not entries(folder)
        decoded(folder, skip_broken=True)
        reads.clear()
        with pytest.raises(DataError, match=r"dog/003\.png cannot be read"):
            decoded(folder)
        assert not reads

    def test_what_the_system_refused_is_tried_again(self, folder, monkeypatch):
        def refused(path, size):
            if path.name == "003.png":
                try:
                    raise PermissionError(13, "denied")
                except PermissionError as error:
                    raise DataError(f"image {path} cannot be read: denied") from error
            return read_image(path, size)

        Image.new("RGB", (16, 16)).save(folder / "dog" / "003.png")
        with monkeypatch.context() as patch:
            patch.setattr(image_files, "read_image", refused)
            assert [one.number for one in decoded(folder, skip_broken=True).broken] == [3, 13]
        assert not decoded(folder).broken

    def test_a_file_that_vanished_is_a_broken_one(self, folder):
        paths = [*sorted(folder.rglob("*.png")), folder / "gone.png"]
        found = decoded_images(folder, paths, image_size=None, cache_folder=folder.parent / "cache", skip_broken=True)
        assert [one.number for one in found.broken] == [13, 20]

    def test_splits_out_of_the_cache_are_those_without_it(self, folder):
        config = DataConfig(data=f"folder:{folder}", skip_broken=True, data_dir=str(folder.parent / "cache"))
        cold, warm = load_splits(config), load_splits(config)
        (folder.parent / "no cache").write_text("")
        without = load_splits(
            DataConfig(data=f"folder:{folder}", skip_broken=True, data_dir=str(folder.parent / "no cache"))
        )
        for splits in (cold, warm):
            assert (splits.mean, splits.std, splits.skipped) == (without.mean, without.std, without.skipped)
            for name in ("train", "validation", "test"):
                for kind in ("images", "labels"):
                    name_of_part = f"{name}_{kind}"
                    assert getattr(splits, name_of_part).equal(getattr(without, name_of_part))


def decode_and_count(folder, numbers, barrier):
    class Slowly:
        def __init__(self):
            self.count = 0

        def __call__(self, path, size):
            self.count += 1
            barrier.wait(0.02)  # never set: another process that does not wait for the lock gets its chance here
            return read_image(path, size)

    image_files.read_image = slowly = Slowly()
    np.testing.assert_array_equal(pixels(decoded(folder)), expected(folder))
    numbers.put(slowly.count)


def test_of_trials_that_start_together_one_decodes(folder):
    context = multiprocessing.get_context("fork")
    numbers, event = context.Queue(), context.Event()
    processes = [context.Process(target=decode_and_count, args=(folder, numbers, event)) for _ in range(3)]
    for process in processes:
        process.start()
    counts = sorted(numbers.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert counts == [0, 0, 20]

"""The images of a folder, decoded once and kept in a file: a second trial has no file to open but that one.

An entry belongs to one state of a folder (which files, how large, when changed) and one image size. It is written by
one process while the others wait, and replaced by the next state's.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tuun_da.errors import DataError
from tuun_da.training.image_facts import ImageFacts
from tuun_da.training.image_files import read_images, with_progress
from tuun_da.training.pixel_file import PixelFileWriter, new_pixel_file, read_pixel_file
from tuun_da.training.resizing import Pixels, stacked
from tuun_da.training.stored_images import StoredImages

logger = logging.getLogger(__name__)

FORMAT = 2
"""To be raised with every change of the file's layout or of how an image file becomes pixels: old entries are then of
no use."""

WRITTEN_AT_ONCE = 2**25  # bytes of decoded images that wait in memory until they are written
WORTH_A_WORD = 10**8  # bytes; a smaller entry is not worth a line in everyone's log


@dataclass(frozen=True)
class BrokenFile:
    """The image file of this ``number`` (in the list of paths) cannot be read, as ``message`` says.

    ``passing``: the system refused it (permissions, a disk that is gone), so that it may be whole the next time.
    """

    number: int
    message: str
    passing: bool


@dataclass(frozen=True, eq=False)
class Decoded:
    """The ``images`` (n, c, h, w) of those files that can be read, in their order, and the ``broken`` ones.

    ``facts`` of the images are None where they have not been computed.
    """

    images: Pixels | StoredImages
    facts: ImageFacts | None
    broken: tuple[BrokenFile, ...]


def decoded_images(
    root: Path, paths: Sequence[Path], *, image_size: int | None, cache_folder: Path, skip_broken: bool
) -> Decoded:
    """The images of the files ``paths``, which lie in ``root``, out of the cache, or put there now.

    Where the cache cannot be written they are decoded into memory, with a warning. Raises DataError for the first
    broken file unless ``skip_broken``, and where all are broken.
    """
    folder = cache_folder / "decoded"
    folder_digest = digest([os.fsencode(root.resolve())])
    start = len(os.fspath(root / "x")) - 1  # of what is relative to the root, in the paths as texts
    state_digest = digest([str(FORMAT).encode(), *(state_of(os.fspath(path), start) for path in paths)])
    entry = folder / f"{folder_digest}-{state_digest}-{image_size or 'own'}.pixels"
    found = read_entry(entry, len(paths))
    if found is None or any(one.passing for one in found.broken):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder / f"{folder_digest}.lock", root):
                found = read_entry(entry, len(paths))  # another process may have made it in the meantime
                if found is None or any(one.passing for one in found.broken):
                    remove_others(folder, folder_digest, state_digest)
                    with new_pixel_file(entry) as writer:
                        write_decoded(writer, root, paths, image_size, skip_broken=skip_broken)
                    size = entry.stat().st_size
                    level = logging.WARNING if size >= WORTH_A_WORD else logging.INFO
                    logger.log(level, "%s: decoded images are kept in %s (%.0f MB)", root, entry, size / 1e6)
                    found = read_entry(entry, len(paths))
        except OSError as error:  # no space, no permission, no locks
            logger.warning(
                "%s: decoded images cannot be kept in %s (%s), so that each trial decodes them into its memory; "
                "another folder can be named with --data-dir or $TUUN_DA_DATA", root, folder, error,
            )  # fmt: skip
            found = None
        if found is None:
            return decoded_in_memory(root, paths, image_size, skip_broken=skip_broken)
    if found.broken and not skip_broken:
        raise DataError(found.broken[0].message)
    logger.info("%s: decoded images are read from %s (%.0f MB)", root, entry, found.images.nbytes / 1e6)
    return found


def read_entry(entry: Path, n_files: int) -> Decoded | None:
    """What the file ``entry`` holds of so many image files; None if it has to be made."""
    content = read_pixel_file(entry)
    if content is None:
        return None
    try:
        broken = tuple(BrokenFile(**one) for one in content.about["broken"])
    except (KeyError, TypeError):
        return None
    numbers = [one.number for one in broken]
    if len(content.images) + len(broken) != n_files or len(set(numbers)) < len(numbers):
        return None
    if not all(isinstance(number, int) and 0 <= number < n_files for number in numbers):
        return None
    return Decoded(content.images, content.facts, broken)


def write_decoded(
    writer: PixelFileWriter, root: Path, paths: Sequence[Path], image_size: int | None, *, skip_broken: bool
) -> None:
    """Decode the files into ``writer``, of which only a part is in memory at a time."""
    broken: list[BrokenFile] = []
    waiting: list[Pixels] = []
    waiting_bytes = 0
    for image in decode(paths, image_size, broken, skip_broken=skip_broken):
        waiting.append(image)
        waiting_bytes += image.nbytes
        if waiting_bytes >= WRITTEN_AT_ONCE:
            writer.append(stacked(waiting))
            waiting, waiting_bytes = [], 0
    refuse_all_broken(root, paths, broken)
    if waiting:
        writer.append(stacked(waiting))
    writer.finish({"broken": [asdict(one) for one in broken]})


def decoded_in_memory(root: Path, paths: Sequence[Path], image_size: int | None, *, skip_broken: bool) -> Decoded:
    broken: list[BrokenFile] = []
    images = list(decode(paths, image_size, broken, skip_broken=skip_broken))
    refuse_all_broken(root, paths, broken)
    return Decoded(stacked(images), None, tuple(broken))


def decode(
    paths: Sequence[Path], image_size: int | None, broken: list[BrokenFile], *, skip_broken: bool
) -> Iterator[Pixels]:
    """The image of each file that can be read; the others are added to ``broken``, or the first raises DataError."""
    for number, outcome in enumerate(with_progress(read_images(paths, image_size), len(paths))):
        if not isinstance(outcome, DataError):
            yield outcome
        elif skip_broken:
            cause = outcome.__cause__
            broken.append(BrokenFile(number, str(outcome), isinstance(cause, OSError) and cause.errno is not None))
        else:
            raise outcome


def refuse_all_broken(root: Path, paths: Sequence[Path], broken: Sequence[BrokenFile]) -> None:
    if len(broken) == len(paths):
        raise DataError(f"data folder {root}: none of its {len(paths)} images can be read; {broken[0].message}")


def state_of(path: str, start: int) -> bytes:
    """Where a file lies in the folder (``path`` from ``start`` on), how large it is, and when its content and its entry
    were changed (the latter cannot be set back); of links what they lead to."""
    try:
        status = os.stat(path)
        size, changed = status.st_size, (status.st_mtime_ns, status.st_ctime_ns)
    except OSError:  # gone since it was listed; reading it says so
        size, changed = -1, (-1, -1)
    return os.fsencode(path[start:]) + f"\0{size}\0{changed}".encode()


def digest(parts: Sequence[bytes]) -> str:
    """32 hexadecimal digits for ``parts``; each is preceded by its length, so that none runs into the next."""
    total = hashlib.blake2b(digest_size=16)
    for part in parts:
        total.update(len(part).to_bytes(8, "little") + part)
    return total.hexdigest()


@contextlib.contextmanager
def locked(path: Path, root: Path) -> Iterator[None]:
    """Hold the lock on the file ``path``, which the system gives up when the process ends, however it ends."""
    # not through a link, which might lead to somebody's file
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666), "r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning("%s: waiting for another process that decodes its images", root)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remove_others(folder: Path, folder_digest: str, state_digest: str) -> None:
    """Remove the entries of other states of the data folder, and what a process that was killed has left behind.

    The caller holds the lock. A trial that still uses one keeps it: a mapped file goes when its last user does.
    """
    for path in folder.glob(f"{folder_digest}-*"):
        if path.suffix == ".partial" or not path.name.startswith(f"{folder_digest}-{state_digest}-"):
            path.unlink(missing_ok=True)
            logger.info("removed %s, of an older state of the data folder", path)

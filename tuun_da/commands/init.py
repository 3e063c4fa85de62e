"""``tuun-da init``: the files that an experiment starts from."""

from __future__ import annotations

import argparse
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tuun_da.commands.command_parser import CommandParser
from tuun_da.commands.options import add_command
from tuun_da.errors import ConfigError

if TYPE_CHECKING:
    from tuun_da.commands.options import Subparsers
    from tuun_da.training.folder_look import FolderLook

SETTINGS_FILE = "search.yml"
CLEAR_IMBALANCE = 3.0
FEW_IMAGES = 1000
LARGE_SIDE = 96  # pixels, from which on making images 64 wide takes much away


def add_parser(commands: Subparsers) -> None:
    """Add this command to the command line."""
    parser = add_command(
        commands,
        "init",
        init,
        f"write {SETTINGS_FILE} for your images, or NNI configurations, search spaces and the trial script",
        "tuun-da init my_search --data ./images",
    )
    parser.add_argument("folder", nargs="?", default=".", help="(default: this folder)")
    parser.add_argument(
        "--data",
        metavar="NAME",
        help=f"look at these images, and write a {SETTINGS_FILE} for them with every option of tuun-da search "
        "(default: write the files of an NNI experiment)",
    )


def init(options: argparse.Namespace) -> int:
    """Write the files that an experiment starts from; the exit code."""
    folder = Path(options.folder)
    if options.data is not None:
        return _write_settings(folder, options.data)
    from tuun_da.starter import starter_files

    files = starter_files()
    taken = [name for name in files if (folder / name).exists()]
    if taken:
        raise ConfigError(f"{folder / taken[0]} is there already; nothing was written")
    for name, source in files.items():
        target = folder / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        except OSError as error:
            raise ConfigError(f"{target} cannot be written: {error.strerror}") from None
        print(target)
    print("Start with: tuun-da search --config nni_configs/digits.yml --confirm")
    return 0


def _write_settings(folder: Path, data: str) -> int:
    from tuun_da.commands.search import OF_NNI
    from tuun_da.commands.settings_template import settings_text
    from tuun_da.training.data_spec import data_spec
    from tuun_da.training.settings import DataConfig

    config = DataConfig(data=data_spec(data))
    target = folder / SETTINGS_FILE
    if target.exists():
        raise ConfigError(f"{target} is there already; nothing was written")
    seen, notes = "", {}
    if config.kind == "folder":
        from tuun_da.training.folder_look import look_at_folder

        look = look_at_folder(config.path)
        seen, notes = look.describe(), suggestions(look)
        print(seen)
    elif config.kind == "npz" and not config.path.is_file():
        raise ConfigError(f"--data must be a folder of images, an .npz file or the name of a data set, got {data!r}")
    command = f"tuun-da search --config {shlex.quote(str(target))}"
    head = (
        f"Settings of a search. Start it with: {command}\n"
        "What is given on the command line wins over this file. A line such as #epochs: null is an option at its "
        "default; take away its # to set it."
    )
    text = settings_text(search_parser(), f"{head}\n{seen}".rstrip(), {"data": config.data}, notes, without=OF_NNI)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(target, "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}") from None
    print(f"Written to {target}. Look it over, and start with: {command}")
    return 0


def search_parser() -> argparse.ArgumentParser:
    """The parser of ``tuun-da search``, whatever options that has."""
    from tuun_da.commands import search

    parser: argparse.ArgumentParser = CommandParser(prog="tuun-da")
    commands = parser.add_subparsers()
    search.add_parser(commands)
    return commands.choices["search"]


def suggestions(look: FolderLook) -> dict[str, str]:
    """What speaks for other values than the defaults, by the names of the options."""
    notes = {}
    if look.imbalance >= CLEAR_IMBALANCE:
        (large, most), (small, fewest) = look.largest, look.smallest
        classes = f"{large} has {most} images and {small} {fewest}"
        notes["metric"] = (
            f"For these images rather balanced_accuracy, in which each class counts the same: {classes}, so accuracy "
            "is mostly that of the frequent classes."
        )
        notes["sampling"] = (
            f"For these images balanced may help: {classes}, so a batch hardly ever shows the rare ones."
        )
    if look.shorter_side is not None and look.shorter_side >= LARGE_SIDE:
        notes["image_size"] = (
            f"These images have {look.shorter_side} pixels on their shorter side: what is small in them may vanish at "
            "64. Twice the size takes about four times as long."
        )
    n_train = sum(look.counts["train"].values())
    if n_train < FEW_IMAGES:
        notes["repeats"] = (
            f"With {n_train} images, one validation says little. 3, together with resplit: true, tells policies apart "
            "better, and takes three times as long."
        )
    if "test" not in look.counts:
        notes["test_size"] = "There is no folder test, so this share of each class is set aside before the search."
    return notes

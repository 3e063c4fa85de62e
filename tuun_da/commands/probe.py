"""``tuun-da probe``: what each operation does to a network."""

from __future__ import annotations

import argparse
import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tuun_da.commands.options import (
    add_command,
    add_config_option,
    check_output,
    check_replaceable,
    is_probe_file,
    names_in,
)
from tuun_da.errors import ConfigError
from tuun_da.operations import PUBLISHED_TYPES
from tuun_da.training.data_spec import data_spec
from tuun_da.training.options import PROBE_DEFAULTS, add_training_options, configs_from_options

if TYPE_CHECKING:
    from tuun_da.commands.options import Subparsers


def add_parser(commands: Subparsers) -> None:
    """Add this command to the command line."""
    parser = add_command(
        commands,
        "probe",
        probe,
        "measure what each operation does to your images: one training, a JSON file, a picture",
        "tuun-da probe --data ./images -o probe.json",
    )
    parser.add_argument(
        "-o", "--output", default="probe.json", metavar="FILE", help="probe file (default: %(default)s)"
    )
    parser.add_argument(
        "--picture", metavar="FILE", help="heat map as .png, .svg or .pdf (default: OUTPUT with the ending .png)"
    )
    measured = parser.add_mutually_exclusive_group()
    measured.add_argument("--space", metavar="FILE", help="measure the operation types of this search space (JSON)")
    measured.add_argument(
        "--types", metavar="NAMES", help="measure these operation types (default: the 16 of the published search space)"
    )
    add_config_option(parser)
    add_training_options(parser, PROBE_DEFAULTS)


def probe(options: argparse.Namespace) -> int:
    """Measure what each operation does to a network, and draw it; the exit code."""
    from tuun_da.training.checks import check_device

    options.data = data_spec(options.data)
    train_config, data_config = configs_from_options(options)
    check_device(options.device)
    check_output(options.output)
    output = Path(options.output).resolve()
    named = options.picture or str(Path(options.output).with_suffix(".png"))
    check_output(named, "--picture")
    picture = Path(named).resolve()
    check_replaceable(options.output, is_probe_file)
    if picture == output:
        raise ConfigError(f"--picture must be another file than --output, got {options.output!r}")
    types = _types_to_probe(options)

    # Only now what takes seconds to import.
    from tuun_da.engines.progress_bar import ProgressBar
    from tuun_da.report.probe_picture import check_picture_path, is_probe_picture, save_probe_picture
    from tuun_da.training.datasets import load_splits
    from tuun_da.training.device import pick_device, set_threads
    from tuun_da.training.probe import measure_probe

    check_picture_path(picture)
    check_replaceable(str(picture), is_probe_picture, "--picture")
    set_threads(options.threads)
    splits = load_splits(data_config)
    print(splits.describe(), flush=True)
    units = {"training": "epochs", "measuring": "settings"}
    with (
        pick_device(options.device, trials_per_gpu=options.trials_per_gpu) as device,
        contextlib.closing(ProgressBar()) as bar,
    ):
        record = measure_probe(
            train_config,
            splits,
            device,
            lambda stage, done, total: bar.show(stage.capitalize(), done, total, units[stage]),
            types=types,
        )
    settings = {**record.about["settings"], "data": data_config.to_dict()}
    record = replace(record, about={**record.about, "settings": settings})
    record.save(output)  # resolved: through a link, not in its place
    save_probe_picture(record, picture)
    print(f"Accuracy on {record.about['probed_images']} validation images as they are: {record.baseline[0]:.2%}")
    print(f"Written to {output} and {picture}")
    return 0


def _types_to_probe(options: argparse.Namespace) -> tuple[str, ...]:
    from tuun_da.space_file import checked_types, read_space

    if options.types is not None:
        return checked_types(names_in(options.types))
    if options.space is None:
        return PUBLISHED_TYPES
    from tuun_da.search.policy_space import find_policy
    from tuun_da.search.space import SearchSpace

    layout = find_policy(SearchSpace.from_nni(read_space(options.space)))
    if layout is None:
        raise ConfigError(f"--space must be a search space with a policy in it, got {options.space!r}")
    return layout.types

"""``tuun-da probe | space | export | show | init``: each makes files."""

from __future__ import annotations

import argparse
import contextlib
import shutil
from dataclasses import replace
from pathlib import Path

from tuun_da.commands.common import check_output, names_in
from tuun_da.errors import ConfigError
from tuun_da.operations import PUBLISHED_TYPES
from tuun_da.training.options import configs_from_options


def probe(options: argparse.Namespace) -> int:
    """Measure what each operation does to a network, and draw it; the exit code."""
    from tuun_da.training.checks import check_device

    train_config, data_config = configs_from_options(options)
    check_device(options.device)
    output = Path(options.output).resolve()
    picture = Path(options.picture or Path(options.output).with_suffix(".png")).resolve()
    check_output(options.output)
    check_output(str(picture), "--picture")
    if picture == output:
        raise ConfigError(f"--picture must be another file than --output, got {options.output!r}")
    types = _types_to_probe(options)

    # Only now what takes seconds to import.
    from tuun_da.engines.progress_bar import ProgressBar
    from tuun_da.report.probe_picture import check_picture_path, save_probe_picture
    from tuun_da.training.datasets import load_splits
    from tuun_da.training.device import pick_device, set_threads
    from tuun_da.training.probe import measure_probe

    check_picture_path(picture)
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


def export(options: argparse.Namespace) -> int:
    """Write a policy as a Python file for another library; the exit code."""
    from tuun_da.augment.export import is_exported_file, policy_code
    from tuun_da.data_files import write_atomically
    from tuun_da.policy_format import PolicyRecord

    record = PolicyRecord.load(options.policy)
    check_output(options.output)
    output = Path(options.output).resolve()
    if output.exists() and not is_exported_file(output):
        raise ConfigError(f"--output is there already, and this command did not write it: {options.output!r}")
    write_atomically(output, policy_code(record, options.to))
    if record.per == "batch":
        print("This policy draws one sub-policy for each mini-batch; the file draws one for each image.")
    print(f"Written to {output}")
    return 0


def space(options: argparse.Namespace) -> int:
    """Write a search space of operation types; the exit code."""
    from tuun_da.data_files import write_atomically
    from tuun_da.space_file import checked_types, is_space_file, policy_space, space_text, types_of_categories

    types = PUBLISHED_TYPES
    if options.categories is not None:
        types = types_of_categories(names_in(options.categories))
    elif options.types is not None:
        types = checked_types(names_in(options.types))
    space = policy_space(
        types,
        sub_policies=options.sub_policies,
        operations=options.operations,
        probabilities=not options.no_probabilities,
    )
    check_output(options.output)
    output = Path(options.output).resolve()
    if output.exists() and not is_space_file(output):
        raise ConfigError(f"--output is there already, and is no search space: {options.output!r}")
    write_atomically(output, space_text(space))
    print(f"{len(space)} parameters, {len(types)} operation types: {', '.join(types)}")
    print(f"Written to {output}")
    return 0


def show(options: argparse.Namespace) -> int:
    """Draw a contact sheet of a policy; the exit code."""
    from tuun_da.policy_format import PolicyRecord

    record = PolicyRecord.load(options.policy)
    check_output(options.output)

    # Only now what takes seconds to import.
    from tuun_da.report.contact_sheet import check_sheet_path, is_contact_sheet, save_contact_sheet, searched_size
    from tuun_da.training.shown_images import read_shown_images

    check_sheet_path(options.output)
    output = Path(options.output).resolve()
    if output.exists() and not is_contact_sheet(output):  # one of the images, it may be
        raise ConfigError(f"--output is there already, and this command did not write it: {options.output!r}")
    size = searched_size(record)
    images = read_shown_images(options.images, options.columns, image_size=size, data_dir=options.data_dir)
    save_contact_sheet(record, images, output, rows=options.rows, seed=options.seed, title=Path(options.policy).name)
    print(f"Written to {output}")
    return 0


def init(options: argparse.Namespace) -> int:
    """Copy the files that an experiment starts from; the exit code."""
    from tuun_da.starter import starter_files

    folder = Path(options.folder)
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

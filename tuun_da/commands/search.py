"""``tuun-da search``: from a folder of images and some minutes, or from an NNI configuration, to a confirmed policy."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tuun_da.commands.options import EXIT_INTERRUPTED, add_command, check_output
from tuun_da.errors import ConfigError
from tuun_da.training.options import number_or_share
from tuun_da.training.schedule import METRIC_NAMES, SAMPLING_NAMES

if TYPE_CHECKING:
    from tuun_da.commands.options import Subparsers

EXAMPLE = """tuun-da search --data ./images --minutes 30
          tuun-da search --config nni_configs/digits.yml --confirm"""

GUIDED = (
    "minutes", "trials", "on_top_of", "space", "no_probe", "no_confirm", "seed",
    "epochs", "image_size", "batch_size", "learning_rate", "train_size", "validation_size", "test_size", "metric",
    "sampling", "skip_broken",
)  # fmt: skip
"""Options that only --data has; those of an NNI experiment stand in its configuration."""
OF_NNI = ("port", "listen_all", "confirm", "baselines", "candidates")
"""Options that only --config has."""
OF_CONFIRMATION = ("model", "seeds", "workers", "device", "data_dir", "baselines", "candidates")
"""Options that with --config say nothing of the search: its configuration does."""


def add_parser(commands: Subparsers) -> None:
    """Add this command to the command line."""
    parser = add_command(
        commands,
        "search",
        search,
        "find a policy for your images, and compare it with what costs no search",
        EXAMPLE,
    )
    parser.usage = "tuun-da search (--data IMAGES | --config FILE) [options]"
    way = parser.add_argument_group("what to search on: one of these")
    way.add_argument(
        "--data",
        metavar="IMAGES",
        help="a folder with a folder for each class, an .npz file, or digits, cifar10, cifar100, svhn; needs no NNI",
    )
    way.add_argument(
        "--config",
        metavar="FILE",
        help="an NNI experiment, as for nnictl create; or a YAML file with options, as tuun-da init --data writes",
    )

    both = parser.add_argument_group("with both")
    both.add_argument(
        "-o", "--output", metavar="FILE", help="policy file (default: best_policy.json, with --data in its folder)"
    )
    both.add_argument(
        "--model", metavar="NAME", help="network, as for train.py (with --config: that of a confirmation)"
    )
    both.add_argument("--seeds", type=int, metavar="N", help="trainings of each row of the confirmation (default: 5)")
    both.add_argument("--workers", type=int, metavar="N", help="trainings side by side (default: one a core or GPU)")
    both.add_argument("--device", help="auto, cpu, cuda or cuda:N (default: auto)")
    both.add_argument("--data-dir", metavar="FOLDER", help="where downloads and decoded images are kept")

    both.add_argument(
        "--engine",
        choices=("local", "nni", "ray"),
        help="where trials run (default: with --data local, processes on this machine; with --config nni)",
    )
    both.add_argument(
        "--address", metavar="ADDRESS", help="of the Ray cluster, or auto (default: Ray is started on this machine)"
    )
    both.add_argument(
        "--folder",
        metavar="DIR",
        help="of the experiment, but for NNI's; goes on where it stopped (default: tuun_da_search/NAME)",
    )

    own = parser.add_argument_group("with --data")
    own.add_argument("--minutes", type=float, metavar="N", help="that all of it may take (default: 30)")
    own.add_argument("--trials", type=int, metavar="N", help="policies to try (default: as time allows, up to 60)")
    own.add_argument(
        "--on-top-of",
        choices=("auto", "none", "etp"),
        help="etp: search what comes after crop + flip (default: auto, if that is better than nothing)",
    )
    own.add_argument("--space", metavar="FILE", help="search space (default: the 16 published operation types)")
    own.add_argument("--no-probe", action="store_true", help="do not measure first what each operation does")
    own.add_argument("--no-confirm", action="store_true", help="leave the test images for tuun-da confirm")
    own.add_argument("--seed", type=int, metavar="SEED", help="of suggestions and trainings (default: 0)")

    plan = parser.add_argument_group("with --data, in place of what its plan would choose")
    plan.add_argument("--epochs", type=int, metavar="N", help="passes over the training images")
    plan.add_argument("--image-size", type=int, metavar="PIXELS", help="side to which images are resized")
    plan.add_argument("--batch-size", type=int, metavar="N", help="images in a step")
    plan.add_argument("--learning-rate", type=float, metavar="RATE", help="at its peak")
    plan.add_argument("--train-size", type=int, metavar="N", help="training images in all")
    plan.add_argument("--validation-size", type=number_or_share, metavar="SIZE", help="a number of images, or a share")
    plan.add_argument(
        "--test-size", type=number_or_share, metavar="SIZE", help="likewise, where no test split is there"
    )
    plan.add_argument("--metric", choices=METRIC_NAMES, help="what is maximized (default: by the sizes of the classes)")
    plan.add_argument("--sampling", choices=SAMPLING_NAMES, help="of the training images (default: shuffled)")
    plan.add_argument("--skip-broken", action="store_true", help="leave image files out that cannot be read")

    nni = parser.add_argument_group("with --config")
    nni.add_argument("--port", type=int, help="port of NNI's web page (default: the first free one from 8080 on)")
    nni.add_argument(
        "--listen-all",
        action="store_true",
        help="open NNI's web page, which has no login, to the network (default: this machine only)",
    )
    nni.add_argument("--confirm", action="store_true", help="at the end, do what tuun-da confirm does")
    nni.add_argument("--baselines", metavar="NAMES", help="of that confirmation (default: as for tuun-da confirm)")
    nni.add_argument("--candidates", type=int, metavar="N", help="likewise (default: as for tuun-da confirm)")


def search(options: argparse.Namespace) -> int:
    """Search, and write what is recommended; the exit code."""
    if (options.config is None) == (options.data is None):
        raise ConfigError("--data or --config must be given: the images to search on, or an NNI experiment; not both")
    way, other = ("--config", GUIDED) if options.config is not None else ("--data", OF_NNI)
    for name in other:
        if getattr(options, name) not in (None, False):
            where = "; an NNI experiment has it in its configuration" if way == "--config" else ""
            raise ConfigError(f"--{name.replace('_', '-')} does not go with {way}{where}")
    if options.config is not None and not options.confirm:
        for name in OF_CONFIRMATION:
            if getattr(options, name) is not None:
                flag = f"--{name.replace('_', '-')}"
                raise ConfigError(f"{flag} with --config is that of a confirmation, so it goes with --confirm")
    engine = options.engine or ("local" if options.config is None else "nni")
    if engine == ("nni" if options.config is None else "local"):
        raise ConfigError(f"--engine {engine} does not go with {way}")
    if options.address is not None and engine != "ray":
        raise ConfigError("--address is that of a Ray cluster, so it goes with --engine ray")
    if options.config is not None and engine == "ray":
        from tuun_da.commands.ray_search import ray_search

        return ray_search(options)
    if options.config is not None:
        from tuun_da.commands.nni_search import nni_search

        if options.folder is not None:
            raise ConfigError("--folder does not go with --config; NNI keeps its experiments in folders of its own")
        return nni_search(options)

    from tuun_da.api.guided_plan import GuidedRequest

    names = (
        "data", "minutes", "folder", "output", "trials", "model", "epochs", "image_size", "batch_size",
        "learning_rate", "train_size", "validation_size", "test_size", "metric", "sampling", "workers", "device",
        "seed", "seeds", "data_dir", "skip_broken", "space", "on_top_of", "address",
    )  # fmt: skip
    request = GuidedRequest(
        engine=engine,
        **{name: getattr(options, name) for name in names},
        probe=not options.no_probe,
        confirm=not options.no_confirm,
    )
    if request.output is not None:
        check_output(request.output)

    from tuun_da.api.guided_search import guided_search

    return EXIT_INTERRUPTED if guided_search(request).interrupted else 0

"""The command line: ``tuun-da search | best | confirm | ...``. A user's mistake ends with a line, not a traceback."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuun_da import __version__
from tuun_da.errors import ConfigError, ExperimentError, TuunDaError
from tuun_da.training.options import PROBE_DEFAULTS, add_training_options, configs_from_options

EXIT_MISTAKE = 2
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0 done, 1 an experiment failed, 2 a mistake, 130 Ctrl-C."""
    options = _parser().parse_args(arguments)
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):  # a closed terminal, too, ends what was started
            signal.signal(number, _interrupt)
    try:
        code: int = options.run(options)
        return code
    except TuunDaError as error:
        if options.debug:
            raise
        print(f"tuun-da {options.command}: {error}", file=sys.stderr)
        return EXIT_FAILED if isinstance(error, ExperimentError) else EXIT_MISTAKE
    except OSError as error:  # a full disk, a folder that may not be written
        if options.debug:
            raise
        print(f"tuun-da {options.command}: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        if options.debug:
            raise
        print(f"tuun-da {options.command}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tuun-da", description="Searches an augmentation policy for your images.")
    parser.add_argument("--version", action="version", version=f"tuun_da {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    search = _command(
        commands,
        "search",
        _search,
        "run an NNI experiment to its end, and export the best policy",
        "tuun-da search --config nni_configs/digits.yml --confirm",
    )
    search.add_argument("--config", required=True, metavar="FILE", help="an NNI experiment, as for nnictl create")
    search.add_argument("--port", type=int, help="port of NNI's web page (default: the first free one from 8080 on)")
    search.add_argument(
        "--listen-all",
        action="store_true",
        help="open NNI's web page, which has no login, to the network (default: this machine only)",
    )
    search.add_argument(
        "-o", "--output", default="best_policy.json", metavar="FILE", help="policy file (default: %(default)s)"
    )
    search.add_argument("--confirm", action="store_true", help="at the end, do what tuun-da confirm does")
    _confirm_options(search)

    best = _command(
        commands,
        "best",
        _best,
        "print and write the policy that an experiment recommends, running or ended",
        "tuun-da best a1b2c3d4 -o best_policy.json",
    )
    best.add_argument("experiment", metavar="EXPERIMENT", help="an NNI experiment's id or folder, or a journal file")
    best.add_argument(
        "-o", "--output", default="best_policy.json", metavar="FILE", help="policy file (default: %(default)s)"
    )

    confirm = _command(
        commands,
        "confirm",
        _confirm,
        "compare a policy with baselines on the test images, by fresh trainings",
        "tuun-da confirm best_policy.json --seeds 10 --baselines none,etp,trivialaugment",
    )
    confirm.add_argument("policy", metavar="POLICY", help="a policy file that a search wrote")
    confirm.add_argument(
        "-o", "--output", metavar="FILE", help="result as JSON (default: POLICY with the ending .confirmation.json)"
    )
    _confirm_options(confirm)

    probe = _command(
        commands,
        "probe",
        _probe,
        "measure what each operation does to your images: one training, a JSON file, a picture",
        "tuun-da probe --data digits -o probe.json",
    )
    probe.add_argument("-o", "--output", default="probe.json", metavar="FILE", help="probe file (default: %(default)s)")
    probe.add_argument(
        "--picture", metavar="FILE", help="heat map as .png, .svg or .pdf (default: OUTPUT with the ending .png)"
    )
    add_training_options(probe, PROBE_DEFAULTS)

    init = _command(
        commands,
        "init",
        _init,
        "write configurations, search spaces and the trial script into a folder",
        "tuun-da init my_search",
    )
    init.add_argument("folder", nargs="?", default=".", help="(default: this folder)")

    _command(
        commands,
        "node-options",
        _node_options,
        "print the NODE_OPTIONS with which nnictl keeps NNI's web page on this machine",
        'export NODE_OPTIONS="$(tuun-da node-options)"',
    )
    return parser


def _command(commands: Any, name: str, run: Any, text: str, example: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"example:  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,  # an example is copied from one line
    )
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    command.set_defaults(run=run)
    return command


def _confirm_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("confirmation on the test images")
    group.add_argument("--seeds", type=int, default=5, metavar="N", help="trainings each (default: %(default)s)")
    group.add_argument(
        "--baselines",
        default="none,trivialaugment",
        metavar="NAMES",
        help="some of none, etp, trivialaugment (default: %(default)s)",
    )
    group.add_argument("--workers", type=int, metavar="N", help="trainings side by side (default: one a core or GPU)")
    group.add_argument("--device", default="auto", help="as for train.py (default: %(default)s)")
    group.add_argument(
        "--model", metavar="NAME", help="another model than the search's; module:function must be named here"
    )
    group.add_argument("--data-dir", metavar="FOLDER", help="where downloaded data sets are, if not where they were")


def _search(options: argparse.Namespace) -> int:
    from tuun_da.engines.nni_config import read_config
    from tuun_da.search.surrogate import prepare_surrogate

    config = read_config(options.config)
    _check_output(options.output)
    if options.confirm:
        from tuun_da.engines.confirm import check_request
        from tuun_da.training.checks import check_device

        check_request(_baselines(options), options.seeds, options.workers)
        check_device(options.device)
        _check_output(_confirmation_path(options.output))
    port = _free_port(options.port)
    prepare_surrogate(config.settings.surrogate)  # before NNI starts, whose first trial is not waited for that long

    from tuun_da.engines.nni_experiment import running
    from tuun_da.engines.progress import ProgressLine

    if options.listen_all:
        print(
            f"Warning: NNI's web page will be open on all interfaces, port {port}, without any login: whoever "
            "reaches it can change the experiment and run commands. An SSH tunnel is the safe way.",
            file=sys.stderr,
        )
    print("Starting NNI ...", flush=True)
    failure: ExperimentError | None = None
    interrupted = False
    with running(config, port=port, listen_all=options.listen_all) as experiment:
        n_trials = config.max_trials or "any number of"
        print(f"Experiment {experiment.id}: {n_trials} trials, {config.concurrency} at a time")
        print(f"Web page: http://127.0.0.1:{port}    journal: {experiment.journal_path}", flush=True)
        line = ProgressLine(config.max_trials, config.concurrency)
        try:
            experiment.wait(line.show)
        except ExperimentError as error:
            failure = error
        except KeyboardInterrupt:
            interrupted = True
            print("\nStopping the experiment; what has finished is kept.", flush=True)
        finally:
            line.close()
    # What has finished is exported, whatever the end was.
    journal = experiment.journal()
    exported = False
    if journal is not None:
        try:
            exported = _export(journal, experiment.id, options.output)
        except ExperimentError as error:
            if not interrupted:
                failure = failure or error
    if failure is not None:
        raise failure
    if interrupted:
        print(f"Go on with: {_nnictl('resume', experiment.id, config.working_directory)}")
        return EXIT_INTERRUPTED
    if options.confirm and exported:
        options.policy, options.output = options.output, None
        options.model = options.model or _searched_model(options.policy)
        print()
        _confirm(options)
    print(f"\nLook at the trials again: {_nnictl('view', experiment.id, config.working_directory)}")
    return 0


def _searched_model(policy: str) -> str | None:
    """The model of the search that has just ended: its configuration named it, so its code may run again."""
    from tuun_da.policy_format import PolicyRecord

    settings = PolicyRecord.load(policy).searched.get("settings")
    train = settings.get("train") if isinstance(settings, dict) else None
    return train.get("model") if isinstance(train, dict) else None


def _free_port(wanted: int | None) -> int:
    """The port that is wanted, or the first free one from 8080 on. Raises ConfigError."""
    if wanted is not None and not 1 <= wanted <= 65535:
        raise ConfigError(f"--port must lie in 1 to 65535, got {wanted}")
    for port in range(8080, 8180) if wanted is None else (wanted,):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    busy = "8080 to 8179 are all" if wanted is None else f"{wanted} is"
    raise ConfigError(f"--port: port {busy} taken by another program; name a free one")


def _nnictl(action: str, experiment_id: str, folder: Path) -> str:
    """The command line of NNI's for what this command does not do, with the web page kept on this machine."""
    usual = Path("~/nni-experiments").expanduser()
    directory = "" if folder == usual else f" --experiment_dir {shlex.quote(str(folder))}"
    return f'NODE_OPTIONS="$(tuun-da node-options)" nnictl {action} {experiment_id}{directory}'


def _export(journal: Any, experiment_id: str | None, output: str) -> bool:
    """Print the recommendation and write the policy file; False where the search space holds no policy."""
    from tuun_da.engines.export import recommend
    from tuun_da.policy_format import describe

    recommendation = recommend(journal, experiment=experiment_id)
    trial, record = recommendation.trial, recommendation.record
    n_scores = sum(t.value is not None and t.state.value == "succeeded" for t in journal.trials)
    print(f"\nRecommended after {n_scores} complete trials: trial {trial.id}, which scored {trial.value:.4f}")
    if record is None:
        print(json.dumps(dict(recommendation.parameters), indent=2))
        return False
    print(describe(record.sub_policies))
    for name, value in record.searched["other_parameters"].items():
        print(f"{name}: {value}")
    record.save(Path(output).resolve())  # through a link, not in its place
    print(f"Written to {Path(output).resolve()}")
    return True


def _best(options: argparse.Namespace) -> int:
    from tuun_da.search.history import read_journal

    path = _find_journal(options.experiment)
    _check_output(options.output)
    folder = path.parent.parent
    _export(read_journal(path), folder.name if path.parent.name == "checkpoint" else None, options.output)
    return 0


def _find_journal(name: str) -> Path:
    candidates = (
        Path(name),
        Path(name, "checkpoint", "journal.jsonl"),
        Path("~/nni-experiments").expanduser() / name / "checkpoint" / "journal.jsonl",
    )
    for path in candidates:
        if path.is_file():
            return path
    raise ConfigError(f"experiment {name!r} has no journal; looked for {', '.join(map(str, candidates))}")


def _check_output(output: str, option: str = "--output") -> None:
    """A search of hours must not fail at its last step."""
    path = Path(output).resolve()
    usable = not path.exists() or path.is_file()
    if not usable or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise ConfigError(f"{option} must be a file in a folder that can be written, got {output!r}")


def _confirm(options: argparse.Namespace) -> int:
    from tuun_da.data_files import write_atomically
    from tuun_da.engines.confirm import confirm
    from tuun_da.engines.progress_bar import ProgressBar
    from tuun_da.policy_format import PolicyRecord

    record = PolicyRecord.load(options.policy)
    output = options.output or _confirmation_path(options.policy)
    _check_output(output)
    if Path(output).resolve() == Path(options.policy).resolve():
        raise ConfigError(f"--output must be another file than the policy, got {output!r}")
    with contextlib.closing(ProgressBar()) as bar:
        result = confirm(
            record,
            baselines=_baselines(options),
            n_seeds=options.seeds,
            workers=options.workers,
            device=options.device,
            overrides={
                name: getattr(options, name) for name in ("model", "data_dir") if getattr(options, name) is not None
            },
            on_progress=lambda done, total: bar.show("Confirming on the test images", done, total, "trainings"),
        )
    print(result.to_text())
    write_atomically(Path(output).resolve(), json.dumps(result.to_dict(), indent=2) + "\n")
    print(f"Written to {Path(output).resolve()}")
    return 0


def _confirmation_path(policy: str) -> str:
    return str(Path(policy).with_suffix(".confirmation.json"))


def _baselines(options: argparse.Namespace) -> list[str]:
    return [name.strip() for name in options.baselines.split(",") if name.strip()]


def _probe(options: argparse.Namespace) -> int:
    from tuun_da.training.checks import check_device

    train_config, data_config = configs_from_options(options)
    check_device(options.device)
    output = Path(options.output).resolve()
    picture = Path(options.picture or Path(options.output).with_suffix(".png")).resolve()
    _check_output(options.output)
    _check_output(str(picture), "--picture")
    if picture == output:
        raise ConfigError(f"--picture must be another file than --output, got {options.output!r}")

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
        )
    settings = {**record.about["settings"], "data": data_config.to_dict()}
    record = replace(record, about={**record.about, "settings": settings})
    record.save(output)  # resolved: through a link, not in its place
    save_probe_picture(record, picture)
    print(f"Accuracy on {record.about['probed_images']} validation images as they are: {record.baseline[0]:.2%}")
    print(f"Written to {output} and {picture}")
    return 0


def _init(options: argparse.Namespace) -> int:
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


def _node_options(options: argparse.Namespace) -> int:
    from tuun_da.engines.loopback import loopback_node_options

    print(loopback_node_options(os.environ.get("NODE_OPTIONS", "")))
    return 0


if __name__ == "__main__":
    sys.exit(main())

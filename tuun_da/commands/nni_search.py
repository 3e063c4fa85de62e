"""``tuun-da search --config``: an NNI experiment from its configuration to its confirmed policy."""

from __future__ import annotations

import argparse
import shlex
import socket
import sys
from pathlib import Path

from tuun_da.commands.best import write_recommended
from tuun_da.commands.confirm import confirm_journal
from tuun_da.commands.options import EXIT_INTERRUPTED, add_confirm_options, baselines_of, check_output
from tuun_da.engines.experiment_files import POLICY_NAME, confirmation_path
from tuun_da.errors import ConfigError, ExperimentError


def nni_search(options: argparse.Namespace) -> int:
    """Run an experiment under NNI, and write what it recommends; the exit code.

    What ``options`` leaves out (None) of a confirmation is as tuun-da confirm has it.
    """
    from tuun_da.engines.nni_config import read_config
    from tuun_da.search.surrogate import prepare_surrogate

    config = read_config(options.config)
    options = with_defaults(options, output=POLICY_NAME)
    check_output(options.output)
    if options.confirm:
        from tuun_da.engines.confirm import check_request
        from tuun_da.training.checks import check_device

        check_request(baselines_of(options), options.seeds, options.workers, options.candidates)
        check_device(options.device)
        check_output(confirmation_path(options.output))
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
            exported = write_recommended(journal, experiment.id, options.output)
        except ExperimentError as error:
            if not interrupted:
                failure = failure or error
    if failure is not None:
        raise failure
    if interrupted:
        print(f"Go on with: {_nnictl('resume', experiment.id, config.working_directory)}")
        return EXIT_INTERRUPTED
    if options.confirm and exported and journal is not None:
        # the configuration of this search named its model, so that code may run again
        overrides = {"model": options.model or searched_model(options.output), "data_dir": options.data_dir}
        print()
        confirm_journal(
            journal,
            experiment.journal_path.parent,
            options,
            {name: value for name, value in overrides.items() if value is not None},
            output=confirmation_path(options.output),
            policy_output=options.output,
            experiment=experiment.id,
        )
    print(f"\nLook at the trials again: {_nnictl('view', experiment.id, config.working_directory)}")
    return 0


def with_defaults(options: argparse.Namespace, *, output: str) -> argparse.Namespace:
    """``options``, where they leave something of a confirmation out as tuun-da confirm has it."""
    parser = argparse.ArgumentParser()
    add_confirm_options(parser)
    defaults = {**vars(parser.parse_args([])), "output": output}
    given = {name: value for name, value in vars(options).items() if value is not None}
    return argparse.Namespace(**{**vars(options), **defaults, **given})


def searched_model(policy: str) -> str | None:
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

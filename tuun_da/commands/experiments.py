"""``tuun-da search | best | confirm | node-options``."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import socket
import sys
from pathlib import Path
from typing import Any

from tuun_da.commands.common import EXIT_INTERRUPTED, baselines_of, check_output, confirmation_path
from tuun_da.errors import ConfigError, ExperimentError


def search(options: argparse.Namespace) -> int:
    """Run an experiment under NNI, and write what it recommends; the exit code."""
    from tuun_da.engines.nni_config import read_config
    from tuun_da.search.surrogate import prepare_surrogate

    config = read_config(options.config)
    check_output(options.output)
    if options.confirm:
        from tuun_da.engines.confirm import check_request
        from tuun_da.training.checks import check_device

        check_request(baselines_of(options), options.seeds, options.workers)
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
            exported = _write_recommended(journal, experiment.id, options.output)
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
        confirm(options)
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


def _write_recommended(journal: Any, experiment_id: str | None, output: str) -> bool:
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


def best(options: argparse.Namespace) -> int:
    """Write the policy that a stopped, running or finished experiment recommends; the exit code."""
    from tuun_da.search.history import read_journal

    path = _find_journal(options.experiment)
    check_output(options.output)
    folder = path.parent.parent
    _write_recommended(read_journal(path), folder.name if path.parent.name == "checkpoint" else None, options.output)
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


def confirm(options: argparse.Namespace) -> int:
    """Compare a policy with baselines on the test images; the exit code."""
    from tuun_da.data_files import write_atomically
    from tuun_da.engines.confirm import confirm
    from tuun_da.engines.progress_bar import ProgressBar
    from tuun_da.policy_format import PolicyRecord

    record = PolicyRecord.load(options.policy)
    output = options.output or confirmation_path(options.policy)
    check_output(output)
    if Path(output).resolve() == Path(options.policy).resolve():
        raise ConfigError(f"--output must be another file than the policy, got {output!r}")
    with contextlib.closing(ProgressBar()) as bar:
        result = confirm(
            record,
            baselines=baselines_of(options),
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


def node_options(options: argparse.Namespace) -> int:
    """Print what keeps NNI's web page on this machine; the exit code."""
    from tuun_da.engines.loopback import loopback_node_options

    print(loopback_node_options(os.environ.get("NODE_OPTIONS", "")))
    return 0

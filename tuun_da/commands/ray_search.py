"""``tuun-da search --engine ray --config``: the experiment of an NNI configuration on a Ray cluster, without NNI."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from tuun_da.commands.best import write_recommended
from tuun_da.commands.confirm import confirm_journal
from tuun_da.commands.nni_search import searched_model, with_defaults
from tuun_da.commands.options import EXIT_INTERRUPTED, baselines_of, check_output
from tuun_da.engines.experiment_files import FOLDER, POLICY_NAME, confirmation_path
from tuun_da.errors import ConfigError, ExperimentError
from tuun_da.search.history import JournalContent, Trial


def ray_search(options: argparse.Namespace) -> int:
    """Run the trials on a Ray cluster, and write what is recommended; the exit code.

    The journal lies in the experiment's folder; the same call again goes on where it stopped.
    """
    from tuun_da.engines.nni_config import read_config
    from tuun_da.engines.planned_config import plan_of
    from tuun_da.engines.progress_bar import ProgressBar

    config = read_config(options.config)
    for name in ("port", "listen_all"):
        if getattr(options, name) not in (None, False):
            raise ConfigError(f"--{name.replace('_', '-')} does not go with --engine ray")
    plan_of(config)  # a mistake is said before anything is made
    folder = _folder_of(options.folder or Path(FOLDER) / config.path.stem)
    options = with_defaults(options, output=str(folder / POLICY_NAME))
    check_output(options.output)
    if options.confirm:
        from tuun_da.engines.confirm import check_request
        from tuun_da.training.checks import check_device

        check_request(baselines_of(options), options.seeds, options.workers, options.candidates)
        check_device(options.device)
        check_output(confirmation_path(options.output))
    from tuun_da.api.python_search import show_progress
    from tuun_da.engines.ray_search import run_config

    journal = folder / "journal.jsonl"
    n_trials = config.max_trials or 0
    print(f"Journal: {journal}", flush=True)
    with contextlib.closing(ProgressBar()) as bar:

        def heard(trial: Trial, content: JournalContent) -> None:
            show_progress(bar, content, n_trials)

        content, interrupted = run_config(config, journal, address=options.address, on_trial=heard)
    if interrupted:
        print(f"\nInterrupted after {len(content.trials)} of {n_trials} trials, which are kept; the same call goes on.")
        with contextlib.suppress(ExperimentError):  # no trial has come to a score
            write_recommended(content, folder.name, options.output)
        return EXIT_INTERRUPTED
    exported = write_recommended(content, folder.name, options.output)
    if options.confirm and exported:
        # the configuration of this search named its model, so that code may run again
        overrides = {"model": options.model or searched_model(options.output), "data_dir": options.data_dir}
        confirm_journal(
            content,
            folder,
            options,
            {name: value for name, value in overrides.items() if value is not None},
            output=confirmation_path(options.output),
            policy_output=options.output,
            experiment=folder.name,
        )
    return 0


def _folder_of(given: str | Path) -> Path:
    """The experiment's folder, made unless it is there. Raises ConfigError, also for that of a search with --data."""
    try:
        folder = Path(given).expanduser().resolve()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: the home of a user that there is not
        raise ConfigError(f"--folder {given} cannot be made: {getattr(error, 'strerror', None) or error}") from None
    if (folder / "plan.json").exists():
        raise ConfigError(f"folder {folder} has a search with --data; give this one a --folder of its own")
    return folder

"""The report of an experiment, gathered from its journal and from what lies beside it."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuun_da.api.confirmed_policy import chosen_of, confirmation_of, policy_places
from tuun_da.errors import ConfigError, ExperimentError, TuunDaError

if TYPE_CHECKING:
    from tuun_da.engines.export import Recommendation
    from tuun_da.policy_format import PolicyRecord
    from tuun_da.report.report_data import Pictures, Report
    from tuun_da.search.history import JournalContent

NO_IMAGES = "none"
SUFFIXES = {".html": "html", ".htm": "html", ".md": "md", ".json": "json"}
"""The format of a report by the ending of its file."""
DOWNLOADED = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python", "svhn": "train_32x32.mat"}
"""The data sets that would be downloaded, and what is there of them if they have been."""


def experiment_report(
    path: Path,
    *,
    named: str | None = None,
    confirmation: str | None = None,
    images: str | None = None,
    data_dir: str | None = None,
    cost_per_hour: float | None = None,
    paths: bool = False,
    beside: tuple[Path, ...] = (),
    with_pictures: bool = True,
) -> Report:
    """The report of the journal at ``path``.

    ``named`` is what the user called the experiment. A ``confirmation`` file of None is looked for beside the
    experiment's policy file, in the working folder, the journal's, and those of ``beside``, or by the journal's name.
    ``images`` are those of the trials where None, or else a folder, a file or a data set, or "none". With ``paths``, no
    path is shortened; secrets are hidden in any case. The policy is the one that the confirmation chose, if it is
    beside. Raises JournalError, ConfigError, and ExperimentError where no trial has come to a score.
    """
    from tuun_da.search.history import read_journal

    content = read_journal(path)
    _refuse_without_score(content)
    confirmed_trial = None
    if confirmation is None:
        confirmation, confirmed_trial = confirmation_of(content, policy_places(path, *beside))
    return report_of(
        content,
        named=str(path) if named is None else named,
        experiment=path.parent.parent.name if path.parent.name == "checkpoint" else None,
        confirmation=confirmation,
        confirmed_trial=confirmed_trial,
        images=images,
        data_dir=data_dir,
        cost_per_hour=cost_per_hour,
        paths=paths,
        with_pictures=with_pictures,
    )


def report_of(
    content: JournalContent,
    *,
    named: str,
    experiment: str | None = None,
    recommendation: Recommendation | None = None,
    confirmation: str | None = None,
    confirmed_trial: int | None = None,
    images: str | None = None,
    data_dir: str | None = None,
    cost_per_hour: float | None = None,
    paths: bool = False,
    with_pictures: bool = True,
) -> Report:
    """The report of what a journal holds, or would hold: ``named`` is empty for one that was kept in memory.

    ``recommendation`` is what ``recommend`` says of it, if it was asked already. The rest is as in
    ``experiment_report``.
    """
    from tuun_da.engines.export import recommend
    from tuun_da.engines.known import KNOWN
    from tuun_da.probe_format import ProbeRecord
    from tuun_da.report.confirmation import read_confirmation
    from tuun_da.report.hidden_secrets import in_texts, without_secrets
    from tuun_da.report.home_paths import home_hider
    from tuun_da.report.report_data import Pictures, make_report

    _refuse_without_score(content)
    hide: Callable[[Any], Any] = in_texts(without_secrets) if paths else home_hider()
    recommendation = recommend(content, experiment=experiment) if recommendation is None else recommendation
    confirmed = None if confirmation is None else read_confirmation(confirmation)
    # fresh validation images have chosen among what is recommended
    recommendation = chosen_of(content, recommendation, confirmation, confirmed_trial, experiment)
    record = recommendation.record
    known = content.settings.get(KNOWN)
    probe = known.get("probe") if isinstance(known, dict) else None
    pictures = Pictures(why_none="No images were asked for.")
    if record is not None and with_pictures and images != NO_IMAGES:
        pictures = _pictures(record, images, data_dir)
        pictures = dataclasses.replace(pictures, why_none=hide(pictures.why_none), source=hide(pictures.source))
    return make_report(
        content,
        recommended=recommendation.trial,
        record=record,
        experiment=experiment,
        journal=named,
        labels=_labels(content),
        probe=None if probe is None else ProbeRecord.from_json(probe),
        confirmation=confirmed,
        confirmed_trial=confirmed_trial,
        pictures=pictures,
        hardware=_this_machine(),
        cost_per_hour=cost_per_hour,
        hide=hide,
        known_key=KNOWN,
    )


def check_report_path(path: Path) -> None:
    """Raise ConfigError unless a report can be written to ``path``, where no other file is replaced."""
    if not path.parent.is_dir() or path.is_dir():
        raise ConfigError(f"a report must be a file in a folder that is there, got {str(path)!r}")
    if path.exists() and not is_report(path):
        raise ConfigError(f"file {str(path)!r} is there already and is no report; name another one")


def write_report(made: Report, path: Path, form: str) -> None:
    """Write the report to ``path``. Raises ConfigError where that cannot be done."""
    from tuun_da.data_files import write_text

    write_text(path, report_text(made, form), "report", ConfigError)


def is_report(path: Path) -> bool:
    """Whether the file is a report, or empty. Raises OSError."""
    from tuun_da.report.report_data import FORMAT

    with open(path, "rb") as file:
        begin = file.read(4096).decode("utf-8", errors="replace")
    marks = (f'<meta name="generator" content="{FORMAT}">', f"<!-- {FORMAT} -->", f'"format": "{FORMAT}"')
    return not begin or any(mark in begin for mark in marks)


def report_text(made: Report, form: str) -> str:
    """The report as "html", "md" or "json"."""
    if form == "json":
        return json.dumps(made.to_dict(), indent=1) + "\n"
    if form == "md":
        from tuun_da.report.markdown_report import markdown_report

        return markdown_report(made)
    from tuun_da.report.html_report import html_report

    return html_report(made)


def _refuse_without_score(content: JournalContent) -> None:
    from tuun_da.engines.replay import best_trial

    if best_trial(content) is not None:
        return
    ended, running = content.trials, len(content.running)
    failed = [trial for trial in ended if trial.error]
    last = f"; the last failure: {failed[-1].error}" if failed else ""
    raise ExperimentError(
        f"no trial has come to a score yet, so there is nothing to report ({len(ended)} ended without one, "
        f"{running} have no result yet{last})"
    )


def _labels(content: JournalContent) -> dict[int, str]:
    """The trials of known policies, by id: those of the setting ``initial``, and those that say so themselves."""
    from tuun_da.engines.confirm import LABELS
    from tuun_da.engines.known import KNOWN
    from tuun_da.engines.study import BASELINE_KEY
    from tuun_da.operations import Operation, SubPolicy
    from tuun_da.search.initial_policies import settings_of_policy
    from tuun_da.search.space import SearchSpace

    labels: dict[int, str] = {}
    for trial in content.trials:
        settings = trial.details.get("settings")
        choice = trial.details.get(BASELINE_KEY) or (settings.get("policy") if isinstance(settings, dict) else None)
        if isinstance(choice, str) and choice in LABELS:
            labels[trial.id] = LABELS[choice]
    known = content.settings.get(KNOWN)
    initial = known.get("initial", ()) if isinstance(known, dict) else ()
    space = SearchSpace.from_nni(content.space)
    for name, lists in initial:
        sub_policies = [SubPolicy(tuple(Operation(*operation) for operation in operations)) for operations in lists]
        try:
            found = [space.key(params) for params in settings_of_policy(space, name, sub_policies)]
        except TuunDaError:  # the space has changed since
            continue
        for trial in content.trials:
            try:
                if space.key(trial.parameters) in found and not trial.imported:
                    labels.setdefault(trial.id, LABELS.get(name, name))
            except TuunDaError:
                continue
    return labels


def _pictures(record: PolicyRecord, images: str | None, data_dir: str | None) -> Pictures:
    """The policy on images, or why not: a report must not fail for a folder that has moved."""
    from tuun_da.report.contact_sheet import searched_size
    from tuun_da.report.policy_pictures import COLUMNS, LARGEST_SIDE, policy_pictures
    from tuun_da.report.report_data import Pictures
    from tuun_da.training.settings import DataConfig
    from tuun_da.training.shown_images import read_shown_images

    settings = record.searched.get("settings")
    said = settings.get("data") if isinstance(settings, dict) else None
    said = said if isinstance(said, dict) else {}
    where = images or said.get("data")
    folder = data_dir or said.get("data_dir")
    size = min(searched_size(record) or LARGEST_SIDE, LARGEST_SIDE)
    try:
        if not isinstance(where, str):
            raise ConfigError("the trials do not say which data they used; name images with --images")
        if where in DOWNLOADED:
            cache = DataConfig(data=where, data_dir=folder).cache_folder
            if not (cache / DOWNLOADED[where]).exists():
                raise ConfigError(f"{where} is not in {cache}, and a report downloads nothing; see --data-dir")
        found = read_shown_images(where, COLUMNS, image_size=size, data_dir=folder)
        return policy_pictures(record, found, source=where)
    except (TuunDaError, OSError) as error:
        if images is not None:  # a mistake of the user's, now
            raise
        return Pictures(why_none=f"No images could be loaded, so there are no pictures: {error}.")


def _this_machine() -> dict[str, Any]:
    """What the report was written on, for journals whose trials did not say what they ran on."""
    from tuun_da.training.hardware import cpu_name

    text = f"{cpu_name()}, {os.cpu_count()} cores, {platform.system()}"
    return {"the report was written on (the trials did not say what they ran on)": text}

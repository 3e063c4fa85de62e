"""Everything that a report says, gathered from a journal before anything is drawn.

One value for all formats: HTML and Markdown lay it out, ``to_dict`` is the JSON. Paths and secrets are hidden here, in
what comes in, so that no format can forget it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from tuun_da import __version__
from tuun_da.errors import ConfigError, SearchSpaceError, TuunDaError
from tuun_da.policy_format import PolicyRecord
from tuun_da.probe_format import ProbeRecord
from tuun_da.report.confirmation import ConfirmationReport
from tuun_da.report.random_search import RandomExpectation, expected_best
from tuun_da.report.trial_hardware import hardware_of
from tuun_da.report.trial_points import Point, points_of
from tuun_da.report.trial_times import Times, times_of
from tuun_da.report.wording import does_nothing, signed, signed_significant
from tuun_da.search.effects import FEWEST_TRIALS, Effects, operation_effects
from tuun_da.search.history import JournalContent, Trial, TrialState
from tuun_da.search.policy_space import find_policy
from tuun_da.search.space import SearchSpace

FORMAT = "tuun_da report"


@dataclass(frozen=True)
class Pictures:
    """Rows of data URIs: the images as they are, and under each of the first sub-policies; or why there are none."""

    rows: tuple[tuple[str, ...], ...] = ()
    seed: int = 0
    source: str = ""
    pixelated: bool = False
    why_none: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What there is to report. ``record`` is None where the search space holds no policy; ``journal`` is empty where it
    was kept in memory."""

    experiment: str | None
    journal: str
    made: float
    maximize: bool
    percent: bool
    metric: str
    n_asked: int
    n_running: int
    points: tuple[Point, ...]
    recommended: Trial
    record: PolicyRecord | None
    expectation: RandomExpectation | None
    effects: Effects | None
    effects_why_none: str
    probe: ProbeRecord | None
    confirmation: ConfirmationReport | None
    confirmed_trial: int | None
    pictures: Pictures
    times: Times
    search_settings: Mapping[str, Any]
    trial_settings: Mapping[str, Any]
    hardware: Mapping[str, Any]
    versions: Mapping[str, Any]
    space: Mapping[str, Any] = field(repr=False)
    version: str = __version__

    @property
    def succeeded(self) -> tuple[Trial, ...]:
        """Complete trials, in the order in which they ended."""
        return tuple(point.trial for point in self.points if point.succeeded)

    @property
    def best(self) -> Trial:
        """The complete trial with the best score."""
        return self.ranked[0]

    @property
    def ranked(self) -> tuple[Trial, ...]:
        """Complete trials, the best score first."""
        sign = -1.0 if self.maximize else 1.0
        return tuple(sorted(self.succeeded, key=lambda trial: sign * (trial.value or 0.0)))

    @property
    def failed(self) -> tuple[Trial, ...]:
        """Failed trials, in the order in which they ended."""
        return tuple(point.trial for point in self.points if point.trial.state is TrialState.FAILED)

    @property
    def n_stopped(self) -> int:
        """Trials that were ended early."""
        return sum(point.trial.state is TrialState.STOPPED for point in self.points)

    @property
    def baselines(self) -> tuple[Point, ...]:
        """Complete trials of policies that have a name."""
        return tuple(point for point in self.points if point.label is not None and point.succeeded)

    @property
    def name(self) -> str:
        """The experiment's id, or its journal's file."""
        return self.experiment or PurePath(self.journal).name or "in memory"

    @property
    def is_from_python(self) -> bool:
        """Whether its trials ran without NNI, whose trials do not say how a policy meets the images."""
        return self.experiment is None and "per" in self.trial_settings

    @property
    def recommended_label(self) -> str | None:
        """The name of the recommended policy, where that was known before."""
        return next((point.label for point in self.points if point.trial.id == self.recommended.id), None)

    @property
    def changes_nothing(self) -> bool:
        """Whether the recommended policy practically leaves images as they are."""
        return self.record is not None and does_nothing(self.record.sub_policies)

    @property
    def data(self) -> str | None:
        """The data set, if the trials say which."""
        said = self.trial_settings.get("data")
        name = said.get("data") if isinstance(said, Mapping) else None
        return name if isinstance(name, str) and name else None

    def score(self, value: float | None) -> str:
        """A score for people."""
        if value is None:
            return "–"
        return f"{100 * value:.2f} %" if self.percent else f"{value:.4g}"

    def difference(self, value: float) -> str:
        """A change of the score for people, in points where scores are shares."""
        return signed(100 * value, 2) if self.percent else signed_significant(value)

    @property
    def unit(self) -> str:
        """What ``difference`` counts."""
        return "points" if self.percent else "of the score"

    def to_dict(self) -> dict[str, Any]:
        """The report as a JSON object, without the pictures."""
        content: dict[str, Any] = {"format": FORMAT, "version": 1}
        for entry in dataclasses.fields(self):
            if entry.name not in ("points", "recommended", "record", "probe", "pictures", "version"):
                content[entry.name] = _plain(getattr(self, entry.name))
        content["trials"] = [
            {"place": point.place, "kind": point.kind, "label": point.label, "best": point.best}
            | {key: value for key, value in point.trial.to_record().items() if key != "kind"}
            for point in self.points
        ]
        content["recommended_trial"] = self.recommended.id
        content["policy"] = None if self.record is None else _policy_lists(self.record)
        content["probe"] = None if self.probe is None else _plain_probe(self.probe)
        content["tuun_da"] = self.version
        return content


def make_report(
    content: JournalContent,
    *,
    recommended: Trial,
    record: PolicyRecord | None,
    experiment: str | None = None,
    journal: str = "",
    labels: Mapping[int, str] | None = None,
    probe: ProbeRecord | None = None,
    confirmation: ConfirmationReport | None = None,
    confirmed_trial: int | None = None,
    pictures: Pictures | None = None,
    hardware: Mapping[str, Any] | None = None,
    cost_per_hour: float | None = None,
    hide: Callable[[Any], Any] = lambda value: value,
    known_key: str = "known",
) -> Report:
    """Gather the report of a journal that has a complete trial, of which ``recommended`` is one.

    ``labels`` names the trials of known policies by id; ``hide`` goes over every text that comes in (home_paths.py);
    ``known_key`` is the settings' key under which whole files are kept. Raises ConfigError.
    """
    if cost_per_hour is not None and not 0.0 <= cost_per_hour < float("inf"):
        raise ConfigError(f"cost per hour must be a number of at least 0, got {cost_per_hour!r}")
    labels = labels or {}
    trials = {trial.id: _hidden_trial(trial, hide) for trial in content.trials}
    chosen = trials[recommended.id]
    settings = chosen.details.get("settings")
    settings = dict(settings) if isinstance(settings, Mapping) else {}
    said = settings.get("train")
    train = said if isinstance(said, Mapping) else {}
    points = points_of(content, trials, labels)
    values = [point.trial.value for point in points if point.succeeded and point.trial.value is not None]
    of_random = [
        point.trial.value
        for point in points
        if point.kind == "random" and point.succeeded and point.trial.value is not None
    ]
    effects, why_none = _effects(content, points, experiment_has_policy=record is not None)
    own_search = {name: value for name, value in content.settings.items() if name != known_key}
    return Report(
        experiment=hide(experiment),
        journal=hide(journal),
        made=time.time(),
        maximize=content.maximize,
        percent=all(0.0 <= value <= 1.0 for value in values) and (content.maximize or bool(train)),
        metric=hide(str(train.get("metric") or ("accuracy" if train else "score"))).replace("_", " "),
        n_asked=content.n_asked,
        n_running=len(content.running),
        points=points,
        recommended=chosen,
        record=None if record is None else dataclasses.replace(record, searched=hide(dict(record.searched))),
        expectation=expected_best(of_random, len(values), maximize=content.maximize),
        effects=effects,
        effects_why_none=why_none,
        probe=None if probe is None else dataclasses.replace(probe, about=hide(dict(probe.about))),
        confirmation=None if confirmation is None else _hidden_confirmation(confirmation, hide),
        confirmed_trial=confirmed_trial,
        pictures=pictures or Pictures(why_none="No images were asked for."),
        times=times_of(content, cost_per_hour),
        search_settings=hide(own_search),
        trial_settings=settings,
        hardware=hide(hardware_of(content.trials) or dict(hardware or {})),
        versions=hide(dict(content.versions)),
        space=hide(dict(content.space)),
    )


def _hidden_trial(trial: Trial, hide: Callable[[Any], Any]) -> Trial:
    return dataclasses.replace(
        trial, parameters=hide(dict(trial.parameters)), error=hide(trial.error), details=hide(dict(trial.details))
    )


def _hidden_confirmation(confirmation: ConfirmationReport, hide: Callable[[Any], Any]) -> ConfirmationReport:
    return dataclasses.replace(
        confirmation,
        metric=hide(confirmation.metric),
        rows=tuple(dataclasses.replace(row, label=hide(row.label), kind=hide(row.kind)) for row in confirmation.rows),
        differences=tuple(
            dataclasses.replace(entry, against=hide(entry.against), verdict=hide(entry.verdict))
            for entry in confirmation.differences
        ),
        verdict=hide(confirmation.verdict),
        sentence=hide(confirmation.sentence),
        best_baseline=hide(confirmation.best_baseline),
        choice=hide(confirmation.choice),
        tried=tuple((hide(label), mean, is_chosen) for label, mean, is_chosen in confirmation.tried),
        first_reading=hide(confirmation.first_reading),
    )


def _effects(
    content: JournalContent, points: tuple[Point, ...], *, experiment_has_policy: bool
) -> tuple[Effects | None, str]:
    """What operations do, or why that is not told."""
    if not experiment_has_policy:
        return None, "The search space holds no augmentation policy."
    sign = 1.0 if content.maximize else -1.0
    complete = [p.trial for p in points if p.succeeded and p.trial.value is not None and p.trial.parameters]
    try:
        space = SearchSpace.from_nni(content.space)
        find_policy(space)
        effects = operation_effects(
            space, [trial.parameters for trial in complete], [sign * (trial.value or 0.0) for trial in complete]
        )
    except (SearchSpaceError, TuunDaError) as error:
        return None, f"It cannot be told: {error}"
    if effects is None:
        return None, (
            f"It takes at least {FEWEST_TRIALS} complete trials with different scores to say something; "
            f"there are {len(complete)}."
        )
    return effects, ""


def _plain(value: Any) -> Any:
    """Dataclasses and tuples as JSON has them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {entry.name: _plain(getattr(value, entry.name)) for entry in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value


def _policy_lists(record: PolicyRecord) -> dict[str, Any]:
    return {
        "sub_policies": [[[o.type, o.probability, o.magnitude] for o in s.operations] for s in record.sub_policies],
        "per": record.per,
        "unchanged_share": record.unchanged_share,
        "searched": _plain(record.searched),
    }


def _plain_probe(probe: ProbeRecord) -> dict[str, Any]:
    return {
        "magnitudes": list(probe.magnitudes),
        "baseline": list(probe.baseline),
        "effects": _plain(dict(probe.effects)),
        "about": _plain(dict(probe.about)),
    }

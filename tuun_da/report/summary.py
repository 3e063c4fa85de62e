"""What a report says in words; the same in HTML and in Markdown."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from tuun_da.report.confirmation import ConfirmationReport
from tuun_da.report.figures import search_range
from tuun_da.report.report_data import Report
from tuun_da.report.wording import duration, signed
from tuun_da.search.effects import Effects

NOTHING = "In effect it leaves the images as they are: the search found nothing that is likely to be better."
SAY_LITTLE = ("all", "data", "dataset", "images", "img", "train", "training")  # as names of folders
N_FAILURES = 10  # of the failed trials, so many are named


def title(report: Report) -> str:
    """The report's heading."""
    if report.record is None:
        return f"Search {report.name}"
    if report.data is None:
        return f"Augmentation policy of {report.name}"
    return f"Augmentation policy for {data_name(report.data)}"


def data_name(data: str) -> str:
    """A data set for people: a folder by its name, with the one above where its own says little."""
    kind, _, path = data.partition(":")
    found = PurePath(path)
    if re.fullmatch("arrays-[0-9a-f]{16}", found.stem):
        return "images in arrays"
    above = found.parent.name
    return f"{above}/{found.name}" if found.name.lower() in SAY_LITTLE and above else found.name or path or kind


def verdict(report: Report) -> str:
    """Whether to believe it, in a sentence or two."""
    confirmation = report.confirmation
    score = report.score(report.recommended.value)
    if confirmation is None:
        what = "The recommended policy" if report.record is not None else "The recommended setting"
        label = "" if report.recommended_label is None else f", {report.recommended_label}"
        said = f"{what} is that of trial {report.recommended.id}{label}, which scored {score} on validation images. "
        said += f"{NOTHING} " if report.changes_nothing else ""
        if report.record is None:
            return said + "Scores of a search flatter: the best of many is chosen, luck included."
        return said + (
            "It is not confirmed: scores of a search flatter, since the best of many is chosen, luck included. "
            "tuun-da confirm compares it with doing nothing, on test images and fresh seeds."
        )
    if confirmation.sentence is not None:
        said = confirmation.sentence
    else:  # a file of the first version
        found = confirmation.rows[-1]
        said = f"On {confirmation.n_test} test images, over {confirmation.n_seeds} trainings, the policy has "
        said += f"{100 * found.mean:.2f} % {confirmation.metric.replace('_', ' ')}."
        for entry in confirmation.differences:
            joint = "than" if entry.verdict in ("better", "worse") else "from"
            said += f" {entry.verdict.capitalize()} {joint} {entry.against}"
            said += f" ({signed(100 * entry.difference, 2)} points)."
    if report.confirmed_trial is not None and report.confirmed_trial != report.recommended.id:
        said += (
            f" The confirmed policy is that of trial {report.confirmed_trial}; "
            f"by now, trial {report.recommended.id} is recommended."
        )
    return said


def confirmation_notes(confirmation: ConfirmationReport) -> list[str]:
    """How the policy was chosen, which baseline counts, what the validation scores are, and what a reading means."""
    said = [confirmation.choice] if confirmation.choice is not None else []
    if confirmation.best_baseline is not None:
        said.append(
            f"The verdict is against {confirmation.best_baseline}: of the baselines it was best on "
            f"{confirmation.n_validation} validation images, before a test image was read. The policy's own validation "
            "score decides nothing; it flatters where the search has seen these images."
        )
    if confirmation.n_readings is not None and confirmation.n_readings > 1:
        said.append(
            f"This was reading {confirmation.n_readings} of these test images; the first was at "
            f"{confirmation.first_reading}. Each reading after which something is changed makes the result flatter."
        )
    return said


def state(report: Report) -> str:
    """What of the experiment there is; empty where all that was asked for has ended."""
    if report.n_running == 0:
        return ""
    verb = "trial has" if report.n_running == 1 else "trials have"
    return (
        f"{report.n_running} {verb} no result yet: the experiment runs, or was stopped. This is what there is so far."
    )


def tiles(report: Report) -> list[tuple[str, str, str]]:
    """The main numbers: what, number, and what to know of it."""
    n = len(report.succeeded)
    found = [
        (
            f"recommended, trial {report.recommended.id}",
            report.score(report.recommended.value),
            f"validation {report.metric}",
        ),
        (f"best seen, trial {report.best.id}", report.score(report.best.value), "the luckiest one flatters"),
    ]
    if report.expectation is not None:
        guess = ", a guess" if report.expectation.seen < n else ""
        expected = report.score(report.expectation.best[-1])
        found.append(("random search expects", expected, f"as its best of {n} trials{guess}"))
    parts = [f"{len(report.failed)} failed"] if report.failed else []
    parts += [f"{report.n_stopped} stopped early"] if report.n_stopped else []
    parts += [f"{report.n_running} without a result"] if report.n_running else []
    found.append(("complete trials", str(n), ", ".join(parts)))
    if report.times.busy is not None:
        cost = "" if report.times.cost is None else f"cost {report.times.cost:.2f}"
        found.append(("time", duration(report.times.busy), cost))
    return found


def search_caption(report: Report) -> str:
    """What is drawn in the chart of the search, and how the expectation is made."""
    said = "Each trial's score when it ended; the ringed one is recommended."
    low, high = search_range(report)
    outside = sum(point.succeeded and not low <= (point.trial.value or 0.0) <= high for point in report.points)
    if outside:
        trials = "trial lies" if outside == 1 else "trials lie"
        said += f" {outside} {trials} beyond the drawn range and {'is' if outside == 1 else 'are'} shown at its edge."
    expectation = report.expectation
    if expectation is None:
        return said + " There are too few random trials to say what random search would have found."
    said += (
        f" Random search: the expected best of as many trials, by order statistics of the {_n_random(report)} "
        "trials of this experiment that were drawn at random (a Latin hypercube, or random search itself)"
    )
    if expectation.seen < len(report.succeeded):
        said += (
            f"; beyond {expectation.seen}, dashed, it follows a normal distribution of their {expectation.scale} and "
            "is a guess"
        )
    return said + "."


def clear_effects(effects: Effects) -> str:
    """Which types help or hurt beyond doubt."""
    helping = [effect.type for effect in effects.types if effect.overall.low > 0]
    hurting = [effect.type for effect in effects.types[::-1] if effect.overall.high < 0]
    if not helping and not hurting:
        return f"From {effects.n_trials} trials, no type can be said to help or to hurt: every interval holds 0."
    parts = [f"{', '.join(helping)} helped"] if helping else []
    parts += [f"{', '.join(hurting)} hurt"] if hurting else []
    return f"In {effects.n_trials} trials, {'; '.join(parts)}. Of the others it cannot be said: their intervals hold 0."


def effects_caption(report: Report, effects: Effects) -> str:
    """What an effect is, where it comes from, and how far to believe it."""
    against = (
        "an operation that never happens"
        if effects.reference == "nothing"
        else "the mean over all types, since this search space has no operation that never happens"
    )
    n = len(report.succeeded)
    drawn = f" of the {n}" if effects.n_trials < n else ""
    said = (
        f"Blue helps, vermilion hurts, bold: the 95 % interval leaves out 0. An effect is what one operation of a "
        f"policy does that always applies the type, against {against}; the mean over {effects.n_policies} random "
        f"policies. Mean and interval are those of a Gaussian process (the surrogate gp, without a probe) fitted to "
        f"{effects.n_trials}{drawn} trials. Such intervals are a little too narrow: on known functions they held the "
        "truth in 85 to 97 of 100 cases."
    )
    if effects.rank_correlation is None:
        return said
    return said + (
        f" How far to believe it: each trial predicted from the others has a rank correlation of "
        f"{signed(effects.rank_correlation, 2)} with its score (1: perfect, 0 or less: nothing was learned)."
    )


def failures(report: Report) -> list[tuple[str, str]]:
    """The last failed trials, and what they said."""
    return [(f"trial {trial.id}", trial.error or "no error was reported") for trial in report.failed[-N_FAILURES:]]


def fact_groups(report: Report) -> list[tuple[str, list[tuple[str, str]]]]:
    """Settings, seeds, versions, hardware and time, in groups."""
    groups = [("Search", _pairs(report.search_settings))]
    for name, heading in (("data", "Data"), ("train", "Training"), ("trial", "Trial")):
        part = report.trial_settings.get(name)
        groups.append((heading, _pairs(part) if isinstance(part, Mapping) else []))
    rest = {key: value for key, value in report.trial_settings.items() if key not in ("data", "train", "trial")}
    groups.append(("Images and policy", _pairs(rest)))
    groups.append(("Time", _times(report)))
    groups.append(("Hardware", _pairs(report.hardware)))
    groups.append(("Versions", _pairs(report.versions)))
    return [(heading, rows) for heading, rows in groups if rows]


def moment(seconds: float | None) -> str:
    """A point in time, in UTC."""
    if seconds is None:
        return "–"
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def _n_random(report: Report) -> int:
    return sum(point.kind == "random" and point.succeeded for point in report.points)


def _times(report: Report) -> list[tuple[str, str]]:
    times = report.times
    rows = [
        ("began", moment(times.began)),
        ("last trial ended", moment(times.ended)),
        ("while any trial ran", duration(times.busy)),
        ("all trials together", duration(times.trials)),
        ("a trial, median", duration(times.median)),
    ]
    if times.cost is not None:
        rows.append(("cost", f"{times.cost:.2f}, at {times.cost_per_hour:g} for an hour in which any trial ran"))
    return rows


def _pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(str(key).replace("_", " "), _text(value)) for key, value in values.items()]


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

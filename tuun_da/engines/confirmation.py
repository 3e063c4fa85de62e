"""What a confirmation came to: scores of all rows, the differences, and the verdict."""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tuun_da.engines.bootstrap import BOOTSTRAP_SEED, DRAWS, LEVEL, Interval, intervals, scores_of
from tuun_da.engines.policy_identity import policy_key
from tuun_da.engines.readings import Readings, moment
from tuun_da.policy_format import PolicyRecord

FORMAT = "tuun_da confirmation"
VERSION = 2
FEWEST_SEEDS = 5
"""With fewer the verdict is always that nothing can be decided: what a seed does is hardly known then."""

BETTER, WORSE, UNDECIDED = "better", "worse", "undecided"
BASELINE, OTHER_FORM, POLICY = "baseline", "other form", "policy"

METRIC_LABELS = {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "macro_f1": "Macro F1"}


@dataclass(frozen=True)
class Row:
    """One thing that was trained, with a score for each seed, shares in [0, 1] by the metric, in the same order.

    ``kind`` is "policy" for what the verdict is about, "baseline" for what costs no search, "other form" for the policy
    applied in another way. ``accuracies`` are test scores, ``validation`` those that decide between baselines.
    """

    label: str
    kind: str
    validation: tuple[float, ...]
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Of the test scores."""
        return statistics.fmean(self.accuracies)

    @property
    def deviation(self) -> float:
        """Sample standard deviation of the test scores; 0 of a single one."""
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0

    @property
    def validation_mean(self) -> float:
        """Of the validation scores."""
        return statistics.fmean(self.validation)


@dataclass(frozen=True)
class Tried:
    """A recommended policy, and its scores on the validation images of the choice, one for each seed."""

    label: str
    validation: tuple[float, ...]
    is_chosen: bool


@dataclass(frozen=True)
class Choice:
    """How the policy was chosen among several. ``is_fresh``: on validation images that the search had not."""

    tried: tuple[Tried, ...]
    is_fresh: bool

    def sentence(self) -> str:
        """In words."""
        [chosen] = [tried for tried in self.tried if tried.is_chosen]
        n_seeds = len(chosen.validation)
        trainings = "one training" if n_seeds == 1 else f"{n_seeds} trainings"
        said = f"Of {len(self.tried)} recommended policies, that of {chosen.label} was best in {trainings} each "
        if self.is_fresh:
            return said + "with other training and validation images than the search had."
        return said + (
            "with fresh seeds. The data set has a validation split of its own, so the search has seen these "
            "validation images, too."
        )


@dataclass(frozen=True)
class Confirmation:
    """The rows, the found policy's last, and ``differences``: that row less each other one, in their order.

    ``best_baseline`` is the label of the baseline that was best on validation, before a test image was read; None where
    no baseline was asked for. ``choice`` is None where there was one policy only. ``record`` is the policy.
    """

    rows: tuple[Row, ...]
    differences: tuple[Interval, ...]
    seeds: tuple[int, ...]
    n_test: int
    n_validation: int
    metric: str
    best_baseline: str | None
    readings: Readings
    choice: Choice | None = None
    record: PolicyRecord | None = None

    @property
    def verdict(self) -> str:
        """About the policy, against the baseline that was best on validation: better, worse or undecided."""
        against = self._against_best
        return UNDECIDED if against is None else self.verdict_of(against)

    def verdict_of(self, difference: Interval) -> str:
        """About the policy, by the interval of its difference to another row."""
        if difference.low is None or difference.high is None or len(self.seeds) < FEWEST_SEEDS:
            return UNDECIDED
        if difference.low > 0:
            return BETTER
        return WORSE if difference.high < 0 else UNDECIDED

    def sentence(self) -> str:
        """The verdict in words and figures."""
        found = self.rows[-1]
        said = (
            f"The policy has {100 * found.mean:.2f} % {METRIC_LABELS[self.metric].lower()} on {self.n_test} test images"
        )
        against = self._against_best
        if against is None:
            return f"Undecided: there is no baseline. {said}."
        end = f", {100 * against.difference:+.2f} points against {self.best_baseline}, the baseline that was best on "
        end += "validation images"
        if against.low is not None and against.high is not None:
            end += f" (95 % interval {100 * against.low:+.2f} to {100 * against.high:+.2f})"
        if len(self.seeds) < FEWEST_SEEDS:
            end += f". With fewer than {FEWEST_SEEDS} seeds, here {len(self.seeds)}, nothing is decided"
        if self.record is not None and not any(policy_key(self.record.sub_policies)):
            end += ". This policy leaves all images as they are: it is no augmentation"
        return f"{self.verdict.capitalize()}: {said[0].lower()}{said[1:]}{end}."

    def to_dict(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "verdict": self.verdict,
            "sentence": self.sentence(),
            "best_baseline": self.best_baseline,
            "seeds": list(self.seeds),
            "n_test": self.n_test,
            "n_validation": self.n_validation,
            "metric": self.metric,
            "rows": [
                {
                    "label": row.label,
                    "kind": row.kind,
                    "mean": row.mean,
                    "deviation": row.deviation,
                    "accuracies": list(row.accuracies),
                    "validation": list(row.validation),
                }
                for row in self.rows
            ],
            "comparisons": [
                {
                    "against": row.label,
                    "difference": difference.difference,
                    "low": difference.low,
                    "high": difference.high,
                    "verdict": self.verdict_of(difference),
                }
                for row, difference in self._compared
            ],
            "bootstrap": {"draws": DRAWS, "seed": BOOTSTRAP_SEED, "level": LEVEL},
            "choice": None
            if self.choice is None
            else {
                "sentence": self.choice.sentence(),
                "fresh": self.choice.is_fresh,
                "tried": [
                    {"label": tried.label, "validation": list(tried.validation), "chosen": tried.is_chosen}
                    for tried in self.choice.tried
                ],
            },
            "readings": {
                "count": self.readings.count,
                "first": datetime.datetime.fromtimestamp(self.readings.first, datetime.UTC).isoformat(
                    timespec="seconds"
                ),
            },
        }

    def to_text(self) -> str:
        """The result for people: the verdict, the table of all rows and that of the differences, in percent."""
        metric = METRIC_LABELS[self.metric]
        width = max(len(row.label) for row in self.rows) + 2
        trainings = "1 training each" if len(self.seeds) == 1 else f"{len(self.seeds)} trainings each"
        lines = [self.sentence(), ""]
        lines += [] if self.choice is None else [self.choice.sentence(), ""]
        lines += [
            f"{metric} on {self.n_test} test images, {trainings} (mean, standard deviation), and on "
            f"{self.n_validation} validation images:",
            *(
                f"  {row.label:<{width}}{100 * row.mean:6.2f} %  +- {100 * row.deviation:.2f}"
                f"    validation {100 * row.validation_mean:6.2f} %"
                for row in self.rows
            ),
        ]
        if self.rows[:-1]:
            lines += ["", f"{self.rows[-1].label} against (points, 95 % interval over seeds and test images):"]
        for row, difference in self._compared:
            between = "no interval from one seed"
            if difference.low is not None and difference.high is not None:
                between = f"{100 * difference.low:+.2f} to {100 * difference.high:+.2f}"
            verdict = self.verdict_of(difference)
            lines.append(f"  {row.label:<{width}}{100 * difference.difference:+6.2f}    {between:<18} {verdict}")
        lines += ["", "A validation score of the policy itself flatters, if the search has seen these images."]
        if self.readings.warning is not None:
            lines.append(
                f"Reading {self.readings.count} of these test images; the first was {moment(self.readings.first)}."
            )
        return "\n".join(lines)

    @property
    def _compared(self) -> list[tuple[Row, Interval]]:
        return list(zip(self.rows[:-1], self.differences, strict=True))

    @property
    def _against_best(self) -> Interval | None:
        return next((found for row, found in self._compared if row.label == self.best_baseline), None)


def best_on_validation(labels: Sequence[str], validation: Sequence[Sequence[float]]) -> str | None:
    """The label with the best mean validation score, the first of equal ones; None of none."""
    if not labels:
        return None
    return max(zip(labels, validation, strict=True), key=lambda pair: statistics.fmean(pair[1]))[0]


def make_confirmation(
    named: Sequence[tuple[str, str]],
    validation: Sequence[Sequence[float]],
    predictions: Sequence[Sequence[Sequence[int]]],
    labels: Sequence[int],
    *,
    seeds: Sequence[int],
    metric: str,
    num_classes: int,
    n_validation: int,
    best_baseline: str | None,
    readings: Readings,
    choice: Choice | None = None,
    record: PolicyRecord | None = None,
) -> Confirmation:
    """From the (label, kind) of each row, the validation scores (rows, seeds), what the networks take the test images
    for (rows, seeds, n), and what these are, ``labels`` (n,)."""
    scores = scores_of(labels, predictions, metric, num_classes)
    rows = tuple(
        Row(label, kind, tuple(judged), tuple(tested.tolist()))
        for (label, kind), judged, tested in zip(named, validation, scores, strict=True)
    )
    return Confirmation(
        rows,
        tuple(intervals(labels, predictions, metric, num_classes)),
        tuple(seeds),
        len(labels),
        n_validation,
        metric,
        best_baseline,
        readings,
        choice,
        record,
    )

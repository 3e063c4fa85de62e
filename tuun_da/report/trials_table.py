"""The trials of a journal as a table for people, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tuun_da.errors import PolicyError
from tuun_da.plain_text import COMMANDS
from tuun_da.policy_format import split_parameters, sub_policies_from_parameters
from tuun_da.report.wording import short_policy
from tuun_da.search.history import JournalContent, Trial

FORMAT = "tuun_da trials"
COLUMNS = ("id", "state", "value", "seed", "epochs", "started", "ended", "seconds", "imported", "error")
FORMULA = ("=", "+", "-", "@")  # with which a formula begins in a spreadsheet
WIDEST = 60  # letters of a policy or an error in the table


@dataclass(frozen=True)
class TrialRow:
    """A trial that ended, or (``trial`` is None) one that was asked for and has no result yet."""

    id: int
    parameters: Mapping[str, Any]
    trial: Trial | None

    @property
    def state(self) -> str:
        """How it ended, or running."""
        return "running" if self.trial is None else self.trial.state.value

    @property
    def seconds(self) -> float | None:
        """How long it ran, if it said so; None, too, where the clock was set back meanwhile."""
        if self.trial is None or self.trial.started is None or self.trial.ended is None:
            return None
        seconds = round(self.trial.ended - self.trial.started, 3)
        return seconds if seconds >= 0 else None

    def fields(self) -> dict[str, Any]:
        """Its ``COLUMNS``; None for what is not known."""
        trial = self.trial
        said = [None] * 7 if trial is None else [
            trial.value, trial.seed, len(trial.curve) or None, trial.started, trial.ended, trial.imported, trial.error
        ]  # fmt: skip
        value, seed, epochs, started, ended, imported, error = said
        entries = (self.id, self.state, value, seed, epochs, started, ended, self.seconds, imported, error)
        return dict(zip(COLUMNS, entries, strict=True))


def trial_rows(content: JournalContent) -> list[TrialRow]:
    """The trials that ended, in that order, and then those without a result."""
    ended = [TrialRow(trial.id, trial.parameters, trial) for trial in content.trials]
    return ended + [TrialRow(number, parameters, None) for number, parameters in content.running.items()]


def trials_json(content: JournalContent) -> str:
    """All that the journal holds of each trial."""
    trials = []
    for row in trial_rows(content):
        entry = row.fields() | {"parameters": dict(row.parameters)}
        if row.trial is not None:
            entry |= {"curve": list(row.trial.curve), "details": dict(row.trial.details)}
        trials.append(entry)
    optimize_mode = "maximize" if content.maximize else "minimize"
    return json.dumps({"format": FORMAT, "optimize_mode": optimize_mode, "trials": trials}, indent=1) + "\n"


def trials_csv(content: JournalContent) -> str:
    """A line a trial; parameters behind ``COLUMNS``, as ``parameters.NAME``; what is not known is empty."""
    rows = trial_rows(content)
    names = list(dict.fromkeys(name for row in rows for name in row.parameters))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*COLUMNS, *(_writable(f"parameters.{name}") for name in names)])
    for row in rows:
        writer.writerow([*map(_cell, row.fields().values()), *(_cell(row.parameters.get(name)) for name in names)])
    return file.getvalue()


def trials_table(content: JournalContent) -> str:
    """For a terminal: the main columns, and the policy or else the error, cut short; the best score with a star."""
    rows = trial_rows(content)
    scores = [row.trial.value for row in rows if row.state == "succeeded" and row.trial and row.trial.value is not None]
    best = (max if content.maximize else min)(scores, default=None)
    lines = [f"{'trial':>5}  {'state':<9}  {'score':>9}  {'epochs':>6}  {'seconds':>8}  policy"]
    for row in rows:
        entry = row.fields()
        score = "–" if entry["value"] is None else f"{entry['value']:.5g}"
        star = "*" if row.state == "succeeded" and entry["value"] == best else " "
        seconds = "–" if entry["seconds"] is None else f"{entry['seconds']:.1f}"
        name = row.trial.details.get("baseline") if row.trial and not row.parameters else None
        words = str(entry["error"] or name or policy_text(row.parameters))
        lines.append(
            f"{row.id:>5}  {row.state:<9}  {score:>8}{star}  {entry['epochs'] or '–':>6}  {seconds:>8}  {_short(words)}"
        )
    if not rows:
        lines.append("no trial yet")
    return "\n".join(lines) + "\n"


def policy_text(parameters: Mapping[str, Any]) -> str:
    """The policy in one line, or all parameters where there is none."""
    policy, _ = split_parameters(parameters)
    try:
        return short_policy(sub_policies_from_parameters(policy))
    except PolicyError:
        return json.dumps(dict(parameters))


def is_trials_file(text: str) -> bool:
    """Whether ``text`` begins as what is written here."""
    beginnings = (",".join(COLUMNS), json.dumps({"format": FORMAT}, indent=1)[:-2], "trial  state  ")
    return text.startswith(beginnings)


def _cell(value: Any) -> Any:
    """``value`` for CSV. Text that a spreadsheet would compute (it begins as =, +, -, @ do) gets a ' before it."""
    if value is None or isinstance(value, int | float):
        return "" if value is None else value
    text = _writable(value) if isinstance(value, str) else json.dumps(value)
    return f"'{text}" if COMMANDS.sub("", text).lstrip().startswith(FORMULA) else text


def _writable(text: str) -> str:
    """``text`` without halves of characters, which JSON can name and no file can hold, and with one kind of line end:
    csv does not put quotes around a lone carriage return, which readers take for the end of the row."""
    whole = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return whole.replace("\r\n", "\n").replace("\r", "\n")


def _short(words: str) -> str:
    """One line that a terminal shows as it is: no control characters."""
    line = "".join(letter if letter.isprintable() else " " for letter in words[: 2 * WIDEST])
    return line if len(line) <= WIDEST else line[: WIDEST - 1] + "…"

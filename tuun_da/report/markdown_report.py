"""The report as Markdown: the words and tables of the HTML page, without its pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from tuun_da.operations import OPERATION_TYPES
from tuun_da.plain_text import COMMANDS, printable
from tuun_da.report.report_data import FORMAT, Report
from tuun_da.report.summary import (
    clear_effects,
    confirmation_notes,
    effects_caption,
    fact_groups,
    failures,
    moment,
    search_caption,
    state,
    tiles,
    title,
    verdict,
)
from tuun_da.report.usage import policy_command, rerun, usage_snippets
from tuun_da.report.wording import setting_text, signed


def markdown_report(report: Report) -> str:
    """The whole text."""
    parts = [f"<!-- {FORMAT} -->", f"# {plain(title(report))}", plain(verdict(report))]
    parts += [plain(state(report))] if state(report) else []
    parts.append(table(("", "", ""), [list(tile) for tile in tiles(report)]))
    parts += _policy(report)
    parts += _confirmation(report)
    parts += ["## The search", plain(search_caption(report))]
    known = [
        [str(point.label), f"trial {point.trial.id}", report.score(point.trial.value)] for point in report.baselines
    ]
    parts += [table(("known policy", "trial", "score"), known)] if known else []
    best = [[f"trial {trial.id}", report.score(trial.value)] for trial in report.ranked[:5]]
    parts.append(table(("best trials", "score"), best))
    failed = [list(row) for row in failures(report)]
    parts += [table(("failed", "error"), failed)] if failed else []
    parts += _operations(report)
    parts += _probe(report)
    if report.record is not None:
        parts += ["## Use it", fenced(policy_command(report), "sh")]
        for snippet in usage_snippets(report):
            language = "sh" if snippet.code.startswith("tuun-da") else "python"
            parts += [f"### {snippet.title}", plain(snippet.about), fenced(snippet.code, language)]
    parts.append("## Settings, and how to search again")
    for heading, rows in fact_groups(report):
        parts += [f"### {heading}", table(("", ""), [list(row) for row in rows])]
    again = rerun(report)
    parts += ["### Search again", plain(again.about)]
    parts.append(fenced(again.code, "python" if report.is_from_python else "yaml"))
    if "search_space.json" in again.code:
        parts += [plain("search_space.json:"), fenced(json.dumps(dict(report.space)), "json")]
    parts.append(f"Written by tuun-da report {report.version} on {moment(report.made)}.")
    return "\n\n".join(parts) + "\n"


def plain(text: str) -> str:
    """``text`` as Markdown shows it: nothing in it is markup, a list, or an address that readers make a link of."""
    line = " ".join(COMMANDS.sub(" ", text).split())
    line = re.sub(r"([\\`*_\[\]<>|#&~$!@])", r"\\\1", line)
    line = re.sub(
        r":(?=//)|(?<=www)\.|^[-+](?= )|^[-=](?=[-=])|(?<=^\d)[.)]|(?<=^\d\d)[.)]",
        r"\\\g<0>",
        line,
        flags=re.IGNORECASE,
    )
    return re.sub(r"\b(mailto|xmpp):", r"\1\\:", line, flags=re.IGNORECASE)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts."""
    lines = ["| " + " | ".join(plain(head) for head in heads) + " |", "|" + " --- |" * len(heads)]
    lines += ["| " + " | ".join(plain(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def fenced(code: str, language: str) -> str:
    """A block of code, whose fence is longer than any in it."""
    code = printable(code, limit=None)
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{printable(code).rstrip()}\n{fence}"


def _policy(report: Report) -> list[str]:
    if report.record is None:
        rows = [[str(name), json.dumps(value)] for name, value in report.recommended.parameters.items()]
        words = "This experiment's search space holds no augmentation policy, so there is none to show."
        return ["## The recommended setting", words, table(("parameter", "value"), rows)]
    rows = []
    for number, sub_policy in enumerate(report.record.sub_policies, 1):
        for place, operation in enumerate(sub_policy.operations):
            has_magnitude = OPERATION_TYPES[operation.type].has_magnitude
            rows.append(
                [
                    str(number) if place == 0 else "",
                    operation.type,
                    f"{operation.probability:.2f}",
                    f"{operation.magnitude:.2f}" if has_magnitude else "–",
                    setting_text(operation.type, operation.magnitude),
                ]
            )
    return ["## The policy", table(("sub-policy", "operation", "probability", "magnitude", "setting"), rows)]


def _confirmation(report: Report) -> list[str]:
    if report.confirmation is None:
        return []
    found = report.confirmation
    rows = [
        [
            row.label,
            f"{100 * row.mean:.2f} %",
            f"{100 * row.deviation:.2f}",
            str(len(row.scores)),
            "–" if row.validation_mean is None else f"{100 * row.validation_mean:.2f} %",
        ]
        for row in found.rows
    ]
    tried = [[label, f"{100 * mean:.2f} %", "chosen" if is_chosen else ""] for label, mean, is_chosen in found.tried]
    against = [
        [
            entry.against,
            signed(100 * entry.difference, 2),
            "–"
            if entry.low is None or entry.high is None
            else f"{signed(100 * entry.low, 2)} to {signed(100 * entry.high, 2)}",
            entry.verdict,
        ]
        for entry in found.differences
    ]
    return [
        "## Is it better than no search?",
        *([plain(found.sentence)] if found.sentence is not None else []),
        *[plain(note) for note in confirmation_notes(found)],
        *([table(("recommended policy", "fresh validation", ""), tried)] if tried else []),
        plain(f"{found.metric.replace('_', ' ')} on {found.n_test} test images"),
        table(("candidate", "mean", "deviation, points", "trainings", "validation"), rows),
        *([table(("policy against", "points", "95 % interval", "the policy is"), against)] if against else []),
    ]


def _operations(report: Report) -> list[str]:
    parts = ["## Which operations help"]
    effects = report.effects
    if effects is None:
        return [*parts, plain(report.effects_why_none)]
    rows = []
    for effect in effects.types:
        interval = f"{report.difference(effect.overall.low)} to {report.difference(effect.overall.high)}"
        rows.append(
            [
                effect.type,
                report.difference(effect.overall.mean) + (" (clear)" if effect.overall.is_clear else ""),
                interval,
                ", ".join(report.difference(estimate.mean) for estimate in effect.by_magnitude),
            ]
        )
    magnitudes = ", ".join(f"{magnitude:g}" for magnitude in effects.magnitudes)
    heads = ("type", f"effect, {report.unit}", "95 % interval", f"at magnitudes {magnitudes}")
    caption = effects_caption(report, effects).replace("Blue helps, vermilion hurts, bold: the", "Clear: the")
    return [*parts, plain(clear_effects(effects)), table(heads, rows), plain(caption)]


def _probe(report: Report) -> list[str]:
    if report.probe is None:
        return []
    rows = [
        [name, ", ".join(f"{100 * value:.0f}" for value in values)]
        for name, values in report.probe.measured("accuracy").items()
    ]
    magnitudes = ", ".join(f"{magnitude:g}" for magnitude in report.probe.magnitudes)
    baseline = f"Accuracy as they are: {100 * report.probe.baseline[0]:.1f} %."
    return [
        "## What the probe measured",
        plain(baseline),
        table(("type", f"accuracy left, in percent, at magnitudes {magnitudes}"), rows),
    ]

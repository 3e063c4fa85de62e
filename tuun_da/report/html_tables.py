"""The tables of the HTML report: the policy, what operations do, the probe, the confirmation."""

from __future__ import annotations

import math

from tuun_da.operations import OPERATION_TYPES
from tuun_da.policy_format import PolicyRecord
from tuun_da.probe_format import MEASURES, ProbeRecord
from tuun_da.report.confirmation import ConfirmationReport
from tuun_da.report.html_parts import Html, breakable, element, escaped, joined
from tuun_da.report.report_data import Report
from tuun_da.report.wording import setting_text, signed
from tuun_da.search.effects import Effects, Estimate

STRONGEST = 55  # percent of a colour, through which ink can still be read


def policy_table(record: PolicyRecord) -> Html:
    """Each operation with probability, magnitude, and the setting in its own unit."""
    rows = []
    for number, sub_policy in enumerate(record.sub_policies, 1):
        for place, operation in enumerate(sub_policy.operations):
            cells = []
            if place == 0:
                span = str(len(sub_policy.operations))
                cells.append(element("th", escaped(number), scope="rowgroup", rowspan=span))
            width = f"width:{100 * operation.probability:.0f}%"
            bar = element("span", element("i", style=width), kind="bar", aria_hidden="true")
            has_magnitude = OPERATION_TYPES[operation.type].has_magnitude
            cells += [
                element("td", breakable(operation.type)),
                element("td", element("span", escaped(f"{100 * operation.probability:.0f} %"), kind="share"), bar),
                element("td", escaped(f"{operation.magnitude:.2f}" if has_magnitude else "–"), kind="number"),
                element("td", escaped(setting_text(operation.type, operation.magnitude))),
            ]
            rows.append(element("tr", *cells, kind="group" if place == 0 else ""))
    heads = (("#", ""), ("operation", ""), ("probability", ""), ("magnitude", "number"), ("setting", ""))
    return _table("Sub-policies, and their operations in the order in which they are applied.", heads, rows)


def effects_table(report: Report, effects: Effects) -> Html:
    """For each type its effect over all magnitudes with an interval, and its effect at each magnitude."""
    reach = max(abs(end) for effect in effects.types for end in (effect.overall.low, effect.overall.high))
    scale, unit = _unit(report, reach)
    rows = []
    for effect in effects.types:
        interval = f"{_change(scale, effect.overall.low)} to {_change(scale, effect.overall.high)}"
        overall = element(
            "td",
            escaped(_change(scale, effect.overall.mean)),
            _interval_mark(effect.overall, reach),
            element("small", escaped(interval)),
            kind=f"overall {_tone(effect.overall)}",
        )
        span = len(effects.magnitudes) // len(effect.by_magnitude)
        cells = [_effect_cell(scale, estimate, reach, span) for estimate in effect.by_magnitude]
        rows.append(element("tr", element("th", breakable(effect.type), scope="row"), overall, *cells))
    heads = (("type", ""), ("all magnitudes", "overall"), *((f"{m:g}", "") for m in effects.magnitudes))
    caption = f"Change of the score, {unit}: over all magnitudes with its 95 % interval, and at five magnitudes."
    return _table(caption, heads, rows, "heat")


def probe_table(probe: ProbeRecord) -> Html:
    """Accuracy that is left after each operation, in percent, the most harmless type first."""
    left = probe.measured("accuracy")
    baseline = probe.baseline[MEASURES.index("accuracy")]
    rows = []
    for name in sorted(left, key=lambda name: -sum(left[name]) / len(left[name])):
        cells = []
        for value in left[name]:
            share = (value - baseline) / max(baseline, 1e-9)
            cells.append(
                element(
                    "td",
                    escaped(f"{100 * value:.0f}"),
                    kind="help" if share > 0 else "hurt",
                    style=f"--share:{STRONGEST * min(abs(share), 1.0):.0f}%",
                    colspan=str(len(probe.magnitudes) // len(left[name])),
                )
            )
        rows.append(element("tr", element("th", breakable(name), scope="row"), *cells))
    heads = (("type", ""), *((f"{m:g}", "") for m in probe.magnitudes))
    caption = f"Accuracy in percent after one operation, at each magnitude; as they are: {100 * baseline:.1f} %."
    return _table(caption, heads, rows, "heat")


def confirmation_table(confirmation: ConfirmationReport) -> Html:
    """Test score of each candidate, and what the found policy is against it."""
    differences = {entry.against: entry for entry in confirmation.differences}
    has_validation = any(row.validation for row in confirmation.rows)
    rows = []
    for number, row in enumerate(confirmation.rows):
        entry = differences.get(row.label)
        against, verdict = "", ""
        if entry is not None:
            against = f"{signed(100 * entry.difference, 2)}"
            if entry.low is not None and entry.high is not None:
                against += f" ({signed(100 * entry.low, 2)} to {signed(100 * entry.high, 2)})"
            verdict = entry.verdict
        found = number == len(confirmation.rows) - 1
        cells = [
            element("th", escaped(row.label), scope="row"),
            element("td", escaped(f"{100 * row.mean:.2f} %"), kind="number", data_name="mean"),
            element("td", escaped(f"{100 * row.deviation:.2f}"), kind="number", data_name="deviation"),
        ]
        if has_validation:
            mean = row.validation_mean
            text = "" if mean is None else f"{100 * mean:.2f} %"
            cells.append(element("td", escaped(text), kind="number", data_name="validation"))
        if entry is not None or not found:
            cells.append(element("td", escaped(against), kind="whole", data_name="the policy is" if against else ""))
            cells.append(element("td", escaped(verdict), kind="whole"))
        else:
            cells += [element("td"), element("td")]
        rows.append(element("tr", *cells, kind="found" if found else ""))
    metric = confirmation.metric.replace("_", " ")
    heads = (
        ("candidate", ""),
        (f"mean {metric}", "number"),
        ("deviation, points", "number"),
        *((("validation", "number"),) if has_validation else ()),
        ("policy less this, points (95 % interval)", ""),
        ("the policy is", ""),
    )
    caption = f"{metric.capitalize()} on {confirmation.n_test} test images, {confirmation.n_seeds} trainings each."
    return _table(caption, heads, rows, "stacked")


def tried_table(confirmation: ConfirmationReport) -> Html:
    """The recommended policies among which fresh validation images chose; empty where there was one only."""
    if not confirmation.tried:
        return Html("")
    rows = [
        element(
            "tr",
            element("th", escaped(label), scope="row"),
            element("td", escaped(f"{100 * mean:.2f} %"), kind="number"),
            element("td", escaped("chosen" if is_chosen else "")),
            kind="found" if is_chosen else "",
        )
        for label, mean, is_chosen in confirmation.tried
    ]
    heads = (("recommended policy", ""), ("fresh validation", "number"), ("", ""))
    return _table("Mean scores on the validation images of the choice.", heads, rows)


def _unit(report: Report, reach: float) -> tuple[float, str]:
    """What 1 stands for in a table of changes up to ``reach``, as a number and in words: else some would not fit."""
    if report.percent:
        return 0.01, report.unit
    power = math.floor(math.log10(reach)) if reach > 0 else 0
    return 10.0**power, report.unit if power == 0 else f"1 stands for {10.0**power:g}"


def _change(scale: float, value: float) -> str:
    """Without so many digits that a narrow cell cannot hold them."""
    return signed(value / scale, 2 if abs(value / scale) < 10 else 0)


def _tone(estimate: Estimate) -> str:
    return ("help" if estimate.mean > 0 else "hurt") + (" clear" if estimate.is_clear else "")


def _effect_cell(scale: float, estimate: Estimate, reach: float, colspan: int) -> Html:
    """Coloured against the ends of the widest interval, so that what is not known stays pale."""
    share = STRONGEST * min(abs(estimate.mean) / reach, 1.0) if reach > 0 else 0.0
    span = {"colspan": str(colspan)} if colspan > 1 else {}
    words = escaped(_change(scale, estimate.mean))
    return element("td", words, kind=_tone(estimate), style=f"--share:{share:.0f}%", **span)


def _interval_mark(estimate: Estimate, reach: float) -> Html:
    """The interval as a line with a dot at the mean, 0 in the middle; numbers stand beside it."""
    low, mean, high = (50 + 48 * value / (reach or 1.0) for value in (estimate.low, estimate.mean, estimate.high))
    return Html(
        '<svg class="interval" aria-hidden="true"><line class="zero" x1="50%" x2="50%" y1="0" y2="12"/>'
        f'<line class="span" x1="{low:.1f}%" x2="{high:.1f}%" y1="6" y2="6"/>'
        f'<circle cx="{mean:.1f}%" cy="6" r="4"/></svg>'
    )


def _table(caption: str, heads: tuple[tuple[str, str], ...], rows: list[Html], kind: str = "") -> Html:
    head = element("tr", *(element("th", escaped(words), kind=kinds, scope="col") for words, kinds in heads))
    table = element(
        "table",
        element("caption", escaped(caption)),
        element("thead", head),
        element("tbody", joined(rows)),
        kind=kind,
    )
    return element("div", table, kind="scroll", tabindex="0", role="region", aria_label=caption)

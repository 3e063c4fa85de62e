"""The report as one HTML page: no script, no other file, nothing from the network (its policy forbids both)."""

from __future__ import annotations

import json

from tuun_da.policy_format import PolicyRecord
from tuun_da.report.contact_sheet import described
from tuun_da.report.figures import (
    confirmation_chart,
    curves_chart,
    differences_chart,
    search_chart,
    trials_with_curves,
)
from tuun_da.report.html_parts import (
    Html,
    code,
    element,
    escaped,
    facts,
    figure,
    image,
    joined,
    legend,
    paragraph,
    section,
)
from tuun_da.report.html_tables import confirmation_table, effects_table, policy_table, probe_table, tried_table
from tuun_da.report.page_style import STYLE
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

SECURITY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def html_report(report: Report) -> str:
    """The page."""
    sections = [
        ("policy", "Policy", _policy(report)),
        ("confirmation", "Confirmation", _confirmation(report)),
        ("search", "Search", _search(report)),
        ("operations", "Operations", _operations(report)),
        ("probe", "Probe", _probe(report)),
        ("curves", "Learning curves", _curves(report)),
        ("use", "Use it", _use(report)),
        ("settings", "Settings", _settings(report)),
    ]
    shown = [(identifier, name, inside) for identifier, name, inside in sections if inside]
    contents = joined(
        element("li", element("a", escaped(name), href=f"#{identifier}")) for identifier, name, _ in shown
    )
    heading = title(report)
    numbers = joined(
        element(
            "div",
            element("dt", escaped(what)),
            element("dd", escaped(number)),
            *([element("dd", escaped(more))] if more else []),
        )
        for what, number, more in tiles(report)
    )
    head = [
        paragraph(f"tuun_da {report.version} · experiment {report.name} · {moment(report.made)}", "kicker"),
        element("h1", escaped(heading)),
        paragraph(verdict(report), "lead"),
        *([paragraph(state(report), "note")] if state(report) else []),
        element("dl", numbers, kind="tiles"),
        element("nav", element("ul", contents), aria_label="Contents"),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{SECURITY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="generator" content="{FORMAT}">\n<meta name="color-scheme" content="light dark">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escaped(heading)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + element("header", *head)
        + "\n"
        + element("main", *(inside for _, _, inside in shown))
        + "\n"
        + element("footer", escaped(f"Written by tuun-da report on {moment(report.made)}."))
        + "\n</body>\n</html>\n"
    )


def _policy(report: Report) -> Html:
    if report.record is None:
        rows = [(str(name), json.dumps(value)) for name, value in report.recommended.parameters.items()]
        return section(
            "policy",
            "The recommended setting",
            paragraph("This experiment's search space holds no augmentation policy, so there is none to show."),
            facts("Parameters", rows),
        )
    record = report.record
    each = "mini-batch" if record.per == "batch" else "image"
    about = (
        f"For each {each} one of these sub-policies is drawn; each image takes each of its operations with its "
        "probability."
    )
    if record.unchanged_share > 0.0:
        about += f" A share of {record.unchanged_share:.3g} of the images stays as it is."
    others = record.searched.get("other_parameters")
    rows = [(str(name), json.dumps(value)) for name, value in others.items()] if isinstance(others, dict) else []
    return section(
        "policy",
        "The policy",
        paragraph(about),
        policy_table(record),
        facts("Found together with it", rows),
        *_pictures(report, record),
    )


def _pictures(report: Report, record: PolicyRecord) -> list[Html]:
    pictures = report.pictures
    heading = element("h3", escaped("On your images"))
    if not pictures.rows:
        return [heading, paragraph(pictures.why_none)]
    shown = len(pictures.rows) - 1
    which = (
        "each sub-policy"
        if shown == len(record.sub_policies)
        else f"the first {shown} of {len(record.sub_policies)} sub-policies"
    )
    found = [heading, paragraph(f"From {pictures.source}, under {which}, with seed {pictures.seed}.", "small")]
    for number, row in enumerate(pictures.rows):
        name = f"Sub-policy {number}" if number else "As they are"
        operations = record.sub_policies[number - 1].operations if number else ()
        what = "; ".join(described(operation) for operation in operations)
        types = " and ".join(operation.type for operation in operations)
        under = f"under sub-policy {number}: {types}" if number else "as it is"
        images = [image(uri, f"Image {i} {under}") for i, uri in enumerate(row, 1)]
        strip = element("div", *images, kind="strip pixelated" if pictures.pixelated else "strip")
        found.append(
            element("div", element("h4", escaped(name)), *([paragraph(what)] if what else []), strip, kind="sub")
        )
    return found


def _confirmation(report: Report) -> Html:
    found = report.confirmation
    if found is None:
        return Html("")
    inside = [paragraph(found.sentence)] if found.sentence is not None else []
    inside += [paragraph(note, "small") for note in confirmation_notes(found)]
    inside.append(tried_table(found))
    inside.append(
        figure(confirmation_chart(found), "A dot is one training, with a seed of its own; the bar is their mean.")
    )
    chart = differences_chart(found)
    if chart:
        how = "seeds and test images" if found.sentence is not None else "seeds"
        caption = f"The policy less each other row, with its 95 % interval over {how}; right of 0 the policy is better."
        inside.append(figure(chart, caption))
    return section("confirmation", "Is it better than no search?", *inside, confirmation_table(found))


def _search(report: Report) -> Html:
    kinds = {point.kind for point in report.points if point.succeeded}
    entries = [('<path class="best" d="M0 10H14V4H28"/>', "best so far")]
    if "proposed" in kinds:
        entries.append(('<circle class="proposed" cx="14" cy="7" r="4"/>', "proposed by the model"))
    if "random" in kinds:
        entries.append(('<circle class="random" cx="14" cy="7" r="4"/>', "drawn at random"))
    if "elsewhere" in kinds:
        entries.append(('<circle class="elsewhere" cx="14" cy="7" r="4"/>', "from elsewhere"))
    if report.baselines:
        entries.append(('<path class="baseline" d="M14 1l6 6l-6 6l-6 -6z"/>', "known policy"))
    if report.expectation is not None:
        entries.append(('<path class="expected" d="M0 7H28"/>', "random search, expected best"))
    if report.failed or report.n_stopped:
        entries.append(('<path class="ended" d="M11 4l6 6m0 -6l-6 6"/>', "failed or stopped"))
    inside = [figure(search_chart(report), search_caption(report), legend(entries))]
    rows = [(str(point.label), report.score(point.trial.value)) for point in report.baselines]
    inside.append(facts("Known policies, in one trial each", rows))
    inside.append(facts("Trials that failed", failures(report)))
    return section("search", "The search", *inside)


def _operations(report: Report) -> Html:
    if report.effects is None:
        return section("operations", "Which operations help", paragraph(report.effects_why_none))
    caption = element("p", escaped(effects_caption(report, report.effects)), kind="small")
    lead = paragraph(clear_effects(report.effects))
    return section("operations", "Which operations help", lead, effects_table(report, report.effects), caption)


def _probe(report: Report) -> Html:
    if report.probe is None:
        return Html("")
    caption = (
        "What each operation does to a network that was trained without augmentation: the deeper the vermilion, the "
        "more of its accuracy is lost. What it shrugs off is learned already, or harmless; what ruins it may teach it "
        "something, or destroy what the class depends on."
    )
    return section("probe", "What the probe measured", paragraph(caption), probe_table(report.probe))


def _curves(report: Report) -> Html:
    chart = curves_chart(report)
    if not chart:
        return Html("")
    entries = [
        (f'<path class="curve c{i}" d="M0 7H28"/>', f"trial {trial.id}, {report.score(trial.value)}")
        for i, trial in enumerate(trials_with_curves(report), 1)
    ]
    caption = f"Validation {report.metric} after each epoch; the best trials in colour, others faint behind them."
    return section("curves", "Learning curves of the best trials", figure(chart, caption, legend(entries)))


def _use(report: Report) -> Html:
    if report.record is None:
        return Html("")
    inside = [paragraph("First write the policy file:"), code(policy_command(report))]
    for snippet in usage_snippets(report):
        inside += [element("h3", escaped(snippet.title)), paragraph(snippet.about, "small"), code(snippet.code)]
    record = element("details", element("summary", escaped("The policy file itself")), code(report.record.to_json()))
    return section("use", "Use it", *inside, record)


def _settings(report: Report) -> Html:
    inside = [facts(heading, rows) for heading, rows in fact_groups(report)]
    again = rerun(report)
    space = json.dumps(dict(report.space), indent=1)
    inside += [
        element("h3", escaped("Search again")),
        paragraph(again.about, "small"),
        code(again.code),
        element("details", element("summary", escaped("search_space.json")), code(space)),
    ]
    return section("settings", "Settings, and how to search again", *inside)

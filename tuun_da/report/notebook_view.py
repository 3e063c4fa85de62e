"""What a notebook shows of a search: a few lines, a small chart, the policy as a table. No style but a notebook's own.

Colours are mid-tones that can be seen on white and on black.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuun_da.policy_format import PolicyRecord
from tuun_da.report.html_parts import Html, element, escaped, joined
from tuun_da.report.html_tables import policy_table
from tuun_da.report.svg_chart import Frame
from tuun_da.report.trials_table import policy_text
from tuun_da.search.history import JournalContent, TrialState

WIDTH, HEIGHT = 420, 120
BEST, TRIAL, WORDS = "#2f81c4", "#8a929b", "#808890"
LONGEST = 110  # letters of a policy in a table


def result_view(
    content: JournalContent, sentences: Sequence[str], record: PolicyRecord | None, best: Sequence[Sequence[str]] = ()
) -> str:
    """The sentences, scores and best score against trials, the policy, and rows (rank, trial, score, policy)."""
    parts = [element("p", escaped(sentence)) for sentence in sentences]
    chart = score_chart(content)
    parts += [chart] if chart else []
    if record is not None:
        parts.append(policy_table(record))
    if best:
        heads = joined(element("th", escaped(name)) for name in ("rank", "trial", "score", "policy"))
        rows = joined(_row((*row[:-1], _shortened(row[-1]))) for row in best)
        head = element("thead", element("tr", heads))
        parts.append(element("table", element("caption", escaped("The best by their scores")), head, rows))
    return element("div", *parts, kind="tuun_da")


def score_chart(content: JournalContent) -> Html:
    """A dot for each complete trial and a line for the best so far; nothing for less than two."""
    values = [t.value for t in content.trials if t.state is TrialState.SUCCEEDED and t.value is not None]
    if len(values) < 2:
        return Html("")
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.01
    frame = Frame(WIDTH, HEIGHT, (1.0, float(len(values))), (low - room, high + room), left=64, top=8, bottom=22)
    better = max if content.maximize else min
    best = values[0]
    line = f"M{frame.x(1):.1f} {frame.y(best):.1f}"
    dots = ""
    for place, value in enumerate(values, 1):
        best = better(best, value)
        line += f"H{frame.x(place):.1f}V{frame.y(best):.1f}"
        dots += f"M{frame.x(place):.1f} {frame.y(value):.1f}h0"
    words = f"Scores of {len(values)} trials, from {low:.4g} to {high:.4g}, and the best so far."
    texts = "".join(
        f'<text x="{x}" y="{y:.1f}" text-anchor="{anchor}" font-size="11" fill="{WORDS}">{escaped(said)}</text>'
        for x, y, anchor, said in (
            (58, frame.y(high) + 4, "end", f"{high:.4g}"),
            (58, frame.y(low) + 4, "end", f"{low:.4g}"),
            (WIDTH - 12, HEIGHT - 6, "end", f"{len(values)} trials"),
        )
    )
    return Html(
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escaped(words)}"><path d="{dots}" fill="none" stroke="{TRIAL}" stroke-width="5" '
        f'stroke-linecap="round"/><path d="{line}" fill="none" stroke="{BEST}" stroke-width="2"/>{texts}</svg>'
    )


def table_view(
    rows: Sequence[Mapping[str, Any]], parameters: Sequence[Mapping[str, Any]], *, n_left_out: int, after: int
) -> str:
    """Trials with their ``parameters``; ``n_left_out`` are said to be missing ``after`` so many rows."""
    heads = ("trial", "state", "score", "seconds", "policy, or what went wrong")
    lines = []
    for place, (row, setting) in enumerate(zip(rows, parameters, strict=True)):
        if place == after and n_left_out:
            lines.append(element("tr", element("td", escaped(f"{n_left_out} more"), colspan=str(len(heads)))))
        words = _shortened(str(row["error"]) if row["error"] else policy_text(setting))
        score = "–" if row["score"] is None else f"{row['score']:.4f}"
        seconds = "–" if row["seconds"] is None else f"{row['seconds']:.1f}"
        lines.append(_row((row["trial"], row["state"], score, seconds, words)))
    head = element("thead", element("tr", *(element("th", escaped(name)) for name in heads)))
    return element("table", head, element("tbody", *lines))


def _row(cells: Sequence[object]) -> Html:
    """A row whose last cell is text, which notebooks would put to the right."""
    *numbers, words = cells
    last = element("td", escaped(words), style="text-align:left")
    return element("tr", *(element("td", escaped(cell)) for cell in numbers), last)


def _shortened(words: str) -> str:
    return words if len(words) <= LONGEST else words[: LONGEST - 1] + "…"

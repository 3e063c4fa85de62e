"""Pieces of a page. Every text goes through ``escaped`` here; what is HTML already has the type Html."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import NewType

from tuun_da.plain_text import COMMANDS

Html = NewType("Html", str)
"""Text that is safe to put into a page as it is."""


def escaped(text: object) -> Html:
    """``text`` for a page, in an element or in an attribute; control characters, which no page may hold, and those
    that turn the direction of writing as ?."""
    return Html(html.escape(COMMANDS.sub("?", str(text)), quote=True))


def joined(parts: Iterable[Html], between: str = "") -> Html:
    """One piece of several."""
    return Html(between.join(parts))


def element(name: str, *inside: Html, kind: str = "", **attributes: str) -> Html:
    """An element with the class ``kind``; underscores in the names of ``attributes`` stand for hyphens."""
    said = {"class": kind, **{key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}}
    shown = "".join(f' {key}="{escaped(value)}"' for key, value in said.items() if value)
    return Html(f"<{name}{shown}>{''.join(inside)}</{name}>")


def image(uri: str, alternative: str) -> Html:
    """A picture, and what stands for it where it is not seen."""
    return Html(f'<img src="{escaped(uri)}" alt="{escaped(alternative)}">')


def paragraph(text: str, kind: str = "") -> Html:
    """A paragraph of plain text."""
    return element("p", escaped(text), kind=kind)


def section(identifier: str, title: str, *inside: Html) -> Html:
    """A section with its heading, to which the contents lead."""
    head = element("h2", escaped(title), id=f"{identifier}-title")
    return element("section", head, *inside, id=identifier, aria_labelledby=f"{identifier}-title")


def figure(drawing: str, caption: str, *between: Html) -> Html:
    """A chart that is SVG already, with its legend and caption."""
    return element("figure", Html(drawing), *between, element("figcaption", escaped(caption)))


def facts(title: str, rows: Sequence[tuple[str, object]]) -> Html:
    """A table of names and values; nothing where there are none."""
    if not rows:
        return Html("")
    body = joined(
        element("tr", element("th", escaped(name), scope="row"), element("td", escaped(value))) for name, value in rows
    )
    return joined([element("h3", escaped(title)), element("table", element("tbody", body), kind="facts")])


def code(text: str) -> Html:
    """A block of code, which the keyboard can scroll."""
    return element("pre", element("code", escaped(text)), tabindex="0")


def breakable(name: str) -> Html:
    """A type's name that may break before its capitals."""
    return Html(re.sub(r"(?<=[a-z])(?=[A-Z])", "<wbr>", escaped(name)))


def legend(entries: Sequence[tuple[str, str]]) -> Html:
    """What the marks of a chart mean: SVG of 28 x 14 pixels, and words."""
    items = (
        element(
            "li",
            Html(f'<svg class="chart" viewBox="0 0 28 14" aria-hidden="true">{mark}</svg>'),
            element("span", escaped(words)),
        )
        for mark, words in entries
    )
    return element("ul", *items, kind="legend")

"""Charts as inline SVG: a frame with axes, and what goes into it. Colours are the page's classes, never fixed here.

A chart is drawn twice, for wide pages and for phones, since text in a drawing that shrinks cannot be read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tuun_da.report.html_parts import escaped

WIDE, NARROW = (840, 360), (360, 300)
LETTER = 6.6  # width of a letter at 12 pixels
ONE_BY_ONE = 400  # points up to which each has a title of its own


@dataclass(frozen=True)
class Frame:
    """A rectangle in a drawing of ``width`` x ``height`` pixels, with the ranges of the data on its sides."""

    width: int
    height: int
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    left: float = 56
    right: float = 12
    top: float = 12
    bottom: float = 44

    def x(self, value: float) -> float:
        """Pixels from the left; values outside are moved to the edge."""
        low, high = self.x_range
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return self.left + share * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        """Pixels from the top; values outside are moved to the edge."""
        low, high = self.y_range
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return self.height - self.bottom - share * (self.height - self.top - self.bottom)

    def axes(
        self, *, x_label: str, y_text: Callable[[float], str], x_text: Callable[[float], str], whole_x: bool = True
    ) -> str:
        """Grid lines, and numbers beside and below them. With ``whole_x`` only whole numbers stand below."""
        parts = []
        for value in ticks(*self.y_range, 5):
            y = self.y(value)
            parts.append(
                f'<line class="grid" x1="{self.left:g}" x2="{self.width - self.right:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
            )
            parts.append(text(self.left - 8, y + 4, y_text(value), "end"))
        for value in ticks(*self.x_range, 8 if self.width > 500 else 5, whole=whole_x):
            parts.append(text(self.x(value), self.height - self.bottom + 18, x_text(value), "middle"))
        base = self.height - self.bottom
        parts.append(
            f'<line class="axis" x1="{self.left:g}" x2="{self.width - self.right:g}" y1="{base:g}" y2="{base:g}"/>'
        )
        parts.append(text((self.left + self.width - self.right) / 2, self.height - 6, x_label, "middle", "label"))
        return "".join(parts)


def ticks(low: float, high: float, count: int, *, whole: bool = False) -> list[float]:
    """Round numbers from ``low`` to ``high``, about ``count`` of them: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / max(count - 1, 1)
    if not rough > 0.0:
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    if whole:
        step = max(1.0, round(step))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def text(x: float, y: float, words: str, anchor: str = "start", kind: str = "tick") -> str:
    """Words in the drawing."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escaped(words)}</text>'


def line(frame: Frame, points: Sequence[tuple[float, float]], kind: str) -> str:
    """A line through points of the data."""
    if not points:
        return ""
    places = "L".join(f"{frame.x(x):.1f} {frame.y(y):.1f}" for x, y in points)
    return f'<path class="{kind}" d="M{places}"/>'


def steps(frame: Frame, points: Sequence[tuple[float, float]], kind: str) -> str:
    """A line that stays where it is until the next point."""
    if not points:
        return ""
    x, y = points[0]
    path = f"M{frame.x(x):.1f} {frame.y(y):.1f}"
    for x, y in points[1:]:
        path += f"H{frame.x(x):.1f}V{frame.y(y):.1f}"
    return f'<path class="{kind}" d="{path}"/>'


def dots(frame: Frame, points: Sequence[tuple[float, float, str]], kind: str, radius: float = 4.0) -> str:
    """A dot for each point (x, y, title); of very many, without their titles, in one path."""
    if not points:
        return ""
    if len(points) > ONE_BY_ONE:
        places = "".join(f"M{frame.x(x):.1f} {frame.y(y):.1f}h0" for x, y, _ in points)
        return f'<path class="{kind} many" d="{places}"/>'
    return "".join(
        f'<circle class="{kind}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="{radius:g}">'
        f"<title>{escaped(title)}</title></circle>"
        for x, y, title in points
    )


def drawing(width: int, height: int, inside: str, described: str, kind: str) -> str:
    """The SVG element; ``described`` is what who cannot see it is told."""
    return (
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{escaped(described)}">'
        f"{inside}</svg>"
    )


def both_widths(
    draw: Callable[[int, int, bool], str],
    described: str,
    *,
    wide: tuple[int, int] = WIDE,
    narrow: tuple[int, int] = NARROW,
) -> str:
    """``draw(width, height, is_wide)`` for wide pages and for phones; the page's style shows one of them."""
    return drawing(*wide, draw(*wide, True), described, "chart wide") + drawing(
        *narrow, draw(*narrow, False), described, "chart narrow"
    )

"""Dots over two measures as inline SVG, with the frontier drawn: pure, with no script and no fixed width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from oildrop.site.pages.axes import axis_over
from oildrop.site.pages.formats import ascii_markup, count_text, escaped, number
from oildrop.site.pages.line_charts import HEIGHT, WIDTH, frame


@dataclass(frozen=True, kw_only=True)
class Dot:
    """One dot: its place, its interval in `y`, whose it is, and whether it is on the frontier."""

    x: float
    y: float
    low: float | None
    high: float | None
    text: str
    front: bool


def scatter(dots: Sequence[Dot], *, x_label: str, y_label: str) -> Markup:
    """All `dots`, one at least: those of the frontier filled and joined, the others hollow; intervals as bars."""
    x_axis = axis_over([dot.x for dot in dots], count=6)
    ends = [end for dot in dots for end in (dot.low, dot.high) if end is not None]
    y_axis = axis_over([*(dot.y for dot in dots), *ends], count=4)

    def down(value: float) -> str:
        return f"{100 - 100 * y_axis.share(value):.1f}%"

    bars, marks = [], []
    for dot in sorted(dots, key=lambda dot: dot.front):
        at = f"{100 * x_axis.share(dot.x):.1f}%"
        if dot.low is not None and dot.high is not None:
            bars.append(f'<line class="ci" x1="{at}" x2="{at}" y1="{down(dot.low)}" y2="{down(dot.high)}"/>')
        kind = ' class="front"' if dot.front else ""
        title = f"{escaped(dot.text)}: {number(dot.x)}, {number(dot.y)}"
        marks.append(f'<circle{kind} cx="{at}" cy="{down(dot.y)}" r="5"><title>{title}</title></circle>')
    front = sorted((dot for dot in dots if dot.front), key=lambda dot: dot.x)
    line = " ".join(f"{WIDTH * x_axis.share(dot.x):.0f} {HEIGHT - HEIGHT * y_axis.share(dot.y):.0f}" for dot in front)
    says = f"{y_label} against {x_label}: {count_text(len(dots), 'configuration')}, {len(front)} on the frontier"
    return Markup(
        ascii_markup(
            f'<div class="plot"><svg role="img" aria-label="{escaped(says)}" width="100%" height="220">'
            f"{frame(x_axis, y_axis, x_label, y_label)}{''.join(bars)}"
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none"><polyline class="front" points="{line}"/>'
            f"</svg>{''.join(marks)}</svg></div>"
        )
    )

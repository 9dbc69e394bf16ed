"""Strips of runs as inline SVG: pure functions, with no script and no fixed width.

Positions are percentages of the drawing's own width, so that text keeps its size
and dots stay round from a phone to paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from markupsafe import Markup

from oildrop.site.pages.axes import Axis
from oildrop.site.pages.formats import tick_text


def strip(
    values: Sequence[float], axis: Axis, *, estimate: float | None, interval: tuple[float, float] | None
) -> Markup:
    """All runs of one configuration as dots on `axis`, with the interval as a bar and the estimate as a tick.

    Hidden from screen readers: the same numbers stand beside it as text.
    """
    parts = [f'<line class="g" x1="{p}" x2="{p}" y1="0" y2="100%"/>' for p in _tick_shares(axis)]
    if interval is not None:
        left, right = (100 * axis.share(bound) for bound in interval)
        parts.append(
            f'<rect class="ci" x="{left:.2f}%" width="{max(right - left, 0.2):.2f}%" y="7" height="12" rx="2"/>'
        )
    if estimate is not None:
        at = f"{100 * axis.share(estimate):.2f}%"
        parts.append(f'<line class="est" x1="{at}" x2="{at}" y1="3" y2="23"/>')
    parts += [f'<circle cx="{100 * axis.share(value):.2f}%" cy="13" r="4"/>' for value in values]
    return Markup(f'<svg class="strip" aria-hidden="true" width="100%" height="26">{"".join(parts)}</svg>')


def strip_axis(axis: Axis) -> Markup:
    """The scale under a stack of strips."""
    texts = "".join(
        f'<text class="x" x="{share}" y="14">{tick_text(tick)}</text>'
        for tick, share in zip(axis.ticks, _tick_shares(axis), strict=True)
    )
    return Markup(f'<svg class="strip scale" aria-hidden="true" width="100%" height="20">{texts}</svg>')


@lru_cache(maxsize=256)
def _tick_shares(axis: Axis) -> tuple[str, ...]:
    return tuple(f"{100 * axis.share(tick):.2f}%" for tick in axis.ticks)

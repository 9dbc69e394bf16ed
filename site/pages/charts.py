"""Charts as inline SVG: pure functions from numbers to markup, with no script and no fixed width.

Positions are percentages of the chart's own width, so that text keeps its size
and dots stay round from a phone to paper. Lines live in a nested drawing that
is stretched, with strokes that are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from markupsafe import Markup, escape

from oildrop.site.pages.axes import Axis, axis_over
from oildrop.site.pages.formats import number, tick_text

WIDTH, HEIGHT = 1000, 500
"""Units of the stretched drawing that holds a line."""

_THINNEST = 2.0
"""Units that even the shortest block of a bar keeps, so that it can be seen."""


@lru_cache(maxsize=4096)
def _frame(x_axis: Axis, y_axis: Axis, x_label: str, y_label: str) -> str:
    """Grid, tick labels and axis titles; `escape`d labels."""
    parts = []
    for tick in y_axis.ticks:
        at = 100 - 100 * y_axis.share(tick)
        parts.append(f'<line class="g" x1="0" x2="100%" y1="{at:.1f}%" y2="{at:.1f}%"/>')
        parts.append(f'<text class="y" x="-8" y="{at:.1f}%" dy=".34em">{tick_text(tick)}</text>')
    for tick in x_axis.ticks:
        parts.append(f'<text class="x" x="{100 * x_axis.share(tick):.1f}%" y="100%" dy="1.5em">{tick_text(tick)}</text>')
    parts.append(f'<text class="t" x="-52" y="-12">{escape(y_label)}</text>')
    parts.append(f'<text class="t e" x="100%" y="100%" dy="3em">{escape(x_label)}</text>')
    return "".join(parts)


def _polyline(xs: Sequence[float], ys: Sequence[float], x_axis: Axis, y_axis: Axis) -> str:
    """One line through all points, in whole units of the stretched drawing."""
    flat = [0.0] * (2 * len(xs))
    flat[::2] = _positions(xs, x_axis, WIDTH)
    flat[1::2] = [HEIGHT - at for at in _positions(ys, y_axis, HEIGHT)]
    # One format for all points: a chart of 240 points is then 30 us instead of 100.
    return '<polyline points="' + "%d,%d " * len(xs) % tuple(flat) + '"/>'


def _positions(values: Sequence[float], axis: Axis, size: int) -> list[float]:
    if axis.log:
        return [axis.share(value) * size for value in values]
    low, unit = axis.low, size / (axis.high - axis.low)
    return [(value - low) * unit for value in values]


def line_chart(
    xs: Sequence[float],
    ys: Sequence[float],
    *,
    x_label: str,
    y_label: str,
    says: str,
    target: float | None = None,
    broken_at: Sequence[float] = (),
    from_zero: bool = True,
) -> Markup:
    """One quantity over time.

    Args:
        xs, ys: Points in order of `xs`, one at least.
        says: What the chart shows, in words, for those who cannot see it.
        target: Drawn as a dashed line across, with its value.
        broken_at: Values of x at which there was no finite y; each gets a mark at the top.
        from_zero: Whether the y axis starts at zero.
    """
    x_axis = axis_over([0.0, *xs[-1:], *broken_at[-1:]], count=6, log=False)
    y_axis = axis_over([min(ys), max(ys), *([] if target is None else [target])], count=4, from_zero=from_zero)
    drawing = _polyline(xs, ys, x_axis, y_axis)
    extra = ""
    if target is not None:
        at = 100 - 100 * y_axis.share(target)
        extra += f'<line class="target" x1="0" x2="100%" y1="{at:.1f}%" y2="{at:.1f}%"/>'
        extra += f'<text class="target e" x="100%" y="{at:.1f}%" dy="-.5em">target {number(target)}</text>'
    for x in broken_at:
        extra += f'<text class="broken" x="{100 * x_axis.share(x):.1f}%" y="0" dy="1em">↗</text>'
    return Markup(
        f'<div class="plot"><svg role="img" aria-label="{escape(says)}" width="100%" height="170">'
        f"{_frame(x_axis, y_axis, x_label, y_label)}"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none">{drawing}</svg>{extra}</svg></div>'
    )


def strip(values: Sequence[float], axis: Axis, *, estimate: float | None, interval: tuple[float, float] | None) -> Markup:
    """All runs of one configuration as dots on `axis`, with the interval as a bar and the estimate as a tick.

    Hidden from screen readers: the same numbers stand beside it as text.
    """
    parts = [f'<line class="g" x1="{p}" x2="{p}" y1="0" y2="100%"/>' for p in _tick_shares(axis)]
    if interval is not None:
        left, right = (100 * axis.share(bound) for bound in interval)
        parts.append(f'<rect class="ci" x="{left:.2f}%" width="{max(right - left, 0.2):.2f}%" y="7" height="12" rx="2"/>')
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


def spans_bar(spans: Sequence[tuple[float, float]], end: float) -> str:
    """When something went on, as blocks on a bar from 0 to `end`; `spans` are (start, stop) in its unit."""
    unit = WIDTH / end if end > 0 else 0.0
    numbers: list[float] = []
    for start, stop in spans:
        width = (stop - start) * unit
        if width < _THINNEST:
            width = _THINNEST
        numbers += (start * unit, width, width)
    path = "M%d,0h%dv10h-%dz" * len(spans) % tuple(numbers)
    return (
        f'<svg class="bar" aria-hidden="true" viewBox="0 0 {WIDTH} 10" preserveAspectRatio="none"'
        f' width="100%" height="12"><path d="{path}"/></svg>'
    )

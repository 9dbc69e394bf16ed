"""Lines over time as inline SVG, many charts at once: pure, with no script and no fixed width.

Axes and labels are placed in percent of the chart's own width, so that text keeps its size from a
phone to paper; the line lives in a nested drawing that is stretched, with a stroke that is not.
All charts of a batch are turned into numbers together, which takes a fifth of the time of one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from markupsafe import escape
from numpy.typing import NDArray

from oildrop.site.pages.axes import Axis, axis_over
from oildrop.site.pages.formats import escaped, number, tick_text

FloatArray = NDArray[np.float64]

WIDTH, HEIGHT = 1000, 500
"""Units of the stretched drawing that holds a line."""

_CELL = 5
_WHOLE = np.array([list(f"{whole:>{_CELL - 1}} ".encode()) for whole in range(WIDTH + 1)], dtype=np.uint8)
"""Each whole number as text of equal width, so that whole arrays become text by one look-up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LineChart:
    """What to draw; the y axis starts at zero, or is logarithmic where values span a factor of 50.

    Attributes:
        xs, ys: Finite points in order of `xs` (>= 0), one at least.
        what: What the values are, as the chart is named for those who cannot see it.
        target: Drawn as a dashed line across, with its value.
        broken_at: Values of x at which there was no finite y; each gets a mark at the top.
    """

    xs: FloatArray
    ys: FloatArray
    what: str
    unit: str
    x_label: str
    y_label: str
    target: float | None = None
    broken_at: tuple[float, ...] = ()


def draw_lines(charts: Sequence[LineChart]) -> list[tuple[str, str]]:
    """Markup of each chart, and what it says in words (escaped)."""
    if not charts:
        return []
    counts = np.array([len(chart.ys) for chart in charts])
    starts = np.cumsum(counts) - counts
    xs, ys = np.concatenate([chart.xs for chart in charts]), np.concatenate([chart.ys for chart in charts])
    lows, highs = np.minimum.reduceat(ys, starts).tolist(), np.maximum.reduceat(ys, starts).tolist()
    lasts = xs[starts + counts - 1].tolist()
    x_axes = [
        axis_over((0.0, last, *chart.broken_at[-1:]), count=6, log=False)
        for chart, last in zip(charts, lasts, strict=True)
    ]
    y_axes = [
        axis_over((low, high) if chart.target is None else (low, high, chart.target), count=4)
        for chart, low, high in zip(charts, lows, highs, strict=True)
    ]
    lines = _polylines(xs, ys, counts, x_axes, y_axes)
    each = zip(charts, lines, x_axes, y_axes, lows, highs, strict=True)
    return [_chart(chart, line, x_axis, y_axis, low, high) for chart, line, x_axis, y_axis, low, high in each]


def _chart(chart: LineChart, line: str, x_axis: Axis, y_axis: Axis, low: float, high: float) -> tuple[str, str]:
    says = f"{escaped(chart.what)}, {number(low)} to {number(high)} {escaped(chart.unit)}"
    extra = ""
    if chart.target is not None:
        says += f"; target {number(chart.target)}"
        extra = _target_line(chart.target, y_axis)
    for x in chart.broken_at:
        extra += f'<text class="broken" x="{100 * x_axis.share(x):.1f}%" y="0" dy="1em">↗</text>'
    return (
        f'<div class="plot"><svg role="img" aria-label="{says}" width="100%" height="170">'
        f"{_frame(x_axis, y_axis, chart.x_label, chart.y_label)}"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none"><polyline points="{line}"/></svg>'
        f"{extra}</svg></div>",
        says,
    )


@lru_cache(maxsize=4096)
def _frame(x_axis: Axis, y_axis: Axis, x_label: str, y_label: str) -> str:
    """Grid, tick labels and axis titles."""
    parts = []
    for tick in y_axis.ticks:
        at = f"{100 - 100 * y_axis.share(tick):.1f}%"
        parts.append(f'<line class="g" x1="0" x2="100%" y1="{at}" y2="{at}"/>')
        parts.append(f'<text class="y" x="-8" y="{at}" dy=".34em">{tick_text(tick)}</text>')
    for tick in x_axis.ticks:
        at = f"{100 * x_axis.share(tick):.1f}%"
        parts.append(f'<text class="x" x="{at}" y="100%" dy="1.5em">{tick_text(tick)}</text>')
    parts.append(f'<text class="t" x="-52" y="-12">{escape(y_label)}</text>')
    parts.append(f'<text class="t e" x="100%" y="100%" dy="3em">{escape(x_label)}</text>')
    return "".join(parts)


@lru_cache(maxsize=256)
def _target_line(target: float, axis: Axis) -> str:
    at = f"{100 - 100 * axis.share(target):.1f}%"
    return (
        f'<line class="target" x1="0" x2="100%" y1="{at}" y2="{at}"/>'
        f'<text class="target e" x="100%" y="{at}" dy="-.5em">target {tick_text(target)}</text>'
    )


def _polylines(
    xs: FloatArray, ys: FloatArray, counts: NDArray[np.int64], x_axes: Sequence[Axis], y_axes: Sequence[Axis]
) -> list[str]:
    """The points of each chart, whose `counts` points follow one another in `xs` and `ys`, in whole units."""
    is_log = np.repeat([axis.log for axis in y_axes], counts)
    if is_log.any():
        ys = np.where(is_log, np.log(np.where(is_log, ys, 1.0)), ys)
    whole = np.empty((len(xs), 2), dtype=np.int64)
    whole[:, 0] = _shares(xs, counts, x_axes) * WIDTH
    whole[:, 1] = (1 - _shares(ys, counts, y_axes)) * HEIGHT
    text = _WHOLE[whole.clip(0, WIDTH)].tobytes().decode("ascii")
    ends = (2 * _CELL * np.cumsum(counts)).tolist()
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _shares(values: FloatArray, counts: NDArray[np.int64], axes: Sequence[Axis]) -> FloatArray:
    """Where `values` lie on their charts' axes, as `Axis.share`; those of a logarithmic axis are logarithms already."""
    ends = np.array([(axis.low, axis.high) for axis in axes])
    log = np.array([axis.log for axis in axes])
    ends[log] = np.log(ends[log])
    low, span = np.repeat(ends[:, 0], counts), np.repeat(ends[:, 1] - ends[:, 0], counts)
    shares: FloatArray = (values - low) / span
    return shares

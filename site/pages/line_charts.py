"""Lines over time as inline SVG, many charts at once: pure, with no script and no fixed width.

Axes and labels are placed in percent of the chart's own width, so that text keeps its size from a
phone to paper; the line lives in a nested drawing that is stretched, with a stroke that is not.
All charts of a batch are turned into numbers together, which takes a fifth of the time of one by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from oildrop.site.pages.axes import Axis, axis_between
from oildrop.site.pages.formats import ascii_markup, escaped, number, tick_text

FloatArray = NDArray[np.float64]

WIDTH, HEIGHT = 999, 500
"""Units of the stretched drawing that holds a line; none has more than three digits."""

_CELL = 4
_WHOLE = np.frombuffer("".join([f"{whole:>3} " for whole in range(WIDTH + 1)]).encode(), dtype=np.uint32)
"""Each whole number as four bytes of text that are copied as one, so that whole arrays become text by one look-up."""


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
        axis_between(0.0, max(last, *chart.broken_at[-1:]) if chart.broken_at else last, count=6, log=False)
        for chart, last in zip(charts, lasts, strict=True)
    ]
    y_axes = [
        axis_between(low, high, count=4)
        if chart.target is None
        else axis_between(min(low, chart.target), max(high, chart.target), count=4)
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
        extra += f'<text class="broken" x="{100 * x_axis.share(x):.1f}%" y="0" dy="1em">&#8599;</text>'
    says = ascii_markup(says)
    return (
        f'<div class="plot"><svg role="img" aria-label="{says}" width="100%" height="170">'
        f"{frame(x_axis, y_axis, chart.x_label, chart.y_label)}"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none"><polyline points="{line}"/></svg>'
        f"{extra}</svg></div>",
        says,
    )


@lru_cache(maxsize=4096)
def frame(x_axis: Axis, y_axis: Axis, x_label: str, y_label: str) -> str:
    """Grid, tick labels and axis titles."""
    parts = []
    for tick in y_axis.ticks:
        at = f"{100 - 100 * y_axis.share(tick):.1f}%"
        parts.append(f'<line class="g" x1="0" x2="100%" y1="{at}" y2="{at}"/>')
        parts.append(f'<text class="y" x="-8" y="{at}" dy=".34em">{tick_text(tick)}</text>')
    for tick in x_axis.ticks:
        at = f"{100 * x_axis.share(tick):.1f}%"
        parts.append(f'<text class="x" x="{at}" y="100%" dy="1.5em">{tick_text(tick)}</text>')
    parts.append(f'<text class="t" x="-52" y="-12">{escaped(y_label)}</text>')
    parts.append(f'<text class="t e" x="100%" y="100%" dy="3em">{escaped(x_label)}</text>')
    return ascii_markup("".join(parts))


@lru_cache(maxsize=256)
def _target_line(target: float, axis: Axis) -> str:
    at = f"{100 - 100 * axis.share(target):.1f}%"
    return ascii_markup(
        f'<line class="target" x1="0" x2="100%" y1="{at}" y2="{at}"/>'
        f'<text class="target e" x="100%" y="{at}" dy="-.5em">target {tick_text(target)}</text>'
    )


def _polylines(
    xs: FloatArray, ys: FloatArray, counts: NDArray[np.int64], x_axes: Sequence[Axis], y_axes: Sequence[Axis]
) -> list[str]:
    """The points of each chart, whose `counts` points follow one another in `xs` and `ys`, in whole units."""
    is_log = np.array([axis.log for axis in y_axes])
    if is_log.any():
        ys = np.log(ys, out=ys.copy(), where=np.repeat(is_log, counts))
    places = np.empty((len(xs), 2))
    places[:, 0] = _placed(xs, counts, [(axis.low, axis.high) for axis in x_axes], (0, WIDTH))
    ends = [(math.log(axis.low), math.log(axis.high)) if axis.log else (axis.low, axis.high) for axis in y_axes]
    places[:, 1] = _placed(ys, counts, ends, (HEIGHT, 0))
    text = _WHOLE.take(places.astype(np.int64), mode="clip").tobytes().decode("ascii")
    stops = (2 * _CELL * np.cumsum(counts)).tolist()
    return [text[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]


def _placed(
    values: FloatArray, counts: NDArray[np.int64], ends: Sequence[tuple[float, float]], onto: tuple[int, int]
) -> FloatArray:
    """`values` such that the `ends` of their charts' axes lie `onto` these units, half a unit on for rounding."""
    low, high = np.array(ends).T
    units = (onto[1] - onto[0]) / (high - low)
    placed: FloatArray = values * np.repeat(units, counts) + np.repeat(onto[0] + 0.5 - low * units, counts)
    return placed

"""What a run's page draws: quality against the target, phases, and what the meters saw."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter

import numpy as np
from markupsafe import Markup, escape

from oildrop.results.rows import RunRow
from oildrop.rules.digest import Trace
from oildrop.rules.phases import PhaseSpan
from oildrop.rules.rulebook import Benchmark, Rulebook
from oildrop.site.pages.charts import spans_bar
from oildrop.site.pages.formats import escaped
from oildrop.site.pages.line_charts import FloatArray, LineChart, draw_lines

MOST_TRACES = 12
"""More traces than these stay in the bundle: a page with hundreds cannot be read."""

MOST_POINTS = 120
"""Points drawn of one trace: one for every few pixels of its width."""

_LEVELS = {
    "power_w": ("Power", "W", 1.0),
    "busy_fraction": ("Busy fraction", "%", 100.0),
    "rss_bytes": ("Resident memory", "MiB", 2.0**-20),
    "memory_used_bytes": ("Device memory", "GiB", 2.0**-30),
    "sm_clock_hz": ("Clock", "MHz", 1e-6),
}
_COUNTERS = {"energy_j": ("Power from the energy counter", "W", 1.0), "cpu_s": ("Cores in use", "cores", 1.0)}
"""Running totals, drawn as their rate. A quantity in neither table stays in the bundle."""

_ORDER = {name: place for place, name in enumerate([*_LEVELS, *_COUNTERS])}


_SPAN = attrgetter("name", "start_ns", "stop_ns")


def run_figures(rows: Sequence[RunRow], rulebook: Rulebook) -> list[tuple[Markup | None, Markup]]:
    """Of each run its curve (None where no evaluation was made) and its traces, drawn all at once."""
    curves = [curve_chart(row, rulebook.benchmarks.get(row.spec.benchmark)) for row in rows]
    traces = [trace_charts(row.digest.traces) for row in rows]
    found = iter(draw_lines([chart for chart in curves if chart] + [chart for each in traces for chart, _ in each]))
    drawn_curves = [next(found) if chart else None for chart in curves]
    return [
        (
            None if curve is None else _curve_figure(*curve),
            Markup("".join([_trace_figure(*next(found), origin) for _, origin in each])),
        )
        for curve, each in zip(drawn_curves, traces, strict=True)
    ]


def _curve_figure(chart: str, says: str) -> Markup:
    return Markup(f"<figure>{chart}<figcaption>Quality at each evaluation: {says}</figcaption></figure>")


def _trace_figure(chart: str, says: str, origin: str) -> str:
    return f"<figure>{chart}<figcaption>{says}; {origin}</figcaption></figure>\n"


def curve_chart(row: RunRow, benchmark: Benchmark | None) -> LineChart | None:
    """Quality at each evaluation against the target; None where no evaluation has a finite one."""
    curve = row.digest.curve
    timed = all([point.time_s is not None for point in curve])
    marks = [(point.samples if point.time_s is None or not timed else point.time_s, point.quality) for point in curve]
    points = [mark for mark in marks if mark[1] is not None]
    if not points:
        return None
    times, qualities = np.array(points, dtype=np.float64).T
    name, unit = (benchmark.quality.metric, benchmark.quality.unit) if benchmark else ("quality", "")
    return LineChart(
        xs=times,
        ys=qualities,
        what=name,
        unit=unit,
        x_label="seconds since run_start" if timed else "training samples",
        y_label=f"{name}, {unit}" if unit else name,
        target=row.digest.target,
        broken_at=tuple([at for at, quality in marks if quality is None]) if len(points) < len(marks) else (),
    )


def phases_html(spans: Sequence[PhaseSpan]) -> Markup:
    """Each phase's name, its place on a bar over the whole run, and its seconds; in order of first entry."""
    times = list(map(_SPAN, spans))
    end = max([stop for _, _, stop in times], default=0)
    groups: dict[str, list[tuple[int, int]]] = {name: [] for name, _, _ in times}
    totals_ns = dict.fromkeys(groups, 0)
    for name, start, stop in times:
        groups[name].append((start, stop))
        totals_ns[name] += stop - start
    return Markup(
        "".join(
            [
                f"<div><dt>{escaped(name)}</dt><dd>{spans_bar(parts, end)}"
                f'<span class="n">{totals_ns[name] / 1e9:.2f} s</span></dd></div>\n'
                for name, parts in groups.items()
            ]
        )
    )


def trace_charts(traces: Sequence[Trace]) -> list[tuple[LineChart, str]]:
    """Each trace that can be drawn with its origin: levels as they are, running totals as rates."""
    charts: list[tuple[LineChart, str]] = []
    has_power = {trace.device for trace in traces if trace.quantity == "power_w"}
    for trace in sorted(traces, key=_place):
        if trace.quantity == "energy_j" and trace.device in has_power:
            continue
        if len(charts) == MOST_TRACES or _place(trace) == len(_ORDER):
            break
        times, values = np.array(trace.time_s), np.array(trace.values)
        label, unit, factor = _LEVELS.get(trace.quantity) or _COUNTERS[trace.quantity]
        if trace.quantity in _COUNTERS:
            times, values = rates(times, values)
        if len(times) > MOST_POINTS:
            times, values = thinned(times), thinned(values)
        if len(times) > 1:
            chart = LineChart(
                xs=times,
                ys=values * factor,
                what=f"{label} of {trace.device}",
                unit=unit,
                x_label="seconds since the run's start",
                y_label=unit,
            )
            charts.append((chart, _origin(trace.meter, trace.scope)))
    return charts


def _place(trace: Trace) -> int:
    """Where a trace comes on the page; one that is not drawn comes last."""
    return _ORDER.get(trace.quantity, len(_ORDER))


def rates(times: FloatArray, totals: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rise of a running total a second, at the end of each interval; an interval that goes back is left out."""
    steps, rises = times[1:] - times[:-1], totals[1:] - totals[:-1]
    usable = (steps > 0) & (rises >= 0)
    if not usable.all():
        steps, rises = steps[usable], rises[usable]
        return times[1:][usable], rises / steps
    return times[1:], rises / steps


def thinned(values: FloatArray) -> FloatArray:
    """`values` as means of equal bins, so few that at most `MOST_POINTS` are left; short ones as they are."""
    size = -(-len(values) // MOST_POINTS)
    if size == 1:
        return values
    starts = np.arange(0, len(values), size)
    return np.add.reduceat(values, starts) / np.diff(np.append(starts, len(values)))


@lru_cache(maxsize=256)
def _origin(meter: str, scope: str) -> str:
    return str(escape(f"meter {meter}, scope {scope}"))

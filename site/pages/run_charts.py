"""What a run's page draws: quality against the target, phases, and what the meters saw."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, pairwise

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from oildrop.results.rows import RunRow
from oildrop.rules.digest import Trace
from oildrop.rules.rulebook import Benchmark, Rulebook
from oildrop.rules.search_words import search_sentence
from oildrop.site.pages.formats import escaped
from oildrop.site.pages.line_charts import FloatArray, LineChart, draw_lines
from oildrop.site.pages.phase_bars import phase_bars
from oildrop.site.pages.rendering import Value
from oildrop.site.pages.searches import Searches, search_address, search_rows
from oildrop.site.pages.served_charts import Drawn, rate_chart, served_charts

RUN_ROOT = "../../"
"""From a run's page to the root of the site."""

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


def run_figures(rows: Sequence[RunRow], rulebook: Rulebook, searches: Searches) -> list[dict[str, Value]]:
    """Of each run its curve (None where no evaluation was made), requests, search, traces and phases, all at once."""
    curves = [curve_chart(row, rulebook.benchmarks.get(row.spec.benchmark)) for row in rows]
    served = [_served(row, searches.get(row.run_id, ())) for row in rows]
    traces = trace_charts([row.digest.traces for row in rows])
    captioned = [one for each in (*served, *traces) for one in each]
    found = iter(draw_lines([chart for chart in curves if chart] + [chart for chart, _ in captioned]))
    drawn = [_curve_figure(*next(found)) if chart else None for chart in curves]
    answers = [Markup("".join([_figure(*next(found), words) for _, words in each])) for each in served]
    phases = phase_bars([row.digest.phases for row in rows])
    return [
        {
            "curve": curve,
            "answers": shown,
            **_search(row, searches.get(row.run_id, ())),
            "traces": Markup("".join([_figure(*next(found), origin) for _, origin in each])),
            "phases": bars,
        }
        for row, curve, shown, each, bars in zip(rows, drawn, answers, traces, phases, strict=True)
    ]


def _search(row: RunRow, search: Sequence[RunRow]) -> dict[str, Value]:
    """The table of a run's search, what it found, and its CSV file; None where it was part of none."""
    if not search:
        return {"search": None, "search_said": None, "search_csv": None}
    return {
        "search": search_rows(search, row.run_id, RUN_ROOT),
        "search_said": search_sentence((one.spec.rate_per_s or 0.0, one.outcome) for one in search),
        "search_csv": RUN_ROOT + search_address(search),
    }


def _served(row: RunRow, search: Sequence[RunRow]) -> list[Drawn]:
    """The charts of a served run, that of its search last."""
    rates_of_search = rate_chart(search)
    return [*served_charts(row), *([rates_of_search] if rates_of_search else [])]


def _curve_figure(chart: str, says: str) -> Markup:
    return Markup(f"<figure>{chart}<figcaption>Quality at each evaluation: {says}</figcaption></figure>")


def _figure(chart: str, says: str, words: str) -> str:
    return f"<figure>{chart}<figcaption>{says}; {words}</figcaption></figure>\n"


def curve_chart(row: RunRow, benchmark: Benchmark | None) -> LineChart | None:
    """Quality at each evaluation against the target; None where no evaluation has a finite one."""
    curve = row.digest.curve
    times, qualities = [point.time_s for point in curve], [point.quality for point in curve]
    timed = None not in times
    xs = np.array(times if timed else [point.samples for point in curve], dtype=np.float64)
    ys = np.array(qualities, dtype=np.float64)  # a missing quality becomes NaN
    broken_at: tuple[float, ...] = ()
    if None in qualities:
        finite = np.isfinite(ys)
        broken_at = tuple(xs[~finite].tolist())
        xs, ys = xs[finite], ys[finite]
    if not len(ys):
        return None
    name, unit = (benchmark.quality.metric, benchmark.quality.unit) if benchmark else ("quality", "")
    return LineChart(
        xs=xs,
        ys=ys,
        what=name,
        unit=unit,
        x_label="seconds since run_start" if timed else "training samples",
        y_label=f"{name}, {unit}" if unit else name,
        target=row.digest.target,
        broken_at=broken_at,
    )


def trace_charts(runs: Sequence[Sequence[Trace]]) -> list[list[tuple[LineChart, str]]]:
    """Of each run the traces that can be drawn, with their origins: levels as they are, running totals as rates."""
    chosen = [_chosen(traces) for traces in runs]
    points = iter(_points([trace for traces in chosen for trace in traces]))
    drawn = [[(trace, *next(points)) for trace in traces] for traces in chosen]
    return [[_trace_chart(trace, *line) for trace, *line in each if len(line[0]) > 1] for each in drawn]


def _chosen(traces: Sequence[Trace]) -> list[Trace]:
    """The first `MOST_TRACES` that a page draws, in its order; energy only where there is no power."""
    has_power = {trace.device for trace in traces if trace.quantity == "power_w"}
    found = [trace for trace in traces if trace.values and trace.quantity in _ORDER]
    if has_power:
        found = [trace for trace in found if trace.quantity != "energy_j" or trace.device not in has_power]
    return sorted(found, key=lambda trace: _ORDER[trace.quantity])[:MOST_TRACES]


def _trace_chart(trace: Trace, times: FloatArray, values: FloatArray) -> tuple[LineChart, str]:
    label, unit, factor = _LEVELS.get(trace.quantity) or _COUNTERS[trace.quantity]
    if len(times) > MOST_POINTS:
        times, values = thinned(times), thinned(values)
    chart = LineChart(
        xs=times,
        ys=values * factor,
        what=f"{label} of {trace.device}",
        unit=unit,
        x_label="seconds since the run's start",
        y_label=unit,
    )
    return chart, _origin(trace.meter, trace.scope)


def _points(traces: Sequence[Trace]) -> list[tuple[FloatArray, FloatArray]]:
    """Times and levels of each trace; worked out together, as one by one takes twice the time."""
    if not traces:
        return []
    counts = np.array([len(trace.values) for trace in traces])
    starts = np.cumsum(counts) - counts
    times = np.fromiter(chain.from_iterable([trace.time_s for trace in traces]), np.float64, counts.sum())
    values = np.fromiter(chain.from_iterable([trace.values for trace in traces]), np.float64, counts.sum())
    counted = np.repeat([trace.quantity in _COUNTERS for trace in traces], counts)
    levels = np.where(counted, rates(times, values, starts), values)
    kept = ~np.isnan(levels)
    ends = np.cumsum(np.add.reduceat(kept, starts, dtype=np.int64)).tolist()
    times, levels = times[kept], levels[kept]
    return [(times[start:end], levels[start:end]) for start, end in pairwise([0, *ends])]


def rates(times: FloatArray, totals: FloatArray, starts: NDArray[np.int64]) -> FloatArray:
    """Rise a second of running totals that begin at `starts`; NaN there and where time or total goes back."""
    steps, rises = np.diff(times, prepend=0.0), np.diff(totals, prepend=0.0)
    steps[starts] = 0.0
    return np.divide(rises, steps, out=np.full_like(totals, np.nan), where=(steps > 0) & (rises >= 0))


def thinned(values: FloatArray) -> FloatArray:
    """`values` as means of equal bins, so few that at most `MOST_POINTS` are left; short ones as they are."""
    size = -(-len(values) // MOST_POINTS)
    if size == 1:
        return values
    starts = np.arange(0, len(values), size)
    return np.add.reduceat(values, starts) / np.diff(np.append(starts, len(values)))


@lru_cache(maxsize=256)
def _origin(meter: str, scope: str) -> str:
    return escaped(f"meter {meter}, scope {scope}")

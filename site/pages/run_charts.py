"""What a run's page draws: quality against the target, phases, and what the meters saw."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from oildrop.results.rows import RunRow
from oildrop.rules.digest import PhaseSpan, Trace
from oildrop.rules.rulebook import Benchmark
from oildrop.site.pages.charts import line_chart, spans_bar
from oildrop.site.pages.formats import escaped, number

MOST_TRACES = 12
"""More traces than these stay in the bundle: a page with hundreds cannot be read."""

_LEVELS = {"power_w": ("Power", "W", 1.0), "rss_bytes": ("Resident memory", "MiB", 2.0**-20)}
_COUNTERS = {"cpu_s": ("Processor cores in use", "cores", 1.0), "energy_j": ("Power from the energy counter", "W", 1.0)}
"""Running totals, drawn as their rate."""


def curve_figure(row: RunRow, benchmark: Benchmark | None) -> Markup | None:
    """Quality at each evaluation against the target; None where no evaluation was made."""
    points = [point for point in row.digest.curve if point.quality is not None]
    broken = [point.time_s for point in row.digest.curve if point.quality is None]
    if not points:
        return None
    name, unit = (benchmark.quality.metric, benchmark.quality.unit) if benchmark else ("quality", "")
    target = row.digest.target
    qualities = [point.quality for point in points if point.quality is not None]
    says = f"{name} from {number(qualities[0])} to {number(qualities[-1])} {unit} in {number(points[-1].time_s)} s"
    says += f"; target {number(target)}" if target is not None else "; no target"
    return line_chart(
        [point.time_s for point in points],
        qualities,
        x_label="seconds since run_start",
        y_label=f"{name}, {unit}" if unit else name,
        says=says,
        target=target,
        broken_at=broken,
    )


def phases_html(spans: Sequence[PhaseSpan]) -> Markup:
    """Each phase's name, its place on a bar over the whole run, and its seconds; in order of first entry."""
    groups: dict[str, list[tuple[int, int]]] = {}
    end = 0
    for span in spans:
        start, stop = span.start_ns, span.stop_ns
        groups.setdefault(span.name, []).append((start, stop))
        end = stop if stop > end else end
    lines = []
    for name, parts in groups.items():
        seconds = sum([stop - start for start, stop in parts]) / 1e9
        bar = spans_bar(parts, end)
        lines.append(f'<div><dt>{escaped(name)}</dt><dd>{bar}<span class="n">{seconds:.2f} s</span></dd></div>\n')
    return Markup("".join(lines))


def trace_figures(traces: Sequence[Trace]) -> list[Markup]:
    """One figure for each trace that can be drawn: levels as they are, running totals as rates."""
    drawn = []
    has_power = {trace.device for trace in traces if trace.quantity == "power_w"}
    for trace in traces[:MOST_TRACES]:
        if trace.quantity == "energy_j" and trace.device in has_power:
            continue
        if trace.quantity in _COUNTERS:
            label, unit, factor = _COUNTERS[trace.quantity]
            times, values = rates(trace.time_s, trace.values)
        else:
            label, unit, factor = _LEVELS.get(trace.quantity, (trace.quantity, "", 1.0))
            times, values = list(trace.time_s), list(trace.values)
        if times:
            drawn.append(_trace_figure(trace, label, unit, times, [value * factor for value in values]))
    return drawn


def rates(times: Sequence[float], totals: Sequence[float]) -> tuple[list[float], list[float]]:
    """Rise of a running total a second, at the end of each interval; an interval that goes back is left out."""
    steps = zip(times, times[1:], totals, totals[1:], strict=False)
    pairs = [(stop, (new - old) / (stop - start)) for start, stop, old, new in steps if stop > start and new >= old]
    return [time for time, _ in pairs], [rate for _, rate in pairs]


def _trace_figure(trace: Trace, label: str, unit: str, times: list[float], values: list[float]) -> Markup:
    low, high = number(min(values)), number(max(values))
    chart = line_chart(
        times,
        values,
        x_label="seconds since the run's start",
        y_label=unit or trace.quantity,
        says=f"{label} of {trace.device} between {low} and {high} {unit}",
    )
    caption = f"{label} of {trace.device}, {low} to {high} {unit}; meter {trace.meter}, scope {trace.scope}"
    return Markup(f"<figure>{chart}<figcaption>{escape(caption)}</figcaption></figure>")

"""What the page of a served run draws: how latencies are spread, when slow answers came, rates against latency."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from oildrop.results.rows import RunRow
from oildrop.rules.digest_served import QUANTILES, ServedDigest
from oildrop.rules.rulebook_parts import Bounds
from oildrop.site.pages.line_charts import LineChart

MS = 1e3
NAMES = {"latency_s": "Latency", "ttft_s": "Time to first token", "tpot_s": "Time per output token"}

Drawn = tuple[LineChart, str]
"""A chart and what to say under it."""


def served_charts(row: RunRow) -> list[Drawn]:
    """The charts of one run; none of one that served nothing."""
    served = row.digest.served
    if served is None:
        return []
    return [*_spreads(served), *_over_time(served)]


def _spreads(served: ServedDigest) -> list[Drawn]:
    """Each time as the share of requests that were answered within it."""
    found = []
    for each in served.distributions:
        if each.name in NAMES and len(each.values_s) > 1:
            words = f"share of requests by {NAMES[each.name].lower()}"
            chart = LineChart(
                xs=np.array([0.0, *each.values_s]) * MS,
                ys=np.arange(len(each.values_s) + 1) * 100.0 / QUANTILES,
                what=words,
                unit="%",
                x_label=f"{NAMES[each.name].lower()}, ms",
                y_label="% of requests",
                target=_share(served, each.name),
            )
            found.append((chart, _spread_words(served.bounds, each.name)))
    return found


def _share(served: ServedDigest, name: str) -> float | None:
    """Percent of the requests that must hold the bound on this time; None where there is none on it."""
    has_bound = getattr(served.bounds, name) is not None
    return 100 * served.percentile if has_bound and served.percentile is not None else None


def _spread_words(bounds: Bounds, name: str) -> str:
    bound = getattr(bounds, name)
    return "no bound" if bound is None else f"bound {MS * bound:g} ms"


def _over_time(served: ServedDigest) -> list[Drawn]:
    """The slowest answers along the schedule: a line that rises shows a queue that grows."""
    if len(served.slowest_s) < 2 or served.slowest_at_s[-1] <= served.slowest_at_s[0]:
        return []
    chart = LineChart(
        xs=np.array(served.slowest_at_s),
        ys=np.array(served.slowest_s) * MS,
        what="slowest latency of each stretch of time",
        unit="ms",
        x_label="scheduled, seconds since run_start",
        y_label="latency, ms",
        target=None if served.bounds.latency_s is None else MS * served.bounds.latency_s,
        broken_at=served.failed_at_s,
    )
    return [(chart, "an arrow marks where a request failed" if served.failed_at_s else "no request failed")]


def rate_chart(search: Sequence[RunRow]) -> Drawn | None:
    """Tail latency over the rates that a search tried; None where fewer than two have one."""
    name, bound = _tail(search)
    points = sorted(
        (row.spec.rate_per_s, float(metric.value))
        for row in search
        if row.spec.rate_per_s and (metric := row.headlines.get(name)) is not None and metric.value is not None
    )
    if len({rate for rate, _ in points}) < 2:
        return None
    without = {row.spec.rate_per_s for row in search if row.spec.rate_per_s} - {rate for rate, _ in points}
    label = NAMES[name.removesuffix("_p99")].lower()
    chart = LineChart(
        xs=np.array([rate for rate, _ in points]),
        ys=np.array([value for _, value in points]) * MS,
        what=f"{label} of 99 % over the rate",
        unit="ms",
        x_label="queries/s",
        y_label=f"{label}, p99, ms",
        target=None if bound is None else MS * bound,
        broken_at=tuple(sorted(without)),
    )
    return chart, "each rate is a run; an arrow marks one whose tail failed" if without else "each rate is a run"


def _tail(search: Sequence[RunRow]) -> tuple[str, float | None]:
    """The metric by which rates are told apart, and its bound: the first token's time where there is a bound on it."""
    bounds = next((row.digest.served.bounds for row in search if row.digest.served is not None), Bounds())
    if bounds.ttft_s is not None:
        return "ttft_s_p99", bounds.ttft_s
    return "latency_s_p99", bounds.latency_s

"""Energy in several spans of one series, as of a phase that a run enters again and again; pure."""

from __future__ import annotations

import itertools
import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace

from oildrop.rules.evidence import Series
from oildrop.rules.formulas.energy import (
    COUNTER,
    EnergyReading,
    energy_by_counter,
    energy_by_integral,
)

SPAN_SAMPLES = 2.0
"""Spans shorter than so many samples (or updates of the meter) on average are not told from what lies beside them."""

Span = tuple[int, int]


def after(series: Series, t_ns: int) -> Series:
    """The samples at or after an instant."""
    first = bisect_left(series.t_ns, t_ns)
    return series if first == 0 else replace(series, t_ns=series.t_ns[first:], values=series.values[first:])


def cut(series: Series, span: Span) -> Series:
    """The samples that bear on a span: those inside, the last before and the first after."""
    first = max(0, bisect_right(series.t_ns, span[0]) - 1)
    last = bisect_left(series.t_ns, span[1]) + 1
    return replace(series, t_ns=series.t_ns[first:last], values=series.values[first:last])


def energy_in_spans(
    series: Series, method: str, spans: Sequence[Span], *, update_period_s: float = 0.0, gap_limit_s: float
) -> EnergyReading:
    """Energy of all spans together, each by the same formula; the spans of a whole window add up to its energy.

    Args:
        method: `energy_counter/1` or `power_integral/1`.
        spans: First and last instants, apart from each other, since the run's start.
        update_period_s: Time between two updates of the meter, seconds.
        gap_limit_s: Widest gap between two samples of power that is integrated over, seconds.
    """
    spans = [span for span in spans if span[1] > span[0]]
    mean_s = math.fsum((stop - start) / 1e9 for start, stop in spans) / max(1, len(spans))
    spacing_s = max(update_period_s, _spacing_s(series))
    if mean_s < SPAN_SAMPLES * spacing_s:
        reason = f"spans of {mean_s:.3g} s are too short for a meter that is read every {spacing_s:.3g} s"
        return EnergyReading(value=None, reason=reason, fault="coverage", method=method, sample_count=0)
    parts = [_of_span(cut(series, span), method, span, update_period_s, gap_limit_s) for span in spans]
    refused = next((part for part in parts if part.value is None), None)
    if refused is not None:
        return refused
    return EnergyReading(
        value=math.fsum(part.value or 0.0 for part in parts),
        method=method,
        sample_count=sum(part.sample_count for part in parts),
        max_gap_s=max(part.max_gap_s or 0.0 for part in parts),
        uncertainty=math.fsum(part.uncertainty or 0.0 for part in parts),
    )


def _of_span(series: Series, method: str, span: Span, update_period_s: float, gap_limit_s: float) -> EnergyReading:
    if method == COUNTER:
        return energy_by_counter(series, span, update_period_s=update_period_s)
    return energy_by_integral(series, span, gap_limit_s=gap_limit_s)


def _spacing_s(series: Series) -> float:
    gaps = [later - earlier for earlier, later in itertools.pairwise(series.t_ns)]
    return statistics.median(gaps) / 1e9 if gaps else 0.0

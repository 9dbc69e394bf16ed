"""Energy in a window, from a counter or from sampled power; pure.

Both give an `EnergyReading`. What cannot be trusted has the value None and a reason: a counter that went
backward or stood still, samples that do not cover the window, gaps too wide to integrate over.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from oildrop.rules.evidence import Series

COUNTER = "energy_counter/1"
INTEGRAL = "power_integral/1"

POWER_GAP_LIMIT_S = 2.0
"""Widest gap between two power samples that is integrated over, seconds: eight sampling periods."""

FROZEN_LIMIT_S = 5.0
"""Longest time for which a counter of a powered device may stand still, seconds; the slowest known moves at 10 Hz."""


Fault = Literal["coverage", "gap", "counter", "values"]
"""Why samples were refused: they do not cover the window, they leave a gap, the counter does not count, no numbers."""


@dataclass(frozen=True, kw_only=True)
class EnergyReading:
    """Energy of one device over one window.

    Attributes:
        value: Joules; None when it cannot be trusted, and then `reason` says why and `fault` of which kind.
        method: Formula and version.
        sample_count: Samples inside the window.
        max_gap_s: Widest gap between samples that bear on the window, seconds.
        uncertainty: Half-width in joules from sampling alone, not the sensor's own error. For a counter a hard bound:
            the true value lies within what was counted just inside and just outside the window. For an integral 1.96
            standard errors, the scatter taken from differences of neighbours so that a trend does not count as noise.
    """

    value: float | None
    reason: str | None = None
    fault: Fault | None = None
    method: str
    sample_count: int
    max_gap_s: float | None = None
    uncertainty: float | None = None


def counter_increment(before: int, after: int, wrap_range: int) -> int | None:
    """What a counter that restarts at 0 after `wrap_range` has counted; None when it went backward.

    A step back is a wrap only if the increment it implies is under half the range: a sampled counter moves by far
    less between two samples, one that was reset by far more.
    """
    if after >= before:
        return after - before
    increment = after + wrap_range + 1 - before
    return increment if 0 <= increment < wrap_range / 2 else None


def energy_by_counter(
    series: Series,
    window_ns: tuple[int, int],
    *,
    update_period_s: float = 0.0,
    frozen_limit_s: float = FROZEN_LIMIT_S,
) -> EnergyReading:
    """Difference of a cumulative counter in joules over a window, interpolated linearly at both edges.

    Args:
        series: Unwrapped counter values in joules.
        window_ns: First and last instant, since the run's start.
        update_period_s: Time by which the counter may lag behind, seconds; it widens the uncertainty.
    """
    trouble = _trouble(series, window_ns)
    if trouble is None:
        trouble = _counter_trouble(series, window_ns, frozen_limit_s)
    if trouble is not None:
        return _refused(COUNTER, series, window_ns, *trouble)
    start_ns, stop_ns = window_ns
    inner = _held(series, stop_ns, after=False) - _held(series, start_ns, after=True)
    outer = _held(series, stop_ns, after=True) - _held(series, start_ns, after=False)
    energy_j = _at(series, stop_ns) - _at(series, start_ns)
    lag_j = energy_j * update_period_s / ((stop_ns - start_ns) / 1e9)
    return EnergyReading(
        value=energy_j,
        method=COUNTER,
        sample_count=_count(series, window_ns),
        max_gap_s=_max_gap_s(series, window_ns),
        uncertainty=(outer - max(inner, 0.0)) / 2 + lag_j,
    )


def energy_by_integral(
    series: Series, window_ns: tuple[int, int], *, gap_limit_s: float = POWER_GAP_LIMIT_S
) -> EnergyReading:
    """Trapezoid integral of power in watts over a window, interpolated linearly at both edges.

    Args:
        series: Power samples in watts.
        window_ns: First and last instant, since the run's start.
    """
    trouble = _trouble(series, window_ns)
    gap_s = None if trouble else _max_gap_s(series, window_ns)
    if gap_s is not None and gap_s > gap_limit_s:
        trouble = "gap", f"a gap of {gap_s:.3g} s between samples, at most {gap_limit_s:g} s can be integrated over"
    if trouble is not None:
        return _refused(INTEGRAL, series, window_ns, *trouble)
    times, powers = _clipped(series, window_ns)
    steps_s = [(later - earlier) / 1e9 for earlier, later in itertools.pairwise(times)]
    areas = [step * (p + q) / 2 for step, p, q in zip(steps_s, powers, powers[1:], strict=False)]
    return EnergyReading(
        value=math.fsum(areas),
        method=INTEGRAL,
        sample_count=_count(series, window_ns),
        max_gap_s=gap_s,
        uncertainty=_integral_uncertainty_j(powers, math.fsum(steps_s)),
    )


def disagreement(counter: EnergyReading, integral: EnergyReading) -> float | None:
    """|integral - counter| / counter; None when either is missing or the counter says nothing."""
    if counter.value is None or integral.value is None or counter.value <= 0:
        return None
    return abs(integral.value - counter.value) / counter.value


def _refused(method: str, series: Series, window_ns: tuple[int, int], fault: Fault, reason: str) -> EnergyReading:
    count = _count(series, window_ns)
    return EnergyReading(value=None, reason=reason, fault=fault, method=method, sample_count=count)


def _trouble(series: Series, window_ns: tuple[int, int]) -> tuple[Fault, str] | None:
    """What keeps the samples from being used at all; None when nothing does."""
    start_ns, stop_ns = window_ns
    times, values = series.t_ns, series.values
    if stop_ns <= start_ns:
        return "coverage", f"the window ends at {stop_ns} ns, not after its start at {start_ns} ns"
    if len(times) < 2:
        return "coverage", f"{len(times)} samples, at least 2 are needed"
    if any(later <= earlier for earlier, later in itertools.pairwise(times)):
        return "values", "the samples' times do not increase"
    if not all(math.isfinite(value) and value >= 0 for value in values):
        return "values", "a sample is negative or not a finite number"
    if times[0] > start_ns:
        return "coverage", f"the first sample came {(times[0] - start_ns) / 1e9:.3g} s after the window's start"
    if times[-1] < stop_ns:
        return "coverage", f"the last sample came {(stop_ns - times[-1]) / 1e9:.3g} s before the window's end"
    return None


def _counter_trouble(series: Series, window_ns: tuple[int, int], frozen_limit_s: float) -> tuple[Fault, str] | None:
    first, last = _bearing(series, window_ns)
    times, values = series.t_ns[first : last + 1], series.values[first : last + 1]
    for earlier, later in itertools.pairwise(values):
        if later < earlier:
            return "counter", f"the counter went backward, from {earlier:.6g} to {later:.6g} J"
    if values[-1] == values[0]:
        return "counter", f"the counter stood at {values[0]:.6g} J through the whole window"
    still_s = _longest_still_s(times, values)
    if still_s > frozen_limit_s:
        reason = f"the counter stood still for {still_s:.3g} s, at most {frozen_limit_s:g} s is possible under power"
        return "counter", reason
    return None


def _longest_still_s(times: Sequence[int], values: Sequence[float]) -> float:
    longest, since = 0, times[0]
    for t_ns, earlier, later in zip(times[1:], values, values[1:], strict=False):
        if later != earlier:
            since = t_ns
        longest = max(longest, t_ns - since)
    return longest / 1e9


def _bearing(series: Series, window_ns: tuple[int, int]) -> tuple[int, int]:
    """Indices of the last sample at or before the window's start and the first at or after its end."""
    return bisect_right(series.t_ns, window_ns[0]) - 1, bisect_left(series.t_ns, window_ns[1])


def _max_gap_s(series: Series, window_ns: tuple[int, int]) -> float:
    first, last = _bearing(series, window_ns)
    times = series.t_ns[first : last + 1]
    return max((later - earlier for earlier, later in itertools.pairwise(times)), default=0) / 1e9


def _count(series: Series, window_ns: tuple[int, int]) -> int:
    return sum(window_ns[0] <= t_ns <= window_ns[1] for t_ns in series.t_ns)


def _held(series: Series, t_ns: int, *, after: bool) -> float:
    """The sampled value nearest to an instant, from its side `after` or before it."""
    index = bisect_left(series.t_ns, t_ns) if after else bisect_right(series.t_ns, t_ns) - 1
    return series.values[index]


def _at(series: Series, t_ns: int) -> float:
    """Linear interpolation at an instant between the first and last sample."""
    after = bisect_left(series.t_ns, t_ns)
    if series.t_ns[after] == t_ns:
        return series.values[after]
    t0, t1 = series.t_ns[after - 1], series.t_ns[after]
    v0, v1 = series.values[after - 1], series.values[after]
    return v0 + (v1 - v0) * ((t_ns - t0) / (t1 - t0))


def _clipped(series: Series, window_ns: tuple[int, int]) -> tuple[list[int], list[float]]:
    """The samples strictly inside the window between interpolated ones at its edges."""
    start_ns, stop_ns = window_ns
    inside = range(bisect_right(series.t_ns, start_ns), bisect_left(series.t_ns, stop_ns))
    times = [start_ns, *(series.t_ns[i] for i in inside), stop_ns]
    values = [_at(series, start_ns), *(series.values[i] for i in inside), _at(series, stop_ns)]
    return times, values


def _integral_uncertainty_j(powers: Sequence[float], window_s: float) -> float:
    """1.96 standard errors of the mean power, times the window.

    Source: von Neumann, Annals of Mathematical Statistics 12 (1941) 367: variance from successive differences.
    """
    differences = [(q - p) ** 2 for p, q in itertools.pairwise(powers)]
    variance = math.fsum(differences) / (2 * len(differences))
    return 1.96 * window_s * math.sqrt(variance / len(powers))

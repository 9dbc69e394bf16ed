"""What is known of a power sensor besides its values: how often it moves, how much it sees, what is possible; pure."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import replace

from oildrop.rules.evidence import Series
from oildrop.rules.formulas.energy import EnergyReading, disagreement

AGREEMENT = 0.05
"""Counter and integral of one device differ by at most this share under load; the harness's own choice."""

UNIT_FACTOR = 2.0
"""Sources that differ by this factor are not two views of one quantity: one has the wrong unit or device."""

UPDATES_WANTED = 50
"""Updates that a window should hold: an unknown phase at both edges is then at most 2 % of it."""

LOCK_TOLERANCE = 0.005
"""Relative distance from a ratio of small numbers within which load and sensor count as in step."""

LOCK_UPDATES = 8
"""Most updates a period of the load (or the ratio's denominator) for which being in step is looked for."""

RESOLVED = 1.5
"""A period is resolved when it is this many times the samples' own spacing."""

POSSIBLE_W = (1e-3, 1e5)
"""Mean power of anything from a phone's processor to a rack, watts, where no limit is known."""

LIMIT_EXCESS = 1.5
"""Mean power over a device's own limit by this factor is no power of that device."""

LIMIT_FLOOR = 1e-3
"""Least mean power as a share of the limit; a powered accelerator idles at some hundredths of it."""


def update_period_s(series: Series) -> float | None:
    """Median time between two changes of a series' value, seconds.

    None where fewer than three changes were seen, or where nearly every sample has a new value: then the sensor
    moves faster than it was read.
    """
    changes = [
        t_ns
        for t_ns, before, after in zip(series.t_ns[1:], series.values, series.values[1:], strict=False)
        if after != before
    ]
    if len(changes) < 3:
        return None
    spacing_ns = statistics.median(b - a for a, b in itertools.pairwise(series.t_ns))
    period_ns = statistics.median(b - a for a, b in itertools.pairwise(changes))
    return period_ns / 1e9 if period_ns >= RESOLVED * spacing_ns else None


def share_seen_in_step(load_period_s: float, sensor_period_s: float, seen_fraction: float) -> float | None:
    """Share of the load's period that a sensor sees which keeps step with it; None when it does not, or sees all.

    A sensor that averages over `seen_fraction` of each of its periods P and a load of period T with P/T = p/q in
    lowest terms meet at q phases only, each `seen_fraction` * P / T of the load's period wide.

    Source: Yang et al., "Part-time Power Measurements" (arXiv:2312.02741, 2023): A100 and H100 sample 25 of 100 ms.
    """
    ratio = sensor_period_s / load_period_s
    for q in range(1, LOCK_UPDATES + 1):
        p = round(q * ratio)
        if p >= 1 and abs(q * ratio - p) <= LOCK_TOLERANCE * q * ratio:
            share = q * seen_fraction * ratio
            return share if share < 1 else None
    return None


def widened(reading: EnergyReading, share_seen: float, limit_w: float | None, window_s: float) -> EnergyReading:
    """A reading whose sensor saw only a share of the load's period.

    What was not seen drew between nothing and the device's limit; the uncertainty grows by what that can add or
    take away. Without a limit the uncertainty is unknown.
    """
    if reading.value is None or limit_w is None or reading.uncertainty is None:
        return replace(reading, uncertainty=None)
    unseen_j = (1 - share_seen) * max(limit_w * window_s - reading.value, reading.value)
    return replace(reading, uncertainty=reading.uncertainty + unseen_j)


def sources_part(counter: EnergyReading, integral: EnergyReading) -> float | None:
    """Relative difference of two readings of one device where it is more than 5 % and both uncertainties allow."""
    apart = disagreement(counter, integral)
    if apart is None or counter.value is None or integral.value is None:
        return None
    allowed_j = AGREEMENT * counter.value + (counter.uncertainty or 0.0) + (integral.uncertainty or 0.0)
    return apart if abs(integral.value - counter.value) > allowed_j else None


def impossible_power(mean_w: float, limit_w: float | None) -> str | None:
    """Why a mean power cannot be one of the device; None when it can."""
    low_w, high_w = POSSIBLE_W if limit_w is None else (LIMIT_FLOOR * limit_w, LIMIT_EXCESS * limit_w)
    if low_w <= mean_w <= high_w:
        return None
    return f"a mean power of {mean_w:.4g} W is not possible (between {low_w:.4g} and {high_w:.4g} W): the unit is wrong"

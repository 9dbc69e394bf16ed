"""How often a meter's source moves, found by asking it quickly for a moment before the clock starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from oildrop.harness.meters.interface import Meter
from oildrop.rules.evidence import Series
from oildrop.rules.formulas.power_sensor import update_period_s

LOOK_S = 1.0
"""How long a meter is asked quickly, seconds: ten updates of the usual sensor."""

SPACING_S = 0.01
JITTER = 0.2


def look(
    meters: Sequence[Meter],
    *,
    look_s: float,
    clock: Callable[[], int],
    draw: Callable[[], float],
    stopped: Callable[[float], bool],
) -> list[float | None]:
    """Update period of each meter in seconds; None where its values do not tell.

    Args:
        clock: Nanoseconds, monotonic.
        draw: Uniform in [0, 1).
        stopped: Waits so many seconds; True ends the look.
    """
    seen: list[tuple[list[int], list[float]]] = [([], []) for _ in meters]
    end_ns = clock() + round(look_s * 1e9)
    while clock() < end_ns and not stopped(SPACING_S * (1 + JITTER * (2 * draw() - 1))):
        for meter, (times, values) in zip(meters, seen, strict=True):
            value = _moving(meter)
            if value is not None:
                times.append(clock())
                values.append(value)
    return [_period(times, values) for times, values in seen]


def _moving(meter: Meter) -> float | None:
    """The counter, else the power; None in a sample without either."""
    try:
        values = {reading.quantity: reading.value for reading in meter.sample()}
    except Exception:  # whatever a vendor's library raises, the sampler's first sample will report it
        return None
    return values.get("energy_j", values.get("power_w"))


def _period(times: Sequence[int], values: Sequence[float]) -> float | None:
    if len(times) < 2:
        return None
    series = Series(meter="", quantity="", device="", scope="", t_ns=tuple(times), values=tuple(values))
    return update_period_s(series)

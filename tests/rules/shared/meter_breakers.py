"""A meter in a run made by hand, and every way in which it breaks a rule; for trainings and served runs alike.

The series go from before the run's start to after its end, a sample each 50 ms, at 50 W.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from oildrop.rules import keys
from oildrop.rules.evidence import Series

SECOND = 1_000_000_000
SPACING_S = 0.05
POWER_W = 50.0


def times_s(run: Any) -> list[float]:
    """From 0.2 s before run_start to 0.2 s after run_stop."""
    start_s, stop_s = (run.find(key)["t_ns"] / SECOND for key in (keys.RUN_START, keys.RUN_STOP))
    return [start_s - 0.2 + SPACING_S * k for k in range(int((stop_s - start_s + 0.4) / SPACING_S) + 2)]


def meter(run: Any, *, scope: str = "device", **said: Any) -> None:
    """The words of a meter `probe` on device `d`; its values follow by `series`."""
    meta = {"status": "measured", "device": "d", "scope": scope, "update_period_s": 0.001, **said}
    run.rows.insert(1, {"key": keys.METER, "t_ns": 0, "value": "probe", "proc": "supervisor", "meta": meta})


def series(run: Any, quantity: str, values: Sequence[float], *, t_s: Sequence[float] | None = None) -> None:
    """One quantity of that device."""
    stamps = tuple(round(t * SECOND) for t in (times_s(run) if t_s is None else t_s))
    made = Series(
        meter="probe", quantity=quantity, device="d", scope="device", t_ns=stamps[: len(values)], values=tuple(values)
    )
    run.series = (*run.series, made)


def counted(run: Any, power_w: float = POWER_W) -> list[float]:
    """What a counter of joules shows at those times."""
    times = times_s(run)
    return [power_w * (t - times[0]) for t in times]


def sound_meter(run: Any) -> None:
    """A counter and a power sensor that agree."""
    meter(run)
    series(run, "energy_j", counted(run))
    series(run, "power_w", [POWER_W] * len(times_s(run)))


def permission_lost(run: Any) -> None:
    """Half way through the meter stops answering."""
    meter(run)
    times = times_s(run)
    series(run, "energy_j", counted(run)[: len(times) // 2])
    reason = "stopped answering: no permission"
    run.add(keys.METER, times[len(times) // 2], "probe", proc="supervisor", status="not_measured", reason=reason,
            device="d", scope="device")  # fmt: skip


def gap_in_power(run: Any) -> None:
    """No sample for more than two seconds."""
    meter(run)
    times = times_s(run)
    kept = [t for t in times if t < times[0] + 0.3 or t > times[-1] - 0.3]
    series(run, "power_w", [POWER_W] * len(kept), t_s=kept)


def frozen(run: Any) -> None:
    """The counter shows the same all the time."""
    meter(run)
    series(run, "energy_j", [7.0] * len(times_s(run)))


def backward(run: Any) -> None:
    """The counter is set back once, as by a restart of the driver."""
    meter(run)
    values = counted(run)
    middle = len(values) // 2
    series(run, "energy_j", values[:middle] + [value - values[middle] for value in values[middle:]])


def second_die_at_zero(run: Any) -> None:
    """The counter covers one of two dies: it says half of what sampled power says."""
    meter(run)
    series(run, "energy_j", counted(run, 0.5 * POWER_W))
    series(run, "power_w", [POWER_W] * len(times_s(run)))


def apart_by_a_tenth(run: Any) -> None:
    """The counter says a tenth more than sampled power."""
    meter(run)
    series(run, "energy_j", counted(run, 1.1 * POWER_W))
    series(run, "power_w", [POWER_W] * len(times_s(run)))


def milliwatts(run: Any) -> None:
    """Power in mW where W were meant, at a device that may draw 100 W."""
    meter(run, power_limit_w=100.0)
    series(run, "power_w", [1000 * POWER_W] * len(times_s(run)))


def in_step(run: Any) -> None:
    """A sensor that sees a quarter of each period, which is half a second like that of a training's step."""
    meter(run, update_period_s=0.5, seen_fraction=0.25, power_limit_w=100.0)
    series(run, "power_w", [POWER_W] * len(times_s(run)))


def slow(run: Any) -> None:
    """A meter that moves once a second."""
    meter(run, update_period_s=1.0)
    series(run, "power_w", [POWER_W] * len(times_s(run)))


def no_certificate(run: Any) -> None:
    """A meter at the wall of which nothing is known."""
    meter(run, scope="wall")


def replayed(run: Any) -> None:
    """A recorded trace stood for a meter."""
    meta = {"status": "modelled", "device": "d", "scope": "device", "method": "replay"}
    run.rows.insert(1, {"key": keys.METER, "t_ns": 0, "value": "replay", "proc": "supervisor", "meta": meta})


METER_BREAKERS: dict[str, Callable[[Any], None]] = {
    "R060": permission_lost,
    "R061": frozen,
    "R062": second_die_at_zero,
    "R063": milliwatts,
    "R064": in_step,
    "R065": slow,
    "R066": no_certificate,
    "R067": replayed,
}
"""The rules on meters, each with a run that breaks it."""

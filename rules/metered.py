"""What the meters of one run say together: the energy of each device over a window, and what is wrong with it.

A device is read by its counter, else by its sampled power. What cannot be trusted has no value and a reason; each
thing found wrong is a `Trouble`, of which the rules on meters make findings.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from oildrop.rules import keys
from oildrop.rules.evidence import Evidence, Series
from oildrop.rules.formulas.energy import POWER_GAP_LIMIT_S, EnergyReading, energy_by_counter, energy_by_integral
from oildrop.rules.formulas.power_sensor import (
    UNIT_FACTOR,
    UPDATES_WANTED,
    impossible_power,
    share_seen_in_step,
    sources_part,
    update_period_s,
    widened,
)
from oildrop.rules.timeline import Timeline

GAP_PERIODS = 3.0
"""Power of a slow meter is integrated over gaps of at most this many of its update periods."""

Kind = Literal["silent", "counter", "sources", "impossible", "in_step", "short"]
ENERGY = ("energy_j", "power_w")


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """One thing wrong with a device's energy, in words and in numbers."""

    kind: Kind
    message: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Words:
    """What a meter said of one device over the run.

    Attributes:
        update_period_s: Time between two updates, seconds; None where nobody knows.
        seen_fraction: Share of the time that its power sensor sees; None where it is not known to miss any.
        least_window_s: Shortest window that its values are good for, seconds.
        power_limit_w: What the device can draw at most, watts.
        uncertainty: The sensor's own, as a share of the value; None where its maker or certificate names none.
        modelled: Whether its values are worked out from activity, not measured.
        stopped: Why it stopped answering; None while it answers.
    """

    update_period_s: float | None = None
    seen_fraction: float | None = None
    least_window_s: float | None = None
    power_limit_w: float | None = None
    uncertainty: float | None = None
    modelled: bool = False
    stopped: str | None = None


@dataclass(frozen=True, kw_only=True)
class DeviceEnergy:
    """Energy of one device over one window, by its one meter."""

    meter: str
    device: str
    reading: EnergyReading
    modelled: bool
    troubles: tuple[Trouble, ...]


@dataclass(frozen=True)
class Metered:
    """The energy series of a run, and what its meters said; each window is worked out once."""

    evidence: Evidence
    timeline: Timeline

    @cached_property
    def by_scope(self) -> dict[str, dict[tuple[str, str], dict[str, Series]]]:
        """Energy and power series by scope, by (meter, device), by quantity."""
        found: dict[str, dict[tuple[str, str], dict[str, Series]]] = {}
        for series in self.evidence.series:
            if series.quantity in ENERGY:
                devices = found.setdefault(series.scope, {})
                devices.setdefault((series.meter, series.device), {})[series.quantity] = series
        return found

    @cached_property
    def _known(self) -> dict[tuple[str, tuple[int, int]], tuple[DeviceEnergy, ...]]:
        return {}

    def devices(self, scope: str, window_ns: tuple[int, int]) -> tuple[DeviceEnergy, ...]:
        """Each device of a scope over a window; empty where no meter covers it."""
        key = (scope, window_ns)
        if key not in self._known:
            devices = self.by_scope.get(scope, {})
            self._known[key] = tuple(self._device(*who, series, window_ns) for who, series in devices.items())
        return self._known[key]

    @cached_property
    def load_period_s(self) -> float | None:
        """Time of a step: the median over the timed blocks, seconds; None where no step was timed."""
        steps_s = [block.duration_s / block.steps for block in self.timeline.blocks if block.steps]
        return statistics.median(steps_s) if steps_s else None

    def _device(
        self, meter: str, device: str, series: Mapping[str, Series], window_ns: tuple[int, int]
    ) -> DeviceEnergy:
        words = self._words(meter, device)
        period_s = words.update_period_s or next(
            (found for found in map(update_period_s, series.values()) if found), None
        )
        readings = _read(series, window_ns, period_s)
        troubles = [trouble for reading in readings if (trouble := _refusal(reading, words)) is not None]
        reading = next((reading for reading in readings if reading.value is not None), readings[0])
        window_s = (window_ns[1] - window_ns[0]) / 1e9
        if reading.value is not None:
            reading, found = self._doubted(reading, readings, words, period_s, window_s)
            troubles += found
        elif words.stopped is not None:
            reading = replace(reading, reason=f"{reading.reason} (it {words.stopped})")
        return DeviceEnergy(
            meter=meter, device=device, reading=reading, modelled=words.modelled, troubles=tuple(troubles)
        )

    def _doubted(
        self,
        reading: EnergyReading,
        readings: list[EnergyReading],
        words: Words,
        period_s: float | None,
        window_s: float,
    ) -> tuple[EnergyReading, list[Trouble]]:
        """What the other source, the device's limit and the load's period make of a value, and what they found."""
        troubles = []
        if len(readings) == 2:
            reading, found = _against(reading, *readings)
            troubles += found
        reading, found = _possible(reading, words, window_s)
        troubles += found
        if reading.method != "energy_counter/1":
            reading, found = self._in_step(reading, words, period_s, window_s)
            troubles += found
        return _with_sensor(reading, words), troubles + _short(words, period_s, window_s)

    def _in_step(
        self, reading: EnergyReading, words: Words, period_s: float | None, window_s: float
    ) -> tuple[EnergyReading, list[Trouble]]:
        if reading.value is None or self.load_period_s is None or period_s is None or words.seen_fraction is None:
            return reading, []
        share = share_seen_in_step(self.load_period_s, period_s, words.seen_fraction)
        if share is None:
            return reading, []
        message = (
            f"the power sensor (period {period_s:.4g} s, of which it sees {words.seen_fraction:.0%}) keeps step with "
            f"the load (period {self.load_period_s:.4g} s): it sees {share:.0%} of each period"
        )
        evidence = {"load_period_s": self.load_period_s, "sensor_period_s": period_s, "share_seen": share}
        found = Trouble(kind="in_step", message=message, evidence=evidence)
        return widened(reading, share, words.power_limit_w, window_s), [found]

    def _words(self, meter: str, device: str) -> Words:
        said = [
            event.meta
            for event in self.evidence.all(keys.METER)
            if str(event.value) == meter and event.meta.get("device") in (device, None)
        ]
        limits = [a.power_limit_w for a in self._accelerators if a.device_id == device and a.power_limit_w]
        return Words(
            update_period_s=_last(said, "update_period_s"),
            seen_fraction=_last(said, "seen_fraction"),
            least_window_s=_last(said, "least_window_s"),
            power_limit_w=limits[0] if limits else _last(said, "power_limit_w"),
            uncertainty=_last(said, "uncertainty"),
            modelled=any(meta.get("status") == "modelled" for meta in said),
            stopped=str(said[-1].get("reason")) if said and said[-1].get("status") == "not_measured" else None,
        )

    @property
    def _accelerators(self) -> tuple[Any, ...]:
        return self.evidence.system.accelerators if self.evidence.system is not None else ()


def _last(said: list[dict[str, Any]], name: str) -> float | None:
    """The last positive number that was said under a name; None where none was."""
    values = [meta.get(name) for meta in said]
    numbers = [float(value) for value in values if isinstance(value, int | float) and value > 0]
    return numbers[-1] if numbers else None


def _read(series: Mapping[str, Series], window_ns: tuple[int, int], period_s: float | None) -> list[EnergyReading]:
    """The counter's reading, then that of power, as far as there are such series."""
    readings = []
    if "energy_j" in series:
        readings.append(energy_by_counter(series["energy_j"], window_ns, update_period_s=period_s or 0.0))
    if "power_w" in series:
        limit_s = max(POWER_GAP_LIMIT_S, GAP_PERIODS * (period_s or 0.0))
        readings.append(energy_by_integral(series["power_w"], window_ns, gap_limit_s=limit_s))
    return readings


def _refusal(reading: EnergyReading, words: Words) -> Trouble | None:
    if reading.value is not None:
        return None
    kind: Kind = "counter" if reading.fault in ("counter", "values") else "silent"
    message = f"{reading.reason}" + (f"; it {words.stopped}" if words.stopped else "")
    return Trouble(kind=kind, message=message, evidence={"method": reading.method, "samples": reading.sample_count})


def _against(
    reading: EnergyReading, counter: EnergyReading, integral: EnergyReading
) -> tuple[EnergyReading, list[Trouble]]:
    """Counter against integral: apart by a little the uncertainty covers both, by a factor neither is believed."""
    apart = sources_part(counter, integral)
    if apart is None or counter.value is None or integral.value is None:
        return reading, []
    message = f"the counter says {counter.value:.6g} J, sampled power {integral.value:.6g} J: {apart:.1%} apart"
    found = Trouble(
        kind="sources", message=message, evidence={"counter_j": counter.value, "integral_j": integral.value}
    )
    ratio = math.inf if integral.value <= 0 else counter.value / integral.value
    if max(ratio, 1 / ratio) >= UNIT_FACTOR:
        reason = f"{message}; one of them has the wrong unit, or is another device's"
        return replace(reading, value=None, uncertainty=None, reason=reason, fault="values"), [found]
    spread_j = abs(integral.value - counter.value)
    return replace(reading, uncertainty=max(reading.uncertainty or 0.0, spread_j)), [found]


def _possible(reading: EnergyReading, words: Words, window_s: float) -> tuple[EnergyReading, list[Trouble]]:
    if reading.value is None:
        return reading, []
    mean_w = reading.value / window_s
    why = impossible_power(mean_w, words.power_limit_w)
    if why is None:
        return reading, []
    evidence = {"power_w": mean_w, "power_limit_w": words.power_limit_w}
    found = Trouble(kind="impossible", message=why, evidence=evidence)
    return replace(reading, value=None, uncertainty=None, reason=why, fault="values"), [found]


def _with_sensor(reading: EnergyReading, words: Words) -> EnergyReading:
    """The sensor's own uncertainty added to that of sampling."""
    if reading.value is None or reading.uncertainty is None or words.uncertainty is None:
        return reading
    return replace(reading, uncertainty=reading.uncertainty + words.uncertainty * reading.value)


def _short(words: Words, period_s: float | None, window_s: float) -> list[Trouble]:
    wanted_s = max(UPDATES_WANTED * (period_s or 0.0), words.least_window_s or 0.0)
    if window_s >= wanted_s:
        return []
    message = f"a window of {window_s:.3g} s is short for this meter: {wanted_s:.3g} s are wanted"
    if period_s is not None:
        message += f" (it moves every {period_s:.3g} s)"
    evidence = {"window_s": window_s, "wanted_s": wanted_s, "update_period_s": period_s}
    return [Trouble(kind="short", message=message, evidence=evidence)]

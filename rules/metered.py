"""What the meters of one run say together: the energy of each device over a window, and what is wrong with it.

A device is read by its counter, else by its sampled power. What cannot be trusted has no value and a reason; each
thing found wrong is a `Trouble`, of which the rules on meters make findings.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from oildrop.rules.evidence import Evidence, Series
from oildrop.rules.formulas.energy import (
    COUNTER,
    INTEGRAL,
    POWER_GAP_LIMIT_S,
    EnergyReading,
    energy_by_counter,
    energy_by_integral,
)
from oildrop.rules.formulas.energy_spans import after, energy_in_spans
from oildrop.rules.formulas.power_sensor import share_seen_in_step, update_period_s, widened
from oildrop.rules.meter_doubts import Trouble, against, possible, refusal, short, with_sensor
from oildrop.rules.meter_words import Words, words_of
from oildrop.rules.phases import IDLE
from oildrop.rules.timeline import Timeline

GAP_PERIODS = 3.0
"""Power of a slow meter is integrated over gaps of at most this many of its update periods."""

ENERGY = ("energy_j", "power_w")
QUANTITIES = {COUNTER: "energy_j", INTEGRAL: "power_w"}
"""What each formula reads."""

Who = tuple[str, str]
"""A meter and its device."""


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
    def by_scope(self) -> dict[str, dict[Who, dict[str, Series]]]:
        """Energy and power series by scope, by (meter, device), by quantity, of devices that the run itself used.

        Before the run nobody knows which devices it will take, so the idle power of all was sampled.
        """
        found: dict[str, dict[Who, dict[str, Series]]] = {}
        for series in self.evidence.series:
            if series.quantity in ENERGY and not self._idle_only(series):
                devices = found.setdefault(series.scope, {})
                devices.setdefault((series.meter, series.device), {})[series.quantity] = series
        return found

    def _idle_only(self, series: Series) -> bool:
        idle = [span for span in self.timeline.phases if span.name == IDLE]
        within = sum(bisect_right(series.t_ns, span.stop_ns) - bisect_left(series.t_ns, span.start_ns) for span in idle)
        return within > 0 and within == len(series.t_ns)

    @cached_property
    def _known(self) -> dict[tuple[str, tuple[int, int], bool], tuple[DeviceEnergy, ...]]:
        return {}

    def devices(self, scope: str, window_ns: tuple[int, int], *, loaded: bool = True) -> tuple[DeviceEnergy, ...]:
        """Each device of a scope over a window; empty where no meter covers it.

        Args:
            loaded: Whether the run's load was on, with which a sensor may keep step.
        """
        key = (scope, window_ns, loaded)
        if key not in self._known:
            devices = self.by_scope.get(scope, {})
            self._known[key] = tuple(self._device(*who, series, window_ns, loaded) for who, series in devices.items())
        return self._known[key]

    def spans(self, scope: str, spans: Sequence[tuple[int, int]], run_ns: tuple[int, int]) -> tuple[DeviceEnergy, ...]:
        """Each device of a scope over all spans of a phase, by the formula that its whole run was read by.

        What the whole run's value is doubted for beside sampling, the phase's is in the same share.
        """
        return tuple(self._phase(whole, scope, spans, run_ns) for whole in self.devices(scope, run_ns))

    def _phase(
        self, whole: DeviceEnergy, scope: str, spans: Sequence[tuple[int, int]], run_ns: tuple[int, int]
    ) -> DeviceEnergy:
        if whole.reading.value is None:
            return whole
        words = words_of(self.evidence, whole.meter, whole.device)
        own = self.by_scope[scope][whole.meter, whole.device]
        period_s, method = _period_s(own, words), whole.reading.method
        series = _since_opened(own, words, max(run_ns[1], *(stop for _, stop in spans)))[QUANTITIES[method]]
        limit_s = _gap_limit_s(period_s)
        found, bare = (
            energy_in_spans(series, method, each, update_period_s=period_s or 0.0, gap_limit_s=limit_s)
            for each in (spans, [run_ns])
        )
        length_s = sum(stop - start for start, stop in spans) / 1e9
        troubles = tuple(short(words, period_s, length_s)) if found.value is not None else ()
        return replace(whole, reading=_doubted_alike(found, whole.reading, bare), troubles=troubles)

    def answered(self, scope: str, bounds_ns: tuple[int, int]) -> tuple[int, int] | None:
        """The widest window within bounds in which all devices of a scope were read; None where there is none."""
        firsts, lasts = [], []
        for who, own in self.by_scope.get(scope, {}).items():
            for series in _since_opened(own, words_of(self.evidence, *who), bounds_ns[1]).values():
                within = [t_ns for t_ns in series.t_ns if bounds_ns[0] <= t_ns <= bounds_ns[1]]
                if len(within) < 2:
                    return None
                firsts.append(within[0])
                lasts.append(within[-1])
        return (max(firsts), min(lasts)) if firsts and min(lasts) > max(firsts) else None

    @cached_property
    def load_period_s(self) -> float | None:
        """Time of a step: the median over the timed blocks, seconds; None where no step was timed."""
        steps_s = [block.duration_s / block.steps for block in self.timeline.blocks if block.steps]
        return statistics.median(steps_s) if steps_s else None

    def _device(
        self, meter: str, device: str, series: Mapping[str, Series], window_ns: tuple[int, int], loaded: bool
    ) -> DeviceEnergy:
        words = words_of(self.evidence, meter, device)
        period_s = _period_s(series, words)
        readings = _read(_since_opened(series, words, window_ns[1]), window_ns, period_s)
        troubles = [trouble for reading in readings if (trouble := refusal(reading, words)) is not None]
        reading = next((reading for reading in readings if reading.value is not None), readings[0])
        window_s = (window_ns[1] - window_ns[0]) / 1e9
        if reading.value is not None:
            reading, found = self._doubted(reading, readings, words, period_s, window_s, loaded)
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
        loaded: bool,
    ) -> tuple[EnergyReading, list[Trouble]]:
        """What the other source, the device's limit and the load's period make of a value, and what they found."""
        troubles = []
        if len(readings) == 2:
            reading, found = against(reading, *readings)
            troubles += found
        reading, found = possible(reading, words, window_s)
        troubles += found
        if reading.method != COUNTER and loaded:
            reading, found = self._in_step(reading, words, period_s, window_s)
            troubles += found
        return with_sensor(reading, words), troubles + short(words, period_s, window_s)

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


def _period_s(series: Mapping[str, Series], words: Words) -> float | None:
    return words.update_period_s or next((found for found in map(update_period_s, series.values()) if found), None)


def _gap_limit_s(period_s: float | None) -> float:
    return max(POWER_GAP_LIMIT_S, GAP_PERIODS * (period_s or 0.0))


def _since_opened(series: Mapping[str, Series], words: Words, stop_ns: int) -> dict[str, Series]:
    """The samples since the meter was last opened before an instant: its counter began anew then."""
    opened_ns = max((t_ns for t_ns in words.opened_ns if t_ns <= stop_ns), default=0)
    return {quantity: after(one, opened_ns) for quantity, one in series.items()}


def _doubted_alike(found: EnergyReading, whole: EnergyReading, bare: EnergyReading) -> EnergyReading:
    """A phase's reading with the run's doubts: `whole` with them, `bare` from sampling alone."""
    if found.value is None or found.uncertainty is None or not whole.value:
        return found
    if whole.uncertainty is None or bare.uncertainty is None:
        return replace(found, uncertainty=None)
    share = max(0.0, whole.uncertainty - bare.uncertainty) / whole.value
    return replace(found, uncertainty=found.uncertainty + share * found.value)


def _read(series: Mapping[str, Series], window_ns: tuple[int, int], period_s: float | None) -> list[EnergyReading]:
    """The counter's reading, then that of power, as far as there are such series."""
    readings = []
    if "energy_j" in series:
        readings.append(energy_by_counter(series["energy_j"], window_ns, update_period_s=period_s or 0.0))
    if "power_w" in series:
        readings.append(energy_by_integral(series["power_w"], window_ns, gap_limit_s=_gap_limit_s(period_s)))
    return readings

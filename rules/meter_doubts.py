"""What is wrong with a reading of energy: each doubt in words and numbers, and what is left of the value; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from oildrop.rules.formulas.energy import EnergyReading
from oildrop.rules.formulas.power_sensor import UNIT_FACTOR, UPDATES_WANTED, impossible_power, sources_part
from oildrop.rules.meter_words import Words

Kind = Literal["silent", "counter", "sources", "impossible", "in_step", "short"]


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """One thing wrong with a device's energy, in words and in numbers."""

    kind: Kind
    message: str
    evidence: Mapping[str, Any]


def refusal(reading: EnergyReading, words: Words) -> Trouble | None:
    """Why samples gave no value; None where they did."""
    if reading.value is not None:
        return None
    kind: Kind = "counter" if reading.fault in ("counter", "values") else "silent"
    message = f"{reading.reason}" + (f"; it {words.stopped}" if words.stopped else "")
    return Trouble(kind=kind, message=message, evidence={"method": reading.method, "samples": reading.sample_count})


def against(
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


def possible(reading: EnergyReading, words: Words, window_s: float) -> tuple[EnergyReading, list[Trouble]]:
    """The reading, without its value where the device cannot draw so much or so little."""
    if reading.value is None:
        return reading, []
    mean_w = reading.value / window_s
    why = impossible_power(mean_w, words.power_limit_w)
    if why is None:
        return reading, []
    evidence = {"power_w": mean_w, "power_limit_w": words.power_limit_w}
    found = Trouble(kind="impossible", message=why, evidence=evidence)
    return replace(reading, value=None, uncertainty=None, reason=why, fault="values"), [found]


def with_sensor(reading: EnergyReading, words: Words) -> EnergyReading:
    """The sensor's own uncertainty added to that of sampling."""
    if reading.value is None or reading.uncertainty is None or words.uncertainty is None:
        return reading
    return replace(reading, uncertainty=reading.uncertainty + words.uncertainty * reading.value)


def short(words: Words, period_s: float | None, window_s: float) -> list[Trouble]:
    """Whether a window holds too few updates of its meter, or is under what the meter asks for."""
    wanted_s = max(UPDATES_WANTED * (period_s or 0.0), words.least_window_s or 0.0)
    if window_s >= wanted_s:
        return []
    message = f"a window of {window_s:.3g} s is short for this meter: {wanted_s:.3g} s are wanted"
    if period_s is not None:
        message += f" (it moves every {period_s:.3g} s)"
    evidence = {"window_s": window_s, "wanted_s": wanted_s, "update_period_s": period_s}
    return [Trouble(kind="short", message=message, evidence=evidence)]

"""Axes of charts: a range, whether it is logarithmic, and ticks at round numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

_LOG_FROM = 50.0
"""Largest over smallest from which an axis of positive values is logarithmic."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """One axis: `low` < `high`, and `ticks` within them."""

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def share(self, value: float) -> float:
        """Where `value` lies: 0 at `low`, 1 at `high`; outside values are held at the edge."""
        if self.log:
            part = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return min(max(part, 0.0), 1.0)


def nice_step(span: float, count: int) -> float:
    """The 1, 2 or 5 times a power of ten that cuts `span` (> 0) into about `count` parts, never more."""
    raw = span / count * (1 - 1e-9)
    power = 10.0 ** math.floor(math.log10(raw))
    part = raw / power
    return power * (1 if part <= 1 else 2 if part <= 2 else 5 if part <= 5 else 10)


def axis_over(values: Sequence[float], *, count: int = 5, from_zero: bool = True, log: bool | None = None) -> Axis:
    """An axis that holds all `values`, from zero unless `from_zero` is False.

    Args:
        values: Finite numbers, one at least.
        count: About how many parts between ticks.
        log: True or False fixes the kind; None takes logarithmic where positive values span a factor of 50.
    """
    return axis_between(min(values), max(values), count=count, from_zero=from_zero, log=log)


def axis_between(low: float, high: float, *, count: int = 5, from_zero: bool = True, log: bool | None = None) -> Axis:
    """As `axis_over` of the two ends."""
    if log is None:
        log = low > 0 and high / low > _LOG_FROM
    if log and low > 0:
        return _log_axis(low, high)
    if from_zero and low > 0:
        low = 0.0
    elif from_zero and high < 0:
        high = 0.0
    if high <= low:
        low, high = (low - abs(low) / 2, low + abs(low) / 2) if low else (0.0, 1.0)
    step = nice_step(high - low, count)
    return _linear_axis(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9), step)


@lru_cache(maxsize=4096)
def _linear_axis(first: int, last: int, step: float) -> Axis:
    ticks = tuple(float(f"{index * step:.12g}") for index in range(first, last + 1))
    return Axis(low=ticks[0], high=ticks[-1], ticks=ticks)


def _log_axis(low: float, high: float) -> Axis:
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    last = max(last, first + 1)
    every = max(1, (last - first) // 6)
    ticks = tuple(10.0**power for power in range(first, last + 1, every))
    return Axis(low=10.0**first, high=10.0**last, ticks=ticks, log=True)

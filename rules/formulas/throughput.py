"""Rates over blocks: all work over all time, and how much the blocks differ."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence


def rate(amounts: Sequence[float], durations_s: Sequence[float]) -> float:
    """Total amount over total time, a second (formula throughput/1). Raises ValueError for no time."""
    total_s = math.fsum(durations_s)
    if total_s <= 0:
        raise ValueError("a rate needs a positive duration")
    return math.fsum(amounts) / total_s


def rate_half_width(amounts: Sequence[float], durations_s: Sequence[float]) -> float | None:
    """Half-width of a 95 % interval of the mean block rate, in amount a second; None under three blocks.

    Student's t over the blocks' own rates. Blocks of one run are neighbours in time, so this is the spread
    within the run; it says nothing of the spread between runs.
    """
    rates = [amount / duration for amount, duration in zip(amounts, durations_s, strict=True) if duration > 0]
    if len(rates) < 3:
        return None
    mean = math.fsum(rates) / len(rates)
    variance = math.fsum((each - mean) ** 2 for each in rates) / (len(rates) - 1)
    return t_quantile_975(len(rates) - 1) * math.sqrt(variance / len(rates))


@functools.cache
def t_quantile_975(degrees: int) -> float:
    """97.5 % quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))

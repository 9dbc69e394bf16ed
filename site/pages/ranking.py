"""Ranks as intervals: a set's best and worst place, given which other sets it can be told from.

A pair is looked at on its own, so whether two sets differ never depends on who else entered.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

from oildrop.rules.statistics import Estimate, log_t_interval
from oildrop.rules.statistics_two_sets import rank_sum_test, welch_ratio

ALPHA = 0.05
"""Two-sided chance of telling apart two sets that do not differ."""

_SURELY_TIED, _SURELY_TOLD = 1.5, 2.7
"""Standard deviations outside which the exact test agrees with the approximation for sets of five or more."""

_EXACT_UP_TO = 40
"""Values of both sets together up to which the exact test takes milliseconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Set:
    """One set's finite times in order, its failures, and the interval where there are none."""

    times: tuple[float, ...]
    failures: int
    interval: Estimate | None

    @property
    def values(self) -> list[float]:
        """All times, those of failures infinite."""
        return [*self.times, *[math.inf] * self.failures]


def rank_intervals(sets: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """First and last place that each set may hold; equal bounds mean that it is told from all others.

    Args:
        sets: Times to target in seconds, five or more a set, lower is better; a run that never
            reached the target is infinite.

    Returns:
        For each set 1 + the number of sets told to be faster, and the number of sets less those told to be slower.
    """
    prepared = [_prepare(times) for times in sets]
    faster = [0] * len(sets)
    slower = [0] * len(sets)
    for i, first in enumerate(prepared):
        for j in range(i + 1, len(sets)):
            order = _order(first, prepared[j])
            if order < 0:
                faster[j] += 1
                slower[i] += 1
            elif order > 0:
                faster[i] += 1
                slower[j] += 1
    return [(1 + above, len(sets) - below) for above, below in zip(faster, slower, strict=True)]


def _prepare(times: Sequence[float]) -> _Set:
    finite = tuple(sorted(filter(math.isfinite, times)))
    failures = len(times) - len(finite)
    return _Set(times=finite, failures=failures, interval=None if failures else log_t_interval(finite))


def _order(first: _Set, second: _Set) -> int:
    """-1 when `first` is told to be faster, 1 when `second` is, 0 when they are tied."""
    if first.failures or second.failures:
        return _rank_order(first, second)
    a, b = first.interval, second.interval
    if a is None or b is None or a.low is None or a.high is None or b.low is None or b.high is None:
        return 0
    # Intervals apart: Welch's test would agree, as its interval is narrower than both half-widths together.
    if a.high < b.low:
        return -1
    if b.high < a.low:
        return 1
    ratio = welch_ratio(first.times, second.times)
    if ratio.p_value >= ALPHA:
        return 0
    return -1 if ratio.value < 1 else 1


def _rank_order(first: _Set, second: _Set) -> int:
    """As `_order`, by a rank test with failures tied worst."""
    if not (first.times and second.times) or first.times[-1] < second.times[0]:
        return _apart(len(first.times), first.failures, len(second.times), second.failures)
    if second.times[-1] < first.times[0]:
        return -_apart(len(second.times), second.failures, len(first.times), first.failures)
    return _rank_test(first.values, second.values)


@lru_cache(maxsize=65536)
def _apart(first: int, first_failures: int, second: int, second_failures: int) -> int:
    """The order of sets whose finite times, so many of them, do not mix: all of `first` come before."""
    return _rank_test([0.0] * first + [math.inf] * first_failures, [1.0] * second + [math.inf] * second_failures)


def _rank_test(first: Sequence[float], second: Sequence[float]) -> int:
    """The order by the rank test, exact wherever its answer is close."""
    z = _rank_z(first, second)
    close = _SURELY_TIED < abs(z) < _SURELY_TOLD
    if close and len(first) + len(second) <= _EXACT_UP_TO:
        told = rank_sum_test(first, second).p_value < ALPHA
    else:
        told = abs(z) > NormalDist().inv_cdf(1 - ALPHA / 2)
    if not told:
        return 0
    return -1 if z < 0 else 1


def _rank_z(first: Sequence[float], second: Sequence[float]) -> float:
    """Rank-sum statistic in standard deviations, corrected for ties; negative when `first` is lower.

    Source: Lehmann, "Nonparametrics" (1975), section 1.4, normal approximation under ties.
    """
    ordered = sorted(second)
    above = sum(bisect_left(ordered, value) + bisect_right(ordered, value) for value in first) / 2
    count = len(first) + len(second)
    ties = sum(size**3 - size for size in Counter([*first, *second]).values())
    variance = len(first) * len(second) / 12 * (count + 1 - ties / (count * (count - 1)))
    return (above - len(first) * len(second) / 2) / math.sqrt(variance) if variance > 0 else 0.0

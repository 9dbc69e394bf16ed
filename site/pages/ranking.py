"""Ranks as intervals: a set's best and worst place, given which other sets it can be told from.

A pair is looked at on its own, so whether two sets differ never depends on who else entered.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.statistics import log_t_interval
from oildrop.rules.statistics_two_sets import rank_sum_test, welch_ratio

ALPHA = 0.05
"""Two-sided chance of telling apart two sets that do not differ."""

_ALWAYS_EXACT_UP_TO = 14
"""Values of both sets together up to which the exact test takes well under a millisecond."""

_EXACT_UP_TO = 40
"""Values of both sets together up to which the exact test takes milliseconds: then only a close answer is tested."""

_SURELY_TIED, _SURELY_TOLD = 1.7, 2.5
"""Standard deviations outside which exact test and approximation agree for more than `_ALWAYS_EXACT_UP_TO` values."""

_SAME = 1e-9
"""Distances closer than this are one: the next statistic lies a hundredth away at least."""

BoolMatrix = NDArray[np.bool_]


def rank_intervals(sets: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """First and last place that each set may hold; equal bounds mean that it is told from all others.

    Args:
        sets: Times to target in seconds, five or more a set, lower is better; a run that never
            reached the target is infinite.

    Returns:
        For each set 1 + the number of sets told to be faster, and the number of sets less those told to be slower.
    """
    faster = _told_faster([sorted(times) for times in sets])
    best, worst = 1 + faster.sum(axis=0), len(sets) - faster.sum(axis=1)
    return list(zip(best.tolist(), worst.tolist(), strict=True))


def _told_faster(sets: Sequence[Sequence[float]]) -> BoolMatrix:
    """Whether set i (rows) is told to be faster than set j (columns).

    Most pairs are settled all at once: by intervals that lie apart, and by finite times that do
    not mix, where only the counts of runs and failures matter. The rest are tested one by one.
    """
    intervals = [_interval(times) for times in sets]
    low, high = np.array(intervals).reshape(-1, 2).T
    first = np.array([times[0] for times in sets])
    last = np.array([max(filter(math.isfinite, times), default=-math.inf) for times in sets])
    failing = np.array([math.isinf(times[-1]) for times in sets], dtype=np.bool_)
    by_rank = failing[:, None] | failing
    # Intervals apart: Welch's test would agree, as its interval is narrower than both half-widths together.
    faster: BoolMatrix = ~by_rank & (high[:, None] < low)
    apart = by_rank & (last[:, None] < first)
    faster |= apart & _faster_if_apart(sets)
    rank_order = _RankOrder()
    open_pairs = np.triu(np.where(by_rank, ~(apart | apart.T), ~(faster | faster.T)), k=1)
    for i, j in np.argwhere(open_pairs).tolist():
        order = rank_order(sets[i], sets[j]) if by_rank[i, j] else _welch_order(sets[i], sets[j])
        faster[i, j], faster[j, i] = order < 0, order > 0
    return faster


def _interval(times: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of a set without failures; nothing is outside that of another."""
    if math.isinf(times[-1]):
        return (-math.inf, math.inf)
    estimate = log_t_interval(times)
    return (-math.inf if estimate.low is None else estimate.low, math.inf if estimate.high is None else estimate.high)


def _faster_if_apart(sets: Sequence[Sequence[float]]) -> BoolMatrix:
    """Whether set i is told to be faster than set j, supposed that its finite times all come first."""
    counts = [(sum(map(math.isfinite, times)), len(times)) for times in sets]
    kinds = sorted(set(counts))
    rank_order = _RankOrder()
    told = [[rank_order(_as_if(*one, 0.0), _as_if(*other, 1e6)) < 0 for other in kinds] for one in kinds]
    table = np.array(told, dtype=np.bool_).reshape(len(kinds), len(kinds))
    place = np.array([kinds.index(count) for count in counts], dtype=np.int64)
    faster: BoolMatrix = table[np.ix_(place, place)]
    return faster


def _as_if(ok: int, count: int, after: float) -> list[float]:
    """`count` times of which `ok` are finite, all different, and from `after` on."""
    return [after + place for place in range(ok)] + [math.inf] * (count - ok)


def _welch_order(first: Sequence[float], second: Sequence[float]) -> int:
    """-1 when `first` is told to be faster, 1 when `second` is, 0 when they are tied."""
    ratio = welch_ratio(first, second)
    if ratio.p_value >= ALPHA:
        return 0
    return -1 if ratio.value < 1 else 1


class _RankOrder:
    """The order of two sets by the rank test with failures tied worst: exact wherever its answer is close.

    Without ties among finite times the exact p-value falls with the distance of the statistic from
    its mean, for given counts; so the bounds found so far answer for all that lies beyond them.
    """

    def __init__(self) -> None:
        self._bounds: dict[tuple[int, int, int], tuple[float, float]] = {}

    def __call__(self, first: Sequence[float], second: Sequence[float]) -> int:
        """As `_welch_order`."""
        z = rank_z(first, second)
        count = len(first) + len(second)
        close = count <= _ALWAYS_EXACT_UP_TO or _SURELY_TIED < abs(z) < _SURELY_TOLD
        if close and count <= _EXACT_UP_TO:
            told = self._exact(first, second, z)
        else:
            told = abs(z) > NormalDist().inv_cdf(1 - ALPHA / 2)
        if not told:
            return 0
        return -1 if z < 0 else 1

    def _exact(self, first: Sequence[float], second: Sequence[float], z: float) -> bool:
        finite = [value for value in [*first, *second] if math.isfinite(value)]
        if len(set(finite)) < len(finite):
            return rank_sum_test(first, second).p_value < ALPHA
        key = (len(first), len(second), len(finite))
        tied_to, told_from = self._bounds.get(key, (0.0, math.inf))
        distance = abs(z)
        if tied_to + _SAME < distance < told_from - _SAME:
            if rank_sum_test(first, second).p_value < ALPHA:
                told_from = distance
            else:
                tied_to = distance
            self._bounds[key] = (tied_to, told_from)
        return distance >= told_from - _SAME


def rank_z(first: Sequence[float], second: Sequence[float]) -> float:
    """Rank-sum statistic in standard deviations, corrected for ties; negative when `first` is lower.

    Source: Lehmann, "Nonparametrics" (1975), section 1.4, normal approximation under ties.
    """
    ordered = sorted(second)
    above = sum([bisect_left(ordered, value) + bisect_right(ordered, value) for value in first]) / 2
    count = len(first) + len(second)
    pooled = [*first, *second]
    distinct = set(pooled)
    ties = 0
    if len(distinct) < count:
        ties = sum([size**3 - size for size in map(pooled.count, distinct)])
    variance = len(first) * len(second) / 12 * (count + 1 - ties / (count * (count - 1)))
    return (above - len(first) * len(second) / 2) / math.sqrt(variance) if variance > 0 else 0.0

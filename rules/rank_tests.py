"""The rank test on very many pairs at once: exact wherever its answer is close, approximated where it is not.

Times are in ascending order, lower is better, and a run that never reached the target is infinite.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.statistics import EQUAL, LEVEL
from oildrop.rules.statistics_two_sets import rank_sum_test, rank_sums

ALPHA = 1 - LEVEL
"""Two-sided chance of telling apart two sets that do not differ."""

_ALWAYS_EXACT_UP_TO = 14
"""Values of both sets together up to which the exact test takes well under a millisecond."""

_EXACT_UP_TO = 40
"""Values of both sets together up to which the exact test takes milliseconds: then only a close answer is tested."""

_SURELY_TIED, _SURELY_TOLD = 1.7, 2.5
"""Standard deviations outside which exact test and approximation agree for more than `_ALWAYS_EXACT_UP_TO` values."""

BoolMatrix = NDArray[np.bool_]
Places = NDArray[np.intp]
Times = tuple[float, ...]


def faster_by_rank(sets: Sequence[Times], wanted: BoolMatrix) -> BoolMatrix:
    """Whether set i (rows) is told to be faster than set j (columns), of the pairs `wanted`; no other pair is told.

    Pairs whose finite times neither mix nor tie are settled all at once: only the counts of runs and failures
    matter then.

    Args:
        wanted: Symmetric, without its diagonal.
    """
    first = np.array([times[0] for times in sets])
    finite = [_finite(times) for times in sets]
    last = np.array([times[-1] if times else -math.inf for times in finite])
    distinct = np.array([len(set(times)) == len(times) for times in finite])
    apart = wanted & (last[:, None] < first) & distinct[:, None] & distinct
    faster: BoolMatrix = apart & _faster_if_apart(sets)
    firsts, seconds = np.nonzero(np.triu(wanted & ~(apart | apart.T), k=1))
    orders = _rank_orders(sets, firsts, seconds)
    faster[firsts, seconds], faster[seconds, firsts] = orders < 0, orders > 0
    return faster


def _finite(times: Times) -> Times:
    return times[: bisect_left(times, math.inf)]


def _faster_if_apart(sets: Sequence[Times]) -> BoolMatrix:
    """Whether set i is told to be faster than set j, supposed that its finite times all come first."""
    counts = [(bisect_left(times, math.inf), len(times)) for times in sets]
    kinds = sorted(set(counts))
    early, late = [_as_if(*kind, 0.0) for kind in kinds], [_as_if(*kind, 1e6) for kind in kinds]
    one, other = np.indices((len(kinds), len(kinds))).reshape(2, -1)
    table = (_rank_orders([*early, *late], one, len(kinds) + other) < 0).reshape(len(kinds), len(kinds))
    place = np.array([kinds.index(count) for count in counts], dtype=np.int64)
    faster: BoolMatrix = table[np.ix_(place, place)]
    return faster


def _as_if(ok: int, count: int, after: float) -> Times:
    """`count` times of which `ok` are finite, all different, and from `after` on."""
    return (*[after + place for place in range(ok)], *[math.inf] * (count - ok))


def _rank_orders(sets: Sequence[Times], firsts: Places, seconds: Places) -> NDArray[np.float64]:
    """Of each pair -1 when the first is told to be faster, 1 when the second is, 0 when they are tied."""
    z = rank_z(sets, firsts, seconds)
    distance = np.abs(z)
    told = distance > NormalDist().inv_cdf(1 - ALPHA / 2)
    counts = np.array([len(times) for times in sets])
    pooled = counts[firsts] + counts[seconds]
    close = (pooled <= _ALWAYS_EXACT_UP_TO) | ((distance > _SURELY_TIED) & (distance < _SURELY_TOLD))
    places = np.flatnonzero(close & (pooled <= _EXACT_UP_TO))
    told[places] = _told_exactly(sets, firsts[places], seconds[places], distance[places])
    return np.where(told, np.sign(z), 0.0)


def _told_exactly(sets: Sequence[Times], firsts: Places, seconds: Places, distance: NDArray[np.float64]) -> list[bool]:
    """Whether the exact rank test tells two sets apart, given the `distance` of each pair's statistic from its mean.

    Where no finite times are equal, all that decides besides the distance is how many there are of each kind.
    """
    finite = [frozenset(_finite(times)) for times in sets]
    distinct = [len(held) == len(_finite(times)) for held, times in zip(finite, sets, strict=True)]
    told = []
    for first, second, away in zip(firsts.tolist(), seconds.tolist(), distance.tolist(), strict=True):
        if distinct[first] and distinct[second] and finite[first].isdisjoint(finite[second]):
            sizes = sorted((len(sets[first]), len(sets[second])))
            told.append(away >= _least_told(*sizes, len(finite[first]) + len(finite[second])))
        else:
            told.append(rank_sum_test(sets[first], sets[second]).p_value < ALPHA)
    return told


@lru_cache(maxsize=4096)
def _least_told(first: int, second: int, finite: int) -> float:
    """Least distance, in the units of `rank_z`, at which sets of these sizes are told apart; infinite where none is.

    Args:
        first, second: Values of either set.
        finite: Those of both together that are finite, all different.
    """
    both = first + second
    times = [*map(float, range(finite)), *[math.inf] * (both - finite)]
    found = rank_sums(times, first)
    told = found.distance[(found.ways > 0) & (found.p_values < ALPHA)]
    ties = (both - finite) ** 3 - (both - finite)
    variance = first * second / 12 * (both + 1 - ties / (both * (both - 1)))
    return float(told.min()) / math.sqrt(variance) * (1 - EQUAL) if told.size else math.inf


def rank_z(sets: Sequence[Times], firsts: Places, seconds: Places) -> NDArray[np.float64]:
    """Of each pair the rank-sum statistic in standard deviations, corrected for ties; negative when the first is lower.

    Args:
        sets: Each in ascending order.
        firsts, seconds: Places in `sets`, of two different sets a pair.

    Source: Lehmann, "Nonparametrics" (1975), section 1.4, normal approximation under ties.
    """
    counts = np.array([len(times) for times in sets], dtype=np.int64)
    starts = np.cumsum(counts) - counts
    _, ranks = np.unique(np.concatenate([*sets, []]), return_inverse=True)
    # One ascending array in which set k has its ranks from k * span on: bisection finds what any set holds.
    span = len(ranks) + 1
    held = ranks + np.repeat(np.arange(len(sets)) * span, counts)
    own = np.searchsorted(held, held, "right") - np.searchsorted(held, held, "left")
    sizes, others = counts[firsts], counts[seconds]
    begin = np.cumsum(sizes) - sizes
    chosen = np.arange(sizes.sum()) + np.repeat(starts[firsts] - begin, sizes)
    sought = ranks[chosen] + np.repeat(seconds * span, sizes)
    left, right = np.searchsorted(held, sought, "left"), np.searchsorted(held, sought, "right")
    above = np.add.reduceat(left + right, begin) / 2 - sizes * starts[seconds]
    mine, theirs = own[chosen], right - left
    # The sum of t^3 - t over all values that stand t times in the pair; a value of the first set adds its share.
    ties = np.add.reduceat(mine**2 + 3 * mine * theirs + 3 * theirs**2 - 1, begin)
    ties += np.add.reduceat(own**2 - 1, starts)[seconds]
    both = sizes + others
    variance = sizes * others / 12 * (both + 1 - ties / (both * (both - 1)))
    return np.divide(above - sizes * others / 2, np.sqrt(variance), out=np.zeros(len(both)), where=variance > 0)

"""Statistics of two sets of runs: ratios with intervals, rank tests, and what they could have shown.

Everything here looks at two sets only, so whether they differ never depends on a third.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.records import Record
from oildrop.rules.statistics import (
    EQUAL,
    LEVEL,
    antilog,
    log_step,
    logs_of,
    t_quantile,
    t_two_sided_p,
    variance,
)

POWER = 0.8
"""Chance of being seen that a difference must have before it counts as detectable."""


class Ratio(Record):
    """Geometric mean of one set over that of another, dimensionless, with a t interval on logarithms.

    Attributes:
        p_value: Two-sided, of the hypothesis that the ratio is 1.
        log_standard_error: Standard error of the ratio's natural logarithm.
        log_sd: Standard deviation of a pair's log ratio (`paired`), else the root mean variance of both sets' logs.
        paired: Whether values were taken in pairs.
        count: Pairs, or the values of the smaller set.
    """

    value: float
    low: float
    high: float
    p_value: float
    log_standard_error: float
    log_sd: float
    degrees_of_freedom: float
    paired: bool
    count: int


class RankTest(Record):
    """Exact two-sided rank-sum test.

    Attributes:
        smaller_first: Chance that a value of the first set is below one of the second, ties counted half.
    """

    p_value: float
    smaller_first: float


def shows_no_scatter(first: Sequence[float], second: Sequence[float], *, paired: bool) -> bool:
    """Whether all pairs have one ratio (`paired`), or each set one value: no t test applies, the rank test does."""
    logs = [logs_of(first), logs_of(second)]
    tested = [[a - b for a, b in zip(*logs, strict=True)]] if paired else logs
    return _no_scatter(tested)


def _no_scatter(tested: Sequence[Sequence[float]]) -> bool:
    return all(max(logs) - min(logs) <= EQUAL for logs in tested)


def paired_ratio(first: Sequence[float], second: Sequence[float], level: float = LEVEL) -> Ratio:
    """Ratio first/second with a t interval over the log ratios of pairs `first[i]`, `second[i]`.

    Raises:
        ValueError: Unequal lengths, fewer than two pairs, a value that is not positive and finite, or no scatter.

    Source: Student (1908), as for one set, applied to log ratios.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} values do not pair: pass one partner for each")
    logs = [logs_of(first), logs_of(second)]
    differences = [a - b for a, b in zip(*logs, strict=True)]
    _refuse_no_scatter([differences])
    spread = variance(differences)
    return _ratio(
        mean=math.fsum(differences) / len(differences),
        error=math.sqrt(spread / len(differences)),
        sd=math.sqrt(spread),
        freedom=len(differences) - 1,
        paired=True,
        count=len(differences),
        level=level,
        step=_common_step(logs),
    )


def welch_ratio(first: Sequence[float], second: Sequence[float], level: float = LEVEL) -> Ratio:
    """Ratio first/second of geometric means of independent sets with unequal variances (Welch on logarithms).

    Raises:
        ValueError: Fewer than two values in a set, one that is not positive and finite, or no scatter.

    Source: Welch, "The generalization of 'Student's' problem when several different population
        variances are involved", Biometrika 34 (1947); degrees of freedom by Satterthwaite (1946).
    """
    logs = [logs_of(first), logs_of(second)]
    spreads = [variance(side) for side in logs]
    _refuse_no_scatter(logs)
    shares = [spread / len(side) for spread, side in zip(spreads, logs, strict=True)]
    means = [math.fsum(side) / len(side) for side in logs]
    weight = math.fsum(share**2 / (len(side) - 1) for share, side in zip(shares, logs, strict=True))
    return _ratio(
        mean=means[0] - means[1],
        error=math.sqrt(sum(shares)),
        sd=math.sqrt(sum(spreads) / 2),
        freedom=sum(shares) ** 2 / weight,
        paired=False,
        count=min(len(first), len(second)),
        level=level,
        step=_common_step(logs),
    )


def _refuse_no_scatter(tested: Sequence[Sequence[float]]) -> None:
    if len(tested[0]) > 1 and _no_scatter(tested):
        raise ValueError("values without scatter have no t interval; a rank test needs none")


def _common_step(logs: Sequence[Sequence[float]]) -> float:
    """Step to which both sets were rounded: the widest that one of them shows, 0 where none does."""
    return max(log_step(side) or 0.0 for side in logs)


def _ratio(
    *, mean: float, error: float, sd: float, freedom: float, paired: bool, count: int, level: float, step: float
) -> Ratio:
    """The record; each mean may be off by half a `step` however little its set scatters."""
    quantile = t_quantile((1 + level) / 2, freedom)
    error = max(error, step / quantile)
    reach = quantile * error
    return Ratio(
        value=antilog(mean),
        low=antilog(mean - reach),
        high=antilog(mean + reach),
        p_value=t_two_sided_p(mean / error, freedom),
        log_standard_error=error,
        log_sd=sd,
        degrees_of_freedom=freedom,
        paired=paired,
        count=count,
    )


def rank_sum_test(first: Sequence[float], second: Sequence[float]) -> RankTest:
    """Exact two-sided rank-sum test with mid-ranks; pass a failure as infinity, so that failures tie worst.

    The p-value is the share of all ways to deal the pooled ranks whose sum is at least as far from
    its mean as the one seen; ties are exact. Work grows as the fourth power of the number of values:
    about a second for 100 in each set.

    Raises:
        ValueError: An empty set, or a value that is NaN.

    Source: Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1 (1945);
        Lehmann, "Nonparametrics" (1975), section 1.4, for the distribution under ties.
    """
    if not first or not second:
        raise ValueError(f"{len(first)} and {len(second)} values: a rank test needs at least 1 on each side")
    if any(math.isnan(value) for value in [*first, *second]):
        raise ValueError("a value is NaN and has no rank; pass a failure as infinity")
    count = len(first)
    seen = int(_doubled_ranks([*first, *second])[:count].sum())
    return RankTest(
        p_value=float(rank_sums([*first, *second], count).p_values[seen]),
        smaller_first=1 - (seen - count * (count + 1)) / (2 * count * len(second)),
    )


class RankSums(NamedTuple):
    """All sums of ranks that a set may have: vectors indexed by twice the sum.

    Attributes:
        ways: In how many ways the sum comes about.
        distance: From its mean, in ranks.
        p_values: Share of the ways that lie at least as far from it.
    """

    ways: NDArray[np.float64]
    distance: NDArray[np.float64]
    p_values: NDArray[np.float64]


def rank_sums(pooled: Sequence[float], count: int) -> RankSums:
    """The distribution of the sum of ranks of `count` of the `pooled` values, dealt at random, mid-ranks for ties."""
    return _rank_sums(tuple(sorted(_doubled_ranks(pooled).tolist())), count)


@lru_cache(maxsize=256)
def _rank_sums(weights: tuple[int, ...], count: int) -> RankSums:
    """Kept, because pairs of sets mostly differ in who holds which rank and not in the ranks."""
    ways = _ways_by_sum(weights, count)
    away = np.abs(np.arange(ways.size) * len(weights) - count * sum(weights))  # whole numbers, so that ties are exact
    distances, place = np.unique(away, return_inverse=True)
    at_least = np.bincount(place, weights=ways, minlength=distances.size)[::-1].cumsum()[::-1]
    return RankSums(ways, away / (2 * len(weights)), np.minimum(at_least[place] / ways.sum(), 1.0))


def _doubled_ranks(values: Sequence[float]) -> NDArray[np.int64]:
    """Twice each value's mid-rank (1 is smallest), which is a whole number."""
    pooled = np.asarray(values, dtype=np.float64)
    ordered = np.sort(pooled)
    below = np.searchsorted(ordered, pooled, side="left")
    not_above = np.searchsorted(ordered, pooled, side="right")
    return (below + not_above + 1).astype(np.int64)


def _ways_by_sum(weights: tuple[int, ...], count: int) -> NDArray[np.float64]:
    """For each sum s, in how many ways `count` of the ascending weights add up to it (exact below 2^53)."""
    most = sum(weights[-count:])
    ways = np.zeros((count + 1, most + 1))
    ways[0, 0] = 1
    for weight in weights:
        for chosen in range(count, 0, -1):
            ways[chosen, weight:] += ways[chosen - 1, : most + 1 - weight]
    return ways[count]


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """P-values adjusted for having been tried together, in the order given.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 6 (1979).
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for step, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - step) * p_values[index]))
        adjusted[index] = largest
    return tuple(adjusted)


def minimum_detectable_ratio(
    log_standard_error: float, degrees_of_freedom: float, *, power: float = POWER, level: float = LEVEL
) -> float:
    """Smallest true ratio above 1 that a t test of this precision would see with chance `power`.

    Source: power of the t test from the noncentral t; Cohen, "Statistical Power Analysis", 2nd ed., ch. 2.
    """
    from scipy.special import nctdtrinc

    critical = t_quantile((1 + level) / 2, degrees_of_freedom)
    return antilog(float(nctdtrinc(degrees_of_freedom, 1 - power, critical)) * log_standard_error)


def runs_needed(log_sd: float, ratio: float, *, paired: bool, power: float = POWER, level: float = LEVEL) -> int:
    """Fewest pairs, or runs in each of two equal sets, that would see a true `ratio` with chance `power`.

    Args:
        log_sd: As `Ratio.log_sd`.
        ratio: What is to be seen; 1.05 and 1/1.05 ask for the same.
        paired: Whether runs will be paired, which makes `log_sd` that of a pair's log ratio.
        power: Chance of seeing it, 0 to 1.
        level: Coverage of the interval that must leave out 1.

    Raises:
        ValueError: `ratio` is 1 or not positive: no number of runs shows no difference.
    """
    if ratio <= 0 or ratio == 1:
        raise ValueError(f"ratio {ratio!r}: needs a positive number other than 1")
    wanted = abs(math.log(ratio))
    sets = 1 if paired else 2
    normal = t_quantile((1 + level) / 2, 1e9) + t_quantile(power, 1e9)
    count = max(2, math.floor(sets * (normal * log_sd / wanted) ** 2))
    while True:
        seen = minimum_detectable_ratio(log_sd * math.sqrt(sets / count), sets * (count - 1), power=power, level=level)
        if math.log(seen) <= wanted:
            return count
        count += 1

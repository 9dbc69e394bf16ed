"""Two ways of doing one thing, measured in interleaved pairs within one process.

Whatever slows the machine for a while slows both members of a pair, so the ratio is steadier than
either figure. Which goes first alternates, so that neither always runs on a warmed cache.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from table import Row

from oildrop.rules.formulas.throughput import t_quantile_975
from oildrop.rules.statistics import log_t_interval
from oildrop.rules.statistics_two_sets import paired_ratio

Measure = Callable[[], float]
"""Does the thing once and returns its time or rate (positive, in any one unit)."""


def interleaved(first: Measure, second: Measure, *, pairs: int, warm_up: int = 1) -> tuple[list[float], list[float]]:
    """`pairs` values of each, taken in turn: first second, second first, and so on.

    Args:
        first: Measures one way.
        second: Measures the other.
        pairs: Pairs to take, at least 2.
        warm_up: Calls of each beforehand whose values are dropped.
    """
    if pairs < 2:
        raise ValueError(f"pairs = {pairs}: an interval needs at least 2")
    for _ in range(warm_up):
        first()
        second()
    values: tuple[list[float], list[float]] = ([], [])
    for index in range(pairs):
        for which in (0, 1) if index % 2 == 0 else (1, 0):
            values[which].append((first, second)[which]())
    return values


def ratio_row(
    name: str,
    first: Sequence[float],
    second: Sequence[float],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Row:
    """The ratio first/second of paired values, with Student's t interval on the log ratios."""
    ratio = paired_ratio(first, second)
    return Row(
        name=name,
        value=ratio.value,
        low=ratio.low,
        high=ratio.high,
        unit="ratio",
        count=ratio.count,
        at_least=at_least,
        at_most=at_most,
    )


def mean_row(
    name: str, values: Sequence[float], unit: str, *, at_least: float | None = None, at_most: float | None = None
) -> Row:
    """The geometric mean of at least two independent `values`, with Student's t interval on their logs."""
    mean = log_t_interval(values)
    if mean.low is None or mean.high is None:
        raise ValueError(f"{name}: {len(values)} values without scatter have no interval; take at least 2 that differ")
    return Row(
        name=name,
        value=mean.value,
        low=mean.low,
        high=mean.high,
        unit=unit,
        count=mean.count,
        at_least=at_least,
        at_most=at_most,
    )


def difference_row(name: str, values: Sequence[float], unit: str, *, at_most: float | None = None) -> Row:
    """The mean of paired differences, which may be negative, with Student's t interval on the values themselves."""
    mean = statistics.fmean(values)
    half = t_quantile_975(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return Row(name=name, value=mean, low=mean - half, high=mean + half, unit=unit, count=len(values), at_most=at_most)
